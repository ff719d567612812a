import factory from '../../wasm/espalier-relaxed.mjs';
import type { Binary } from './instance.js';

export const binary: Binary = {
  factory,
  file: {
    name: 'espalier-relaxed.wasm',
    url: new URL('../../wasm/espalier-relaxed.wasm', import.meta.url),
  },
  deferred: {
    name: 'espalier-relaxed.deferred.wasm',
    url: new URL('../../wasm/espalier-relaxed.deferred.wasm', import.meta.url),
  },
};
