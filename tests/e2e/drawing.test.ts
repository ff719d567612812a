import { afterEach, beforeEach, expect, test } from 'vitest';
import { draw, openPlayground, settled, type Playground } from './playground';

let playground: Playground;
beforeEach(async () => {
  playground = await openPlayground({ hash: '#epochs=12' });
  await playground.read.untilState(/Trained/);
});
afterEach(async () => {
  await playground.close();
  expect(playground.problems).toEqual([]);
});

test('every stroke moves the probabilities', async () => {
  const { page, read } = playground;
  await page
    .getByRole('button', { name: /^Test image \d+: 8/ })
    .first()
    .click();
  await page.waitForTimeout(500);
  const before = await read.probabilities();
  expect(before).toHaveLength(10);
  await draw(page, [
    [0.5, 0.2],
    [0.5, 0.8],
  ]);
  await expect.poll(() => read.probabilities()).not.toEqual(before);
  const afterFirst = await read.probabilities();
  expect(afterFirst.reduce((sum, value) => sum + value, 0)).toBeCloseTo(100, -0.5);
  await draw(page, [
    [0.2, 0.5],
    [0.8, 0.5],
    [0.8, 0.8],
  ]);
  await expect.poll(() => read.probabilities()).not.toEqual(afterFirst);
});

test('a drawn one is taken for a one, wherever and however large it is drawn', async () => {
  const { page } = playground;
  for (const [x, top, bottom] of [
    [0.5, 0.15, 0.85],
    [0.2, 0.1, 0.4],
    [0.8, 0.55, 0.9],
  ] as const) {
    await page
      .getByRole('button', { name: 'Clear' })
      .or(page.getByText('draw here'))
      .first()
      .click({ force: true });
    await draw(page, [
      [x + 0.02, top],
      [x, bottom],
    ]);
    const best = page.getByTestId('probabilities').locator('li.best .name');
    await expect.poll(() => best.innerText()).toBe('1');
  }
});

test('a chosen test image and layer show in the feature maps', async () => {
  const { page } = playground;
  await page.getByRole('button', { name: /^Test image 5:/ }).click();
  await page.getByRole('button', { name: /^pool2/ }).click();
  await page.getByRole('img', { name: /16 maps of pool2, 7 × 7/ }).waitFor();
});

test('once it is compressed, both networks answer each stroke as their files run', async () => {
  const { page, read } = playground;
  const others = async () =>
    (await page.getByTestId('probabilities').locator('.other').allInnerTexts()).map(parseFloat);
  expect(await others()).toEqual([]);
  // A single bit answers the same to everything.
  const bits = page.locator('[data-kind=quantize]').getByRole('slider', { name: 'Bits' });
  await bits.press('End');
  await settled(page);
  await expect.poll(async () => (await others()).length).toBe(10);
  expect(await others()).not.toEqual(await read.probabilities());
  for (const key of ['ArrowLeft', 'ArrowLeft']) await bits.press(key);
  await settled(page);
  expect(await page.getByTestId('both-names').innerText()).toMatch(/Original[^]*3 bits/);
  const before = { left: await read.probabilities(), right: await others() };
  await draw(page, [
    [0.3, 0.2],
    [0.7, 0.2],
    [0.5, 0.8],
  ]);
  await expect.poll(others).not.toEqual(before.right);
  await expect.poll(() => read.probabilities()).not.toEqual(before.left);
  expect((await others()).reduce((sum, one) => sum + one, 0)).toBeCloseTo(100, 0);
});
