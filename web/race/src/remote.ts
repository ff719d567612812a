// The page's side of a contestant in its worker.

import type { LoadOptions, Setup } from './contestant';
import type { Material } from './material';
import type { Racer } from './racer';

export interface Request {
  id: number;
  method: keyof Racer;
  args: unknown[];
}
export interface Response {
  id: number;
  result?: unknown;
  error?: string;
}

interface Waiting {
  resolve: (result: never) => void;
  reject: (error: Error) => void;
}

export class Remote {
  readonly #worker: Worker;
  readonly #waiting = new Map<number, Waiting>();
  #last = 0;
  #using: string | undefined;
  /** Why it answers no more. */
  #end: string | undefined;

  /** A worker with nothing in it. The signal closes it, now or later. */
  constructor(signal?: AbortSignal) {
    signal?.throwIfAborted();
    const worker = new Worker(new URL('./race.worker.ts', import.meta.url), { type: 'module' });
    this.#worker = worker;
    signal?.addEventListener('abort', () => this.close(), { once: true });
    worker.addEventListener('message', (event: MessageEvent<Response>) => {
      const { id, result, error } = event.data;
      const waiting = this.#waiting.get(id);
      this.#waiting.delete(id);
      if (error === undefined) waiting?.resolve(result as never);
      else waiting?.reject(new Error(error));
    });
    worker.addEventListener('error', ({ message }) =>
      this.#fail(message || 'The worker could not be started.'),
    );
  }

  /** Fetches the library and builds its network; closes itself if that fails. */
  async load(id: string, options: LoadOptions, setup: Setup): Promise<this> {
    try {
      this.#using = await this.call('load', id, options, setup);
    } catch (error) {
      this.close();
      throw error;
    }
    return this;
  }

  /** What `prepare` gives, made in a worker, so that a page need not load Espalier itself. */
  static async prepare(presets: readonly string[], count: number, signal?: AbortSignal): Promise<Material> {
    const remote = new Remote(signal);
    try {
      return await remote.call('prepare', presets, count);
    } finally {
      remote.close();
    }
  }

  /** What the library took where it had the choice. */
  get using(): string | undefined {
    return this.#using;
  }

  call<M extends keyof Racer>(method: M, ...args: Parameters<Racer[M]>): ReturnType<Racer[M]> {
    if (this.#end !== undefined) return Promise.reject(new Error(this.#end)) as ReturnType<Racer[M]>;
    const id = ++this.#last;
    this.#worker.postMessage({ id, method, args } satisfies Request);
    return new Promise((resolve, reject) => this.#waiting.set(id, { resolve, reject })) as ReturnType<
      Racer[M]
    >;
  }

  /** Ends it at once, whatever it does. */
  close(): void {
    this.#worker.terminate();
    this.#fail('The contestant was closed.');
  }

  #fail(message: string): void {
    this.#end ??= message;
    for (const { reject } of this.#waiting.values()) reject(new Error(message));
    this.#waiting.clear();
  }
}
