// The same seed gives the same weights, bit for bit: natively without contraction, in Node,
// Chromium, Firefox and WebKitGTK with plain SIMD, for one thread and for two (DESIGN: sums have one order everywhere).

import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { Engine, TrainingConfig } from 'espalier';
import { createEngine } from 'espalier';
import { beforeAll, describe, expect, it } from 'vitest';
import { available, browsers } from './other-browsers';
import { openPackagePage, servePackage } from './package-page';
import { repository } from './server';

const digits = { train: 600, test: 100, seed: 3 };
const cases: { model: string; config: TrainingConfig }[] = [
  { model: 'small', config: { epochs: 2, augment: 'standard,elastic,mixup' } },
  { model: 'lenet5', config: { epochs: 1, batch_size: 50, optimizer: 'adamw', schedule: 'one-cycle' } },
  { model: 'mobile', config: { epochs: 1, batch_size: 100, label_smoothing: 0.1, clip_norm: 1 } },
];

async function native(model: string, config: TrainingConfig, threads: number): Promise<string> {
  const options = Object.entries({
    '--epochs': config.epochs,
    '--batch': config.batch_size,
    '--optimizer': config.optimizer,
    '--schedule': config.schedule,
    '--augment': config.augment,
    '--label-smoothing': config.label_smoothing,
    '--clip-norm': config.clip_norm,
  }).flatMap(([name, value]) => (value === undefined ? [] : [name, String(value)]));
  const { stdout } = await promisify(execFile)(join(repository, 'build/native/espalier'), [
    ...['train', '--data', `synthetic:${digits.train}`, '--model', model, '--kernels', 'plain', '--json'],
    ...['--seed', String(digits.seed), '--threads', String(threads), ...options],
  ]);
  const result = JSON.parse(stdout) as { weights_sha256: string; kernels: string; threads: number };
  expect(result).toMatchObject({ kernels: 'plain', threads });
  return result.weights_sha256;
}

/** Runs in Node and, as text, in the page: it must not use anything around it. */
async function train(
  create: typeof createEngine,
  threads: number,
  data: typeof digits,
  list: typeof cases,
): Promise<{ kernels: string; threads: number; hashes: string[] }> {
  const engine: Engine = await create({ kernels: 'plain', threads });
  const dataset = await engine.loadDataset({ kind: 'synthetic', ...data });
  const hashes: string[] = [];
  for (const { model: name, config } of list) {
    const model = await engine.createModel(name, { seed: data.seed, dataset });
    await model.train(dataset, { ...config, seed: data.seed }).done;
    hashes.push(await model.weightsSha256());
  }
  const result = { kernels: engine.info.kernels, threads: engine.info.threads, hashes };
  await engine.dispose();
  return result;
}

type Trained = Awaited<ReturnType<typeof train>>;

const script = (url: string, threads: number) =>
  `import('${url}dist/index.js').then(({ createEngine }) => (${train.toString()})(
    createEngine, ${threads}, ${JSON.stringify(digits)}, ${JSON.stringify(cases)}))`;

async function inChromium(threads: number): Promise<Trained> {
  const { page, close } = await openPackagePage();
  try {
    return await page.evaluate<Trained>(script('/', threads));
  } finally {
    await close();
  }
}

async function inOther(name: keyof typeof browsers, threads: number): Promise<Trained> {
  const site = await servePackage();
  const browser = await browsers[name]();
  try {
    await browser.goto(site.url);
    return await browser.evaluate<Trained>(script(site.url, threads));
  } finally {
    await browser.close();
    await site.close();
  }
}

describe('the same seed gives the same weights', () => {
  let expected: string[];
  beforeAll(async () => {
    expected = await Promise.all(cases.map(({ model, config }) => native(model, config, 1)));
    expect(new Set(expected).size).toBe(cases.length);
  });

  it('natively with two threads', async () => {
    const hashes = await Promise.all(cases.map(({ model, config }) => native(model, config, 2)));
    expect(hashes).toEqual(expected);
  });

  it.each([1, 2])('in Node with plain SIMD, %i thread(s)', async (threads) => {
    expect(await train(createEngine, threads, digits, cases)).toEqual({
      kernels: 'plain',
      threads,
      hashes: expected,
    });
  });

  it.each([1, 2])('in Chromium with plain SIMD, %i thread(s)', async (threads) => {
    expect(await inChromium(threads)).toEqual({ kernels: 'plain', threads, hashes: expected });
  });

  // WebKitGTK has no threads.
  for (const [name, threads] of [
    ['Firefox', 2],
    ['WebKitGTK', 1],
  ] as const) {
    it.skipIf(!available[name])(
      `in ${name} with plain SIMD, ${threads} thread(s)`,
      { timeout: 180_000 },
      async () => {
        expect(await inOther(name, threads)).toEqual({ kernels: 'plain', threads, hashes: expected });
      },
    );
  }
});
