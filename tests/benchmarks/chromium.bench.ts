// Training in Chromium: images per second of whole steps, one thread, batch 64, momentum, built-in
// digits without augmentation, for each preset on plain and on relaxed SIMD. Warm (browsers compile
// twice), variants in turn, the median and range of several windows.
//
//   npm run bench

import type { createEngine } from 'espalier';
import { expect, it } from 'vitest';
import { openPackagePage } from '../e2e/package-page';

type Result = { kernels: string; preset: string; speeds: number[] };

/** Runs in the page, as text: it must not use anything around it. */
async function measure(create: typeof createEngine, windows: number): Promise<Result[]> {
  const results: Result[] = [];
  const runs: { result: Result; once: () => Promise<number> }[] = [];
  for (const kernels of ['plain', 'relaxed'] as const) {
    const engine = await create({ kernels, threads: 1 });
    const dataset = await engine.loadDataset({ kind: 'synthetic', train: 2048, test: 10 });
    for (const preset of ['small', 'lenet5', 'lenet-300-100', 'resnet', 'mobile']) {
      const model = await engine.createModel(preset, { dataset });
      const result: Result = { kernels: engine.info.kernels, preset, speeds: [] };
      results.push(result);
      runs.push({
        result,
        once: async () => {
          const training = model.train(dataset, { epochs: 100000, learning_rate: 1e-4, validate: false });
          const begin = performance.now();
          let speed = 0;
          for await (const event of training) {
            if (event.type !== 'progress') continue;
            speed = event.imagesPerSecond;
            if (performance.now() - begin > 1200) break;
          }
          return speed;
        },
      });
    }
  }
  for (const run of runs) await run.once();
  for (let i = 0; i < windows; ++i) {
    for (const { result, once } of runs) result.speeds.push(await once());
  }
  return results;
}

it('training speed in Chromium, one thread', async () => {
  const { page, close } = await openPackagePage();
  try {
    const script = `import('/dist/index.js').then(({ createEngine }) => (${measure.toString()})(createEngine, 3))`;
    const results = await page.evaluate<Result[]>(script);
    console.log('preset          kernels   images/s (median, range)');
    for (const { preset, kernels, speeds } of results) {
      const sorted = speeds.map(Math.round).sort((a, b) => a - b);
      const median = sorted[Math.floor(sorted.length / 2)];
      const range = `${sorted[0]} to ${sorted.at(-1)}`;
      console.log(`${preset.padEnd(15)} ${kernels.padEnd(8)} ${String(median).padStart(8)}   (${range})`);
    }
    expect(results.every(({ speeds }) => speeds.every((speed) => speed > 0))).toBe(true);
  } finally {
    await close();
  }
});
