// The network on its wire: edited as a draft, started when it is asked for, kept by the address.

import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { violations } from './axe';
import { openPlayground, settled, type Playground } from './playground';
import { repository } from './server';

// One page for all: each test starts with the small network in training.
let playground: Playground;
beforeAll(async () => {
  playground = await openPlayground({ hash: '#epochs=900' });
  await playground.read.untilState(/Training/);
});
beforeEach(async () => {
  const { page, read, url } = playground;
  await page.goto(url);
  await page.reload();
  await read.untilState(/Training|Paused/);
  await button('Reset').click();
  await read.untilState(/Training/);
  await expect.poll(shapes).toContain('fc 10');
});
afterAll(async () => {
  await playground.close();
  expect(playground.problems).toEqual([]);
});

const card = (name: string) => playground.page.locator(`[data-layer="${name}"]`);
const layerButton = (name: string) => card(name).locator('button[aria-pressed]');
const editor = () => playground.page.getByTestId('layer-editor');
const field = (name: string) => editor().getByLabel(name, { exact: true });
const button = (name: string) => playground.page.getByRole('button', { name, exact: true });
const names = () =>
  playground.page
    .getByTestId('layer')
    .evaluateAll((layers) => layers.map((layer) => (layer as HTMLElement).dataset.layer));
const shapes = () =>
  playground.page
    .getByTestId('layer')
    .evaluateAll((layers) =>
      layers.map(
        (layer) =>
          `${(layer as HTMLElement).dataset.layer} ${layer.querySelector('[data-testid=shape]')?.textContent}`,
      ),
    );
const small = ['conv1', 'relu1', 'pool1', 'conv2', 'relu2', 'pool2', 'flatten', 'fc'];

async function add(type: string, after: string): Promise<void> {
  await layerButton(after).click();
  await editor()
    .getByRole('combobox', { name: `After ${after}` })
    .selectOption(type);
  await button('Add layer').click();
}

test('a layer is edited, and all shapes behind it follow while the training goes on', async () => {
  const { page, read } = playground;
  await layerButton('conv1').click();
  await field('Channels').fill('12');
  await field('Stride').fill('2');
  await expect
    .poll(shapes)
    .toEqual([
      'conv1 12 × 14 × 14',
      'relu1 12 × 14 × 14',
      'pool1 12 × 7 × 7',
      'conv2 16 × 7 × 7',
      'relu2 16 × 7 × 7',
      'pool2 16 × 3 × 3',
      'flatten 144',
      'fc 10',
    ]);
  expect(await card('conv1').innerText()).toContain('120 w');
  await page.getByText('A draft: small trains on until you start this one.').waitFor();
  const step = await read.step();
  await expect.poll(() => read.step()).toBeGreaterThan(step);
});

test('layers are added, removed, and taken back one by one', async () => {
  const { page } = playground;
  await add('batch_norm', 'conv1');
  expect(await names()).toEqual(['conv1', 'batch_norm1', ...small.slice(1)]);
  await expect.poll(shapes).toContain('batch_norm1 8 × 28 × 28');
  await add('dense', 'flatten');
  await expect.poll(shapes).toContain('dense1 64');
  await layerButton('conv2').click();
  await button('Remove conv2').click();
  await expect.poll(shapes).toContain('flatten 392');
  const edited = ['conv1', 'batch_norm1', 'relu1', 'pool1', 'relu2', 'pool2', 'flatten', 'dense1', 'fc'];
  expect(await names()).toEqual(edited);

  await page.locator('body').press('Control+z');
  expect(await names()).toContain('conv2');
  await button('Undo edit').click();
  await page.locator('body').press('Control+z');
  expect(await names()).toEqual(small);
  await button('Redo edit').click();
  await page.locator('body').press('Control+Shift+z');
  await page.locator('body').press('Control+Shift+z');
  expect(await names()).toEqual(edited);
  await button('Back to small').click();
  expect(await names()).toEqual(small);
  expect(page.url()).not.toContain('network=');
});

test('Ctrl+Z takes back the last change, of the network or of the compression', async () => {
  const { page, read } = playground;
  const bits = page.getByRole('slider', { name: 'Bits' });
  await add('tanh', 'relu1');
  await bits.press('End');
  await read.untilState(/Paused/);
  await layerButton('relu2').click();
  await button('Remove relu2').click();
  const press = (keys: string) => page.locator('body').press(keys);
  const state = async () => [
    (await names()).includes('tanh1'),
    await bits.inputValue(),
    (await names()).includes('relu2'),
  ];
  const full = await bits.inputValue();
  expect(await state()).toEqual([true, full, false]);
  await press('Control+z');
  expect(await state()).toEqual([true, full, true]);
  await press('Control+z');
  expect(await state()).toEqual([true, '0', true]);
  await press('Control+z');
  expect(await state()).toEqual([false, '0', true]);
  for (let i = 0; i < 3; ++i) await press('Control+Shift+z');
  expect(await state()).toEqual([true, full, false]);
});

test('layers are moved by keyboard and by dragging', async () => {
  const { page } = playground;
  const grip = (name: string) => card(name).getByRole('button', { name: new RegExp(`^Move ${name}, `) });
  await grip('relu1').focus();
  await page.keyboard.press('ArrowRight');
  await page.keyboard.press('ArrowRight');
  expect((await names()).slice(0, 4)).toEqual(['conv1', 'pool1', 'conv2', 'relu1']);
  await page.keyboard.press('ArrowLeft');
  expect((await names()).slice(0, 4)).toEqual(['conv1', 'pool1', 'relu1', 'conv2']);
  await expect.poll(shapes).toContain('relu1 8 × 14 × 14');

  await card('relu1').evaluate((element) => element.scrollIntoView({ block: 'center' }));
  const from = await grip('relu1').boundingBox();
  const to = await grip('pool1').boundingBox();
  await page.mouse.move(from!.x + from!.width / 2, from!.y + 8);
  await page.mouse.down();
  await page.mouse.move(to!.x + 4, to!.y + 8, { steps: 8 });
  await page.mouse.up();
  // Where it was at first.
  expect(await names()).toEqual(small);
  // The whole way is one step.
  await button('Undo edit').click();
  expect((await names()).slice(0, 4)).toEqual(['conv1', 'pool1', 'relu1', 'conv2']);
});

test('an impossible network says why at its layer, and the training goes on', async () => {
  const { page, read } = playground;
  await layerButton('conv2').click();
  await field('Padding').fill('valid');
  await field('Kernel').fill('99');
  const alert = card('conv2').getByRole('alert');
  await alert.filter({ hasText: 'conv2.kernel: reaches over 99 pixels' }).waitFor();
  await expect.poll(shapes).toContain('pool1 8 × 14 × 14');
  expect(await shapes()).toContain('relu2 –');
  await page.getByText('This network is impossible: see conv2.').waitFor();
  expect(await button('Start with this network').isDisabled()).toBe(true);
  const step = await read.step();
  await expect.poll(() => read.step()).toBeGreaterThan(step);
  // Even for who insists.
  await button('Reset').click();
  expect(await read.notice()).toContain('conv2.kernel');
  const later = await read.step();
  expect(later).toBeGreaterThanOrEqual(step);
  await expect.poll(() => read.step()).toBeGreaterThan(later);
  expect(await violations(page)).toEqual([]);

  // A reload trains something that is possible, and the draft is still there to be mended.
  await page.reload();
  expect(await read.notice()).toContain('conv2.kernel');
  await read.untilState(/Training/);
  await card('conv2').getByRole('alert').waitFor();
  await layerButton('conv2').click();
  await field('Kernel').fill('3');
  await alert.waitFor({ state: 'detached' });
  await button('Start with this network').click();
  await expect.poll(() => page.locator('header dl').first().innerText()).toContain('small-edited');
});

test('an edited network is started, kept by address and reload, and named by the recipes', async () => {
  const { page, read } = playground;
  await layerButton('conv1').click();
  await field('Channels').fill('4');
  await add('dropout', 'flatten');
  await field('Rate').fill('0,25');
  await expect
    .poll(() => page.url())
    .toContain('network=conv1:conv,kernel=3,out_channels=4,padding=same;relu1:relu;');
  await expect.poll(() => page.url()).toContain('dropout1:dropout,rate=0.25;fc:dense,units=classes');
  await button('Start with this network').click();
  const header = page.locator('header dl').first();
  await expect.poll(() => header.innerText()).toContain('small-edited');
  await page.getByTestId('draft').getByText('A draft').waitFor({ state: 'detached' });
  await expect.poll(() => read.step()).toBeGreaterThan(0);
  expect(await page.getByRole('combobox', { name: 'Model' }).inputValue()).toBe('small-edited');
  await expect.poll(shapes).toContain('conv1 4 × 28 × 28');

  // What choosing a layer shows is of the network that trains.
  await layerButton('conv1').click();
  await page.getByRole('img', { name: /^4 maps of conv1/ }).waitFor();
  const table = page.getByRole('table', { name: /^4 maps of conv1/ });
  expect(await table.locator('tbody tr').count()).toBe(4);

  await button('Pause').click();
  await read.untilState(/Paused/);
  const step = await read.step();
  await expect.poll(() => page.url()).toContain(`step=${step}`);
  await page.waitForTimeout(500);
  await page.reload();
  await read.untilState(/Paused/);
  expect(await read.step()).toBe(step);
  await expect.poll(() => header.innerText()).toContain('small-edited');

  await expect.poll(() => button('Download').isEnabled(), { timeout: 30_000 }).toBe(true);
  await button('Download').click();
  const command = await page.getByTestId('command').innerText();
  const spec = JSON.parse(/network\.json <<'END'\n(.*?)\nEND/s.exec(command)?.[1] ?? '') as {
    name: string;
    layers: { type: string; rate?: number; out_channels?: number }[];
  };
  expect(spec.name).toBe('small-edited');
  expect(spec.layers[0]?.out_channels).toBe(4);
  expect(spec.layers.find(({ type }) => type === 'dropout')?.rate).toBe(0.25);
  expect(command).toContain(
    'espalier train --data synthetic:6000 --model network.json --epochs 900 --batch 64 --lr 0.05',
  );
  expect(await page.getByTestId('snippet').innerText()).toContain('"rate": 0.25');
});

test('the snippet trains the edited network to the same file, byte for byte', async () => {
  const network = 'a:conv,kernel=5,out_channels=3,stride=2;b:relu;c:dense,units=classes';
  const other = await openPlayground({ hash: `#kernels=plain&epochs=1&network=${network}` });
  // Below the project, where Node finds the package.
  const folder = await mkdtemp(join(repository, 'build/network-'));
  try {
    const { page, read } = other;
    await read.untilState(/Trained/);
    await settled(page);
    await page.getByRole('button', { name: 'Download' }).click();
    const row = page.getByRole('button', { name: 'Download Compact file, .espalier' });
    const [download] = await Promise.all([page.waitForEvent('download'), row.click()]);
    await writeFile(join(folder, 'recipe.mjs'), await page.getByTestId('snippet').innerText());
    await promisify(execFile)(process.execPath, ['recipe.mjs'], { cwd: folder });
    const made = await readFile(join(folder, download.suggestedFilename()));
    expect(made.equals(await readFile(await download.path()))).toBe(true);
    expect(other.problems).toEqual([]);
  } finally {
    await other.close();
    await rm(folder, { recursive: true, force: true });
  }
});

test('a saved network that is no preset is edited and started anew when it is loaded', async () => {
  const { page, read } = playground;
  await layerButton('conv2').click();
  await button('Remove conv2').click();
  await button('Start with this network').click();
  const header = page.locator('header dl').first();
  await expect.poll(() => header.innerText()).toContain('small-edited');
  await expect.poll(() => read.step()).toBeGreaterThan(0);
  const [download] = await Promise.all([page.waitForEvent('download'), button('Save model').click()]);
  const buffer = await readFile(await download.path());
  await button('Back to small').click();
  await button('Start with this network').click();
  await expect.poll(shapes).toContain('conv2 16 × 14 × 14');

  const file = { name: 'mine.safetensors', mimeType: 'application/octet-stream', buffer };
  await page.getByTestId('model-file').setInputFiles(file);
  await read.untilState(/Loaded/);
  const without = small.filter((name) => name !== 'conv2');
  expect(await names()).toEqual(without);
  await expect.poll(() => page.url()).toContain('pool1:max_pool,');
  await add('tanh', 'pool1');
  await button('Start with this network').click();
  await read.untilState(/Training/);
  await expect.poll(shapes).toContain('tanh1 8 × 14 × 14');
});

test('an epoch ends where it should, by button and by key', async () => {
  const { page, read } = playground;
  await button('Pause').click();
  await read.untilState(/Paused/);
  const perEpoch = await stepsOfAnEpoch();
  const before = await read.step();
  await button('One epoch').click();
  const end = (Math.floor(before / perEpoch) + 1) * perEpoch;
  await expect.poll(() => read.step()).toBe(end);
  await read.untilState(/Paused/);
  expect(await read.text('epoch')).toMatch(new RegExp(`^${end / perEpoch}\\.0 of 900`));
  await page.locator('body').press('e');
  await expect.poll(() => read.step()).toBe(end + perEpoch);
  await read.untilState(/Paused/);
  // From a running training, too.
  await button('Resume').click();
  await expect.poll(() => read.step()).toBeGreaterThan(end + perEpoch);
  await page.locator('body').press('e');
  await read.untilState(/Paused/);
  expect((await read.step()) % perEpoch).toBe(0);
});

test('every curve has a table, the gradient norm too', async () => {
  const { page } = playground;
  for (const [title, columns] of [
    ['Loss', 3],
    ['Accuracy', 3],
    ['Gradient norm', 2],
  ] as const) {
    await page.getByRole('img', { name: new RegExp(`^${title} over epochs, now [\\d.]+`) }).waitFor();
    const table = page.getByRole('table', { name: `${title} over epochs` });
    await table.waitFor({ state: 'attached', timeout: 30_000 });
    const cells = await table.locator('tbody tr').first().locator('th, td').allInnerTexts();
    expect(cells).toHaveLength(columns);
    expect(Number.parseFloat(cells[1] ?? '')).toBeGreaterThan(0);
  }
});

/** The page trains on the built-in digits that are not kept back, 64 at a time. */
async function stepsOfAnEpoch(): Promise<number> {
  await playground.page.getByRole('button', { name: 'Change data' }).click();
  const text = await playground.page.getByText(/^In use: [\d,]+ training/).innerText();
  await playground.page.keyboard.press('Escape');
  return Math.ceil(Number(/In use: ([\d,]+)/.exec(text)?.[1]?.replace(',', '')) / 64);
}
