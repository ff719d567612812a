// How the panel runs passes and compressed models: the only place that knows what the package calls it.

import type { Compression, Dataset, Evaluation, Model, SplitName } from 'espalier';
import type { PassStep } from './stack';

export interface Packed {
  predict(pixels: Uint8Array, count: number): Promise<Float32Array>;
  evaluate(dataset: Dataset, split: SplitName, options: { signal: AbortSignal }): Promise<Evaluation>;
  dispose(): Promise<void>;
}

export async function pack(model: Model): Promise<Packed> {
  return {
    predict: (pixels, count) => model.predict(pixels, count),
    evaluate: (dataset, split, options) => model.evaluate(dataset, split, options),
    dispose: () => Promise.resolve(),
  };
}

/** The file that "Download" gives. */
export async function fileOf(model: Model): Promise<Uint8Array> {
  return model.save();
}

export async function runPass(
  model: Model,
  dataset: Dataset,
  { pass, training, ...options }: PassStep,
  signal: AbortSignal | undefined,
): Promise<Compression> {
  const run = { ...(signal && { signal }), training: training as object, measure: false };
  switch (pass) {
    case 'quantize':
      return model.quantize(dataset, { ...options, control: false }, run);
    case 'prune':
      return model.prune(dataset, { ...options, control: false }, run);
    case 'factorize':
      return model.factorize(dataset, { ...options, control: false }, run);
    case 'transfer':
      return model.transfer(dataset, { ...options, control: false }, run);
    case 'finetune':
      return model.finetune(dataset, { ...options, control: false }, run);
    default:
      throw new Error(`There is no pass “${pass}”.`);
  }
}
