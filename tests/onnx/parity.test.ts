// ONNX Runtime computes the same from an exported model as the engine: integers exactly, floats within 1e-4.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import * as node from 'onnxruntime-node';
import { afterAll, describe, expect, test } from 'vitest';
import {
  engineLogits,
  espalier,
  exported,
  findImages,
  folder,
  quantized,
  randomNetwork,
  removeFolder,
  testImages,
  trained,
  writeSpec,
} from './models.js';

const presets = ['small', 'lenet5', 'lenet-300-100', 'resnet', 'mobile'];
const { data, real } = findImages();
const images = testImages(data);
const pixels = 28 * 28;
const count = images.length / pixels;
const batch = 500;

afterAll(removeFolder);

/** Logits of the first `many` test images by ONNX Runtime, as it runs models if nobody asks for more. */
async function runtimeLogits(model: string, many: number): Promise<Float32Array> {
  const session = await node.InferenceSession.create(readFileSync(join(folder, model)), {
    logSeverityLevel: 3,
    intraOpNumThreads: 1,
  });
  const logits: Float32Array[] = [];
  for (let first = 0; first < many; first += batch) {
    const size = Math.min(batch, many - first);
    const part = Float32Array.from(images.subarray(first * pixels, (first + size) * pixels));
    const image = new node.Tensor('float32', part, [size, 1, 28, 28]);
    const results = await session.run({ image });
    logits.push(results['logits']!.data as Float32Array);
  }
  await session.release();
  const all = new Float32Array(logits.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of logits) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

/** How many numbers differ, and by how much of what is above 1. */
function compare(found: Float32Array, expected: Float32Array) {
  let different = 0;
  let worst = 0;
  found.forEach((x, i) => {
    const y = expected[i]!;
    if (x !== y) different++;
    const error = Math.abs(x - y) / Math.max(1, Math.abs(y));
    if (!(error <= worst)) worst = error;
  });
  return { different, worst };
}

describe('8-bit models', () => {
  test.each(['lenet5', 'small', 'resnet', 'mobile'])(
    `%s gives the same integers on ${count} ${real ? 'images of MNIST' : 'generated images'}`,
    async (preset) => {
      const model = quantized(trained(preset), `${preset}-int8`);
      const onnx = exported(model);
      const expected = engineLogits(model, data);
      expect(expected.length).toBe(count * 10);
      expect(new Set(expected).size).toBeGreaterThan(100);
      // The logits are sums of integers times a scale: equal numbers are equal sums.
      expect(compare(await runtimeLogits(onnx, count), expected)).toEqual({ different: 0, worst: 0 });
      // And what is read back is the same model.
      expect(compare(engineLogits(onnx, data), expected)).toEqual({ different: 0, worst: 0 });
    },
    300_000,
  );
});

describe('float models', () => {
  test.each(presets)(
    '%s gives the same logits within 1e-4',
    async (preset) => {
      const onnx = exported(trained(preset));
      const expected = engineLogits(`${preset}.safetensors`, data);
      const { worst } = compare(await runtimeLogits(onnx, 1000), expected.subarray(0, 10_000));
      expect(worst).toBeLessThan(1e-4);
      expect(compare(engineLogits(onnx, data), expected)).toEqual({ different: 0, worst: 0 });
    },
    300_000,
  );

  test.each([1, 2, 3, 4, 5, 6, 7, 8])(
    'a network of random layers gives the same logits within 1e-4 (%i)',
    async (seed) => {
      const spec = writeSpec(`random${seed}.json`, randomNetwork(seed));
      const model = trained(spec, `random${seed}`);
      const onnx = exported(model);
      const expected = engineLogits(model, data);
      const { worst } = compare(await runtimeLogits(onnx, 500), expected.subarray(0, 5000));
      expect(worst, espalier('inspect', model)).toBeLessThan(1e-4);
      expect(compare(engineLogits(onnx, data), expected)).toEqual({ different: 0, worst: 0 });
    },
    120_000,
  );
});

test('4-bit weights, which ONNX Runtime computes with in floats, give the same classes', async () => {
  const model = quantized(trained('lenet5'), 'lenet5-int4', '4');
  const onnx = exported(model);
  const expected = engineLogits(model, data);
  const many = 1000;
  const found = await runtimeLogits(onnx, many);
  const best = (logits: Float32Array, i: number) => {
    const row = logits.subarray(10 * i, 10 * i + 10);
    return row.indexOf(Math.max(...row));
  };
  let same = 0;
  for (let i = 0; i < many; i++) same += best(found, i) === best(expected, i) ? 1 : 0;
  expect(same).toBeGreaterThan(0.99 * many);
  expect(compare(engineLogits(onnx, data), expected)).toEqual({ different: 0, worst: 0 });
}, 120_000);
