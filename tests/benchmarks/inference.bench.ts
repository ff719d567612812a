// Inference in Chromium: one image (a drawn digit), as the worker computes it and as the page awaits it, and the
// accuracy over a whole test set. Milliseconds, warm (browsers compile twice), the contestants in turn, the
// median and the range of several windows. Natively: build/native/tests/benchmarks/inference_benchmark.
//
//   node native/toolchain/run.mjs vitest run --config tests/benchmarks/vitest.config.ts inference

import type { createEngine, Model } from 'espalier';
import { expect, it } from 'vitest';
import type { Binary, Native } from '../../web/package/src/espalier/instance';
import { openPackagePage } from '../e2e/package-page';

interface Result {
  what: string;
  milliseconds: number[];
}
interface Modules {
  createEngine: typeof createEngine;
  instantiate: (
    binary: Binary,
    options: { threads: number },
    crash: () => void,
  ) => Promise<{ native: Native }>;
  binary: Binary;
}

/** Runs in the page, as text: it must not use anything around it. */
async function measure({ createEngine, instantiate, binary }: Modules, windows: number): Promise<Result[]> {
  const runs: { result: Result; calls: number; once: () => unknown }[] = [];
  const add = (what: string, calls: number, once: () => unknown) =>
    runs.push({ result: { what, milliseconds: [] }, calls, once });
  const pixels = Uint8Array.from({ length: 784 }, (_, i) => (i * 37) % 256);

  const { native } = await instantiate(binary, { threads: 1 }, () => {});
  native.open_engine(1);
  const room = native.reserve(784);
  room.set(pixels);
  const pointer = room.byteOffset;
  const here = await createEngine({ threads: 1, worker: false });
  const worker = await createEngine({ threads: 1 });
  const two = await createEngine({ threads: 2 });
  const wait = async (model: Model) => await model.predict(pixels, 1);
  for (const preset of ['small', 'lenet5']) {
    const id = native.create_model(JSON.stringify(preset), 1, 0);
    add(`${preset}, one image: kernels and binding`, 40, () => native.predict(id, pointer, 784, 1).slice());
    const inPage = await here.createModel(preset);
    add(`${preset}, one image: awaited, engine in the page`, 40, () => wait(inPage));
    const inWorker = await worker.createModel(preset);
    add(`${preset}, one image: awaited, engine in a worker`, 40, () => wait(inWorker));
    add(`${preset}, 64 images: awaited, engine in a worker`, 4, () =>
      inWorker.predict(new Uint8Array(64 * 784).fill(77)),
    );
  }
  for (const engine of [worker, two]) {
    const dataset = await engine.loadDataset({ kind: 'synthetic', train: 10, test: 10000 });
    for (const preset of ['small', 'lenet5']) {
      const model = await engine.createModel(preset, { dataset });
      add(`${preset}, 10,000 images: accuracy, threads ${engine.info.threads}`, 1, () =>
        model.evaluate(dataset, 'test'),
      );
      const run = model.quantize(dataset, { activations: '8' }, { measure: false });
      const { model: quantized } = await run.done;
      const packed = await quantized.pack();
      add(`${preset}, 10,000 images: accuracy, int8, threads ${engine.info.threads}`, 1, () =>
        packed.evaluate(dataset, 'test'),
      );
    }
  }

  for (let window = -2; window < windows; ++window) {
    for (const { result, calls, once } of runs) {
      // Longer the first time, until the faster of the two compilers has done its work.
      const begin = performance.now();
      while (window < 0 && performance.now() - begin < 300) await once();
      for (let sample = 0; sample < (calls > 1 ? 10 : 1); ++sample) {
        const start = performance.now();
        for (let call = 0; call < calls; ++call) await once();
        if (window >= 0) result.milliseconds.push((performance.now() - start) / calls);
      }
    }
  }
  return runs.map(({ result }) => result);
}

it('inference in Chromium', async () => {
  const { page, close } = await openPackagePage();
  try {
    const script = `Promise.all(['index', 'espalier/instance', 'espalier/relaxed'].map((name) => import('/dist/' + name + '.js')))
      .then(([index, instance, relaxed]) => (${measure.toString()})({ ...index, ...instance, ...relaxed }, 5))`;
    const results = await page.evaluate<Result[]>(script);
    console.log(`${'relaxed SIMD'.padEnd(52)}ms (median, range)`);
    for (const { what, milliseconds } of results) {
      const sorted = milliseconds.toSorted((a, b) => a - b);
      const [median, lowest, highest] = [Math.floor(sorted.length / 2), 0, sorted.length - 1].map((i) =>
        (sorted[i] ?? 0).toPrecision(3),
      );
      console.log(`${what.padEnd(50)}${median?.padStart(8)}   (${lowest} to ${highest})`);
    }
    expect(results.every(({ milliseconds }) => milliseconds.every((time) => time > 0))).toBe(true);
  } finally {
    await close();
  }
});
