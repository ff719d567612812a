import factory from '../../wasm/espalier-relaxed-threads.mjs';
import type { Binary } from './instance.js';

export const binary: Binary = {
  factory,
  file: {
    name: 'espalier-relaxed-threads.wasm',
    url: new URL('../../wasm/espalier-relaxed-threads.wasm', import.meta.url),
  },
  deferred: {
    name: 'espalier-relaxed-threads.deferred.wasm',
    url: new URL('../../wasm/espalier-relaxed-threads.deferred.wasm', import.meta.url),
  },
  threads: {
    script: './relaxed-threads.thread.js',
    start: () => new Worker(new URL('./relaxed-threads.thread.js', import.meta.url), { type: 'module' }),
  },
};
