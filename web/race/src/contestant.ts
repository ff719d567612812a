// What every library in the race is to the race: start from given weights, train on given images, give the
// probabilities of the classes. How it does that is its own file's business.

import type { ModelSpec, TrainingConfig } from 'espalier';

/** Bytes as they come, [count][channels][height][width], and the numbers that the network computes with. */
export interface Images {
  count: number;
  pixels: Uint8Array;
  labels: Uint16Array;
}

export interface Parameter {
  shape: number[];
  data: Float32Array;
}

/** A network and its first weights, both made by Espalier, so that all begin with the same numbers. */
export interface Network {
  spec: ModelSpec;
  /** A `.safetensors` file. */
  file: Uint8Array;
  /** The same, by name: "conv1.weight" is [out][in][height][width], "fc.weight" [out][in]. */
  parameters: Record<string, Parameter>;
}

/** Gradient descent with momentum 0.9 and a constant rate, softmax cross-entropy, shuffled batches. */
export interface Setup {
  network: Network;
  images: Images;
  batch: number;
  learningRate: number;
  momentum: number;
  /** Of the shuffling; default 1. */
  seed?: number;
  /** Espalier's options in place of the rate and momentum above. */
  recipe?: TrainingConfig;
}

/** Images for inference. Libraries that take floats find them ready made: the conversion is not timed. */
export interface Input {
  count: number;
  pixels: Uint8Array;
  floats: Float32Array;
}

export interface Runner {
  /** So many steps, each with the next batch. Absent: the library cannot train. */
  train?(steps: number): Promise<void>;
  /** Probabilities [count][classes] with the present weights. */
  infer(input: Input): Promise<Float32Array>;
  dispose(): Promise<void>;
}

export interface LoadOptions {
  threads: number;
  /** Espalier: which compiled engine; by default its own choice. */
  kernels?: 'plain' | 'relaxed';
  /** Espalier: behind a worker of its own, as a page has it, or in the caller's thread. */
  worker?: boolean;
}

export interface Loaded {
  /** What it took where it had the choice, for people to read. */
  using?: string;
  start(setup: Setup): Promise<Runner>;
}

export interface Contestant {
  id: string;
  /** For people; `package` is its name in package.json, which pins the version. */
  name: string;
  package: string;
  version: string;
  /** One sentence: how it computes what all compute. */
  how: string;
  /** Nobody would wait for it: it gets few steps. */
  slow?: boolean;
  /** What it takes part in; a reason where it does not. */
  trains: true | string;
  infers: true | string;
}
