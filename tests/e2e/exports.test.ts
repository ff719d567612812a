// Files out of the page are what it shows, and its recipes make them again.

import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { violations } from './axe';
import { save as saveFile } from './downloads';
import { openPlayground, settled, type Playground } from './playground';
import { repository } from './server';

let playground: Playground;
let folder: string;
beforeAll(async () => {
  // Below the project, where Node finds the package.
  folder = await mkdtemp(join(repository, 'build/exports-'));
  playground = await openPlayground({
    hash: '#kernels=plain&epochs=3&right=prune,sparsity=0.6;quantize,weights=4;heal,epochs=1',
  });
  const { page, read } = playground;
  await read.untilState(/Trained/, 60_000);
  await settled(page);
  await page.getByRole('button', { name: 'Download' }).click();
}, 120_000);
afterAll(async () => {
  await playground.close();
  await rm(folder, { recursive: true, force: true });
  expect(playground.problems).toEqual([]);
});

const save = (title: string) => saveFile(playground.page, title);

test('the compact file has exactly the bytes of the footer', async () => {
  const { name, bytes } = await save('Compact file, .espalier');
  expect(name).toBe('espalier-small.espalier');
  expect(bytes.length).toBe(await playground.read.number('bytes'));
});

test('the TypeScript snippet makes the same file in Node, byte for byte', async () => {
  const snippet = await playground.page.getByTestId('snippet').innerText();
  const original = await save('What the recipes start from, .safetensors');
  await writeFile(join(folder, original.name), original.bytes);
  await writeFile(join(folder, 'recipe.mjs'), snippet);
  await promisify(execFile)(process.execPath, ['recipe.mjs'], { cwd: folder });
  const made = await readFile(join(folder, 'espalier-small.espalier'));
  expect(made.equals((await save('Compact file, .espalier')).bytes)).toBe(true);
});

test('the wall is a picture', async () => {
  const { name, bytes } = await save('Picture of the wall, .png');
  expect(name).toBe('espalier-small-wall.png');
  expect(bytes.subarray(1, 4).toString()).toBe('PNG');
});

test('both reports say what the footer says', async () => {
  const { page, read } = playground;
  const report = JSON.parse((await save('Report, .json')).bytes.toString()) as {
    right: { file_bytes: number; test_accuracy: number; layers: { layer: string }[] };
    changed_answers: number;
  };
  expect(report.right.file_bytes).toBe(await read.number('bytes'));
  expect(100 * report.right.test_accuracy).toBeCloseTo(await read.number('accuracy'), 2);
  expect(report.changed_answers).toBe(await read.number('changed'));
  const rows = (await save('Report, .csv')).bytes
    .toString()
    .trim()
    .split('\n')
    .map((line) => line.split(','));
  expect(new Set(rows.map(({ length }) => length))).toEqual(new Set([rows[0]!.length]));
  expect(rows.filter(([side]) => side === 'right').map(([, part]) => part)).toEqual([
    'file',
    ...report.right.layers.map(({ layer }) => layer),
  ]);
  expect(await violations(page)).toEqual([]);
});

test('the command line names the same passes', async () => {
  const command = await playground.page.getByTestId('command').innerText();
  expect(command).toContain('espalier compress espalier-small-original.safetensors --data synthetic:6000');
  const pipeline = JSON.parse(/<<'END'\n(.*)\nEND/s.exec(command)?.[1] ?? '') as {
    passes: { pass: string }[];
  };
  expect(pipeline.passes.map(({ pass }) => pass)).toEqual(['prune', 'quantize', 'finetune']);
});

test('the other formats and the other side are files, too', async () => {
  const { page } = playground;
  expect((await save('For C, .h')).bytes.toString()).toMatch(/^\/\*|^\/\//);
  const right = await save('For Python, .safetensors');
  await page.getByRole('radio', { name: 'Original' }).check();
  const left = await save('For Python, .safetensors');
  expect(left.bytes.equals(right.bytes)).toBe(false);
  expect(await page.getByTestId('command').innerText()).toBe(
    'espalier export espalier-small-original.safetensors --out espalier-small.espalier',
  );
});
