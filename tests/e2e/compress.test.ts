// The wall, the footer and the compress panel.

import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { violations } from './axe';
import { openPlayground, settled, type Playground } from './playground';

// One page for all: each test starts with the same trained network and nothing compressed.
let playground: Playground;
beforeAll(async () => {
  playground = await openPlayground({ hash: '#epochs=3' });
  await playground.read.untilState(/Trained/, 90_000);
}, 120_000);
beforeEach(async () => {
  const { page } = playground;
  const original = page.getByRole('button', { name: 'Original on the left' });
  if (await original.isVisible()) await original.click();
  await page.getByRole('button', { name: 'Start over' }).click();
  await settled(playground.page);
});
afterAll(async () => {
  await playground.close();
  expect(playground.problems).toEqual([]);
});

const card = (kind: string) => playground.page.locator(`[data-kind=${kind}]`);
const slider = (kind: string, name: string) => card(kind).getByRole('slider', { name });
const wall = async () => (await playground.page.getByTestId('wall-picture').getAttribute('aria-label')) ?? '';
const figures = async () => ({
  bytes: await playground.read.number('bytes'),
  accuracy: await playground.read.number('accuracy'),
  changed: await playground.read.number('changed'),
});

/** Moves a slider as the keyboard does, to the end or by steps. */
async function press(kind: string, name: string, ...keys: string[]): Promise<void> {
  await slider(kind, name).focus();
  for (const key of keys) await playground.page.keyboard.press(key);
  await playground.page.waitForTimeout(50);
  await settled(playground.page);
}

test('an uncompressed network is its own equal', async () => {
  expect((await figures()).changed).toBe(0);
  expect(await wall()).toMatch(/0 answers differ/);
  expect(await playground.read.text('left-name')).toContain('Original');
});

test('the bits slider changes file, accuracy, changed answers and the wall', async () => {
  const before = await figures();
  await press('quantize', 'Bits', 'End');
  const after = await figures();
  expect(await playground.read.text('right-name')).toContain('1 bit');
  expect(after.bytes).not.toBe(before.bytes);
  expect(after.changed).toBeGreaterThan(100);
  expect(after.accuracy).toBeLessThan(before.accuracy - 10);
  expect(await wall()).not.toMatch(/ 0 answers differ/);
  await press('quantize', 'Bits', 'Home');
  expect(await figures()).toEqual(before);
});

test('undo and redo restore every figure, by button and by key', async () => {
  const { page } = playground;
  const before = await figures();
  await press('prune', 'Sparsity', 'End');
  const pruned = await figures();
  expect(pruned.changed).toBeGreaterThan(0);
  await page.keyboard.press('Control+z');
  await expect.poll(figures).toEqual(before);
  expect(await slider('prune', 'Sparsity').inputValue()).toBe('0');
  await page.getByRole('button', { name: 'Redo' }).click();
  await expect.poll(figures).toEqual(pruned);
  await page.getByRole('button', { name: 'Undo' }).click();
  await expect.poll(figures).toEqual(before);
});

test('healing a pruned network raises its accuracy, and undo takes it back', async () => {
  const { page } = playground;
  await slider('prune', 'Sparsity').fill('0.9');
  await settled(playground.page);
  const hurt = await figures();
  await page.getByRole('button', { name: 'Heal', exact: true }).click();
  await page.getByTestId('heal-curve').waitFor({ timeout: 20_000 });
  await page.getByTestId('heal-curve').waitFor({ state: 'detached', timeout: 60_000 });
  await settled(playground.page);
  const healed = await figures();
  expect(healed.accuracy).toBeGreaterThan(hurt.accuracy + 3);
  await page.getByRole('button', { name: 'Undo' }).click();
  await expect.poll(figures).toEqual(hurt);
});

test('a switched-off card does nothing, and a removed one is gone', async () => {
  const before = await figures();
  await press('quantize', 'Bits', 'End');
  await card('quantize').getByRole('checkbox', { name: 'Quantize is on' }).uncheck();
  await expect.poll(figures).toEqual(before);
  await card('quantize').getByRole('button', { name: 'Remove Quantize' }).click();
  expect(await card('quantize').count()).toBe(0);
});

test('cards are reordered by keyboard and by dragging', async () => {
  const { page } = playground;
  const order = () =>
    page.getByTestId('card').evaluateAll((cards) => cards.map(({ dataset }) => dataset.kind));
  expect(await order()).toEqual(['prune', 'quantize']);
  await card('prune')
    .getByRole('button', { name: /^Move Prune/ })
    .press('ArrowDown');
  expect(await order()).toEqual(['quantize', 'prune']);
  const grip = await card('prune')
    .getByRole('button', { name: /^Move Prune/ })
    .boundingBox();
  const target = await card('quantize').boundingBox();
  await page.mouse.move(grip!.x + 10, grip!.y + 10);
  await page.mouse.down();
  await page.mouse.move(grip!.x + 10, target!.y + 10, { steps: 6 });
  await page.mouse.up();
  expect(await order()).toEqual(['prune', 'quantize']);
});

test('two compressions can be compared with each other', async () => {
  const { page, read } = playground;
  await press('quantize', 'Bits', 'End');
  await page.getByRole('button', { name: 'Copy to the left side' }).click();
  await expect.poll(async () => (await figures()).changed).toBe(0);
  expect(await read.text('left-name')).toContain('1 bit');
  await page.getByRole('button', { name: 'Original on the left' }).click();
  await expect.poll(async () => (await figures()).changed).toBeGreaterThan(100);
});

test('the address keeps the stack', async () => {
  const { page, read } = playground;
  await slider('prune', 'Sparsity').fill('0.5');
  await press('quantize', 'Bits', 'End', 'ArrowLeft', 'ArrowLeft');
  await expect.poll(() => page.url()).toContain('right=prune,sparsity=0.5;quantize,weights=3');
  await page.reload();
  await read.untilState(/Trained/);
  await settled(playground.page);
  expect(await read.text('right-name')).toBe('Right: 50 % pruned, 3 bits, affine');
});

test('a layer has bits of its own, which the address and the recipe keep', async () => {
  const { page, read } = playground;
  await press('quantize', 'Bits', 'End');
  const coarse = await figures();
  await card('quantize').getByText('More').click();
  await card('quantize').getByRole('combobox', { name: 'fc' }).selectOption('8 bits');
  await settled(page);
  const mixed = await figures();
  expect(mixed.bytes).toBeGreaterThan(coarse.bytes + 4000);
  expect(await read.text('right-name')).toBe('Right: bits by layer, affine');
  await expect.poll(() => page.url()).toContain('right=prune;quantize,weights=1,layerBits=fc:8');
  await page.reload();
  await read.untilState(/Trained/);
  await settled(page);
  expect(await figures()).toEqual(mixed);
  await page.getByRole('button', { name: 'Download' }).click();
  expect(await page.getByTestId('command').innerText()).toContain('"weights": "1,fc=8"');
  await page.keyboard.press('Escape');
  await card('quantize').getByText('More').click();
  await card('quantize').getByRole('combobox', { name: 'fc' }).selectOption('as all');
  await expect.poll(figures).toEqual(coarse);
});

test('what the engine refuses is said on its card', async () => {
  const { page } = playground;
  await press('quantize', 'Bits', 'End');
  await page.getByRole('button', { name: '+ Share' }).click();
  await card('share').getByRole('alert').filter({ hasText: 'quantized already' }).waitFor();
});

test('the divider moves by pointer and by keys', async () => {
  const { page } = playground;
  const divider = page.getByTestId('divider');
  const at = async () => Number(await divider.getAttribute('aria-valuenow'));
  expect(await at()).toBe(50);
  await divider.press('ArrowRight');
  expect(await at()).toBe(55);
  await divider.press('Home');
  expect(await at()).toBe(0);
  const frame = await page.getByTestId('wall').boundingBox();
  await page.mouse.move(frame!.x + 2, frame!.y + frame!.height / 2);
  await page.mouse.down();
  await page.mouse.move(frame!.x + frame!.width * 0.75, frame!.y + 50, { steps: 5 });
  await page.mouse.up();
  expect(await at()).toBeGreaterThan(70);
});

test('an image of the wall shows both networks’ probabilities, and opens with maps and their difference', async () => {
  const { page } = playground;
  await press('quantize', 'Bits', 'End', 'ArrowLeft');
  await page.getByRole('button', { name: /^Choose an image/ }).focus();
  await page.keyboard.press('ArrowRight');
  await page.getByRole('button', { name: /^Test image 2, \d\. Left: \d, [\d.]+ %\. Right: \d/ }).waitFor();
  await page.keyboard.press('Enter');
  await page.getByRole('heading', { name: /^Test image 2: \d/ }).waitFor();
  await page
    .getByRole('img', { name: /^Maps of conv1/ })
    .nth(1)
    .waitFor();
  await page.getByRole('img', { name: /^Difference, conv1/ }).waitFor();
  expect(await violations(page)).toEqual([]);
});
