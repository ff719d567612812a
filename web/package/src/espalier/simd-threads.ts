import factory from '../../wasm/espalier-simd-threads.mjs';
import type { Binary } from './instance.js';

export const binary: Binary = {
  factory,
  file: {
    name: 'espalier-simd-threads.wasm',
    url: new URL('../../wasm/espalier-simd-threads.wasm', import.meta.url),
  },
  deferred: {
    name: 'espalier-simd-threads.deferred.wasm',
    url: new URL('../../wasm/espalier-simd-threads.deferred.wasm', import.meta.url),
  },
  threads: {
    script: './simd-threads.thread.js',
    start: () => new Worker(new URL('./simd-threads.thread.js', import.meta.url), { type: 'module' }),
  },
};
