// Answers requests. One server has one instance; a trap inside it poisons the instance for good.

import { EspalierError, aborted, crashed, reasonOf, toErrorData } from '../error.js';
import type { Call, Reply, Request } from '../protocol.js';
import { transferables } from '../protocol.js';
import { earlyMethods } from './early.js';
import type { Binary } from './instance.js';
import { createMethods } from './methods.js';
import { Session } from './session.js';

export interface Server {
  receive(request: Request): void;
  close(): void;
}

type AnyMethod = (call: Call<unknown>, ...args: unknown[]) => unknown;

export function serve(binary: Binary, reply: (message: Reply, transfer: ArrayBuffer[]) => void): Server {
  const calls = new Map<number, AbortController>();
  const session = new Session(binary, crash);
  const methods = createMethods(session);

  function crash(reason: string): void {
    if (session.failure) return;
    session.fail(crashed(reason));
    for (const id of calls.keys()) answer({ kind: 'error', id, error: toErrorData(crashed(reason)) });
    stopAll();
    reply({ kind: 'crashed', reason }, []);
  }

  function stopAll(): void {
    for (const controller of calls.values()) controller.abort();
    calls.clear();
  }

  function answer(message: Exclude<Reply, { kind: 'crashed' }>): void {
    if (!calls.has(message.id)) return;
    reply(message, message.kind === 'value' ? transferables(message.value) : []);
  }

  async function run(request: Extract<Request, { kind: 'call' }>): Promise<void> {
    const { id, method, args } = request;
    const controller = new AbortController();
    calls.set(id, controller);
    const emit = (event: unknown) => answer({ kind: 'event', id, event });
    try {
      const incomplete = earlyMethods.has(method) ? undefined : session.complete();
      if (incomplete) await incomplete;
      const value = await (methods[method] as AnyMethod)({ id, signal: controller.signal, emit }, ...args);
      answer({ kind: 'value', id, value });
    } catch (error) {
      if (isTrap(error)) crash(reasonOf(error));
      else answer({ kind: 'error', id, error: toErrorData(asEspalierError(error, method)) });
    }
    calls.delete(id);
  }

  return {
    receive(request) {
      if (request.kind === 'call') void run(request);
      else calls.get(request.id)?.abort();
    },
    close() {
      stopAll();
      session.close(aborted('The engine'));
    },
  };
}

/** The server as the whole of a Web Worker. */
export function serveWorker(binary: Binary): void {
  const scope = globalThis as unknown as Worker;
  const server = serve(binary, (message, transfer) => scope.postMessage(message, transfer));
  scope.onmessage = ({ data }: MessageEvent<Request>) => server.receive(data);
}

/** The instance is in an unknown state after these: out of bounds, unreachable, stack overflow. */
function isTrap(error: unknown): boolean {
  return error instanceof WebAssembly.RuntimeError || error instanceof RangeError;
}

function asEspalierError(error: unknown, method: string): EspalierError {
  if (error instanceof EspalierError) return error;
  return new EspalierError('argument', method, reasonOf(error));
}
