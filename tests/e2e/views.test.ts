// The views below the wall: what they show is what is in both networks, and their measurements can be loaded.

import { readFileSync } from 'node:fs';
import type { Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { violations } from './axe';
import { longestTask } from './main-thread';
import { openPlayground, settled, type Playground } from './playground';

let playground: Playground;
beforeAll(async () => {
  playground = await openPlayground({ hash: '#epochs=3&right=prune,sparsity=0.7;quantize,weights=3' });
  await playground.read.untilState(/Trained/, 60_000);
  await settled(playground.page);
}, 120_000);
// Each with its sentence, and nothing that axe finds.
afterEach(async () => {
  expect((await view().locator('p').first().innerText()).length).toBeGreaterThan(40);
  expect(await violations(playground.page)).toEqual([]);
});
afterAll(async () => {
  await playground.close();
  expect(playground.problems).toEqual([]);
});

/** Of a picture: its width, and the share of it that is not its background. */
const look = (page: Page, png: Buffer) =>
  page.evaluate(
    async (bytes) => {
      const bitmap = await createImageBitmap(new Blob([Uint8Array.from(bytes)], { type: 'image/png' }));
      const canvas = new OffscreenCanvas(bitmap.width, bitmap.height);
      const context = canvas.getContext('2d')!;
      context.drawImage(bitmap, 0, 0);
      const pixels = new Uint32Array(context.getImageData(0, 0, bitmap.width, bitmap.height).data.buffer);
      const marked = pixels.filter((pixel) => pixel !== pixels[0]).length / pixels.length;
      return { width: bitmap.width, marked };
    },
    [...png],
  );
const view = () => playground.page.getByTestId('view');
const choose = (title: string) => playground.page.getByRole('tab', { name: title }).click();
const cells = async (caption: RegExp) => {
  const table = view().getByRole('table', { name: caption });
  await table.waitFor({ state: 'attached' });
  return table
    .locator('tbody tr')
    .evaluateAll((rows) => rows.map((row) => [...row.children].map((cell) => cell.textContent.trim())));
};

test('every view is saved as a picture of what it shows', async () => {
  const { page } = playground;
  for (const tab of await page
    .getByRole('tablist', { name: 'Inside both networks' })
    .getByRole('tab')
    .all()) {
    await tab.click();
    const title = await tab.innerText();
    const picture = page.getByRole('button', { name: `Picture ${title}` });
    const [download] = await Promise.all([page.waitForEvent('download'), picture.click()]);
    expect(download.suggestedFilename()).toMatch(/^espalier-small-\w+\.png$/);
    const { width, marked } = await look(page, readFileSync(await download.path()));
    expect(width, title).toBeGreaterThan(2 * 300);
    // Text at least.
    expect(marked, title).toBeGreaterThan(0.003);
  }
  await choose('Filters');
});

test('tabs are reached by arrow keys', async () => {
  const { page } = playground;
  await page.getByRole('tab', { name: 'Filters' }).focus();
  await page.keyboard.press('ArrowLeft');
  await page.getByRole('tab', { name: 'Trade-offs', selected: true }).waitFor();
  await page.keyboard.press('ArrowRight');
  await page.getByRole('tab', { name: 'Filters', selected: true }).waitFor();
});

test('the filters of both networks are shown, and the table says which weights are pruned', async () => {
  const left = await cells(/^Filters, Original/);
  const right = await cells(/^Filters, 70 % pruned/);
  expect(left.map((row) => row[3])).toEqual(Array(8).fill('9 / 9'));
  expect(right).toHaveLength(8);
  expect(right.some((row) => row[3] !== '9 / 9')).toBe(true);
});

test('three bits leave at most eight values to each channel', async () => {
  await choose('Weights');
  await view().getByTestId('levels').waitFor();
  expect(await playground.read.number('levels')).toBeLessThanOrEqual(8 * 8);
  const rows = await cells(/^Weights, conv1/);
  expect(rows.length).toBeGreaterThan(10);
  const sum = (column: number) => rows.reduce((total, row) => total + Number(row[column]), 0);
  expect([sum(1), sum(2)]).toEqual([72, 72]);
  await view().getByRole('combobox', { name: 'Layer' }).selectOption('fc.weight');
  expect((await cells(/^Weights, fc/)).reduce((total, row) => total + Number(row[1]), 0)).toBe(7840);
});

test('a mask counts what pruning has left, row by row', async () => {
  await choose('Masks');
  // Its name is there before its weights are.
  await view().getByTestId('view-left').locator('h3').filter({ hasText: '100.0 % kept' }).waitFor();
  const kept = (await cells(/^Masks, .* 70 % pruned/)).map((row) => parseInt(row[1] ?? ''));
  expect(kept).toHaveLength(8);
  expect(Math.min(...kept)).toBeLessThan(9);
});

test('layers are shown as they run, with their time', async () => {
  await choose('Layers');
  const rows = view().locator('tbody tr');
  await expect.poll(() => rows.count()).toBe(3);
  await expect.poll(() => rows.first().locator('td').nth(4).innerText()).toMatch(/^[\d.]+/);
});

test('each layer’s sensitivity is what its own compression costs', async () => {
  const costs = () =>
    view()
      .locator('tbody tr')
      .evaluateAll((rows) => rows.map((row) => row.children[6]!.textContent.trim()));
  expect(await costs()).toEqual(['–', '–', '–']);
  await view().getByRole('button', { name: 'Measure sensitivity' }).click();
  await expect.poll(async () => (await costs()).includes('–'), { timeout: 20_000 }).toBe(false);
  const points = (await costs()).map((text) => Number(text.replace('−', '-')));
  expect(Math.min(...points)).toBeLessThan(0);
  // Of this compression alone: of another there are none yet, and going back brings them again.
  const pruning = playground.page.locator('[data-kind=prune]').getByRole('checkbox').first();
  await pruning.uncheck();
  await settled(playground.page);
  expect(await costs()).toEqual(['–', '–', '–']);
  await pruning.check();
  await settled(playground.page);
  expect((await costs()).map((text) => Number(text.replace('−', '-')))).toEqual(points);
});

test('calibration shows the ranges of all methods, and dragging an end the error live', async () => {
  const { page } = playground;
  await choose('Calibration');
  const rows = view().locator('tbody tr');
  await expect.poll(() => rows.count(), { timeout: 20_000 }).toBe(4);
  await view().getByText('in 128 training images').waitFor();
  const row = async (name: string) => {
    const texts = await rows.filter({ hasText: name }).locator('td').allInnerTexts();
    const [, high = NaN] = /to ([\d.e-]+)/.exec(texts[0] ?? '') ?? [];
    const [clipping = NaN, rounding = NaN, sum = NaN] = texts.slice(2).map(parseFloat);
    return { high: Number(high), clipping, rounding, sum };
  };
  const [all, least] = [await row('min-max'), await row('mse')];
  // Nothing is clipped, and no range has less error than the one that was searched for it.
  expect(all.clipping).toBe(0);
  // Rounding of evenly spread numbers costs a twelfth of the squared step; half of these are 0, which costs nothing.
  expect(all.rounding).toBeGreaterThan(0);
  expect(all.rounding).toBeLessThan((all.high / 255) ** 2 / 12);
  for (const method of ['min-max', 'percentile', 'entropy'])
    expect(least.sum).toBeLessThanOrEqual((await row(method)).sum * 1.02);
  expect(await rows.filter({ hasText: 'in use' }).innerText()).toMatch(/^mse/);

  const end = view().getByRole('slider', { name: 'Upper end of the range' });
  await end.press('Home');
  await expect.poll(() => rows.count()).toBe(5);
  const own = await row('your range');
  expect(own.high).toBeLessThan(all.high / 100);
  expect(own.clipping).toBeGreaterThan(100 * least.sum);
  expect(await end.getAttribute('aria-valuetext')).toMatch(/mean squared error [\d.e-]+$/);
  // The engine quantizes with it.
  const accuracy = () => playground.read.number('accuracy');
  await settled(page);
  const clipped = await accuracy();
  expect(page.url()).toMatch(/ranges=relu1:0:[\d.e-]+/);
  const box = await view()
    .getByRole('img', { name: /^Calibration/ })
    .boundingBox();
  const grip = await end.boundingBox();
  await page.mouse.move(grip!.x + grip!.width / 2, grip!.y + grip!.height / 2);
  await page.mouse.down();
  await page.mouse.move(box!.x + 0.9 * box!.width, grip!.y + 20, { steps: 6 });
  await page.mouse.up();
  await settled(page);
  expect((await row('your range')).high).toBeCloseTo(0.9 * all.high, 1);
  expect(await accuracy()).toBeGreaterThan(clipped + 10);
  await view().getByRole('button', { name: 'Back to the measured range' }).click();
  await expect.poll(() => rows.count()).toBe(4);
  expect(page.url()).not.toContain('ranges=');
  await settled(page);
});

test('the difference of the confusion matrices has no sum: every image is still answered', async () => {
  await choose('Confusion');
  const sum = (rows: string[][]) => rows.reduce((total, row) => total + Number(row[2]), 0);
  expect(sum(await cells(/^Confusion, Original/))).toBe(1000);
  expect(sum(await cells(/^Confusion, 70 %/))).toBe(1000);
  expect(sum(await cells(/^Confusion, Difference/))).toBe(0);
});

test('sensitivity measures every layer at every width', async () => {
  await choose('Sensitivity');
  await view().getByRole('button', { name: 'Measure' }).click();
  await expect
    .poll(async () => (await cells(/^Sensitivity/)).flat().filter((text) => text === '–').length, {
      timeout: 60_000,
    })
    .toBe(0);
  const rows = await cells(/^Sensitivity/);
  expect(rows.map(([layer]) => layer)).toEqual(['conv1', 'conv2', 'fc']);
  const [eight, one] = [rows.map((row) => parseFloat(row[1]!)), rows.map((row) => parseFloat(row[7]!))];
  expect(Math.min(...eight)).toBeGreaterThan(Math.min(...one));
});

test(
  'a sweep goes on where it was stopped, and a point of it is loaded on the right',
  { timeout: 180_000 },
  async () => {
    const { page, read } = playground;
    await choose('Trade-offs');
    await view().getByRole('button', { name: 'Explore' }).click();
    const front = view().getByTestId('front').getByRole('button');
    const points = async () =>
      (await view().locator('table').count()) === 0 ? 0 : (await cells(/^Validation accuracy/)).length;
    await expect.poll(points, { timeout: 60_000 }).toBeGreaterThan(2);
    await view().getByRole('button', { name: 'Stop' }).click();
    const { cpuMs, wallMs } = await longestTask(page, async () => {
      await view().getByRole('button', { name: 'Explore' }).click();
      await expect.poll(points, { timeout: 120_000 }).toBe(25);
      await view().getByRole('button', { name: 'Explore' }).waitFor({ timeout: 60_000 });
    });
    console.log(
      `longest task while sweeping: ${cpuMs.toFixed(1)} ms of work, ${wallMs.toFixed(1)} ms from begin to end`,
    );
    expect(cpuMs).toBeLessThan(50);
    const text = await front.first().innerText();
    await front.first().click();
    await settled(page);
    expect(`${await read.text('right-name')}:`).toContain(text.split(':')[0]);
  },
);
