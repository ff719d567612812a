// Espalier through its public package.

import { createEngine, type Dataset, type Engine, type Training } from 'espalier';
import type { Images, Input, Loaded, LoadOptions, Runner, Setup } from '../contestant';

export async function load({ threads, kernels, worker = false }: LoadOptions): Promise<Loaded> {
  const engine = await createEngine({ threads, kernels: kernels ?? 'auto', worker });
  const { info } = engine;
  const using = `${info.kernels} SIMD, ${info.threads} thread${info.threads === 1 ? '' : 's'}`;
  return { using, start: (setup) => start(engine, setup) };
}

async function start(engine: Engine, setup: Setup): Promise<Runner> {
  const { network, images, batch, learningRate, momentum, seed = 1 } = setup;
  const recipe = setup.recipe ?? {
    epochs: 1_000_000,
    batch_size: batch,
    learning_rate: learningRate,
    optimizer: 'momentum',
    momentum,
    schedule: 'constant',
  };
  const dataset = await exactly(engine, images);
  const model = await engine.loadModel(network.file);
  let training: Training | undefined;
  return {
    async train(steps) {
      training ??= await paused(model.train(dataset, { ...recipe, seed, validate: false }));
      await training.step(steps);
      if (training.state === 'failed') await training.done;
    },
    infer: ({ pixels, count }: Input) => model.predict(pixels, count),
    async dispose() {
      await training?.abort();
      await engine.dispose();
    },
  };
}

/** Before its first step. */
async function paused(training: Training): Promise<Training> {
  await training.pause();
  for await (const event of iterateWithoutAbort(training)) {
    if (event.type === 'paused' && event.step === 0) return training;
    break;
  }
  throw new Error('The training had begun before it was paused.');
}

/** Leaving a loop over a training ends it; this loop leaves it alone. */
async function* iterateWithoutAbort(training: Training) {
  const iterator = training[Symbol.asyncIterator]();
  for (let next = await iterator.next(); !next.done; next = await iterator.next()) yield next.value;
}

/**
 * All the images for training. The engine puts a twelfth, at most 5,000, aside for validation: so it is given that
 * many more behind them, which nothing looks at, and as few test images as there may be.
 */
function exactly(engine: Engine, { pixels, labels, count }: Images): Promise<Dataset> {
  const size = pixels.length / count;
  const side = Math.sqrt(size);
  const aside = Math.min(Math.floor(count / 11), 5000);
  const file = (name: string, header: number[], ...parts: Uint8Array[]) => ({
    name,
    data: new Blob([new Uint8Array(header), ...parts] as Uint8Array<ArrayBuffer>[]),
  });
  const number = (value: number) =>
    [value >>> 24, value >>> 16, value >>> 8, value].map((byte) => byte & 255);
  const imagesHeader = (images: number) => [0, 0, 8, 3, ...number(images), ...number(side), ...number(side)];
  const labelsHeader = (images: number) => [0, 0, 8, 1, ...number(images)];
  const bytes = Uint8Array.from(labels);
  return engine.loadDataset({
    kind: 'files',
    files: [
      file('train-images', imagesHeader(count + aside), pixels, pixels.slice(0, aside * size)),
      file('train-labels', labelsHeader(count + aside), bytes, bytes.slice(0, aside)),
      file('test-images', imagesHeader(1), pixels.slice(0, size)),
      file('test-labels', labelsHeader(1), bytes.slice(0, 1)),
    ],
  });
}
