// The transfer lab: one task learned in four ways after another.

import { afterAll, beforeAll, expect, test } from 'vitest';
import { violations } from './axe';
import { longestTask } from './main-thread';
import { openPlayground, type Playground } from './playground';

const ways = ['From scratch', 'Parameters', 'Frozen convolutions', 'With the source term'];

// One page for all, which trains on meanwhile.
let playground: Playground;
beforeAll(async () => {
  playground = await openPlayground({ hash: '#epochs=1000' });
  await playground.read.untilState(/Training/, 60_000);
  await lab().locator('summary').press('Enter');
  await run().waitFor();
}, 120_000);
afterAll(async () => {
  await playground.close();
  expect(playground.problems).toEqual([]);
});

const lab = () => playground.page.getByRole('region', { name: 'Transfer lab' });
const run = () => lab().getByRole('button', { name: 'Run', exact: true });
const field = (name: string) => lab().getByRole('textbox', { name });
const task = () => lab().getByRole('combobox', { name: 'From and to' });
const verdict = () => lab().getByTestId('lab-verdict');

async function choose(perClass: number, epochs: number): Promise<void> {
  await field('Images of each class').fill(String(perClass));
  await field('Epochs').fill(String(epochs));
}
async function finish(): Promise<void> {
  await run().press('Enter');
  await lab().getByRole('progressbar').waitFor();
  await lab().getByRole('progressbar').waitFor({ state: 'detached', timeout: 60_000 });
}
const textsOf = (name: RegExp) =>
  lab()
    .getByRole('table', { name })
    .locator('tbody tr')
    .evaluateAll((rows) => rows.map((row) => [...row.children].map((cell) => cell.textContent.trim())));
/** Rows: epochs, then the accuracy of each way. */
const curves = () => textsOf(/^Accuracy on the target/);
/** Rows: way, target, source before, source after, forgotten. */
const figures = () => textsOf(/^Test accuracy/);

test('nothing is there before it is opened, and MNIST must be fetched before it is chosen', async () => {
  expect(await lab().locator('canvas').count()).toBe(0);
  await task().selectOption('mnist');
  expect(await run().isDisabled()).toBe(true);
  await lab().getByText('MNIST is not stored in this browser').waitFor();
  await task().selectOption('halves');
  expect(await run().isEnabled()).toBe(true);
});

test('four curves, what was forgotten and a verdict, and the page is never held up', async () => {
  const { page, read } = playground;
  await choose(10, 8);
  const task = await longestTask(page, finish);
  expect(task.cpuMs).toBeLessThan(50);
  await read.untilState(/Paused/);

  const rows = await curves();
  expect(rows.map(([epochs]) => epochs)).toEqual(['0', '1', '2', '4', '8']);
  for (const row of rows) {
    expect(row).toHaveLength(1 + ways.length);
    for (const text of row.slice(1)) expect(text).toMatch(/^[\d.]+ %$/);
  }
  // They learn: better at the end than at the beginning.
  for (let way = 1; way <= ways.length; ++way) {
    expect(parseFloat(rows.at(-1)![way]!)).toBeGreaterThan(parseFloat(rows[0]![way]!));
  }

  const table = await figures();
  expect(table.map(([way]) => way)).toEqual(ways);
  expect(table[0]!.slice(2)).toEqual(['–', '–', '–']);
  const before = /trained on the source alone for 4 epochs: ([\d.]+) %/.exec(
    await read.text('lab-source'),
  )?.[1];
  for (const [, , known, kept, forgotten] of table.slice(1)) {
    expect(parseFloat(known!)).toBe(Number(before));
    expect(parseFloat(known!) - parseFloat(kept!)).toBeCloseTo(parseFloat(forgotten!.replace('−', '-')), 1);
  }
  // What is frozen forgets nothing.
  expect(table[2]![4]).toBe('0.0');

  const sorted = [...table].sort((a, b) => parseFloat(b[1]!) - parseFloat(a[1]!));
  const points = parseFloat(sorted[0]![1]!) - parseFloat(sorted[1]![1]!);
  const said = await verdict().innerText();
  expect(said).toContain(`Best at the target: “${sorted[0]![0]}”`);
  expect(parseFloat(/([\d.]+) points ahead/.exec(said)![1]!)).toBeCloseTo(points, 1);
  expect(await violations(page)).toEqual([]);
});

test('the same seed gives the same figures, and a shorter run the beginning of the curves', async () => {
  const [long, table] = [await curves(), await figures()];
  await finish();
  expect(await curves()).toEqual(long);
  expect(await figures()).toEqual(table);
  await choose(10, 4);
  await finish();
  expect(await curves()).toEqual(long.slice(0, 4));
});

test('L2-SP is a source term too', async () => {
  const rehearsed = await figures();
  await lab().getByRole('combobox', { name: 'Source term' }).selectOption('l2sp');
  await finish();
  const pulled = await figures();
  expect(pulled.slice(0, 3)).toEqual(rehearsed.slice(0, 3));
  expect(pulled[3]).not.toEqual(rehearsed[3]);
});

test('it pauses, goes on, and stops at once; what was measured stays', async () => {
  const { page, read } = playground;
  await choose(200, 64);
  await run().press('Enter');
  await lab().getByTestId('lab-stage').filter({ hasText: 'Stage 2 of 2' }).waitFor({ timeout: 30_000 });
  await expect.poll(async () => (await curves()).filter((row) => row[4] !== '–').length).toBeGreaterThan(2);
  await lab().getByRole('button', { name: 'Pause' }).click();
  await page.waitForTimeout(300);
  const progress = lab().getByRole('progressbar');
  const at = await progress.getAttribute('value');
  await page.waitForTimeout(700);
  expect(await progress.getAttribute('value')).toBe(at);
  await lab().getByRole('button', { name: 'Resume' }).click();
  await expect.poll(() => progress.getAttribute('value')).not.toBe(at);
  const cancelled = Date.now();
  await lab().getByRole('button', { name: 'Cancel' }).click();
  await progress.waitFor({ state: 'detached' });
  expect(Date.now() - cancelled).toBeLessThan(1000);
  expect(await run().isEnabled()).toBe(true);
  const measured = await curves();
  expect(measured.filter((row) => row[4] !== '–').length).toBeGreaterThan(2);
  expect(await verdict().innerText()).toBe('');
  // The engine is free again.
  const step = await read.step();
  await page.getByRole('button', { name: 'Step', exact: true }).click();
  await expect.poll(read.step).toBe(step + 1);
  expect(await curves()).toEqual(measured);
});

test('the network of the page is the source where it knows the digits', async () => {
  await task().selectOption('shapes');
  await choose(5, 2);
  await finish();
  expect(await playground.read.text('lab-source')).toMatch(
    /^The source is the network of this page: [\d.]+ %/,
  );
  expect((await figures()).map(([way]) => way)).toEqual(ways);
});

test('what cannot be run is said', async () => {
  await choose(500, 2);
  await run().press('Enter');
  await lab()
    .getByRole('alert')
    .filter({ hasText: /shapes|class/ })
    .waitFor();
  expect(await run().isEnabled()).toBe(true);
});

test('on a phone in the dark it fits, and axe finds nothing', async () => {
  const { page } = playground;
  await page.emulateMedia({ colorScheme: 'dark' });
  await page.setViewportSize({ width: 390, height: 844 });
  await page.waitForTimeout(300);
  expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBe(390);
  expect(await violations(page)).toEqual([]);
});
