// What can be raced, and for how long; what it is called is in i18n.

export interface Task {
  id: 'training' | 'inference-64' | 'inference-1';
  kind: 'training' | 'inference';
  /** Images of a step, of a call. */
  batch: number;
}

export const tasks: readonly [Task, ...Task[]] = [
  {
    id: 'training',
    kind: 'training',
    batch: 64,
  },
  {
    id: 'inference-64',
    kind: 'inference',
    batch: 64,
  },
  {
    id: 'inference-1',
    kind: 'inference',
    batch: 1,
  },
];

export interface Track {
  preset: 'lenet5' | 'small';
}

export const tracks: readonly [Track, ...Track[]] = [{ preset: 'lenet5' }, { preset: 'small' }];

/** Turns of so many seconds. The slow get few, of a single step or call each. */
export const effort = { turns: 9, seconds: 0.4, warmUpSeconds: 0.6, slowTurns: 2 };

/** Learning a little, so that what is timed stays ordinary: it neither diverges nor becomes all zeros. */
export const training = { batch: 64, learningRate: 1e-3, momentum: 0.9 };

/** A batch of the same images for everybody: the losses with the first weights, and those after a step on it. */
export const check = {
  images: training.batch,
  learningRate: 0.01,
  losses: [
    { when: 'first', tolerance: 1e-4 },
    { when: 'stepped', tolerance: 1e-3 },
  ],
} as const;

/** For one call; nobody would wait longer. */
export const patienceSeconds = 60;
