// The caller's side of a training: its events in order, and the calls that steer it.

import type { Connection, StartedCall } from './connection.js';
import { reasonOf } from './error.js';
import type { Arguments } from './protocol.js';
import type { Training, TrainingDone, TrainingEvent } from './types.js';

/** Events that nobody has taken yet; beyond these, progress replaces progress. */
const maxWaiting = 256;

type Start = 'train' | 'resumeTraining';

export class RunningTraining implements Training {
  readonly done: Promise<TrainingDone>;
  readonly #connection: Connection;
  readonly #call: StartedCall<Start>;
  readonly #events: TrainingEvent[] = [];
  #state: Training['state'] = 'running';
  #wake: (() => void) | undefined;

  constructor(connection: Connection, method: Start, args: Arguments<Start>, signal?: AbortSignal) {
    this.#connection = connection;
    // An abort is an ordinary end, so the signal does not become the call's own.
    this.#call = connection.start(method, args, {
      onEvent: (event) => this.#receive(event),
    });
    const abort = () => connection.cancel(this.#call.id);
    if (signal?.aborted) abort();
    signal?.addEventListener('abort', abort);
    this.done = this.#call.result.then(
      (done) => {
        signal?.removeEventListener('abort', abort);
        this.#state = 'done';
        this.#receive(done);
        return done;
      },
      (error: unknown) => {
        signal?.removeEventListener('abort', abort);
        this.#state = 'failed';
        this.#wake?.();
        throw error instanceof Error ? error : new Error(reasonOf(error));
      },
    );
    // Whoever iterates sees the error there.
    this.done.catch(() => {});
  }

  get state(): Training['state'] {
    return this.#state;
  }

  async pause(): Promise<void> {
    await this.#connection.call('pauseTraining', this.#call.id);
  }

  async resume(): Promise<void> {
    await this.#connection.call('continueTraining', this.#call.id);
    if (this.#state === 'paused') this.#state = 'running';
  }

  async step(count = 1): Promise<void> {
    await this.#connection.call('stepTraining', this.#call.id, count);
  }

  async abort(): Promise<void> {
    this.#connection.cancel(this.#call.id);
    await this.done;
  }

  checkpoint(): Promise<Uint8Array> {
    return this.#connection.call('checkpoint', this.#call.id);
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<TrainingEvent, void, void> {
    try {
      for (;;) {
        const event = this.#events.shift();
        if (event) yield event;
        if (event?.type === 'done') return;
        if (this.#events.length > 0) continue;
        if (this.#state === 'failed') await this.done;
        if (this.#state === 'done') return;
        await new Promise<void>((resolve) => (this.#wake = resolve));
      }
    } finally {
      if (this.#state === 'running' || this.#state === 'paused') await this.abort().catch(() => {});
    }
  }

  #receive(event: TrainingEvent): void {
    if (event.type === 'paused') this.#state = 'paused';
    const last = this.#events.length - 1;
    const crowded = last >= maxWaiting && event.type === 'progress';
    if (crowded && this.#events[last]?.type === 'progress') this.#events[last] = event;
    else this.#events.push(event);
    this.#wake?.();
  }
}
