// The results as tables in Markdown, for the terminal and for the README.

import { champion } from './plan';
import { find, summarize, type Accuracy, type Entry, type Measurement, type Results } from './results';

const grouped = (value: number) => Math.round(value).toLocaleString('en-US');
const digits = (value: number) => (value >= 100 ? value.toFixed(0) : value.toPrecision(value >= 0.1 ? 3 : 2));
const columns = (cells: string[]) => `| ${cells.join(' | ')} |`;

function table(head: string[], rows: string[][]): string {
  return [
    columns(head),
    columns(head.map((_, index) => (index === 0 ? '---' : '---:'))),
    ...rows.map(columns),
  ].join('\n');
}

/** How many times as fast the first is: the median over windows, where both were measured in each. */
export function ratio(
  results: Results,
  network: string,
  task: Measurement['task'],
  fast: string,
  slow: string,
) {
  const samplesOf = (entry: string) =>
    results.measurements.find((row) => row.network === network && row.task === task && row.entry === entry)
      ?.samples;
  const [a, b] = [samplesOf(fast), samplesOf(slow)];
  if (!a?.length || !b?.length) return undefined;
  const speed = task === 'training' ? (x: number, y: number) => x / y : (x: number, y: number) => y / x;
  if (a.length !== b.length) return speed(summarize(a).median, summarize(b).median);
  return summarize(a.map((value, window) => speed(value, b[window]!))).median;
}

function cell(results: Results, network: string, task: Measurement['task'], entry: string): string {
  const found = find(results, network, task, entry);
  if (!found) {
    const check = results.checks.find((row) => row.network === network && row.entry === entry);
    if (check?.failure) return 'failed';
    return task === 'training' && check?.trainingFailure ? 'cannot train' : '';
  }
  const format = task === 'training' ? grouped : digits;
  return `${format(found.median)} (${format(found.low)} to ${format(found.high)})`;
}

function times(value: number | undefined): string {
  return value === undefined ? '' : `${digits(value)}x`;
}

function trainingTable(
  results: Results,
  entries: readonly Entry[],
  names: readonly string[],
  best: string,
): string {
  const head = ['training, images a second', ...names.flatMap((name) => [name, 'ratio'])];
  const rows = entries.map(({ id, label, threads }) => [
    label,
    ...names.flatMap((name) => [
      cell(results, name, 'training', id),
      id === best || threads > 1 ? '' : times(ratio(results, name, 'training', best, id)),
    ]),
  ]);
  return table(
    head,
    rows.filter((row) => row.slice(1).some((text) => text !== '')),
  );
}

function inferenceTable(results: Results): string {
  const kinds = results.networks.flatMap(({ name }) =>
    (['inference 1', 'inference 64'] as const).map((task) => ({ name, task })),
  );
  const head = [
    'inference, milliseconds',
    ...kinds.flatMap(({ name, task }) => [
      `${name}, ${task === 'inference 1' ? 'one image' : '64 images'}`,
      'ratio',
    ]),
  ];
  const rows = results.entries
    .filter(({ where, threads }) => where === 'browser' && threads === 1)
    .map(({ id, label }) => [
      label,
      ...kinds.flatMap(({ name, task }) => [
        cell(results, name, task, id),
        id === champion ? '' : times(ratio(results, name, task, champion, id)),
      ]),
    ]);
  const page = results.measurements.filter(({ task }) => task === 'inference 1 from the page');
  for (const id of new Set(page.map(({ entry }) => entry))) {
    const label = results.entries.find((entry) => entry.id === id)?.label ?? id;
    rows.push([
      `${label}, called from the page`,
      ...kinds.flatMap(({ name, task }) =>
        task === 'inference 1'
          ? [
              cell(results, name, 'inference 1 from the page', id),
              id === champion ? '' : times(ratio(results, name, 'inference 1 from the page', champion, id)),
            ]
          : ['', ''],
      ),
    ]);
  }
  return table(
    head,
    rows.filter((row) => row.slice(1).some((text) => text !== '')),
  );
}

/** A run that stopped short of the target makes the row so, and nothing is compared with it. */
function accuracyTable({ accuracy = [], entries }: Results): string {
  const reached = ({ target, runs }: Accuracy) => runs.every((run) => run.accuracy >= target);
  const secondsOf = ({ runs }: Accuracy) => summarize(runs.map(({ seconds }) => seconds));
  const rows = accuracy.map((row) => {
    const { entry, recipe, target, runs } = row;
    const best = accuracy.find((other) => other.target === target && other.entry === champion);
    const { median, low, high } = secondsOf(row);
    const { median: images } = summarize(runs.map((run) => run.images));
    const { low: worst } = summarize(runs.map((run) => run.accuracy));
    return [
      `${(100 * target).toFixed(0)} %`,
      entries.find(({ id }) => id === entry)?.label ?? entry,
      recipe,
      reached(row)
        ? `${digits(median)}${runs.length > 1 ? ` (${digits(low)} to ${digits(high)})` : ''}`
        : `not reached: ${(100 * worst).toFixed(2)} %`,
      best && best !== row && reached(best) && reached(row) ? times(median / secondsOf(best).median) : '',
      grouped(images),
    ];
  });
  return table(['test accuracy', 'library', 'trained', 'seconds', 'ratio', 'images seen'], rows);
}

/** A sentence for each library and reason. */
function failuresOf({ checks, entries }: Results): string[] {
  const sentences = new Map<string, string[]>();
  for (const { network, entry, failure, trainingFailure } of checks) {
    const reason = failure ?? trainingFailure;
    if (!reason) continue;
    const label = entries.find(({ id }) => id === entry)?.label ?? entry;
    const sentence = `${label} ${failure ? 'failed' : 'cannot train'}: ${reason.replace(/\.$/, '')}`;
    sentences.set(sentence, [...(sentences.get(sentence) ?? []), network]);
  }
  return [...sentences].map(([sentence, names]) => `${sentence} (${names.join(', ')}).`);
}

/** "Two threads against one: L5 1.9x, S 1.8x." */
function threadsSentence(results: Results): string {
  const names = [...new Set(results.measurements.map(({ network }) => network))];
  const compare = (many: string, one: string) =>
    names
      .flatMap((name) => {
        const value = ratio(results, name, 'training', many, one);
        return value === undefined ? [] : [`${name} ${times(value)}`];
      })
      .join(', ');
  const relaxed = compare('espalier-2', 'espalier');
  const plain = compare('espalier-plain-2', 'espalier-plain');
  return relaxed && plain ? `Two threads against one: ${relaxed}; with plain SIMD ${plain}.` : '';
}

export function report(results: Results): string {
  const { machine, date, commit, quick, networks, entries } = results;
  const inBrowser = entries.filter(({ where }) => where === 'browser');
  const native = entries.filter(({ where }) => where === 'native');
  const names = networks.map(({ name }) => name);
  const others = [...new Set(results.measurements.map(({ network }) => network))].filter(
    (name) => !names.includes(name),
  );
  const failures = failuresOf(results);
  const parts = [
    `Measured on ${date.slice(0, 10)} at ${commit}: ${machine.browser}, ${machine.cpu}, ${machine.cores} cores, ` +
      `${machine.system}${quick ? '; quickly' : ''}. Medians and ranges of ${results.windows} windows in turn (slow libraries: fewer), ` +
      `one thread unless said, batch ${results.batch}, momentum. Ratios: how many times as fast Espalier is. ` +
      networks.map(({ name, what }) => `${name} is ${what}`).join('; ') +
      '. Before it is timed, everybody computes the same loss with the same weights, and again after training a little.',
    trainingTable(results, inBrowser, names, champion),
    inferenceTable(results),
    'Inference is an awaited call in the worker where the library runs; "called from the page" adds the way there and back.',
  ];
  if (native.some(({ id }) => find(results, names[0]!, 'training', id))) {
    parts.push('Natively:', trainingTable(results, native, names, 'espalier-native'));
  }
  if (others.length > 0)
    parts.push('Espalier on larger presets:', trainingTable(results, inBrowser, others, champion));
  parts.push(threadsSentence(results));
  if (results.accuracy?.length) {
    parts.push(
      "MNIST's 60,000 training images, from a page with the data in hand to an accuracy on its 10,000 test images; " +
        'loading the library and starting it count, evaluations (every 100 steps, every 25 near the target) count for nobody:',
      accuracyTable(results),
    );
  }
  if (failures.length > 0) parts.push(failures.map((line) => `- ${line}`).join('\n'));
  const versions = entries
    .filter(({ id }) => !id.startsWith('espalier'))
    .map(({ label, version, how }) => `${label} (${version}): ${how}`);
  if (versions.length > 0) parts.push(versions.map((line) => `- ${line}`).join('\n'));
  return parts.filter(Boolean).join('\n\n');
}

const begin = '<!-- performance: made by npm run bench -- --readme -->';
const end = '<!-- end of performance -->';

/** The README with its performance section made new. */
export function withPerformance(readme: string, results: Results, chart: string): string {
  const [before, rest] = readme.split(begin);
  const after = rest?.split(end)[1];
  if (before === undefined || after === undefined) throw new Error(`README.md has no "${begin}" … "${end}".`);
  const section = [`![Training speed in Chromium](${chart})`, report(results)].join('\n\n');
  return `${before}${begin}\n\n${section}\n\n${end}${after}`;
}
