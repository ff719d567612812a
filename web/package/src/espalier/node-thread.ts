// A thread of the engine in Node: gives this thread's own global scope what a Web Worker's has, then loads
// what a Web Worker would.

const { parentPort: port, ...thread } = process.getBuiltinModule('node:worker_threads');
if (!port) throw new Error('node-thread.js only runs in a thread');

const scope = globalThis as unknown as { onmessage?: (event: { data: unknown }) => void };
Object.assign(scope, {
  self: globalThis,
  location: new URL(import.meta.url),
  importScripts: () => {},
  WorkerGlobalScope: class {},
  postMessage: (message: unknown) => port.postMessage(message),
});
await import(String(thread.workerData));
port.on('message', (data: unknown) => scope.onmessage?.({ data }));
