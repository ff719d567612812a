// Runs a training in slices, so that pause, step, abort and every other call are answered in between.

import { EspalierError } from '../error.js';
import type { Call } from '../protocol.js';
import type { TrainingDone, TrainingEvent } from '../types.js';
import type { Session } from './session.js';
import { breathe, sliceMilliseconds } from './slices.js';

/** What one call of run_training did. */
interface Slice {
  events: TrainingEvent[];
  steps: number;
  step: number;
  /** False while an epoch's validation is still to be finished. */
  settled: boolean;
  done: boolean;
}

export class TrainingLoop {
  readonly #session: Session;
  readonly #training: number;
  readonly #call: Call<TrainingEvent>;
  /** Steps that may be done before resting: 0 is paused, Infinity is running. */
  #budget = Infinity;
  #settled = true;
  #step = 0;
  #holds = 0;
  #wake: (() => void) | undefined;
  #resting: (() => void)[] = [];

  constructor(session: Session, training: number, call: Call<TrainingEvent>) {
    this.#session = session;
    this.#training = training;
    this.#call = call;
    call.signal.addEventListener('abort', () => this.#wake?.());
  }

  /** To the end, or until the caller gives up; the model keeps its weights either way. */
  async run(): Promise<TrainingDone> {
    const { signal } = this.#call;
    const training = this.#training;
    let announced = false;
    try {
      for (;;) {
        await breathe();
        if (signal.aborted) return this.#finish(true);
        if (this.#holds > 0) {
          await this.#change();
        } else if (this.#budget === 0 && this.#settled) {
          if (!announced) this.#call.emit({ type: 'paused', step: this.#step });
          announced = true;
          for (const resolve of this.#resting.splice(0)) resolve();
          await this.#change();
        } else {
          announced = false;
          if (this.#slice()) return this.#finish(false);
        }
      }
    } finally {
      for (const resolve of this.#resting.splice(0)) resolve();
      if (!this.#session.failure) this.#session.use((native) => native.dispose(training));
    }
  }

  async pause(): Promise<void> {
    this.#budget = 0;
    this.#settled = true;
    await this.#rest();
  }

  resume(): void {
    this.#budget = Infinity;
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

  checkpoint(): Uint8Array {
    return this.#session.use((native) => native.checkpoint(this.#training).slice());
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
    const steps = Number.isFinite(this.#budget) ? this.#budget : -1;
    const text = this.#session.use((native) => native.run_training(this.#training, sliceMilliseconds, steps));
    const slice = JSON.parse(text) as Slice;
    this.#budget -= slice.steps;
    this.#settled = slice.settled;
    this.#step = slice.step;
    for (const event of slice.events) this.#call.emit(event);
    return slice.done;
  }

  #finish(stopped: boolean): TrainingDone {
    const text = this.#session.use((native) => native.finish_training(this.#training, stopped));
    return JSON.parse(text) as TrainingDone;
  }

  #rest(): Promise<void> {
    this.#wake?.();
    return new Promise((resolve) => this.#resting.push(resolve));
  }

  #change(): Promise<void> {
    return new Promise((resolve) => (this.#wake = resolve));
  }
}
