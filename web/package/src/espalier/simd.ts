import factory from '../../wasm/espalier-simd.mjs';
import type { Binary } from './instance.js';

export const binary: Binary = {
  factory,
  file: {
    name: 'espalier-simd.wasm',
    url: new URL('../../wasm/espalier-simd.wasm', import.meta.url),
  },
  deferred: {
    name: 'espalier-simd.deferred.wasm',
    url: new URL('../../wasm/espalier-simd.deferred.wasm', import.meta.url),
  },
};
