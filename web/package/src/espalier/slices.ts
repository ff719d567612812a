/** How long C++ works before other calls get their turn. */
export const sliceMilliseconds = 25;

let channel: MessageChannel | undefined;

/** Lets everything that waits have its turn. Unlike timers, these are not slowed down. */
export function breathe(): Promise<void> {
  if (typeof setImmediate === 'function') return new Promise((resolve) => setImmediate(resolve));
  channel ??= new MessageChannel();
  const { port1, port2 } = channel;
  return new Promise((resolve) => {
    port1.addEventListener('message', () => resolve(), { once: true });
    port1.start();
    port2.postMessage(null);
  });
}
