// The same seed gives the same weights, bit for bit: natively without contraction, in Node and in
// Chromium with plain SIMD, for one thread and for two (DESIGN: sums have one order everywhere).

import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { Engine, TrainingConfig } from 'espalier';
import { createEngine } from 'espalier';
import { beforeAll, describe, expect, it } from 'vitest';
import { openPackagePage } from './package-page';
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

async function inChromium(threads: number): ReturnType<typeof train> {
  const { page, close } = await openPackagePage();
  try {
    const script = `import('/dist/index.js').then(({ createEngine }) => (${train.toString()})(
      createEngine, ${threads}, ${JSON.stringify(digits)}, ${JSON.stringify(cases)}))`;
    return await page.evaluate<Awaited<ReturnType<typeof train>>>(script);
  } finally {
    await close();
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
});
