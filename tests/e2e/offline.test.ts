// After the first visit the page opens without a network, and a new version of it interrupts nothing.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Page } from 'playwright-core';
import { afterEach, expect, test } from 'vitest';
import { openBrowser, type Opened } from './browser';
import { Reader } from './playground';
import { built, serve, type Site } from './server';

let opened: Opened | undefined;
let site: Site | undefined;
afterEach(async () => {
  const problems = opened?.problems ?? [];
  await opened?.close();
  await site?.close();
  opened = site = undefined;
  expect(problems).toEqual([]);
});

/** All files are kept, and the next page of this address comes from them. */
const untilKept = (page: Page) =>
  page.evaluate(() => navigator.serviceWorker.ready.then(({ active }) => active?.scriptURL));

test('without a network the page opens, trains, and keeps its isolation, under any base path', async () => {
  site = await serve();
  opened = await openBrowser();
  const { page, context } = opened;
  await page.goto(`${site.url}#epochs=900`);
  expect(await untilKept(page)).toBe(`${site.url}service-worker.js`);
  await site.close();
  await context.setOffline(true);

  const read = new Reader(page);
  await page.goto('about:blank');
  await page.goto(`${site.url}#epochs=901`);
  await expect.poll(() => read.step(), { timeout: 30_000 }).toBeGreaterThan(0);
  expect(await page.evaluate(() => crossOriginIsolated)).toBe(true);

  // Another engine, whose files the first visit did not need.
  await page.goto('about:blank');
  await page.goto(`${site.url}index.html?kernels=plain&threads=1#epochs=902`);
  await expect.poll(() => read.step(), { timeout: 30_000 }).toBeGreaterThan(0);
  expect(await read.text('engine')).toBe('plain SIMD, 1 thread');
});

test(
  'a new version is told of, and takes nothing over while a tab has the old one open',
  { timeout: 180_000 },
  async () => {
    const worker = readFileSync(join(built, 'service-worker.js'), 'utf8');
    let version = 1;
    site = await serve({ made: { 'service-worker.js': () => `${worker}\n// ${version}` } });
    opened = await openBrowser();
    const { page } = opened;
    await page.goto(`${site.url}#epochs=900`);
    await untilKept(page);
    version = 2;
    await page.goto('about:blank');
    // A short training: browsers look for updates when they have nothing better to do.
    await page.goto(`${site.url}#epochs=1`);
    await page.getByText('A new version is stored').waitFor({ timeout: 120_000 });
    const [waiting, before] = await page.evaluate(async () => {
      const registration = await navigator.serviceWorker.ready;
      return [registration.waiting?.state, registration.active?.state];
    });
    expect([waiting, before]).toEqual(['installed', 'activated']);
  },
);

test('it can be installed: the manifest names icons that are there, in their sizes', async () => {
  site = await serve();
  opened = await openBrowser();
  const { page } = opened;
  await page.goto(site.url);
  const href = await page.locator('link[rel=manifest]').evaluate((link: HTMLLinkElement) => link.href);
  const { start_url, icons } = (await (await page.request.get(href)).json()) as {
    start_url: string;
    icons: { src: string; sizes: string }[];
  };
  expect(new URL(start_url, href).href).toBe(site.url);
  for (const { src, sizes } of icons) {
    const url = new URL(src, href).href;
    const size = await page.evaluate(async (from) => {
      const image = new Image();
      image.src = from;
      await image.decode();
      return `${image.naturalWidth}x${image.naturalHeight}`;
    }, url);
    if (sizes !== 'any') expect(size).toBe(sizes);
  }
});
