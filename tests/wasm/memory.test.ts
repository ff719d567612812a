// What an engine takes: it does not grow with steps or with models, and training LeNet-5 fits a phone.

import { createEngine, type Engine } from 'espalier';
import { afterEach, describe, expect, test } from 'vitest';

describe('memory', () => {
  let engine: Engine;
  afterEach(() => engine.dispose());

  const heapBytes = async () => (await engine.memory()).heapBytes;

  test.each([1, 2])('a thousand steps take no more than the first ones, on %i threads', async (threads) => {
    engine = await createEngine({ kernels: 'plain', threads });
    const dataset = await engine.loadDataset({ kind: 'synthetic', train: 400, test: 50 });
    const model = await engine.createModel('small', { dataset });
    const config = { epochs: 1000, batch_size: 16, augment: 'standard,elastic,mixup', validate: false };
    const training = model.train(dataset, config);
    await training.pause();
    await training.step(30);
    const begin = await heapBytes();
    await training.step(1000);
    expect(await heapBytes()).toBe(begin);
    await training.abort();
  });

  test('a hundred models come and go without a trace', async () => {
    engine = await createEngine({ kernels: 'plain', threads: 2 });
    const dataset = await engine.loadDataset({ kind: 'synthetic', train: 200, test: 50 });
    const { pixels } = await dataset.images('test', [0]);
    const live = async () => {
      const model = await engine.createModel('lenet5', { dataset });
      await model.train(dataset, { epochs: 1, batch_size: 100 }).done;
      await model.predict(pixels);
      await model.save();
      await model.dispose();
    };
    for (let i = 0; i < 5; ++i) await live();
    const begin = await heapBytes();
    for (let i = 0; i < 100; ++i) await live();
    expect(await heapBytes()).toBe(begin);
  });

  test('a slider that quantizes, packs and evaluates a hundred times leaves nothing behind', async () => {
    engine = await createEngine({ kernels: 'plain', threads: 2 });
    const dataset = await engine.loadDataset({ kind: 'synthetic', train: 200, test: 300 });
    const model = await engine.createModel('small', { dataset });
    const { pixels } = await dataset.images('test', [0]);
    const move = async (weights: number) => {
      const options = { weights, images: 16 };
      const { model: small } = await model.quantize(dataset, options, { measure: false }).done;
      const packed = await small.pack();
      await packed.evaluate(dataset, 'test');
      await packed.predict(pixels);
      const controller = new AbortController();
      const evaluation = packed.evaluate(dataset, 'test', { signal: controller.signal });
      controller.abort();
      await evaluation.catch(() => {});
      await small.saveAs('espalier');
      await packed.dispose();
      await small.dispose();
    };
    for (let i = 0; i < 7; ++i) await move(2 + i);
    const begin = await heapBytes();
    for (let i = 0; i < 98; ++i) await move(2 + (i % 7));
    expect(await heapBytes()).toBe(begin);
  });

  test('training LeNet-5 with batches of 64 takes less than 24 MB beyond the data', async () => {
    engine = await createEngine({ kernels: 'plain', threads: 1 });
    const train = 2000;
    const test = 200;
    const dataset = await engine.loadDataset({ kind: 'synthetic', train, test });
    const model = await engine.createModel('lenet5', { dataset });
    // With what a page does meanwhile: validation after an epoch and a picture now and then.
    const training = model.train(dataset, { epochs: 2, batch_size: 64, augment: 'standard' });
    const { pixels } = await dataset.images('test', [0]);
    await model.predict(pixels);
    await training.done;
    await model.activations(pixels, 'conv1');
    const data = (train + test) * (28 * 28 + 2);
    const beyond = (await heapBytes()) - data;
    console.log(`LeNet-5, batch 64: ${(beyond / 2 ** 20).toFixed(1)} MiB beyond the data`);
    expect(beyond).toBeLessThan(24e6);
  });
});
