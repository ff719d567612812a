// The ranges that the engine takes of features, by each of its methods.

import type { Dataset, Model } from 'espalier';
import { runPass } from '../compress/runtime';
import type { PassStep } from '../compress/stack';
import type { Range } from './feature-histogram';

/** By the method's name, by the layer whose features are quantized ("input": the images). */
export type Ranges = ReadonlyMap<string, ReadonlyMap<string, Range>>;

/** All of them measured. */
export function withoutRanges(step: PassStep): PassStep {
  const { ranges, ...others } = step;
  return ranges === undefined ? step : { ...others, pass: step.pass };
}

export async function measureRanges(
  model: Model,
  dataset: Dataset,
  step: PassStep,
  methods: readonly string[],
  signal: AbortSignal,
): Promise<Ranges> {
  const ranges = new Map<string, ReadonlyMap<string, Range>>();
  for (const calibrate of methods) {
    const compressed = await quantized(model, dataset, { ...step, calibrate }, signal);
    ranges.set(calibrate, await rangesOf(compressed));
    void compressed.dispose().catch(() => {});
  }
  return ranges;
}

export async function quantized(
  model: Model,
  dataset: Dataset,
  step: PassStep,
  signal: AbortSignal,
): Promise<Model> {
  return (await runPass(model, dataset, step, signal).done).model;
}

/** Of its features, from the grids that they are put on. */
async function rangesOf(model: Model): Promise<ReadonlyMap<string, Range>> {
  const ranges = new Map<string, Range>();
  const { spec, layers } = await model.inspect();
  for (const { name, type, inputs } of layers) {
    if (type !== 'fake_quantize') continue;
    const bits = Number(spec.layers.find((layer) => layer.name === name)?.bits ?? 8);
    const scale = (await model.tensor(`${name}.scale`)).data[0] ?? 1;
    const zero = (await model.tensor(`${name}.zero_point`)).data[0] ?? 0;
    ranges.set(inputs[0] ?? '', { low: -zero * scale, high: (2 ** bits - 1 - zero) * scale });
  }
  return ranges;
}
