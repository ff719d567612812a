// The caller's side of long work: its events in order, and the calls that steer it.

import type { Connection } from './connection.js';
import { EspalierError, reasonOf } from './error.js';
import type { PausedEvent } from './espalier/loop.js';
import type { Arguments } from './protocol.js';
import type { Compression, Training, TrainingDone, TrainingEvent } from './types.js';

/** Events that nobody has taken yet; beyond these, progress replaces progress. */
const maxWaiting = 256;

interface Started<Result> {
  id: number;
  result: Promise<Result>;
}

abstract class Running<Event extends { type: string }, Result> {
  readonly done: Promise<Result>;
  protected readonly connection: Connection;
  protected readonly id: number;
  readonly #events: Event[] = [];
  #state: Training['state'] = 'running';
  #wake: (() => void) | undefined;

  constructor(
    connection: Connection,
    start: (receive: (event: Event | PausedEvent) => void) => Started<Result>,
    signal: AbortSignal | undefined,
  ) {
    this.connection = connection;
    const { id, result } = start((event) => this.#receive(event));
    this.id = id;
    // What an abort means is for the engine to say, so the signal does not become the call's own.
    const abort = () => connection.cancel(id);
    if (signal?.aborted) abort();
    signal?.addEventListener('abort', abort);
    this.done = result.then(
      (value) => {
        signal?.removeEventListener('abort', abort);
        this.#state = 'done';
        this.#wake?.();
        return value;
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
    await this.connection.call('pause', this.id);
  }

  async resume(): Promise<void> {
    await this.connection.call('continue', this.id);
    if (this.#state === 'paused') this.#state = 'running';
  }

  async abort(): Promise<void> {
    this.connection.cancel(this.id);
    await this.done.catch((error: unknown) => {
      if (!(error instanceof EspalierError && error.code === 'aborted')) throw error;
    });
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Event, void, void> {
    try {
      for (;;) {
        const event = this.#events.shift();
        if (event) yield event;
        if (this.#events.length > 0) continue;
        if (this.#state === 'failed') await this.done;
        if (this.#state === 'done') return;
        await new Promise<void>((resolve) => (this.#wake = resolve));
      }
    } finally {
      if (this.#state === 'running' || this.#state === 'paused') await this.abort().catch(() => {});
    }
  }

  /** Whether it is an event for those who listen. */
  protected abstract shows(event: Event | PausedEvent): event is Event;

  #receive(event: Event | PausedEvent): void {
    if (event.type === 'paused' || event.type === 'done') this.#state = event.type;
    if (!this.shows(event)) return;
    const last = this.#events.length - 1;
    const crowded = last >= maxWaiting && event.type === 'progress';
    if (crowded && this.#events[last]?.type === 'progress') this.#events[last] = event;
    else this.#events.push(event);
    this.#wake?.();
  }
}

export class RunningTraining extends Running<TrainingEvent, TrainingDone> implements Training {
  constructor(
    connection: Connection,
    method: 'train' | 'resumeTraining',
    args: Arguments<'train' | 'resumeTraining'>,
    signal?: AbortSignal,
  ) {
    const start = (onEvent: (event: TrainingEvent) => void) => {
      const { id, result } = connection.start(method, args, { onEvent });
      // The last event.
      const done = result.then((event) => (onEvent(event), event));
      return { id, result: done };
    };
    super(connection, start, signal);
  }

  async step(count = 1): Promise<void> {
    await this.connection.call('step', this.id, count);
  }

  checkpoint(): Promise<Uint8Array> {
    return this.connection.call('checkpoint', this.id);
  }

  protected override shows(_event: TrainingEvent): _event is TrainingEvent {
    return true;
  }
}

/** A pass, a pipeline or a sweep. */
export class RunningCompression<Event extends { type: string }, Done>
  extends Running<Event, Done>
  implements Compression<Event, Done>
{
  protected override shows(event: Event | PausedEvent): event is Event {
    return event.type !== 'paused';
  }
}
