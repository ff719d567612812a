// How the panel runs passes: the only place that knows which call of the package a step is.

import type { Compression, Dataset, Model } from 'espalier';
import type { PassStep } from './stack';

export function runPass(
  model: Model,
  dataset: Dataset,
  { pass, training, ...options }: PassStep,
  signal: AbortSignal | undefined,
): Compression {
  const run = { measure: false, ...(training && { training }), ...(signal && { signal }) };
  const untaught = { ...options, control: false };
  switch (pass) {
    case 'quantize':
      return model.quantize(dataset, untaught, run);
    case 'prune':
      return model.prune(dataset, untaught, run);
    case 'factorize':
      return model.factorize(dataset, untaught, run);
    case 'transfer':
      return model.transfer(dataset, untaught, run);
    case 'finetune':
      return model.finetune(dataset, untaught, run);
    case 'fold':
      return model.fold(dataset, run);
    case 'slim':
      return model.slim(dataset, run);
    case 'round':
      return model.round(dataset, options, run);
  }
}
