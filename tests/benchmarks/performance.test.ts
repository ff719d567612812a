// The published numbers come from the results in the tree, and nobody edits them by hand.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { chart } from './race/chart';
import { ratio, report, withPerformance } from './race/report';
import { find, type Results } from './race/results';

const repository = join(import.meta.dirname, '../..');
const read = (file: string) => readFileSync(join(repository, file), 'utf8');
const results = JSON.parse(read('tests/benchmarks/results/performance.json')) as Results;

test("the README's performance section is the table of the results in the tree", () => {
  const readme = read('README.md');
  expect(withPerformance(readme, results, 'tests/benchmarks/results/performance.svg')).toBe(readme);
});

test('the chart is drawn from the results in the tree', () => {
  expect(read('tests/benchmarks/results/performance.svg')).toBe(chart(results));
});

const measured: Results = {
  ...results,
  networks: [{ name: 'S', preset: 'small', what: '' }],
  entries: ['espalier', 'peer', 'wrong'].map((id) => ({
    id,
    label: id,
    version: '1',
    how: '',
    where: 'browser',
    threads: 1,
  })),
  checks: [{ network: 'S', entry: 'wrong', failure: 'its loss is 2, not 1' }],
  measurements: [
    { network: 'S', task: 'training', entry: 'espalier', samples: [400, 100, 300] },
    { network: 'S', task: 'training', entry: 'peer', samples: [100, 50, 60] },
    { network: 'S', task: 'inference 1', entry: 'espalier', samples: [1, 2] },
    { network: 'S', task: 'inference 1', entry: 'peer', samples: [8, 4, 6] },
  ],
  accuracy: [],
};

test('a ratio is the median over windows, because a machine drifts', () => {
  expect(ratio(measured, 'S', 'training', 'espalier', 'peer')).toBe(4);
});

test('with fewer windows it is the ratio of the medians, and less time is faster', () => {
  expect(ratio(measured, 'S', 'inference 1', 'espalier', 'peer')).toBe(4);
});

test('the range holds every window', () => {
  expect(find(measured, 'S', 'training', 'espalier')).toEqual({ median: 300, low: 100, high: 400 });
});

test('who computes something else is named as failed, without a number', () => {
  expect(report(measured)).toContain('| wrong | failed |');
  expect(report(measured)).toContain('wrong failed: its loss is 2, not 1 (S).');
});
