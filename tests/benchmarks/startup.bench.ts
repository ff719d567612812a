// From opening the page to its first training step, with warm caches: the built page in Chromium, a few visits
// that fill the HTTP cache and the code cache, then reloads and new tabs in turn, in the same profile.
// Milliseconds from the start of the navigation, medians and ranges.
//
//   node native/toolchain/run.mjs vitest run --config tests/benchmarks/vitest.config.ts startup
//
// ESPALIER_PAGE names another folder with a built page, to compare with.

import type { Page } from 'playwright-core';
import { expect, it } from 'vitest';
import { openBrowser } from '../e2e/browser';
import { serve } from '../e2e/server';

const warmVisits = 3;
const warmMilliseconds = 6000;
const visits = 12;

interface Visit {
  times: Record<string, number>;
  /** The longest task of the page's own thread; tasks below 50 ms are not told. */
  longestTask: number;
}

/** Runs in the page. */
async function read(): Promise<Visit & { origin: number }> {
  const [navigation] = performance.getEntriesByType('navigation') as PerformanceNavigationTiming[];
  const scripts = (performance.getEntriesByType('resource') as PerformanceResourceTiming[]).filter(
    ({ name }) => name.endsWith('.js'),
  );
  const times: Record<string, number> = {
    'page fetched': navigation?.responseEnd ?? NaN,
    'scripts fetched': Math.max(...scripts.map(({ responseEnd }) => responseEnd)),
  };
  for (const mark of performance.getEntriesByType('mark')) times[mark.name] ??= mark.startTime;
  const tasks = await new Promise<number[]>((resolve) => {
    const observer = new PerformanceObserver((list) =>
      resolve(list.getEntries().map(({ duration }) => duration)),
    );
    observer.observe({ type: 'longtask', buffered: true });
    setTimeout(() => resolve([]), 100);
  });
  return { times, longestTask: Math.max(0, ...tasks), origin: performance.timeOrigin };
}

/** Runs in the worker. */
function readWorker() {
  const binary = performance.getEntriesByType('resource').find(({ name }) => name.endsWith('.wasm'));
  const { startTime = NaN, responseEnd = NaN } = (binary ?? {}) as PerformanceResourceTiming;
  return { origin: performance.timeOrigin, asked: startTime, fetched: responseEnd };
}

async function visit(page: Page): Promise<Visit> {
  await page.waitForFunction(() => performance.getEntriesByName('first step').length > 0, undefined, {
    polling: 50,
  });
  const { origin, times, longestTask } = await page.evaluate(read);
  // Not the threads, which never listen: they wait for work inside the engine.
  const worker = page.workers().find((one) => /\.worker\b/.test(one.url()));
  if (worker) {
    const engine = await worker.evaluate(readWorker);
    times['worker started'] = engine.origin - origin;
    times['binary asked for'] = engine.origin + engine.asked - origin;
    times['binary fetched'] = engine.origin + engine.fetched - origin;
  }
  return { times, longestTask };
}

const median = (values: number[]) => [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? NaN;

it('from opening the page to the first training step', async () => {
  const folder = process.env.ESPALIER_PAGE;
  const site = await serve({ cached: true, ...(folder && { folder }) });
  const { context, page, close } = await openBrowser();
  try {
    for (let i = 0; i < warmVisits; ++i) {
      await page.goto(site.url);
      await page.waitForTimeout(warmMilliseconds);
    }
    const found: Visit[] = [];
    for (let i = 0; i < visits; ++i) {
      // Another seed than before: the training of an earlier visit is not taken up.
      const url = `${site.url}#seed=${i + 2}`;
      if (i % 2 === 0) {
        await page.goto('about:blank');
        await page.goto(url);
        found.push(await visit(page));
        await page.goto('about:blank');
      } else {
        const tab = await context.newPage();
        await tab.goto(url);
        found.push(await visit(tab));
        await tab.close();
      }
    }
    const names = Object.keys(found[0]?.times ?? {});
    const rows = names.map((name) => ({ name, values: found.map(({ times }) => times[name] ?? NaN) }));
    rows.sort((a, b) => median(a.values) - median(b.values));
    console.log('milliseconds after the start of the navigation: median (range)');
    for (const { name, values } of rows) {
      const range = `${Math.min(...values).toFixed(0)} to ${Math.max(...values).toFixed(0)}`;
      console.log(`${name.padEnd(18)} ${median(values).toFixed(0).padStart(6)}   (${range})`);
    }
    const tasks = found.map(({ longestTask }) => longestTask);
    console.log(`longest task of the page, 0 if below 50 ms: ${tasks.map((ms) => ms.toFixed(0)).join(', ')}`);
    expect(found.every(({ times }) => (times['first step'] ?? 0) > 0)).toBe(true);
  } finally {
    await close();
    await site.close();
  }
});
