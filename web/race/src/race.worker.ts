// One contestant in a worker of its own: calls in, answers out, in order.

import type { Request, Response } from './remote';
import { Racer } from './racer';

const racer = new Racer();

self.addEventListener('message', (event: MessageEvent<Request>) => {
  const { id, method, args } = event.data;
  const call = (racer[method] as (...args: unknown[]) => Promise<unknown>).bind(racer);
  call(...args).then(
    (result) => answer({ id, result }),
    (error: unknown) => answer({ id, error: error instanceof Error ? error.message : String(error) }),
  );
});

function answer(response: Response): void {
  self.postMessage(response);
}
