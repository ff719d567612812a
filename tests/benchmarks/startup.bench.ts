// From opening the page to its first training step, with warm caches: the built page in Chromium as a visitor has it,
// without a debugger, which costs time of its own. A few visits fill the HTTP cache and the code cache; those that count
// come from another page of the same browser. A script that this server adds to the page reports what the page marked.
// Milliseconds from the start of the navigation, medians and ranges.
//
//   node native/toolchain/run.mjs vitest run --config tests/benchmarks/vitest.config.ts startup
//
// ESPALIER_PAGE names another folder with a built page, to compare with.

import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { findChromium } from '../../native/toolchain/environment.mjs';
import { browserArguments } from '../e2e/browser';
import { serve } from '../e2e/server';

const warmVisits = 4;
const visits = 16;
/** As long as the page takes to be kept for offline use. */
const warmMs = 6000;
const restMs = 1500;

interface Visit {
  /** Of the page's own marks. */
  marks: Record<string, number>;
  /** The longest task of the page's own thread; tasks below 50 ms are not told. */
  longestTask: number;
}

// In the page: reports when the network learns, and goes to the next visit by way of an empty page.
const visitor = `
  let longestTask = 0;
  new PerformanceObserver((list) => {
    for (const { duration } of list.getEntries()) longestTask = Math.max(longestTask, duration);
  }).observe({ type: 'longtask', buffered: true });
  const timer = setInterval(async () => {
    if (performance.getEntriesByName('first step').length === 0) return;
    clearInterval(timer);
    await new Promise((resolve) => setTimeout(resolve, 300));
    const { responseEnd } = performance.getEntriesByType('navigation')[0];
    const marks = { 'page fetched': responseEnd };
    for (const { name, startTime } of performance.getEntriesByType('mark')) marks[name] ??= startTime;
    const response = await fetch('report', { method: 'POST', body: JSON.stringify({ marks, longestTask }) });
    const { next, wait } = await response.json();
    if (next) setTimeout(() => location.replace('rest.html?' + next), wait);
  }, 100);
`;
const rest = `setTimeout(() => location.replace('./?' + location.search.slice(1) + '#seed=' + location.search.slice(1)), ${restMs});`;

const median = (values: number[]) => [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? NaN;

it('from opening the page to the first training step', async () => {
  const folder = process.env.ESPALIER_PAGE;
  const found: Visit[] = [];
  let finish = () => {};
  const finished = new Promise<void>((resolve) => (finish = resolve));
  const site = await serve({
    cached: true,
    ...(folder && { folder }),
    pageScript: 'visitor.js',
    made: {
      'visitor.js': () => visitor,
      'rest.js': () => rest,
      'rest.html': () => '<!doctype html><title>rest</title><script src="rest.js"></script>',
      report: (body) => {
        found.push(JSON.parse(body) as Visit);
        if (found.length === warmVisits + visits) finish();
        // Another seed each time: the training of an earlier visit is not taken up.
        const next = found.length < warmVisits + visits ? found.length + 1 : 0;
        return JSON.stringify({ next, wait: found.length < warmVisits ? warmMs : 0 });
      },
    },
  });
  const executable = findChromium();
  if (!executable) throw new Error('No Chromium was found; set ESPALIER_CHROMIUM to one.');
  const profile = mkdtempSync(join(tmpdir(), 'espalier-chromium-'));
  const browser = spawn(
    executable,
    [...browserArguments, `--user-data-dir=${profile}`, '--window-size=1440,1000', site.url],
    { stdio: 'ignore' },
  );
  const ended = new Promise((resolve) => browser.once('exit', resolve));
  try {
    await finished;
    const counted = found.slice(warmVisits);
    const names = Object.keys(counted[0]?.marks ?? {});
    const rows = names.map((name) => ({ name, values: counted.map(({ marks }) => marks[name] ?? NaN) }));
    rows.sort((a, b) => median(a.values) - median(b.values));
    console.log('milliseconds after the start of the navigation: median (range)');
    for (const { name, values } of rows) {
      const range = `${Math.min(...values).toFixed(0)} to ${Math.max(...values).toFixed(0)}`;
      console.log(`${name.padEnd(18)} ${median(values).toFixed(0).padStart(6)}   (${range})`);
    }
    const tasks = counted.map(({ longestTask }) => longestTask.toFixed(0));
    console.log(`longest task of the page, 0 if below 50 ms: ${tasks.join(', ')}`);
    expect(counted.every(({ marks }) => (marks['first step'] ?? 0) > 0)).toBe(true);
  } finally {
    browser.kill();
    await ended;
    await site.close();
    rmSync(profile, { recursive: true, force: true, maxRetries: 5 });
  }
});
