// The Race page, as strict as a host may serve it: Espalier against a peer, on one thread each.

import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import type { BrowserContext, Page } from 'playwright-core';
import { afterEach, describe, expect, test } from 'vitest';
import { contestants } from '../../web/race/src';
import { violations } from './axe';
import { openPlayground, type OpenOptions, type Playground } from './playground';
import { repository } from './server';

let opened: Playground;
afterEach(async () => {
  await opened.close();
});

const training = 'Training, batches of 64';
const inference = 'Inference, 64 images at once';
const oneImage = 'Inference, one image at a time';

/** A race of the small network in which only these run. */
async function openRace(task: string, lanes: string[], options: OpenOptions = {}): Promise<Page> {
  opened = await openPlayground({ path: 'race.html', ...options });
  const { page } = opened;
  await page.getByLabel('Network').selectOption('small');
  await page.getByLabel('What to race').selectOption(task);
  const rows = page.locator('[data-testid^="lane-"]');
  await rows.first().waitFor();
  for (const row of await rows.all()) {
    const box = row.getByRole('checkbox');
    const wanted = lanes.includes((await row.getAttribute('data-testid'))!.replace('lane-', ''));
    if (await box.isEnabled()) await box.setChecked(wanted);
  }
  return page;
}

const lane = (page: Page, id: string) => page.getByTestId(`lane-${id}`);
const start = (page: Page) => page.getByRole('button', { name: 'Start the race' }).click();
const state = (page: Page) => page.getByTestId('state');
const speed = async (page: Page, id: string) =>
  Number((await lane(page, id).getByTestId('speed').innerText()).replaceAll(',', ''));

async function finish(page: Page): Promise<void> {
  await start(page);
  await state(page)
    .filter({ hasText: /^Here / })
    .waitFor({ timeout: 90_000 });
}

test('a race ends with the same losses, two speeds and a ratio', { timeout: 120_000 }, async () => {
  const page = await openRace(training, ['espalier', 'onnxruntime-web-training']);
  expect(opened.problems).toEqual([]);
  await finish(page);
  const [own, peer] = [await speed(page, 'espalier'), await speed(page, 'onnxruntime-web-training')];
  expect(own).toBeGreaterThan(0);
  expect(peer).toBeGreaterThan(0);
  const loss = await lane(page, 'espalier').getByTestId('remark').innerText();
  expect(loss).toMatch(/same loss \d\.\d{4}, \d\.\d{4} after a step/);
  expect(await lane(page, 'onnxruntime-web-training').getByTestId('ratio').innerText()).toMatch(
    /^Espalier [\d.,]+ × as fast$/,
  );
  const [ownRow, , peerRow] = await page.getByTestId('table').locator('tbody tr').allInnerTexts();
  expect(ownRow).toContain('the fastest peer');
  expect(peerRow).toContain(' to ');
  expect(await lane(page, 'onnxruntime-web').getByTestId('remark').innerText()).toBe(
    'Its releases since 1.20 have no gradient kernels.',
  );
  expect(opened.problems).toEqual([]);
});

test('without isolation one thread races, and the row of threads says why it does not', async () => {
  const page = await openRace(inference, ['espalier', 'onnxruntime-web'], { isolated: false });
  await finish(page);
  expect(await speed(page, 'espalier')).toBeGreaterThan(0);
  expect(await speed(page, 'onnxruntime-web')).toBeGreaterThan(0);
  expect(await lane(page, 'espalier-threads').getByTestId('remark').innerText()).toContain('isolates');
  expect(opened.problems).toEqual([]);
});

test('under a strict policy every library infers', { timeout: 180_000 }, async () => {
  const everybody = contestants.map(({ id }) => id);
  const page = await openRace(inference, everybody);
  await finish(page);
  const missing: string[] = [];
  for (const id of everybody) {
    if (!((await speed(page, id)) > 0)) missing.push(`${id}: ${await lane(page, id).innerText()}`);
  }
  expect(missing).toEqual([]);
  expect(opened.problems).toEqual([]);
});

test('a library that cannot train here says so, and the others go on', async () => {
  const page = await openRace(training, ['espalier', 'onnxruntime-web-training', 'tensorflow-wasm']);
  await finish(page);
  expect(await lane(page, 'tensorflow-wasm').getByTestId('remark').innerText()).toMatch(/^\S.*\.$/);
  expect(await speed(page, 'onnxruntime-web-training')).toBeGreaterThan(0);
});

/**
 * How many cores the pages keep busy. Chromium may list an ended worker for long, so their number says nothing of what
 * still computes.
 */
async function load(context: BrowserContext): Promise<number> {
  const session = await context.browser()!.newBrowserCDPSession();
  const seconds = async () => {
    const { processInfo } = await session.send('SystemInfo.getProcessInfo');
    return processInfo
      .filter(({ type }) => type === 'renderer')
      .reduce((sum, { cpuTime }) => sum + cpuTime, 0);
  };
  const before = await seconds();
  await new Promise((resolve) => setTimeout(resolve, 500));
  const after = await seconds();
  await session.detach();
  return (after - before) / 0.5;
}

describe('stopping', () => {
  for (const how of ['the button', 'Escape'] as const) {
    test(`${how} ends a race while it loads and while it computes`, async () => {
      const page = await openRace(training, ['espalier', 'convnetjs']);
      for (const moment of [/^Checking/, /^Racing/]) {
        await start(page);
        await state(page).filter({ hasText: moment }).waitFor();
        if (how === 'Escape') await page.keyboard.press('Escape');
        else await page.getByRole('button', { name: 'Stop' }).click();
        await state(page).filter({ hasText: 'Stopped.' }).waitFor({ timeout: 1000 });
        await expect.poll(() => load(opened.context)).toBeLessThan(0.2);
      }
      expect(opened.problems).toEqual([]);
    });
  }
});

test('what was measured can be copied as JSON', async () => {
  const page = await openRace(oneImage, ['espalier']);
  await opened.context.grantPermissions(['clipboard-read', 'clipboard-write']);
  await start(page);
  await state(page).filter({ hasText: 'Done.' }).waitFor();
  await page.getByRole('button', { name: 'Copy as JSON' }).click();
  await page.getByText('Copied.').waitFor();
  const report = JSON.parse(await page.evaluate(() => navigator.clipboard.readText()));
  const [own] = report.contestants;
  expect(own).toMatchObject({ id: 'espalier', threads: 1 });
  expect(own.samples.length).toBeGreaterThan(3);
  expect(own.low).toBeLessThanOrEqual(own.median as number);
  const shown = await lane(page, 'espalier').getByTestId('remark').innerText();
  expect(shown).toContain(`same loss ${(own.losses[0] as number).toFixed(4)}`);
});

describe('axe finds nothing, and nothing is wider than the window', () => {
  for (const [colorScheme, width] of [
    ['light', 1440],
    ['dark', 390],
  ] as const) {
    test(`${colorScheme}, ${width} wide`, async () => {
      const page = await openRace(oneImage, ['espalier', 'onnxruntime-web'], {
        colorScheme,
        width,
        reducedMotion: 'reduce',
      });
      expect(await violations(page)).toEqual([]);
      await finish(page);
      expect(await violations(page)).toEqual([]);
      expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBeLessThanOrEqual(width);
    });
  }
});

test('the playground links to the race, loads nothing of it, and is linked from it', async () => {
  opened = await openPlayground();
  const { page, read } = opened;
  await read.untilState(/Training/);
  const names: string[] = await page.evaluate(() =>
    performance.getEntriesByType('resource').map(({ name }) => name.split('/').at(-1)!),
  );
  const assets = join(repository, 'build/web/assets');
  const peers = /onnxruntime|tensorflow|tfjs|convnetjs|jax-js/i;
  const scripts = names.filter((name) => name.endsWith('.js') && name !== 'theme.js');
  expect(scripts.length).toBeGreaterThan(1);
  for (const name of scripts) expect(readFileSync(join(assets, name), 'utf8')).not.toMatch(peers);
  // The libraries are in the built page all the same, so their absence above says something.
  const built = readdirSync(assets).filter((name) => name.endsWith('.js'));
  expect(built.some((name) => peers.test(readFileSync(join(assets, name), 'utf8')))).toBe(true);
  await page.getByRole('link', { name: 'Race' }).click();
  await page.getByRole('heading', { name: 'Race', level: 1 }).waitFor();
  await page.getByRole('link', { name: 'Playground' }).click();
  await read.untilState(/Training/);
  expect(opened.problems).toEqual([]);
});
