import factory from '../../wasm/espalier-relaxed-threads.mjs';
import type { Binary } from './instance.js';

export const binary: Binary = {
  factory,
  file: 'espalier-relaxed-threads.wasm',
  url: new URL('../../wasm/espalier-relaxed-threads.wasm', import.meta.url),
  threads: {
    script: './relaxed-threads.thread.js',
    // The name tells Emscripten's code that it runs in a thread.
    start: () =>
      new Worker(new URL('./relaxed-threads.thread.js', import.meta.url), {
        type: 'module',
        name: 'em-pthread',
      }),
  },
};
