// What can be raced, and for how long.

export interface Task {
  id: string;
  name: string;
  summary: string;
  kind: 'training' | 'inference';
  /** Images of a step, of a call. */
  batch: number;
}

export const tasks: readonly [Task, ...Task[]] = [
  {
    id: 'training',
    name: 'Training, batches of 64',
    summary: 'Whole steps: forward, backward, update with momentum.',
    kind: 'training',
    batch: 64,
  },
  {
    id: 'inference-64',
    name: 'Inference, 64 images at once',
    summary: 'Probabilities of 64 images in one call.',
    kind: 'inference',
    batch: 64,
  },
  {
    id: 'inference-1',
    name: 'Inference, one image at a time',
    summary: 'Probabilities of one image, call after call.',
    kind: 'inference',
    batch: 1,
  },
];

export interface Track {
  preset: string;
  name: string;
  summary: string;
}

export const tracks: readonly [Track, ...Track[]] = [
  { preset: 'lenet5', name: 'LeNet-5', summary: 'LeNet-5 (Caffe), 431,080 parameters' },
  { preset: 'small', name: 'small', summary: 'Two 3x3 convolutions and a dense layer, 9,098 parameters' },
];

/** Turns of so many seconds. The slow get few, of a single step or call each. */
export const effort = { turns: 9, seconds: 0.4, warmUpSeconds: 0.6, slowTurns: 2 };

/** Learning a little, so that what is timed stays ordinary: it neither diverges nor becomes all zeros. */
export const training = { batch: 64, learningRate: 1e-3, momentum: 0.9 };

/** A batch of the same images for everybody: the losses with the first weights, and those after a step on it. */
export const check = {
  images: training.batch,
  learningRate: 0.01,
  losses: [
    { when: 'with the same weights', tolerance: 1e-4 },
    { when: 'after one step', tolerance: 1e-3 },
  ],
};

/** For one call; nobody would wait longer. */
export const patienceSeconds = 60;
