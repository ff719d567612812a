// The recipes for a given accuracy on real MNIST as soon as possible (recipes/*.json: a model's spec
// and how to train it), natively on one thread, with several seeds. Chosen on validation images.
// accuracy_time.bench.ts measures them in Chromium from opening the page.
//
//   npm run build:native && node tests/benchmarks/recipes.mjs [--seeds N] [FOLDER WITH mnist/ IN IT]

import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const { values, positionals } = parseArgs({
  options: { seeds: { type: 'string', default: '5' } },
  allowPositionals: true,
});
const repository = fileURLToPath(new URL('../..', import.meta.url));
const data = positionals[0] ?? process.env.ESPALIER_DATA ?? join(repository, '../shared/data');
const mnist = join(data, 'mnist');
if (!existsSync(mnist)) {
  console.error(`recipes: ${mnist} does not exist; give the folder that has mnist/ in it.`);
  process.exit(2);
}
const program = join(repository, 'build/native/espalier');
const folder = mkdtempSync(join(tmpdir(), 'espalier-recipes-'));

// The command line always validates, after an epoch: that is in the seconds.
const flags = { batch_size: 'batch', learning_rate: 'lr', validate: undefined };
function options(training) {
  return Object.entries(training).flatMap(([field, value]) => {
    const flag = field in flags ? flags[field] : field.replaceAll('_', '-');
    return flag ? [`--${flag}`, String(value)] : [];
  });
}

const percent = (share) => `${(100 * share).toFixed(2)} %`;
const mean = (numbers) => numbers.reduce((sum, number) => sum + number, 0) / numbers.length;

console.log('| recipe | seed | validation | test | seconds |');
console.log('|---|---|---|---|---|');
try {
  for (const file of readdirSync(join(repository, 'tests/benchmarks/recipes')).sort()) {
    const recipe = JSON.parse(readFileSync(join(repository, 'tests/benchmarks/recipes', file), 'utf8'));
    const spec = join(folder, file);
    writeFileSync(spec, JSON.stringify(recipe.model));
    const results = [];
    for (let seed = 1; seed <= Number(values.seeds); ++seed) {
      const command = ['train', '--data', mnist, '--model', spec, '--threads', '1', '--seed', String(seed)];
      const printed = execFileSync(program, [...command, ...options(recipe.training), '--json']);
      const { validation_accuracy: validation, test_accuracy: test, seconds } = JSON.parse(printed);
      console.log(
        `| ${file} | ${seed} | ${percent(validation)} | ${percent(test)} | ${seconds.toFixed(2)} |`,
      );
      results.push({ validation, test, seconds });
    }
    const column = (name) => results.map((result) => result[name]);
    const reached = column('test').filter((accuracy) => accuracy >= recipe.goal).length;
    console.log(
      `| ${file} | mean | ${percent(mean(column('validation')))} | ${percent(mean(column('test')))}, worst ` +
        `${percent(Math.min(...column('test')))}, ${percent(recipe.goal)} in ${reached} of ${results.length} | ` +
        `${mean(column('seconds')).toFixed(2)} |`,
    );
  }
} finally {
  rmSync(folder, { recursive: true });
}
