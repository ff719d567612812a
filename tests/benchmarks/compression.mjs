// What compression costs on real MNIST: the tables of native/compress/README.md. Every choice (recipes, learning
// rates, schedules) was made on validation images; what is printed is test accuracy, means over the seeds.
//
//   npm run build:native && node tests/benchmarks/compression.mjs [--data FOLDER] [--seeds 1,2,3] [--only quantization,pruning]
//
// FOLDER has mnist/ in it. Results are kept below build/experiments: a stopped run goes on where it was.

import { parseArgs } from 'node:util';
import { dataFolder, Experiments, mean, percent, points, table } from './experiments.mjs';

const { values: options } = parseArgs({
  options: {
    data: { type: 'string' },
    seeds: { type: 'string', default: '1,2,3' },
    only: { type: 'string' },
  },
});
const seeds = options.seeds.split(',').map(Number);
const experiments = new Experiments(dataFolder(options.data));

const mnist = ['--data', 'mnist'];
const words = (text) => text.split(' ').filter((word) => word !== '');
const recipes = {
  small: '--epochs 10 --augment shift:1',
  lenet5: '--epochs 10 --augment standard',
  'lenet-300-100': '--epochs 10 --augment shift:1',
  resnet: '--epochs 12 --augment standard --lr 0.05 --weight-decay 0.0005',
};

/** A network trained by its recipe: the original that everything is compared with. */
function original(model, seed) {
  return experiments.run(['train', ...mnist, '--model', model, ...words(recipes[model]), '--seed', `${seed}`]);
}

/** A pass over the original of each seed. */
function pass(name, model, text, which = seeds) {
  return which.map((seed) => {
    const source = original(model, seed);
    return { source, ...experiments.run([name, source.file, ...mnist, ...words(text), '--seed', `${seed}`]) };
  });
}
