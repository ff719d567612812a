// The first minute with the keyboard alone: everything is reached by Tab, what has the focus is seen, and nothing keeps it.

import type { Page } from 'playwright-core';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { openPlayground, settled, type Playground } from './playground';

let playground: Playground;
beforeEach(async () => {
  playground = await openPlayground({ hash: '#epochs=900' });
  await expect.poll(() => playground.read.step()).toBeGreaterThan(0);
  await playground.page.locator('.details').getByRole('button', { name: 'Save model' }).waitFor();
});
afterEach(async () => {
  await playground.close();
  expect(playground.problems).toEqual([]);
});

interface Focused {
  role: string;
  name: string;
  /** An outline, inside the window, and not all below header or footer. */
  isSeen: boolean;
}

/** What has the focus; undefined: the page itself. */
const focused = (page: Page): Promise<Focused | undefined> =>
  page.evaluate(() => {
    const element = document.activeElement;
    if (!element || element === document.body) return undefined;
    const { left, top, right, bottom, width, height } = element.getBoundingClientRect();
    const isInside = bottom > 0 && right > 0 && top < innerHeight && left < innerWidth;
    const shares = [1 / 6, 1 / 2, 5 / 6];
    // Something may lie on a part of it, as the divider does on the wall.
    const isFree = shares.some((across) =>
      shares.some((down) => {
        const above = document.elementFromPoint(left + across * width, top + down * height);
        return element.contains(above) || Boolean(above?.contains(element));
      }),
    );
    const { outlineStyle, outlineWidth } = getComputedStyle(element);
    const hasOutline = outlineStyle !== 'none' && parseFloat(outlineWidth) > 0;
    const labels = (element as HTMLInputElement).labels;
    const name =
      element.getAttribute('aria-label') ??
      (labels?.length ? [...labels].map((label) => label.textContent).join(' ') : element.textContent);
    return {
      role: element.getAttribute('role') ?? element.tagName.toLowerCase(),
      name: (name ?? '').replace(/\s+/g, ' ').trim(),
      isSeen: hasOutline && width > 0 && height > 0 && isInside && isFree,
    };
  });

const most = 300;

/** Presses Tab until something of this name has the focus. */
async function tabTo(name: RegExp | string, key = 'Tab'): Promise<Focused> {
  const { page } = playground;
  const passed: string[] = [];
  for (let i = 0; i < most; ++i) {
    await page.keyboard.press(key);
    const now = await focused(page);
    if (!now) continue;
    if (typeof name === 'string' ? now.name === name : name.test(now.name)) {
      expect(now.isSeen, `${now.name} is seen`).toBe(true);
      return now;
    }
    passed.push(now.name);
  }
  throw new Error(`${String(name)} is not reached by ${key}; passed: ${passed.slice(0, 80).join(' | ')}`);
}

test('Tab goes through the whole page and round again, and what has the focus is always seen', async () => {
  const { page } = playground;
  const seen: Focused[] = [];
  await page.keyboard.press('Tab');
  const first = await focused(page);
  for (let i = 0; i < most; ++i) {
    const now = await focused(page);
    if (i > 0 && (!now || now.name === first?.name)) break;
    if (now) seen.push(now);
    await page.keyboard.press('Tab');
  }
  expect(seen.length).toBeGreaterThan(60);
  expect(seen.length).toBeLessThan(most);
  expect(seen.filter(({ isSeen }) => !isSeen)).toEqual([]);
  expect(seen.filter(({ name }) => name === '')).toEqual([]);
  const names = seen.map(({ name }) => name).join('\n');
  for (const wanted of [
    /^Pause/m,
    /^Step$/m,
    /^Divider/m,
    /^Sparsity$/m,
    /^Bits$/m,
    /^Heal$/m,
    /^Filters$/m,
    /^Share link$/m,
    /^Download$/m,
  ])
    expect(names).toMatch(wanted);
  // And backwards.
  await tabTo('Download', 'Shift+Tab');
  await tabTo('Share link', 'Shift+Tab');
});

test('pause, step, prune, quantize, heal, undo', { timeout: 120_000 }, async () => {
  const { page, read } = playground;
  await tabTo(/^Pause/);
  await page.keyboard.press('Space');
  await read.untilState(/Paused/);
  const step = await read.step();
  await tabTo('Step');
  await page.keyboard.press('Enter');
  await expect.poll(() => read.step()).toBe(step + 1);
  await settled(page);
  const before = await read.number('bytes');

  await tabTo('Sparsity');
  for (let i = 0; i < 5; ++i) await page.keyboard.press('PageUp');
  await tabTo('Bits');
  for (let i = 0; i < 5; ++i) await page.keyboard.press('ArrowRight');
  await settled(page);
  expect(await read.text('right-name')).toMatch(/^Right: \d+ % pruned, 4 bits/);
  expect(await read.number('bytes')).toBeLessThan(before / 5);
  const hurt = await read.number('accuracy');

  await tabTo('Heal');
  await page.keyboard.press('Enter');
  await page.locator('[data-kind=heal]').waitFor();
  await page.getByTestId('heal-curve').waitFor({ timeout: 20_000 });
  await page.getByTestId('heal-curve').waitFor({ state: 'detached', timeout: 60_000 });
  await settled(page);
  expect(await read.number('accuracy')).not.toBe(hurt);
  await page.keyboard.press('Control+z');
  await page.locator('[data-kind=heal]').waitFor({ state: 'detached' });
  await expect.poll(() => read.number('accuracy')).toBe(hurt);
  await page.keyboard.press('Control+Shift+z');
  await page.locator('[data-kind=heal]').waitFor();
});

test('every view, an image of the wall, a test image', async () => {
  const { page, read } = playground;
  await page.keyboard.press('Space');
  await read.untilState(/Paused/);
  await settled(page);
  await tabTo('Filters');
  const titles = await page.getByRole('tab').allInnerTexts();
  for (const title of [...titles.slice(1), titles[0] ?? '']) {
    await page.keyboard.press('ArrowRight');
    expect(await focused(page)).toMatchObject({ role: 'tab', name: title, isSeen: true });
    await page.getByRole('tab', { name: title, selected: true }).waitFor();
  }

  await tabTo(/^Test image 1, .*Open it\.$/);
  await page.keyboard.press('ArrowRight');
  expect((await focused(page))?.name).toMatch(/^Test image 2, /);
  await page.keyboard.press('Enter');
  await page.getByRole('heading', { name: /^Test image 2: \d/ }).waitFor();
  // Inside the dialog and nowhere else.
  for (let i = 0; i < 12; ++i) {
    await page.keyboard.press('Tab');
    const isInside = await page.evaluate(
      () => document.activeElement === document.body || Boolean(document.activeElement?.closest('dialog')),
    );
    expect(isInside).toBe(true);
  }
  await page.keyboard.press('Escape');
  await page.getByRole('heading', { name: /^Test image 2: \d/ }).waitFor({ state: 'hidden' });
  expect((await focused(page))?.name).toMatch(/^Test image/);

  const { name } = await tabTo(/^Test image 3: /);
  await page.keyboard.press('Enter');
  await page.getByRole('button', { name, pressed: true }).waitFor();
  await expect
    .poll(() => page.getByTestId('probabilities').innerText())
    .toContain(name.replace('Test image 3: ', ''));
});

test('a file, a link, help', async () => {
  const { page, read, context } = playground;
  await context.grantPermissions(['clipboard-read', 'clipboard-write']);
  await page.keyboard.press('Space');
  await read.untilState(/Paused/);
  await settled(page);
  await tabTo('Download');
  await page.keyboard.press('Enter');
  await page.getByRole('heading', { name: 'Take it with you' }).waitFor();
  await tabTo(/^Download Compact file/);
  const [download] = await Promise.all([page.waitForEvent('download'), page.keyboard.press('Enter')]);
  expect(download.suggestedFilename()).toBe('espalier-small.espalier');
  await page.keyboard.press('Escape');
  expect(await focused(page)).toMatchObject({ name: 'Download', isSeen: true });

  await tabTo('Share link', 'Shift+Tab');
  await page.keyboard.press('Enter');
  expect(await read.notice()).toContain('The link is on the clipboard');
  expect(await page.evaluate(() => navigator.clipboard.readText())).toBe(page.url());

  await page.keyboard.press('?');
  await page.getByRole('heading', { name: 'Help' }).waitFor();
  await page.keyboard.press('Escape');
  await page.getByRole('heading', { name: 'Help' }).waitFor({ state: 'hidden' });
  expect(await focused(page)).toMatchObject({ name: 'Share link', isSeen: true });
});
