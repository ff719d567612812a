/* global LibraryManager, Module, PThread */

// Threads are started by the package (web/package/src/espalier/instance.ts), not by Emscripten's code:
// bundlers find a worker only where `new Worker` has literal arguments, and Node has no `Worker` at all.
LibraryManager.library.$PThread.allocateUnusedWorker = () => {
  PThread.unusedWorkers.push(Module['startThread']());
};
