// What all contestants are given: networks with their first weights, and images.

import { createEngine, type Engine, type ModelSpec } from 'espalier';
import type { Images, Network, Parameter } from './contestant';

/** MNIST's mean and deviation, for the built-in digits too: all that matters is that everybody takes the same. */
const normalisation = { mean: [0.1307], standard_deviation: [0.3081] };

export const networks = [
  { name: 'L5', preset: 'lenet5', what: 'LeNet-5 (Caffe), 431,080 parameters' },
  { name: 'S', preset: 'small', what: 'two 3x3 convolutions and a dense layer, 9,098 parameters' },
] as const;

export type NetworkName = (typeof networks)[number]['name'];

export interface Material {
  networks: Record<string, Network>;
  images: Images;
}

/** The presets by name, and so many built-in digits. */
export async function prepare(presets: readonly string[], count: number): Promise<Material> {
  const made: Record<string, Network> = {};
  for (const preset of presets) made[preset] = await makeNetwork(preset, 1);
  const engine = await createEngine({ threads: 1, kernels: 'plain' });
  try {
    const dataset = await engine.loadDataset({
      kind: 'synthetic',
      train: Math.ceil((count * 12) / 11) + 1,
      test: 10,
    });
    const indices = Array.from({ length: count }, (_, index) => index);
    const { pixels, labels } = await dataset.images('train', indices);
    return { networks: made, images: { count, pixels, labels } };
  } finally {
    await engine.dispose();
  }
}

/** A preset's name or a spec, with weights from the seed. */
export async function makeNetwork(model: string | ModelSpec, seed: number): Promise<Network> {
  const engine = await createEngine({ threads: 1, kernels: 'plain' });
  try {
    const spec =
      typeof model === 'string'
        ? (await engine.catalog()).presets.find(({ name }) => name === model)?.spec
        : model;
    if (!spec) throw new Error(`There is no preset "${model as string}".`);
    return await createNetwork(engine, spec, seed);
  } finally {
    await engine.dispose();
  }
}

async function createNetwork(engine: Engine, given: ModelSpec, seed: number): Promise<Network> {
  const model = await engine.createModel({ ...given, input: { ...given.input, ...normalisation } }, { seed });
  const { tensors } = await model.inspect();
  const parameters: Record<string, Parameter> = {};
  for (const { name } of tensors) parameters[name] = await model.tensor(name);
  return { spec: model.spec, file: await model.save(), parameters };
}

export function firstImages({ count, pixels, labels }: Images, wanted: number): Images {
  const size = pixels.length / count;
  return { count: wanted, pixels: pixels.slice(0, wanted * size), labels: labels.slice(0, wanted) };
}
