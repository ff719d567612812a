import factory from '../../wasm/espalier-simd-threads.mjs';
import type { Binary } from './instance.js';

export const binary: Binary = {
  factory,
  file: 'espalier-simd-threads.wasm',
  url: new URL('../../wasm/espalier-simd-threads.wasm', import.meta.url),
  threads: {
    script: './simd-threads.thread.js',
    // The name tells Emscripten's code that it runs in a thread.
    start: () =>
      new Worker(new URL('./simd-threads.thread.js', import.meta.url), {
        type: 'module',
        name: 'em-pthread',
      }),
  },
};
