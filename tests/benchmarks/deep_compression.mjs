// Deep Compression's table (Han, Mao and Dally 2016) on real MNIST: baselines of each seed, the named pipelines
// over them, then what the complete files do when they are read and run again in their own form. Everything in
// the pipelines was chosen on validation images; printed are test errors, means over the seeds.
//
//   npm run build:native && node tests/benchmarks/deep_compression.mjs [--data FOLDER] [--seeds 1,2,3]
//     [--models lenet-300-100,lenet5] [--pipelines deep-compression] [--json]
//
// FOLDER has mnist/ in it; a pipeline is a name or a file, "model=pipeline" is for one network only. Trainings are
// kept below build/experiments by their words, so a stopped run goes on where it was; the compressed files and
// their evaluations are made anew when the program is another one.

import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { dataFolder, Experiments, mean, percent, points, programKey, table } from './experiments.mjs';

const { values: options } = parseArgs({
  options: {
    data: { type: 'string' },
    seeds: { type: 'string', default: '1,2,3' },
    models: { type: 'string', default: 'lenet-300-100,lenet5' },
    pipelines: { type: 'string', default: 'deep-compression' },
    json: { type: 'boolean', default: false },
  },
});
const repository = fileURLToPath(new URL('../..', import.meta.url));
const data = dataFolder(options.data);
const experiments = new Experiments(data);
const seeds = options.seeds.split(',').map(Number);
const models = options.models.split(',');

const recipes = {
  lenet5: '--epochs 10 --augment standard',
  'lenet-300-100': '--epochs 10 --augment shift:1',
};

/** The paper: error, KB, and for each layer the weights kept, bits of a weight and of an index. */
const paper = {
  'lenet-300-100': {
    baseline: 0.0164,
    error: 0.0158,
    kilobytes: 27,
    layers: { ip1: ['8 %', 4.4, 3.7], ip2: ['9 %', 4.4, 4.3], ip3: ['26 %', 4.3, 3.2] },
  },
  lenet5: {
    baseline: 0.008,
    error: 0.0074,
    kilobytes: 44,
    layers: { conv1: ['66 %'], conv2: ['12 %'], ip1: ['8 %'], ip2: ['19 %'] },
  },
};

/** The contents of a pipeline, by its name or its file. */
function textOf(pipeline) {
  const named = join(repository, `native/compress/pipelines/${pipeline}.json`);
  return readFileSync(existsSync(pipeline) ? pipeline : named, 'utf8');
}

/** The pipelines for a network: "name" is for all, "network=name" for one. */
function pipelinesOf(model) {
  return options.pipelines
    .split(',')
    .map((text) => (text.includes('=') ? text.split('=') : [model, text]))
    .filter(([network]) => network === model)
    .map(([, pipeline]) => pipeline);
}

/** One network, one pipeline, every seed. */
function compress(model, pipeline) {
  return seeds.map((seed) => {
    const baseline = experiments.run([
      ...['train', '--data', 'mnist', '--model', model, ...recipes[model].split(' ')],
      ...['--seed', `${seed}`],
    ]);
    const words = ['compress', baseline.file, '--data', 'mnist', '--pipeline', pipeline, '--seed', `${seed}`];
    const trained = experiments.run(words, { more: [textOf(pipeline)] });
    const more = [programKey()];
    const made = experiments.run(['export', trained.file, '--format', 'espalier'], {
      more,
      ending: '.espalier',
    });
    const shown = experiments.run(['inspect', made.file], { more });
    const before = experiments.run(['eval', baseline.file, '--data', 'mnist', '--runtime', 'float'], {
      more,
    });
    const evaluation = experiments.run(['eval', made.file, '--data', 'mnist'], { more });
    return {
      model,
      pipeline,
      seed,
      file: made.file,
      baseline_error: 1 - before.test_accuracy,
      error: 1 - evaluation.test_accuracy,
      bytes: evaluation.file_bytes,
      float_bytes: trained.before.total.parameters * 4,
      microseconds_per_image: evaluation.microseconds_per_image,
      seconds: trained.seconds,
      layers: trained.after.layers,
      file_parts: shown.file.parts,
      kernels: evaluation.layers,
    };
  });
}

/** A layer's weights kept and the bits of each, as they are in the file: levels apart from which are kept. */
function layerRow(model, runs, index) {
  const { name } = runs[0].layers[index];
  const of = (field) => mean(runs.map((run) => run.layers[index][field]));
  const stored = mean(
    runs.map((run) =>
      run.file_parts
        .filter((part) => part.name.startsWith(`${name}.`))
        .reduce((sum, part) => sum + part.bytes, 0),
    ),
  );
  const [kept = '', weightBits = '', indexBits = ''] = paper[model]?.layers[name] ?? [];
  const sum = weightBits === '' ? '' : (weightBits + indexBits).toFixed(1);
  return [
    `\`${name}\``,
    `${Math.round(of('parameters'))}`,
    percent(of('nonzeros') / of('parameters'), 1),
    kept,
    `${Math.round(of('bits'))}`,
    ((8 * stored) / Math.max(of('nonzeros'), 1)).toFixed(1),
    sum,
    `${Math.round(stored)}`,
  ];
}

const results = models.flatMap((model) =>
  pipelinesOf(model).map((pipeline) => {
    const runs = compress(model, pipeline);
    const of = (field) => mean(runs.map((run) => run[field]));
    return {
      model,
      pipeline,
      seeds,
      baseline_error: of('baseline_error'),
      error: of('error'),
      bytes: of('bytes'),
      ratio: of('float_bytes') / of('bytes'),
      microseconds_per_image: of('microseconds_per_image'),
      seconds: of('seconds'),
      runs,
    };
  }),
);

if (options.json) {
  console.log(JSON.stringify(results, null, 2));
} else {
  console.log(
    table(
      [
        'network',
        'pipeline',
        'baseline error',
        'error',
        'points',
        'KB',
        'ratio',
        "the paper's",
        'us',
        'seconds',
      ],
      results.map((result) => {
        const known = paper[result.model];
        return [
          `\`${result.model}\``,
          `\`${result.pipeline}\``,
          percent(result.baseline_error),
          percent(result.error),
          points(result.error - result.baseline_error),
          (result.bytes / 1000).toFixed(2),
          `${result.ratio.toFixed(0)}x`,
          known ? `${percent(known.baseline)} to ${percent(known.error)}, ${known.kilobytes} KB` : '',
          result.microseconds_per_image.toFixed(1),
          result.seconds.toFixed(0),
        ];
      }),
    ),
  );
  for (const { model, pipeline, runs } of results) {
    console.log(`\n\`${model}\`, \`${pipeline}\`:\n`);
    console.log(
      table(
        [
          'layer',
          'parameters',
          'kept',
          "the paper's",
          'bits',
          'coded bits a kept one',
          "the paper's",
          'bytes',
        ],
        runs[0].layers.map((_, index) => layerRow(model, runs, index)),
      ),
    );
  }
}
