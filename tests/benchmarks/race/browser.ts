// The race in Chromium: everybody is checked against the reference, then timed in turn, window after window.

import { contestants, networks } from '../../../web/race/src';
import type { RacePage } from './page';
import * as page from './page';
import { check, espalierEntries, reference, training, type BrowserEntry, type Effort } from './plan';
import type { Check, Entry, Measurement, Results, Task } from './results';

/** Trained by Espalier alone: batch norm, residuals and depthwise layers. */
export const otherPresets = ['resnet', 'mobile'];

const checkSetup = { ...training, images: check.images, learningRate: check.learningRate };

type Say = (line: string) => void;

export function browserEntries(wanted: (id: string) => boolean): BrowserEntry[] {
  const peers = contestants.filter(({ id }) => id !== 'espalier');
  const rows = peers.map(({ id, name }) => ({ id, label: name, contestant: id, options: { threads: 1 } }));
  return [...espalierEntries, ...rows].filter(({ id }) => wanted(id) || id === reference);
}

export function describeEntries(entries: readonly BrowserEntry[]): Entry[] {
  return entries.map(({ id, label, contestant, options: { threads } }) => {
    const { version = '', how = '' } = contestants.find((row) => row.id === contestant) ?? {};
    return { id, label, version, how, where: 'browser', threads };
  });
}

const contestantOf = ({ contestant }: BrowserEntry) => contestants.find(({ id }) => id === contestant)!;
const message = (error: unknown) =>
  (error instanceof Error ? error.message : String(error))
    .replace(/^page\.evaluate: (Error: )?/, '')
    .split('\n')[0]!;

export async function raceInBrowser(
  race: RacePage,
  entries: BrowserEntry[],
  effort: Effort,
  results: Results,
  say: Say,
): Promise<void> {
  await page.prepareMaterial(race, [...networks.map(({ preset }) => preset), ...otherPresets], 1024);
  for (const { name, preset } of networks) {
    const checks: Check[] = [];
    for (const entry of entries) {
      const result = await checkEntry(race, entry, name, preset);
      checks.push(result);
      say(`${name}: ${entry.label}: ${describeCheck(result)}`);
    }
    results.checks.push(...checks);
    const passed = entries.filter(({ id }) => !checks.find((row) => row.entry === id)?.failure);
    const trains = (id: string) => !checks.find((row) => row.entry === id)?.trainingFailure;
    results.measurements.push(...(await timeNetwork(race, passed, trains, name, preset, effort, say)));
  }
  const own = entries.filter(({ contestant }) => contestant === 'espalier');
  for (const preset of otherPresets) {
    results.measurements.push(
      ...(await timeNetwork(race, own, () => true, preset, preset, effort, say, ['training'])),
    );
  }
}

/** The same loss and probabilities with the same weights, and the same loss after some steps. */
async function checkEntry(
  race: RacePage,
  entry: BrowserEntry,
  network: string,
  preset: string,
): Promise<Check> {
  const { id, contestant, options } = entry;
  const result: Check = { network, entry: id };
  const expected = id === reference ? undefined : await expectation(race, network, preset);
  try {
    await page.open(race, { key: id, contestant, options, preset, ...checkSetup });
    const { loss, probabilities } = await page.predict(race, id, check.images);
    result.before = loss;
    if (expected) {
      result.difference = Math.max(
        ...probabilities.map((value, i) => Math.abs(value - (expected.probabilities[i] ?? NaN))),
      );
      if (!(Math.abs(loss - expected.before) <= 1e-4))
        result.failure = `its loss is ${loss}, not ${expected.before}`;
      else if (!(result.difference <= 1e-4))
        result.failure = `its probabilities differ by ${result.difference}`;
    }
  } catch (error) {
    result.failure = message(error);
  }
  const { trains } = contestantOf(entry);
  if (!result.failure && trains !== true) result.trainingFailure = trains;
  if (!result.failure && trains === true) {
    try {
      await page.train(race, id, check.steps);
      result.after = (await page.predict(race, id, check.images)).loss;
      const wanted = expected?.after ?? result.after;
      // Differences of the last bits grow with each step.
      if (!(Math.abs(result.after - wanted) <= 1e-3)) {
        result.trainingFailure = `its loss after ${check.steps} steps is ${result.after}, not ${wanted}`;
      }
    } catch (error) {
      result.trainingFailure = message(error);
    }
  }
  // The slow are warm now; they go on with these few images.
  if (result.failure || !contestantOf(entry).slow) await page.close(race, id);
  return result;
}

interface Expectation {
  before: number;
  after: number;
  probabilities: number[];
}
const expectations = new Map<string, Expectation>();

/** What the plain engine gives, which the tests compare with PyTorch and with numeric gradients. */
async function expectation(race: RacePage, network: string, preset: string) {
  let known = expectations.get(network);
  if (!known) {
    const key = 'expectation';
    const { contestant, options } = espalierEntries.find(({ id }) => id === reference)!;
    await page.open(race, { key, contestant, options, preset, ...checkSetup });
    const { loss: before, probabilities } = await page.predict(race, key, check.images);
    await page.train(race, key, check.steps);
    const { loss: after } = await page.predict(race, key, check.images);
    await page.close(race, key);
    known = { before, after, probabilities };
    expectations.set(network, known);
  }
  return known;
}

function describeCheck({ before, after, difference, failure, trainingFailure }: Check): string {
  if (failure) return `FAILED: ${failure}`;
  const trained = trainingFailure
    ? `cannot train: ${trainingFailure}`
    : `${after?.toFixed(6)} after ${check.steps} steps`;
  return `loss ${before?.toFixed(6)}, ${trained}; probabilities differ by ${(difference ?? 0).toExponential(1)}`;
}

const tasks: Task[] = ['training', 'inference 1', 'inference 64'];

async function timeNetwork(
  race: RacePage,
  entries: BrowserEntry[],
  trains: (id: string) => boolean,
  network: string,
  preset: string,
  effort: Effort,
  say: Say,
  wanted: readonly Task[] = tasks,
): Promise<Measurement[]> {
  const rows: (Measurement & { slow: boolean; time: (seconds?: number) => Promise<number> })[] = [];
  for (const entry of entries) {
    const { id, contestant, options } = entry;
    const slow = contestantOf(entry).slow ?? false;
    if (!slow) await page.open(race, { key: id, contestant, options, preset, ...training });
    for (const task of wanted) {
      if (task === 'training' && !trains(id)) continue;
      // More threads are for training.
      if (task !== 'training' && options.threads > 1) continue;
      rows.push({ network, task, entry: id, samples: [], slow, time: timer(race, id, task, slow, effort) });
    }
    if (wanted.includes('inference 1') && (id === 'espalier' || id === 'onnxruntime-web')) {
      const seconds = effort.seconds.inference;
      const time = async () => {
        const timing =
          id === 'espalier'
            ? await page.timeEspalierFromPage(race, preset, 1, seconds)
            : await page.timeInferenceFromPage(race, id, 1, seconds);
        return (1000 * timing.seconds) / timing.count;
      };
      rows.push({ network, task: 'inference 1 from the page', entry: id, samples: [], slow: false, time });
    }
  }
  for (const { time, slow } of rows) {
    if (slow) continue;
    await time();
    await time(effort.seconds.warmUp);
  }
  for (let window = 0; window < effort.windows; ++window) {
    for (const { samples, slow, time } of rows) {
      if (!slow || window < effort.slowWindows) samples.push(await time());
    }
    say(`${network}: window ${window + 1} of ${effort.windows}`);
  }
  for (const { id } of entries) await page.close(race, id);
  return rows.map(({ network, task, entry, samples }) => ({ network, task, entry, samples }));
}

/** Images a second, or milliseconds a call. */
function timer(race: RacePage, key: string, task: Task, slow: boolean, { seconds }: Effort) {
  if (task === 'training') {
    return async (wanted = slow ? 0 : seconds.training) => {
      const timing = await page.timeTraining(race, key, wanted);
      return (training.batch * timing.count) / timing.seconds;
    };
  }
  const count = task === 'inference 1' ? 1 : 64;
  return async (wanted = seconds.inference) => {
    const timing = await page.timeInference(race, key, count, wanted);
    return (1000 * timing.seconds) / timing.count;
  };
}
