// The four ways to learn the target task, in the order of the legend. To add one, add a row, and its name to `t.lab.ways`.

import type { TransferOptions } from 'espalier';

export type SourceTerm = 'rehearsal' | 'l2sp';
export type WayName = 'scratch' | 'parameters' | 'frozen' | 'term';

/** What the options depend on. */
export interface Circumstances {
  /** Layers that read the image. */
  frozenLayers: string[];
  term: SourceTerm;
  /** The target's classes are others than the source's. */
  newHead: boolean;
}

interface Way {
  options: (circumstances: Circumstances) => TransferOptions;
  /** Of training on an image, beside that of fine-tuning. */
  cost: number;
}

/** L(θ; target) + λ · L(θ; source). Tried: with λ = 1, or a tenth of the images, mostly less of the source was kept. */
const rehearsal = { lambda: 0.5 };
/** The pull towards the source's weights. */
const l2sp = { l2sp: 0.1 };

export const ways: Record<WayName, Way> = {
  scratch: { options: () => ({ mode: 'structure' }), cost: 1 },
  parameters: { options: ({ newHead }) => ({ mode: 'parameters', new_head: newHead }), cost: 1 },
  frozen: {
    options: ({ newHead, frozenLayers }) => ({
      mode: 'parameters',
      new_head: newHead,
      freeze: frozenLayers,
    }),
    cost: 0.7,
  },
  term: {
    options: ({ newHead, term }) => ({
      mode: 'parameters',
      new_head: newHead,
      ...(term === 'rehearsal' ? rehearsal : l2sp),
    }),
    cost: 2,
  },
};

export const wayNames = Object.keys(ways) as WayName[];
