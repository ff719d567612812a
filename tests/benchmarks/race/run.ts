// A whole run: npm run bench (bench.mjs has the options).

import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { cpus, release, type } from 'node:os';
import { dirname, join } from 'node:path';
import { networks } from '../../../web/race/src';
import { repository } from '../../e2e/server';
import { raceToAccuracy } from './accuracy';
import { browserEntries, describeEntries, raceInBrowser } from './browser';
import { chart } from './chart';
import { raceNatively, type NativeMaterial } from './native';
import { fetchMaterial, openRacePage } from './page';
import { efforts, training } from './plan';
import { report, withPerformance } from './report';
import type { Results } from './results';

export interface Options {
  quick: boolean;
  accuracy: boolean;
  readme: boolean;
  only: string[];
  json: string | undefined;
  from: string | undefined;
  recipe: string | undefined;
}

const folder = join(repository, 'tests/benchmarks/results');
const kept = join(folder, 'performance.json');
const picture = join(folder, 'performance.svg');

export async function run(options: Options): Promise<void> {
  const results = options.from ? read(options.from) : await measure(options);
  console.log(`\n${report(results)}\n`);
  if (options.json) write(options.json, `${JSON.stringify(results, undefined, 1)}\n`);
  if (options.readme) {
    const readme = join(repository, 'README.md');
    write(kept, `${JSON.stringify(results, undefined, 1)}\n`);
    write(picture, chart(results));
    write(
      readme,
      withPerformance(readFileSync(readme, 'utf8'), results, 'tests/benchmarks/results/performance.svg'),
    );
  }
  if (results.checks.some(({ failure }) => failure)) process.exitCode = 1;
}

function read(file: string): Results {
  return JSON.parse(readFileSync(file, 'utf8')) as Results;
}

function write(file: string, text: string): void {
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, text);
  console.error(`wrote ${file}`);
}

const git = (...args: string[]) => execFileSync('git', args, { cwd: repository, encoding: 'utf8' }).trim();

async function measure(options: Options): Promise<Results> {
  const began = performance.now();
  const say = (line: string) =>
    console.error(`${((performance.now() - began) / 1000).toFixed(0).padStart(4)} s  ${line}`);
  const { quick, only } = options;
  const wanted = (id: string) =>
    only.length === 0 || only.some((name) => id === name || id.startsWith(`${name}-`));
  const effort = quick ? efforts.quick : efforts.full;
  const entries = browserEntries(wanted);
  const race = await openRacePage();
  const materials: Record<string, NativeMaterial> = {};
  let results: Results;
  try {
    results = { ...emptyResults(race.browser, effort.windows, quick), entries: describeEntries(entries) };
    if (!options.accuracy) {
      await raceInBrowser(race, entries, effort, results, say);
      for (const { preset } of networks) materials[preset] = await fetchMaterial(race, preset);
    }
  } finally {
    await race.close();
  }
  if (options.accuracy) {
    const accuracy = await raceToAccuracy(quick ? [1] : [1, 2, 3], wanted, options.recipe, say);
    const accuracyMeasured = `${results.date.slice(0, 10)} at ${results.commit}`;
    // The speeds measured before stay beside these.
    const file = options.json ?? (options.readme ? kept : undefined);
    return { ...(file && existsSync(file) ? read(file) : results), accuracy, accuracyMeasured };
  }
  if (wanted('espalier-native') || wanted('pytorch'))
    await raceNatively(materials, wanted, effort, results, say);
  say('done');
  return results;
}

function emptyResults(browser: string, windows: number, quick: boolean): Results {
  const changed = git('status', '--porcelain', '--untracked-files=no') !== '';
  return {
    date: new Date().toISOString(),
    commit: `${git('rev-parse', '--short', 'HEAD')}${changed ? ' with changes' : ''}`,
    quick,
    machine: {
      cpu: cpus()[0]?.model ?? '',
      cores: cpus().length,
      browser,
      system: `${type()} ${release()}`,
    },
    batch: training.batch,
    windows,
    networks: networks.map((row) => ({ ...row })),
    entries: [],
    checks: [],
    measurements: [],
  };
}
