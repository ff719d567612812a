// What a run of the benchmark leaves behind: the JSON file that table, chart and README are made from.

export interface Machine {
  cpu: string;
  cores: number;
  browser: string;
  system: string;
}

/** How somebody is measured: a library, its binary and its threads. */
export interface Entry {
  id: string;
  label: string;
  version: string;
  how: string;
  where: 'browser' | 'native';
  threads: number;
}

export type Task = 'training' | 'inference 1' | 'inference 64';

/** Images a second (training) or milliseconds a call (inference), a number for each window. */
export interface Measurement {
  network: string;
  task: Task | 'inference 1 from the page';
  entry: string;
  samples: number[];
}

/** Nobody is timed who computes something else. */
export interface Check {
  network: string;
  entry: string;
  /** Mean cross-entropy of the same 64 digits with the same weights, then after some steps. */
  before?: number;
  after?: number;
  /** The largest difference of a probability from the reference. */
  difference?: number;
  /** Why it is not measured: all of it, or its training alone. */
  failure?: string;
  trainingFailure?: string;
}

/** From a page with the data in hand until the test images are told apart so well. */
export interface Accuracy {
  entry: string;
  /** How it trains. */
  recipe: string;
  target: number;
  runs: {
    seed: number;
    /** Loading, starting and training, without evaluations; of all of it, when the target was not reached. */
    seconds: number;
    images: number;
    accuracy: number;
  }[];
}

export interface Results {
  date: string;
  commit: string;
  quick: boolean;
  machine: Machine;
  batch: number;
  windows: number;
  networks: { name: string; preset: string; what: string }[];
  entries: Entry[];
  checks: Check[];
  measurements: Measurement[];
  accuracy?: Accuracy[];
}

export interface Summary {
  median: number;
  low: number;
  high: number;
}

export function summarize(samples: readonly number[]): Summary {
  const sorted = [...samples].sort((a, b) => a - b);
  const middle = (sorted.length - 1) / 2;
  const at = (index: number) => sorted[index] ?? NaN;
  return {
    median: (at(Math.floor(middle)) + at(Math.ceil(middle))) / 2,
    low: at(0),
    high: at(sorted.length - 1),
  };
}

export function find(results: Results, network: string, task: Measurement['task'], entry: string) {
  const found = results.measurements.find(
    (row) => row.network === network && row.task === task && row.entry === entry,
  );
  return found && found.samples.length > 0 ? summarize(found.samples) : undefined;
}
