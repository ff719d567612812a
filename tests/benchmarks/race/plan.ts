// Who is measured, and for how long.

import type { LoadOptions } from '../../../web/race/src';

export interface BrowserEntry {
  id: string;
  label: string;
  contestant: string;
  options: LoadOptions;
}

export const reference = 'espalier-plain';
export const champion = 'espalier';

export const espalierEntries: BrowserEntry[] = [
  entry('espalier', 'Espalier', { kernels: 'relaxed', threads: 1 }),
  entry('espalier-plain', 'Espalier, plain SIMD', { kernels: 'plain', threads: 1 }),
  entry('espalier-2', 'Espalier, 2 threads', { kernels: 'relaxed', threads: 2 }),
  entry('espalier-plain-2', 'Espalier, plain SIMD, 2 threads', { kernels: 'plain', threads: 2 }),
];

function entry(id: string, label: string, options: LoadOptions): BrowserEntry {
  return { id, label, contestant: 'espalier', options };
}

/** Learning a little, so that what is timed stays ordinary: neither diverges nor becomes all zeros. */
export const training = { batch: 64, learningRate: 1e-3, momentum: 0.9 };
export const check = { images: 64, steps: 3, learningRate: 0.01 };

export interface Effort {
  windows: number;
  seconds: { training: number; inference: number; warmUp: number };
  /** Of those whom nobody would wait for. */
  slowWindows: number;
}

export const efforts = {
  full: { windows: 9, seconds: { training: 1, inference: 0.3, warmUp: 1.5 }, slowWindows: 3 },
  quick: { windows: 3, seconds: { training: 0.4, inference: 0.15, warmUp: 0.5 }, slowWindows: 1 },
} satisfies Record<string, Effort>;
