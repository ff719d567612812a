// The same 8-bit model in Chromium, one thread: packed here, and exported as ONNX in onnxruntime-web, in turn.
// Microseconds per image, the median and the range of several windows. Both answer alike before they are timed.
//
//   npm run bench:int8

import type { createEngine } from 'espalier';
import type * as Ort from 'onnxruntime-web/wasm';
import { expect, it } from 'vitest';
import { openPackagePage } from '../e2e/package-page';
import { repository } from '../e2e/server';

interface Result {
  model: string;
  count: number;
  /** How far probabilities are apart, at most. */
  difference: number;
  espalier: number[];
  onnxruntime: number[];
}
interface Modules {
  createEngine: typeof createEngine;
  ort: typeof Ort;
}

/** Runs in the page, as text: it must not use anything around it. */
async function measure(
  { createEngine, ort }: Modules,
  presets: string[],
  windows: number,
): Promise<Result[]> {
  ort.env.wasm.numThreads = 1;
  const engine = await createEngine({ threads: 1, worker: false });
  const dataset = await engine.loadDataset({ kind: 'synthetic', train: 200, test: 64 });
  const { pixels } = await dataset.images(
    'test',
    Uint32Array.from({ length: 64 }, (_, i) => i),
  );
  const results: Result[] = [];
  for (const preset of presets) {
    const model = await engine.createModel(preset, { dataset });
    const run = model.quantize(dataset, { activations: '8' }, { measure: false });
    const { model: quantized } = await run.done;
    const packed = await quantized.pack();
    const { bytes } = await quantized.saveAs('onnx');
    const session = await ort.InferenceSession.create(bytes, {
      executionProviders: ['wasm'],
      graphOptimizationLevel: 'all',
    });
    for (const count of [64, 1]) {
      const some = pixels.slice(0, count * 784);
      const image = new ort.Tensor('float32', Float32Array.from(some), [count, 1, 28, 28]);
      const ours = async () => await packed.predict(some, count);
      const theirs = async () => (await session.run({ image }))['logits']!.data as Float32Array;

      const [probabilities, logits] = [await ours(), await theirs()];
      let difference = 0;
      for (let i = 0; i < count; ++i) {
        const terms = Array.from(logits.subarray(10 * i, 10 * i + 10), Math.exp);
        const sum = terms.reduce((a, b) => a + b);
        terms.forEach((term, j) => {
          difference = Math.max(difference, Math.abs(term / sum - probabilities[10 * i + j]!));
        });
      }

      const result: Result = { model: preset, count, difference, espalier: [], onnxruntime: [] };
      const calls = count === 1 ? 40 : 4;
      for (let window = -2; window < windows; ++window) {
        for (const [times, once] of [
          [result.espalier, ours],
          [result.onnxruntime, theirs],
        ] as const) {
          // Longer the first times, until the faster of the browser's two compilers has done its work.
          const begin = performance.now();
          while (window < 0 && performance.now() - begin < 300) await once();
          const start = performance.now();
          for (let call = 0; call < calls; ++call) await once();
          if (window >= 0) times.push((1000 * (performance.now() - start)) / calls / count);
        }
      }
      results.push(result);
    }
    await session.release();
  }
  return results;
}

function summary(times: number[]): { median: number; text: string } {
  const sorted = times.toSorted((a, b) => a - b);
  const median = sorted[Math.floor(sorted.length / 2)] ?? NaN;
  const [lowest, highest] = [sorted[0], sorted.at(-1)].map((time) => (time ?? NaN).toPrecision(3));
  return { median, text: `${median.toPrecision(3)} (${lowest} to ${highest})`.padStart(24) };
}

it('8-bit models beside onnxruntime-web', async () => {
  const { page, close } = await openPackagePage({ root: repository });
  try {
    const presets = ['lenet5', 'small', 'lenet-300-100', 'resnet', 'mobile'];
    const script = `Promise.all(['/web/package/dist/index.js', '/node_modules/onnxruntime-web/dist/ort.wasm.min.mjs'].map((name) => import(name)))
      .then(([{ createEngine }, ort]) => (${measure.toString()})({ createEngine, ort }, ${JSON.stringify(presets)}, 21))`;
    const results = await page.evaluate<Result[]>(script);
    console.log(
      `${'us/image: median (range)'.padEnd(32)}${'Espalier'.padStart(24)}${'onnxruntime-web'.padStart(24)}`,
    );
    for (const { model, count, difference, espalier, onnxruntime } of results) {
      const [ours, theirs] = [summary(espalier), summary(onnxruntime)];
      const name = `${model}, ${count === 1 ? '1 image' : `${count} images`}`.padEnd(32);
      console.log(
        `${name}${ours.text}${theirs.text}${(theirs.median / ours.median).toFixed(2).padStart(8)}x`,
      );
      expect(difference, name).toBeLessThan(1e-5);
    }
  } finally {
    await close();
  }
});
