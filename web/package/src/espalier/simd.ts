import factory from '../../wasm/espalier-simd.mjs';
import type { Binary } from './instance.js';

export const binary: Binary = {
  factory,
  file: 'espalier-simd.wasm',
  url: new URL('../../wasm/espalier-simd.wasm', import.meta.url),
};
