// The first minute of somebody new, and the link at its end.

import { afterEach, expect, test } from 'vitest';
import { openBrowser } from './browser';
import { draw, openPlayground, Reader, settled, type Playground } from './playground';

let playground: Playground;
afterEach(async () => {
  await playground.close();
  expect(playground.problems).toEqual([]);
});

const open = async (hash: string) => {
  playground = await openPlayground({ hash });
  await playground.context.grantPermissions(['clipboard-read', 'clipboard-write']);
  return playground;
};
const slider = (name: string) => playground.page.getByRole('slider', { name });
const guideSays = (text: RegExp) => playground.page.getByTestId('guide').filter({ hasText: text }).waitFor();

test('the guide follows what is done, ends with a link, and is not seen again', async () => {
  const { page, read } = await open('#epochs=6');
  await read.untilState(/Trained/);
  await guideSays(/Draw a digit/);
  await page.getByRole('button', { name: 'Show me' }).click();
  await draw(page, [
    [0.5, 0.2],
    [0.5, 0.8],
  ]);
  await guideSays(/shrink it/);
  await page.getByRole('button', { name: 'Show me' }).click();
  expect(await slider('Bits').evaluate((bits) => bits === document.activeElement)).toBe(true);
  await page.keyboard.press('End');
  await guideSays(/Prune/);
  await slider('Sparsity').fill('0.5');
  await guideSays(/Heal/);
  await page.getByRole('button', { name: 'Next' }).click();
  await guideSays(/Share/);
  await page.getByRole('button', { name: 'Share link' }).click();
  await page.getByTestId('guide').waitFor({ state: 'detached' });
  await page.reload();
  await read.untilState(/Training|Trained/);
  expect(await page.getByTestId('guide').count()).toBe(0);
});

test('a closed guide stays closed', async () => {
  const { page, read } = await open('#epochs=1');
  await page.getByRole('button', { name: 'Close the guide' }).click();
  await page.reload();
  await read.untilState(/Training|Trained/);
  expect(await page.getByTestId('guide').count()).toBe(0);
});

test('the link of a paused training shows the same network, compressed the same way, in another browser', async () => {
  const { page, read } = await open('#epochs=50&seed=7');
  await expect.poll(() => read.step()).toBeGreaterThan(100);
  await page.getByRole('button', { name: 'Pause' }).click();
  await read.untilState(/Paused/);
  await slider('Sparsity').fill('0.5');
  await slider('Bits').focus();
  for (const key of ['End', 'ArrowLeft', 'ArrowLeft']) await page.keyboard.press(key);
  await settled(page);
  const shown = async (reader: Reader) => ({
    step: await reader.step(),
    hash: await reader.hash(),
    bytes: await reader.number('bytes'),
    accuracy: await reader.number('accuracy'),
    changed: await reader.number('changed'),
  });
  const here = await shown(read);
  await page.getByRole('button', { name: 'Share link' }).click();
  await page.getByTestId('notice').filter({ hasText: 'the same network' }).waitFor();
  const link = await page.evaluate(() => navigator.clipboard.readText());

  const other = await openBrowser();
  try {
    await other.page.goto(link);
    const reader = new Reader(other.page);
    await reader.untilState(/Paused/);
    await settled(other.page);
    expect(await shown(reader)).toEqual(here);
  } finally {
    await other.close();
  }
  expect(other.problems).toEqual([]);
});
