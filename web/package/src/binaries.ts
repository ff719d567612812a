// The four compiled engines, in the order in which they are tried.

import type { Binary } from './espalier/instance.js';
import type { KernelName } from './types.js';

export interface Candidate {
  kernels: KernelName;
  threads: boolean;
  worker(): Worker;
  binary(): Promise<Binary>;
}

// Bundlers find workers by the literal `new Worker(new URL('…', import.meta.url))`. Vite's development
// server copies this file to another folder, where a path relative to it is wrong; but it also reads
// the path as a package's name and file (that is why package.json exports them). So the folder beside
// this file is named like the package, and 'espalier/…' is right both ways, in every bundler and in none.
const candidates: readonly Candidate[] = [
  {
    kernels: 'relaxed',
    threads: true,
    worker: () =>
      new Worker(new URL('espalier/relaxed-threads.worker.js', import.meta.url), { type: 'module' }),
    binary: async () => (await import('./espalier/relaxed-threads.js')).binary,
  },
  {
    kernels: 'plain',
    threads: true,
    worker: () => new Worker(new URL('espalier/simd-threads.worker.js', import.meta.url), { type: 'module' }),
    binary: async () => (await import('./espalier/simd-threads.js')).binary,
  },
  {
    kernels: 'relaxed',
    threads: false,
    worker: () => new Worker(new URL('espalier/relaxed.worker.js', import.meta.url), { type: 'module' }),
    binary: async () => (await import('./espalier/relaxed.js')).binary,
  },
  {
    kernels: 'plain',
    threads: false,
    worker: () => new Worker(new URL('espalier/simd.worker.js', import.meta.url), { type: 'module' }),
    binary: async () => (await import('./espalier/simd.js')).binary,
  },
];

export function candidatesFor(kernels: KernelName | 'auto', threads: boolean): Candidate[] {
  return candidates.filter(
    (candidate) => (kernels === 'auto' || candidate.kernels === kernels) && (threads || !candidate.threads),
  );
}
