// The libraries by a contestant's id. Each is fetched only when it is called for, in the worker that will run it.

/// <reference types="vite/client" />
// eslint-disable-next-line @typescript-eslint/triple-slash-reference -- whoever imports this needs these types
/// <reference path="../peers.d.ts" />

import type { Loaded, LoadOptions } from '../contestant';

export type Load = (options: LoadOptions) => Promise<Loaded>;

export const loaders: Record<string, () => Promise<Load>> = {
  espalier: async () => (await import('./espalier')).load,
  'onnxruntime-web-training': async () => (await import('./onnxruntime-web-training')).load,
  'onnxruntime-web': async () => (await import('./onnxruntime-web')).load,
  'tensorflow-wasm': async () => (await import('./tensorflow')).loadWasm,
  'tensorflow-cpu': async () => (await import('./tensorflow')).loadCpu,
  convnetjs: async () => (await import('./convnetjs')).load,
  'jax-js': async () => (await import('./jax-js')).load,
};
