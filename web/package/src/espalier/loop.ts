// Runs work in slices, so that pause, step, abort and every other call are answered in between.

import { EspalierError } from '../error.js';
import type { Call } from '../protocol.js';
import { breathe } from './slices.js';

/** What one slice did. */
export interface Slice {
  /** Of a training: steps of this slice, and of all. */
  steps?: number;
  step?: number;
  /** False while something is still to be finished before the work may rest (an epoch's validation). */
  settled?: boolean;
  done: boolean;
}

export interface Work<Result> {
  /** At most `steps` steps; negative: any number. */
  slice(steps: number): Slice;
  /** After the last slice, or when the caller gave up. */
  finish(aborted: boolean): Result;
  /** Always at the end. */
  dispose(): void;
}

export interface PausedEvent {
  type: 'paused';
  step: number;
}

export class Loop<Result> {
  readonly #work: Work<Result>;
  readonly #call: Call<PausedEvent>;
  /** Steps that may be done before resting: 0 is paused, Infinity is running. */
  #budget = Infinity;
  #settled = true;
  #step = 0;
  #holds = 0;
  #wake: (() => void) | undefined;
  #resting: (() => void)[] = [];

  constructor(work: Work<Result>, call: Call<PausedEvent>) {
    this.#work = work;
    this.#call = call;
    call.signal.addEventListener('abort', () => this.#wake?.());
  }

  /** To the end, or until the caller gives up. */
  async run(): Promise<Result> {
    const { signal } = this.#call;
    let announced = false;
    try {
      for (;;) {
        await breathe();
        if (signal.aborted) return this.#work.finish(true);
        if (this.#holds > 0) {
          await this.#change();
        } else if (this.#budget === 0 && this.#settled) {
          if (!announced) this.#call.emit({ type: 'paused', step: this.#step });
          announced = true;
          this.#rested();
          await this.#change();
        } else {
          announced = false;
          if (this.#slice()) return this.#work.finish(false);
        }
      }
    } finally {
      this.#rested();
      this.#work.dispose();
    }
  }

  async pause(): Promise<void> {
    this.#budget = 0;
    this.#settled = true;
    await this.#rest();
  }

  resume(): void {
    this.#budget = Infinity;
    this.#rested();
    this.#wake?.();
  }

  async step(count: number): Promise<void> {
    if (!(Number.isInteger(count) && count > 0)) {
      throw new EspalierError('argument', 'count', 'must be a whole number above 0');
    }
    if (this.#budget !== 0) throw new EspalierError('argument', 'step', 'pause the training first');
    this.#budget = count;
    await this.#rest();
  }

  /** Keeps the weights as they are until the returned function is called. */
  hold(): () => void {
    this.#holds += 1;
    return () => {
      this.#holds -= 1;
      this.#wake?.();
    };
  }

  #slice(): boolean {
    const {
      steps = 0,
      step = 0,
      settled = true,
      done,
    } = this.#work.slice(Number.isFinite(this.#budget) ? this.#budget : -1);
    this.#budget -= steps;
    this.#settled = settled;
    this.#step = step;
    return done;
  }

  #rest(): Promise<void> {
    this.#wake?.();
    return new Promise((resolve) => this.#resting.push(resolve));
  }

  #rested(): void {
    for (const resolve of this.#resting.splice(0)) resolve();
  }

  #change(): Promise<void> {
    return new Promise((resolve) => (this.#wake = resolve));
  }
}
