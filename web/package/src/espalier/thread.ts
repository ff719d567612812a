// A thread of the engine: a worker that has loaded Emscripten's code, which takes it for one by its name.

import { DeferredFile } from './deferred.js';
import type { Factory } from './instance.js';

/** The first message to a thread; all others are Emscripten's. */
export interface ThreadStart {
  /** Where the second file of its binary is. */
  deferred: string | undefined;
}

export function serveThread(factory: Factory): void {
  const scope = globalThis as {
    name?: string;
    onmessage?: ((event: MessageEvent<ThreadStart>) => void) | null;
  };
  scope.onmessage = ({ data }) => {
    const deferred = data.deferred === undefined ? undefined : new DeferredFile(new URL(data.deferred));
    scope.name = 'em-pthread';
    void factory({ linkDeferred: (exports: WebAssembly.Exports) => deferred?.link(exports) });
  };
}
