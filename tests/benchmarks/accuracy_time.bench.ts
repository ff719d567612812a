// Seconds from opening the page to 98 and 99 % on MNIST's test images, by the recipes beside this
// file: Chromium with an empty profile, one thread, the bytes of the four files in hand. The clock
// starts with the navigation and runs while the package is loaded and compiled, the files are
// parsed, the network is trained and the 10,000 test images are evaluated; it stands still while the
// page is handed the bytes. Each seed has a browser of its own; medians and ranges.
//
//   ESPALIER_DATA=<folder with mnist/ in it> node native/toolchain/run.mjs vitest run \
//     --config tests/benchmarks/vitest.config.ts accuracy_time

import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import type { ModelSpec, TrainingConfig, createEngine } from 'espalier';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openPackagePage } from '../e2e/package-page';
import { repository } from '../e2e/server';

const mnist = join(process.env.ESPALIER_DATA ?? join(repository, '../shared/data'), 'mnist');
const names = ['train-images-idx3', 'train-labels-idx1', 't10k-images-idx3', 't10k-labels-idx1'].map(
  (name) => `${name}-ubyte`,
);
const seeds = [1, 2, 3, 4, 5];

interface Recipe {
  goal: number;
  model: ModelSpec;
  training: TrainingConfig;
}
const recipes = readdirSync(join(import.meta.dirname, 'recipes'))
  .sort()
  .map((file) => JSON.parse(readFileSync(join(import.meta.dirname, 'recipes', file), 'utf8')) as Recipe);

interface Run {
  kernels: string;
  accuracy: number;
  /** Since the navigation began, at the end of each part. */
  seconds: { page: number; engine: number; data: number; training: number; evaluation: number };
}

/** Runs in the page, as text: it must not use anything around it. */
async function train(
  load: () => Promise<{ createEngine: typeof createEngine }>,
  recipe: Recipe,
  seed: number,
) {
  const [navigation] = performance.getEntriesByType('navigation') as PerformanceNavigationTiming[];
  const page = navigation!.loadEventEnd;
  const { files } = document.querySelector('input')!;
  const bytes = await Promise.all(
    [...files!].map(async (file) => ({ name: file.name, data: await file.arrayBuffer() })),
  );
  const handed = performance.now();
  const now = () => (page + performance.now() - handed) / 1000;

  const { createEngine } = await load();
  const engine = await createEngine({ threads: 1 });
  const withEngine = now();
  const dataset = await engine.loadDataset({ kind: 'files', files: bytes });
  const withData = now();
  const model = await engine.createModel(recipe.model, { seed, dataset });
  await model.train(dataset, { ...recipe.training, seed }).done;
  const trained = now();
  const { accuracy } = await model.evaluate(dataset, 'test');
  return {
    kernels: engine.info.kernels,
    accuracy,
    seconds: { page: page / 1000, engine: withEngine, data: withData, training: trained, evaluation: now() },
  };
}

function median(numbers: number[]): number {
  return [...numbers].sort((a, b) => a - b)[Math.floor(numbers.length / 2)]!;
}

describe.skipIf(!existsSync(mnist))('MNIST in Chromium, one thread, from opening the page', () => {
  let folder: string;
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'espalier-mnist-'));
    for (const name of names) {
      const raw = join(mnist, name);
      const bytes = existsSync(raw) ? readFileSync(raw) : gunzipSync(readFileSync(`${raw}.gz`));
      writeFileSync(join(folder, name), bytes);
    }
  });
  afterAll(() => rmSync(folder, { recursive: true }));

  async function run(recipe: Recipe, seed: number): Promise<Run> {
    const { page, close } = await openPackagePage();
    try {
      await page.evaluate(`document.body.innerHTML = '<input type=file multiple>'`);
      await page.setInputFiles(
        'input',
        names.map((name) => join(folder, name)),
      );
      const load = `() => import('/dist/index.js')`;
      return await page.evaluate<Run>(`(${train.toString()})(${load}, ${JSON.stringify(recipe)}, ${seed})`);
    } finally {
      await close();
    }
  }

  it.each(recipes)('$goal', async (recipe) => {
    const runs: Run[] = [];
    for (const seed of seeds) runs.push(await run(recipe, seed));
    const part = (name: keyof Run['seconds']) => median(runs.map(({ seconds }) => seconds[name]));
    const totals = runs.map(({ seconds }) => seconds.evaluation);
    const accuracies = runs.map(({ accuracy }) => 100 * accuracy);
    const reached = runs.filter(({ accuracy }) => accuracy >= recipe.goal).length;
    const range = (numbers: number[]) =>
      `${Math.min(...numbers).toFixed(2)} to ${Math.max(...numbers).toFixed(2)}`;
    console.log(
      `${100 * recipe.goal} % of MNIST's test images, ${recipe.model.name}, ${runs[0]!.kernels} kernels: ` +
        `${median(totals).toFixed(2)} s (${range(totals)}) to ${median(accuracies).toFixed(2)} % (${range(accuracies)}), ` +
        `reached with ${reached} of ${runs.length} seeds\n` +
        `  page ${part('page').toFixed(2)} s, engine ${part('engine').toFixed(2)} s, data ${part('data').toFixed(2)} s, ` +
        `trained ${part('training').toFixed(2)} s, evaluated ${part('evaluation').toFixed(2)} s`,
    );
    expect(reached).toBe(runs.length);
  });
});
