// Everybody in the race, for whoever lists them; `loaders.ts` fetches their libraries.

import type { Contestant } from '../contestant';
import { dependencies } from '../../package.json';

const rows: Omit<Contestant, 'version'>[] = [
  {
    id: 'espalier',
    name: 'Espalier',
    package: 'espalier',
    how: 'Its public package.',
    trains: true,
    infers: true,
  },
  {
    id: 'onnxruntime-web-training',
    name: 'onnxruntime-web 1.19',
    package: 'onnxruntime-web-training',
    how: 'The last release with gradient kernels, driven by a hand-made graph of the whole step; momentum in JavaScript.',
    trains: true,
    infers: true,
  },
  {
    id: 'onnxruntime-web',
    name: 'onnxruntime-web 1.30',
    package: 'onnxruntime-web',
    how: 'A float model on the wasm backend.',
    trains: 'its releases since 1.20 have no gradient kernels',
    infers: true,
  },
  {
    id: 'tensorflow-wasm',
    name: 'TensorFlow.js, wasm',
    package: '@tensorflow/tfjs-backend-wasm',
    how: 'Core operations on the wasm backend with SIMD, variables and its own momentum optimizer.',
    trains: true,
    infers: true,
  },
  {
    id: 'tensorflow-cpu',
    name: 'TensorFlow.js, cpu',
    package: '@tensorflow/tfjs-backend-cpu',
    how: 'The same on the backend in JavaScript.',
    slow: true,
    trains: true,
    infers: true,
  },
  {
    id: 'convnetjs',
    name: 'ConvNetJS',
    package: 'convnetjs',
    how: 'Its layers and its trainer, an image at a time, as it works.',
    slow: true,
    trains: true,
    infers: true,
  },
  {
    id: 'jax-js',
    name: 'jax-js',
    package: '@jax-js/jax',
    how: 'One jit-compiled function for the step and one for inference, on its wasm backend.',
    slow: true,
    trains: true,
    infers: true,
  },
];

const versions = dependencies as Record<string, string>;

export const contestants: readonly Contestant[] = rows.map((row) => ({
  ...row,
  version: (versions[row.package] ?? '').replace(/^.*@/, ''),
}));
