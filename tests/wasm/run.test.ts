// The binary that only runs models: every prediction is that of the whole engine, bit for bit.

import { setFlagsFromString } from 'node:v8';
import { createEngine, type Dataset, type Engine, type Model } from 'espalier';
import { EspalierError, loadModel } from 'espalier/run';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { digits, errorOf } from './data.js';

// Node 20 has relaxed SIMD behind a flag, with a dot product that is not exact. Where it is: tests/e2e/run.test.ts.
if (Number(process.versions.node.split('.')[0]) < 21) setFlagsFromString('--experimental-wasm-relaxed-simd');
const kernels = 'plain';

describe('the binary for inference alone', () => {
  let engine: Engine;
  let data: Dataset;
  const models: [string, Model][] = [];
  beforeAll(async () => {
    engine = await createEngine({ kernels, threads: 1 });
    data = await digits(engine, 600, 100);
    const run = { measure: false };
    for (const name of ['small', 'resnet', 'mobile']) {
      const model = await engine.createModel(name, { dataset: data });
      await model.train(data, { epochs: 1, limit: 128 }).done;
      models.push([name, model]);
      models.push([`${name}, 8 bits`, (await model.compress(data, 'int8', run).done).model]);
    }
    const [, small] = models[0] ?? [];
    if (!small) throw new Error('There is no small model.');
    const pruned = await small.prune(data, { sparsity: 0.9 }, run).done;
    models.push(['small, pruned', pruned.model]);
    const options = { scheme: 'codebook', weights: 4, activations: 'float' } as const;
    models.push(['small, codebook', (await pruned.model.quantize(data, options, run).done).model]);
    for (const scheme of ['article', 'affine', 'ternary', 'binary', 'power-of-two'] as const) {
      models.push([`small, ${scheme}`, (await small.quantize(data, { scheme }, run).done).model]);
    }
  });
  afterAll(() => engine?.dispose());

  test('predictions are those of the engine', async () => {
    const { pixels } = await data.images('test', [...Array(77).keys()]);
    for (const [name, model] of models) {
      const { bytes } = await model.saveAs('espalier');
      const running = await loadModel(bytes, { kernels });
      const packed = await model.pack();
      expect(running.bytes, name).toBeGreaterThan(0);
      expect(running.predict(pixels), name).toEqual(await packed.predict(pixels));
      // One image by itself takes other kernels.
      const one = pixels.subarray(3 * 784, 4 * 784);
      expect(running.predict(one), name).toEqual(await packed.predict(one));
      running.dispose();
    }
  });

  test('kernels that do not give the known answers are left alone', async () => {
    const { pixels } = await data.images('test', [...Array(77).keys()]);
    const [, model] = models.find(([name]) => name === 'small, 8 bits') ?? [];
    if (!model) throw new Error('There is no model of 8 bits.');
    const running = await loadModel((await model.saveAs('espalier')).bytes);
    expect(running.predict(pixels)).toEqual(await (await model.pack()).predict(pixels));
  });

  test('the file says what it is', async () => {
    const model = await engine.createModel('small', { dataset: data });
    const labels = ['zero', 'one', 'two', 'drei', 'quatre', 'cinque', 'six', 'sept', 'åtta', 'neuf'];
    const pipeline = { name: 'by hand', passes: [{ pass: 'fold' as const }] };
    const { bytes } = await model.saveAs('espalier', { labels, pipeline });
    const running = await loadModel(new Blob([bytes]), { kernels });
    expect(running).toMatchObject({
      name: 'small',
      classes: 10,
      channels: 1,
      height: 28,
      width: 28,
      kernels,
    });
    expect(running.labels).toEqual(labels);
    expect(running.pipeline).toEqual(pipeline);
  });

  test('mistakes are sentences', async () => {
    const model = await engine.createModel('small', { dataset: data });
    const { bytes } = await model.saveAs('espalier');
    const damaged = bytes.slice();
    damaged[bytes.length >> 1] = (damaged[bytes.length >> 1] ?? 0) ^ 1;
    for (const file of [damaged, bytes.slice(0, 100), new Uint8Array(0), await model.save()]) {
      const error = await errorOf(loadModel(file, { kernels }));
      expect(error).toBeInstanceOf(EspalierError);
      expect(error).toMatchObject({ code: 'model', where: 'model file' });
    }
    const running = await loadModel(bytes, { kernels });
    expect(() => running.predict(new Uint8Array(783))).toThrow(
      'the model takes images of 1x28x28, 784 bytes each',
    );
    running.dispose();
    expect(() => running.predict(new Uint8Array(784))).toThrow('disposed');
  });

  test('a thousand predictions take no more memory than the first ones', async () => {
    const model = await engine.createModel('small', { dataset: data });
    const running = await loadModel((await model.saveAs('espalier')).bytes, { kernels });
    const { pixels } = await data.images('test', [...Array(64).keys()]);
    const sizes = new Set<number>();
    for (let i = 0; i < 1000; ++i) {
      running.predict(pixels);
      if (i >= 10) sizes.add(running.memoryBytes);
    }
    expect(sizes.size).toBe(1);
    expect([...sizes][0]).toBeGreaterThan(0);
  });
});
