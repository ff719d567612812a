// The caller's end: numbers its calls, hands out replies, and fails everything when the engine dies.

import { EspalierError, aborted, crashed, reasonOf, toError } from './error.js';
import type { Arguments, EventOf, MethodName, Reply, Request, Result } from './protocol.js';

/** Something that answers requests: a worker, or the engine in this thread. */
export interface Host {
  send(request: Request): void;
  close(): void;
}
/** Starts a host; it may reply later only, never from within. */
export type StartHost = (receive: (reply: Reply) => void) => Host | Promise<Host>;

interface Pending {
  resolve(value: unknown): void;
  reject(error: EspalierError): void;
  onEvent?: (event: never) => void;
}
export interface CallOptions<M extends MethodName> {
  signal?: AbortSignal | undefined;
  onEvent?: ((event: EventOf<M>) => void) | undefined;
}
/** A call under way; `id` names it to methods that steer other calls. */
export interface StartedCall<M extends MethodName> {
  id: number;
  result: Promise<Result<M>>;
}

export class Connection {
  #host: Host | undefined;
  #pending = new Map<number, Pending>();
  #nextId = 1;
  #failure: EspalierError | undefined;

  static async open(start: StartHost): Promise<Connection> {
    const connection = new Connection();
    connection.#host = await start((reply) => connection.#receive(reply));
    return connection;
  }

  call<M extends MethodName>(method: M, ...args: Arguments<M>): Promise<Result<M>> {
    return this.start(method, args).result;
  }

  start<M extends MethodName>(method: M, args: Arguments<M>, options: CallOptions<M> = {}): StartedCall<M> {
    const { signal, onEvent } = options;
    const id = this.#nextId++;
    const cancel = () => this.#host?.send({ kind: 'cancel', id });
    const result = new Promise((resolve, reject: (error: EspalierError) => void) => {
      if (this.#failure) return reject(this.#failure);
      if (signal?.aborted) return reject(aborted(method));
      this.#pending.set(id, { resolve, reject, ...(onEvent && { onEvent }) });
      try {
        this.#host?.send({ kind: 'call', id, method, args });
      } catch (error) {
        // postMessage refuses what cannot be cloned.
        this.#pending.delete(id);
        return reject(new EspalierError('argument', method, reasonOf(error)));
      }
      signal?.addEventListener('abort', cancel);
    }).finally(() => signal?.removeEventListener('abort', cancel));
    return { id, result: result as Promise<Result<M>> };
  }

  cancel(id: number): void {
    if (this.#pending.has(id)) this.#host?.send({ kind: 'cancel', id });
  }

  /** Nothing is answered any more; calls under way and later ones reject with `failure`. */
  close(failure: EspalierError): void {
    this.#failure ??= failure;
    this.#host?.close();
    this.#host = undefined;
    for (const pending of this.#pending.values()) pending.reject(this.#failure);
    this.#pending.clear();
  }

  #receive(reply: Reply): void {
    if (reply.kind === 'crashed') return this.close(crashed(reply.reason));
    const pending = this.#pending.get(reply.id);
    if (!pending) return;
    switch (reply.kind) {
      case 'event':
        return pending.onEvent?.(reply.event as never);
      case 'value':
        this.#pending.delete(reply.id);
        return pending.resolve(reply.value);
      case 'error':
        this.#pending.delete(reply.id);
        return pending.reject(toError(reply.error));
    }
  }
}
