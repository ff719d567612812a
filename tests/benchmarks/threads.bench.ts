// Whole training steps in Chromium on one and on two threads, without augmentation and with the standard one:
// what a second thread gives, and what augmented data costs. Batch 64, everything in turn, medians of windows.
//
//   node native/toolchain/run.mjs vitest run --config tests/benchmarks/vitest.config.ts threads

import type { createEngine } from 'espalier';
import { expect, it } from 'vitest';
import { openPackagePage } from '../e2e/package-page';

interface Run {
  preset: string;
  threads: number;
  augment: string;
  /** Milliseconds of a step, one for each window. */
  steps: number[];
}

/** Runs in the page, as text: it must not use anything around it. */
async function measure(create: typeof createEngine, windows: number): Promise<Run[]> {
  const runs: { run: Run; once: () => Promise<number> }[] = [];
  for (const threads of [1, 2]) {
    const engine = await create({ threads });
    const dataset = await engine.loadDataset({ kind: 'synthetic', train: 2048, test: 10 });
    for (const preset of ['small', 'lenet5', 'resnet', 'mobile']) {
      for (const augment of ['none', 'standard']) {
        const model = await engine.createModel(preset, { dataset });
        const once = async () => {
          const config = { epochs: 1e5, learning_rate: 1e-4, validate: false, augment };
          const speeds: number[] = [];
          const begin = performance.now();
          for await (const event of model.train(dataset, config)) {
            if (event.type !== 'progress') continue;
            speeds.push(event.imagesPerSecond);
            if (performance.now() - begin > 600) break;
          }
          speeds.sort((a, b) => a - b);
          return 64_000 / (speeds[Math.floor(speeds.length / 2)] ?? NaN);
        };
        runs.push({ run: { preset, threads: engine.info.threads, augment, steps: [] }, once });
      }
    }
  }
  for (const { once } of runs) await once();
  for (let i = 0; i < windows; ++i) for (const { run, once } of runs) run.steps.push(await once());
  return runs.map(({ run }) => run);
}

it('a second thread, and augmentation', async () => {
  const { page, close } = await openPackagePage();
  try {
    const script = `import('/dist/index.js').then(({ createEngine }) => (${measure.toString()})(createEngine, 5))`;
    const runs = await page.evaluate<Run[]>(script);
    const median = (preset: string, threads: number, augment: string) => {
      const run = runs.find((r) => r.preset === preset && r.threads === threads && r.augment === augment);
      return [...(run?.steps ?? [])].sort((a, b) => a - b)[Math.floor((run?.steps.length ?? 0) / 2)] ?? NaN;
    };
    console.log('ms a step      1 thread        2   ratio   augmented        2   ratio   augmentation');
    for (const preset of new Set(runs.map((run) => run.preset))) {
      const [one, two, oneAugmented, twoAugmented] = [
        median(preset, 1, 'none'),
        median(preset, 2, 'none'),
        median(preset, 1, 'standard'),
        median(preset, 2, 'standard'),
      ] as const;
      const column = (value: number, width: number) => value.toFixed(2).padStart(width);
      console.log(
        preset.padEnd(14) +
          `${column(one, 9)}${column(two, 9)}${column(one / two, 7)}x` +
          `${column(oneAugmented, 12)}${column(twoAugmented, 9)}${column(oneAugmented / twoAugmented, 7)}x` +
          `${(100 * (1 - one / oneAugmented)).toFixed(1).padStart(14)} %`,
      );
    }
    expect(runs.every(({ steps }) => steps.every((step) => step > 0))).toBe(true);
  } finally {
    await close();
  }
});
