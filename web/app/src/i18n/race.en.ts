// The race's texts in English: apart, because they name libraries of which the playground loads nothing.

import { pluralOf } from './plural';

const plural = pluralOf('en');

export const en = {
  title: 'Race',
  pageTitle: 'Race · Espalier',
  playground: 'Playground',
  lead: 'Libraries that train or run a convolutional network in a browser, one after the other on this machine: the same network, the same weights, the same images.',
  speeds: 'Images a second',
  speedsNote: 'Median of the turns so far; the thin line is their range.',
  copy: 'Copy as JSON',
  copied: 'Copied.',
  notCopied: 'The browser did not allow it.',
  controls: 'The race',
  network: 'Network',
  what: 'What to race',
  start: 'Start the race',
  stop: 'Stop',
  progress: 'Progress of the race',
  ready: 'Ready. The libraries are fetched when the race starts.',
  checking: 'Checking that all compute the same.',
  racing: 'Racing.',
  done: 'Done.',
  stopped: 'Stopped.',
  left: (time: string) => `about ${time} left`,
  preparing: 'Preparing the network and the images',
  checkingOne: (index: number, count: number, name: string) => `Checking ${index} of ${count}: ${name}`,
  turn: (index: number, count: number, name: string) => `Turn ${index} of ${count}: ${name}`,
  nobody: 'Nobody could start, so there is no race.',
  otherLoss: (when: 'first' | 'stepped', is: string, expected: string) =>
    `Its loss ${when === 'first' ? 'with the same weights' : 'after one step'} is ${is}, not ${expected}, so it is not timed.`,
  late: (seconds: number) =>
    `It took longer than ${seconds} ${plural(seconds, { one: 'second', other: 'seconds' })}.`,
  leftOut: 'It was left out.',
  notIsolated: 'Several threads need a page that its server isolates, and this one is not.',
  oneCore: 'This machine has one core.',
  withThreads: (name: string, threads: number) => `${name}, ${threads} threads`,
  here: (using: string) => `Here: ${using}.`,
  laneStarting: 'starting and checking …',
  laneRunning: 'running …',
  laneWaiting: 'waits for its check',
  laneReady: 'ready',
  sameLoss: (first: string) => `✓ same loss ${first}`,
  sameLosses: (first: string, stepped: string) => `✓ same loss ${first}, ${stepped} after a step`,
  contestant: 'Contestant',
  median: 'Median',
  range: 'Range',
  turns: 'Turns',
  comparison: 'Comparison',
  caption: (network: string, task: string) => `${network}: ${task}, images a second`,
  fromTo: (low: string, high: string) => `${low} to ${high}`,
  notMeasured: 'Not measured yet.',
  oneThread: (times: string) => `${times} one thread`,
  asFast: (times: string) => `Espalier ${times} as fast`,
  theFastest: (times: string) => `${times} the fastest peer`,
  wins: (kind: 'training' | 'inference', network: string, times: string, peer: string) =>
    `Here Espalier ${kind === 'training' ? 'trains' : 'runs'} ${network} ${times} as fast as the fastest peer, ${peer}, each on one thread.`,
  loses: (kind: 'training' | 'inference', network: string, times: string, peer: string) =>
    `Here ${peer} ${kind === 'training' ? 'trains' : 'runs'} ${network} ${times} as fast as Espalier, each on one thread.`,
  tasks: {
    training: {
      name: 'Training, batches of 64',
      summary: 'Whole steps: forward, backward, update with momentum.',
    },
    'inference-64': {
      name: 'Inference, 64 images at once',
      summary: 'Probabilities of 64 images in one call.',
    },
    'inference-1': {
      name: 'Inference, one image at a time',
      summary: 'Probabilities of one image, call after call.',
    },
  },
  tracks: {
    lenet5: { name: 'LeNet-5', summary: 'LeNet-5 (Caffe), 431,080 parameters' },
    small: { name: 'small', summary: 'Two 3x3 convolutions and a dense layer, 9,098 parameters' },
  },
  /** What the package of the race says of its contestants, by their ids; what is missing is told in its English. */
  how: {} as Record<string, string>,
  cannotTrain: {} as Record<string, string>,
  compared: 'What is compared',
  notes: {
    same: (batch: number, momentum: number) =>
      `All begin with the same weights and see the same built-in digits. Training is whole steps on batches of ${batch}, shuffled anew each epoch, with softmax cross-entropy and momentum ${momentum}.`,
    checked: (images: number) =>
      `Nobody is timed before its loss on ${images} images is the same as the others’, and where it trains, also after one step.`,
    turns: (seconds: number, turns: number, slow: number) =>
      `They take turns of ${seconds} seconds, ${turns} each, and never compute at the same time. The slow ones get ${slow} turns of one step.`,
    driven:
      'Each is driven as well as we know how, at the version beside its name, on the processor and on one thread, unless its name says otherwise. Converting images for inference is not timed; nor are downloads and compilation.',
    threads:
      'Two Espaliers run where the page may use threads. It takes relaxed SIMD where this browser computes it correctly, plain SIMD elsewhere.',
    disturbed: 'Other tabs and programs disturb the race, and so does a laptop that saves power.',
  },
};

export type RaceMessages = typeof en;
