// Where an engine can run: in a Web Worker, or in this thread.

import type { Candidate } from './binaries.js';
import type { StartHost } from './connection.js';
import { EspalierError } from './error.js';
import type { Reply } from './protocol.js';

export function workerHost(candidate: Candidate): StartHost {
  return (receive) => {
    if (typeof Worker === 'undefined') {
      throw new EspalierError('unsupported', 'worker', 'there are no Web Workers here; leave the option out');
    }
    const worker = candidate.worker();
    worker.onmessage = ({ data }: MessageEvent<Reply>) => receive(data);
    worker.onmessageerror = () => receive({ kind: 'crashed', reason: 'a reply could not be read' });
    worker.onerror = (event) => {
      event.preventDefault();
      receive({ kind: 'crashed', reason: event.message || 'its worker could not be loaded' });
    };
    return { send: (request) => worker.postMessage(request), close: () => worker.terminate() };
  };
}

/** The same server without a worker: it works in short slices, so calls are answered in between. */
export function localHost(candidate: Candidate): StartHost {
  return async (receive) => {
    const [{ serve }, binary] = await Promise.all([import('./espalier/server.js'), candidate.binary()]);
    const server = serve(binary, (reply) => queueMicrotask(() => receive(reply)));
    return {
      send: (request) => queueMicrotask(() => server.receive(request)),
      close: () => server.close(),
    };
  };
}
