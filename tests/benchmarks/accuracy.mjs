// Test accuracy of the presets on real MNIST, and of a network that has only ever seen built-in
// digits. Prints the table of the README, with the commands that give each row. Recipes were
// chosen on the validation images.
//
//   npm run build:native && node tests/benchmarks/accuracy.mjs [FOLDER WITH mnist/ IN IT]

import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const repository = fileURLToPath(new URL('../..', import.meta.url));
const data = process.argv[2] ?? process.env.ESPALIER_DATA ?? join(repository, '../shared/data');
const mnist = join(data, 'mnist');
if (!existsSync(mnist)) {
  console.error(`accuracy: ${mnist} does not exist; give the folder that has mnist/ in it.`);
  process.exit(2);
}
const program = join(repository, 'build/native/espalier');
const folder = mkdtempSync(join(tmpdir(), 'espalier-accuracy-'));

function run(...args) {
  return JSON.parse(execFileSync(program, [...args, '--json'], { encoding: 'utf8' }));
}

const percent = (share) => `${(100 * share).toFixed(2)} %`;
const recipes = [
  ['small', '--epochs 10 --augment shift:1'],
  ['lenet5', '--epochs 10 --augment standard'],
  ['lenet-300-100', '--epochs 10 --augment shift:1'],
  ['mobile', '--epochs 10 --augment shift:1 --lr 0.05'],
  ['resnet', '--epochs 12 --augment standard --lr 0.05 --weight-decay 0.0005'],
];

console.log('| network | trained on | options | test accuracy on MNIST | seconds |');
console.log('|---|---|---|---|---|');
try {
  for (const [model, options] of recipes) {
    const result = run('train', '--data', mnist, '--model', model, ...options.split(' '));
    console.log(
      `| \`${model}\` | MNIST | \`${options}\` | ${percent(result.test_accuracy)} | ${result.seconds.toFixed(0)} |`,
    );
  }
  for (const model of ['small', 'lenet5']) {
    const file = join(folder, `${model}.safetensors`);
    const options = '--epochs 8 --augment standard';
    const trained = run(
      ...['train', '--data', 'synthetic:48000', '--model', model, '--out', file],
      ...options.split(' '),
    );
    const { accuracy } = run('eval', file, '--data', mnist);
    console.log(
      `| \`${model}\` | 48,000 built-in digits | \`${options}\` | ${percent(accuracy)} | ${trained.seconds.toFixed(0)} |`,
    );
  }
} finally {
  rmSync(folder, { recursive: true });
}
