// What is loaded before a network learns, and that this is all it needs.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterEach, expect, test } from 'vitest';
import { openBrowser, type Opened } from './browser';
import { Reader, settled } from './playground';
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

const secondFile = /\.deferred-.*\.wasm$/;
/** The page asks for these when its network learns. */
const later = /^assets\/(Curves|Panel|BelowTheWall)-/;

const kilobytes = (names: string[]) =>
  names.reduce((sum, name) => sum + gzipSync(readFileSync(join(built, name)), { level: 9 }).length / 1024, 0);

test('a network learns from at most 300 KB gzipped, before the second file of the engine is there', async () => {
  site = await serve({ held: secondFile });
  opened = await openBrowser();
  const { page } = opened;
  const read = new Reader(page);
  await page.goto(`${site.url}#epochs=900`);
  await expect.poll(() => read.step(), { timeout: 30_000 }).toBeGreaterThan(0);

  const asked = [...new Set(site.asked)];
  const isLater = (name: string) => later.test(name) || secondFile.test(name);
  const first = asked.filter((name) => !isLater(name));
  expect(first.filter((name) => name.endsWith('.wasm'))).toHaveLength(1);
  expect(asked.some((name) => secondFile.test(name))).toBe(true);
  await page.getByTestId('wall').waitFor();
  const size = kilobytes(first);
  console.log(`${size.toFixed(1)} KB gzipped in ${first.length} files until a network learns`);
  console.log(`${kilobytes([...new Set(site.asked)].filter(isLater)).toFixed(1)} KB gzipped while it learns`);
  expect(size).toBeLessThanOrEqual(300);

  site.release();
  await settled(page);
});
