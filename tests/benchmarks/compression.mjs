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
  mobile: '--epochs 10 --augment shift:1 --lr 0.05',
  resnet: '--epochs 12 --augment standard --lr 0.05 --weight-decay 0.0005',
};

/** A network trained by its recipe: the original that everything is compared with. */
function original(model, seed) {
  return experiments.run([
    'train',
    ...mnist,
    '--model',
    model,
    ...words(recipes[model]),
    '--seed',
    `${seed}`,
  ]);
}

/** A pass over the original of each seed. */
function pass(name, model, text, which = seeds) {
  return which.map((seed) => {
    const source = original(model, seed);
    const result = experiments.run([name, source.file, ...mnist, ...words(text), '--seed', `${seed}`]);
    return { ...result, original: source };
  });
}

const reportOf = (result) => result.report ?? result;
const test = (result, which) => reportOf(result)[`accuracy_${which}`]?.test;
const meanOf = (results, which) => mean(results.map((result) => test(result, which)));
const bytesOf = (results, which = 'after') =>
  mean(results.map((result) => reportOf(result)[which].total.bytes));

/** What was to be shown, what was measured, and whether it holds; printed at the end. */
const claims = [];
function claim(text, value, holds) {
  claims.push([text, value, holds ? 'yes' : '**no**']);
}

function heading(text) {
  console.log(`\n## ${text}\n`);
}

const sections = {
  /** int8 after training, 4 bits and ternary with quantization-aware training. */
  quantization() {
    heading('Quantization');
    const rows = [];
    const forms = [
      ['int8 weights and features, after training', '--weights 8 --activations 8', 0.001],
      ['4-bit weights, 8-bit features, trained', '--weights 4 --activations 8 --qat 2', 0.003],
      ['ternary weights, 8-bit features, trained', '--scheme ternary --activations 8 --qat 3', 0.01],
    ];
    for (const model of ['small', 'lenet5', 'resnet']) {
      for (const [name, text, allowed] of forms) {
        const results = pass('quantize', model, text);
        const trained = text.includes('--qat');
        const before = meanOf(results, 'before');
        const after = meanOf(results, trained ? 'finetuned' : 'after');
        rows.push([
          `\`${model}\``,
          name,
          percent(before),
          percent(after),
          points(after - before),
          trained ? percent(meanOf(results, 'control')) : '',
          `${(bytesOf(results, 'before') / bytesOf(results)).toFixed(1)}x`,
        ]);
        claim(
          `${model}: ${name} loses at most ${(100 * allowed).toFixed(1)} points`,
          `${points(after - before)} points`,
          after >= before - allowed,
        );
      }
    }
    console.log(table(['network', 'form', 'original', 'quantized', 'points', 'control', 'bytes'], rows));
  },

  /** Bits chosen per layer against the same bits everywhere, at equal bytes, after training. */
  mixed() {
    heading('Mixed precision against uniform bits, equal bytes, after training');
    const rows = [];
    const five = [1, 2, 3, 4, 5];
    // 2 bits are the fewest that the scheme takes, so at their bytes there is nothing to choose.
    for (const model of ['small', 'lenet5', 'mobile']) {
      for (const bits of [4, 3]) {
        const uniform = pass('quantize', model, `--weights ${bits} --activations float`, five);
        const mixed = uniform.map((result, i) => {
          const seed = five[i];
          const bytes = reportOf(result).after.total.bytes;
          return experiments.run([
            ...['quantize', result.original.file, ...mnist, '--bytes', `${bytes}`, '--activations', 'float'],
            ...['--seed', `${seed}`],
          ]);
        });
        const wins = mixed.filter((result, i) => test(result, 'after') > test(uniform[i], 'after')).length;
        rows.push([
          `\`${model}\``,
          `${bits}`,
          `${Math.round(bytesOf(uniform))}`,
          `${Math.round(bytesOf(mixed))}`,
          percent(meanOf(uniform, 'after')),
          percent(meanOf(mixed, 'after')),
          `${wins} of ${five.length}`,
        ]);
        claim(
          `${model}: bits per layer beat ${bits} bits everywhere at equal bytes, 5 seeds`,
          `${points(meanOf(mixed, 'after') - meanOf(uniform, 'after'))} points, ${wins} of 5 seeds`,
          meanOf(mixed, 'after') > meanOf(uniform, 'after'),
        );
      }
    }
    console.log(
      table(['network', 'uniform bits', 'bytes', 'bytes, mixed', 'uniform', 'mixed', 'mixed wins'], rows),
    );
  },

  /** The article's quantizer beside rounding, after training. */
  article() {
    heading("The article's quantizer against rounding, after training");
    const rows = [];
    for (const model of ['small', 'lenet5']) {
      for (const bits of [8, 6, 4, 2]) {
        const of = (text) =>
          meanOf(pass('quantize', model, `${text} --weights ${bits} --activations float`), 'after');
        const tensor = '--granularity tensor --calibrate min-max';
        rows.push([
          `\`${model}\``,
          `${bits}`,
          percent(of(`--scheme article ${tensor}`)),
          percent(of(`--scheme affine ${tensor}`)),
          percent(of(`--scheme symmetric ${tensor}`)),
          percent(of('--scheme symmetric --granularity channel --calibrate mse')),
        ]);
      }
    }
    console.log(
      table(
        [
          'network',
          'bits',
          '`article`',
          '`affine`, the same range',
          '`symmetric`, min-max',
          '`symmetric`, per channel, mse',
        ],
        rows,
      ),
    );
  },

  /** Weights pruned and fine-tuned against equally fine-tuned controls; channels slimmed away. */
  pruning() {
    heading('Pruning');
    const rows = [];
    const cases = [
      ['lenet5', '92 % of the weights', recipesOfPruning.lenet5, 0.001],
      ['lenet-300-100', '92 % of the weights', recipesOfPruning['lenet-300-100'], 0.001],
      ['resnet', 'half of the channels, slimmed', recipesOfPruning.resnet, 0.003],
    ];
    for (const [model, name, text, allowed] of cases) {
      const results = pass('prune', model, text);
      const control = meanOf(results, 'control');
      const after = meanOf(results, 'finetuned');
      const size = (which, field) => mean(results.map((result) => reportOf(result)[which].total[field]));
      rows.push([
        `\`${model}\``,
        name,
        `\`${text}\``,
        percent(meanOf(results, 'before')),
        percent(after),
        percent(control),
        points(after - control),
        `${(size('before', 'nonzeros') / size('after', 'nonzeros')).toFixed(1)}x`,
        `${(size('before', 'macs') / size('after', 'macs')).toFixed(1)}x`,
      ]);
      claim(
        `${model}: ${name}, at most ${(100 * allowed).toFixed(1)} points under the control`,
        `${points(after - control)} points`,
        after >= control - allowed,
      );
      claim(
        `${model}: no pruned weight was revived`,
        `${results.map((result) => reportOf(result).revived).join(', ')}`,
        results.every((result) => reportOf(result).revived === 0),
      );
    }
    console.log(
      table(
        [
          'network',
          'pruned',
          'options',
          'original',
          'pruned',
          'control',
          'points',
          'fewer weights',
          'fewer MACs',
        ],
        rows,
      ),
    );
  },

  /** The article's criterion beside others: pruned at once, before and after one epoch of fine-tuning. */
  criteria() {
    const criteria = ['gradient', 'magnitude', 'taylor', 'random'];
    heading("The article's gradient criterion against others, `lenet5`, pruned at once");
    for (const [which, title] of [
      ['after', 'before any fine-tuning'],
      ['finetuned', 'after one epoch'],
    ]) {
      const rows = [0.5, 0.7, 0.8, 0.9, 0.95, 0.98].map((sparsity) => [
        `${Math.round(100 * sparsity)} %`,
        ...criteria.map((criterion) => {
          const text = `--criterion ${criterion} --sparsity ${sparsity} --schedule one-shot --scope layer --finetune 1 --no-control`;
          return percent(meanOf(pass('prune', 'lenet5', text), which));
        }),
      ]);
      console.log(`${title}:\n`);
      console.log(table(['sparsity', ...criteria.map((name) => `\`${name}\``)], rows));
      console.log('');
    }
  },
  /** What another task's weights are worth: many images, ten images of each class, built-in digits, forgetting. */
  transfer() {
    heading('Transfer');
    const low = (model, text) =>
      experiments.run([
        'train',
        ...mnist,
        '--classes',
        '0-4',
        '--model',
        model,
        '--seed',
        '1',
        ...words(text),
      ]);
    const drawn = experiments.run(
      words('train --data synthetic:48000 --model lenet5 --epochs 8 --augment standard --seed 1'),
    );
    const to = (source, text) =>
      seeds.map((seed) =>
        experiments.run(['transfer', source.file, ...mnist, ...words(text), '--seed', `${seed}`]),
      );
    const lenet = low('lenet5', '--epochs 5 --augment standard');

    const frozen = to(lenet, '--classes 5-9 --mode parameters --freeze conv* --epochs 10 --lr 0.02');
    const many = meanOf(frozen, 'finetuned');
    claim('0-4, then 5-9 with frozen convolutions: at least 99.2 %', percent(many), many >= 0.992);
    console.log(
      `\`lenet5\`, digits 0-4, then all images of 5-9 with frozen convolutions: ${percent(many)}.\n`,
    );

    const resnet = low('resnet', '--epochs 6 --augment standard --lr 0.05');
    const few = '--per-class 10 --epochs 60 --batch 10';
    const upper = '--freeze stem*,stage1*,stage2*';
    // Learning rates are the best of two to five that were tried for each cell, on validation images.
    const rows = [];
    for (const [task, source, classes, freeze, augment, rate, scratchRate, claimed] of [
      ['`resnet`, 0-4 to 5-9', resnet, '--classes 5-9', upper, 'none', 0.02, 0.02, true],
      ['`resnet`, 0-4 to 5-9', resnet, '--classes 5-9', upper, 'standard', 0.05, 0.05, false],
      ['`lenet5`, 0-4 to 5-9', lenet, '--classes 5-9', '--freeze conv*', 'none', 0.005, 0.002, false],
      ['`lenet5`, 0-4 to 5-9', lenet, '--classes 5-9', '--freeze conv*', 'standard', 0.01, 0.01, false],
      ['`lenet5`, built-in digits to MNIST', drawn, '', '', 'none', 0.002, 0.005, true],
      ['`lenet5`, built-in digits to MNIST', drawn, '', '', 'standard', 0.005, 0.005, true],
    ]) {
      const rest = `${classes} ${few} --augment ${augment}`;
      const transferred = to(source, `${rest} --mode parameters ${freeze} --lr ${rate}`);
      const scratch = to(source, `${rest} --mode structure --lr ${scratchRate}`);
      const gain = meanOf(transferred, 'finetuned') - meanOf(scratch, 'finetuned');
      rows.push([
        task,
        `\`${augment}\``,
        percent(meanOf(scratch, 'finetuned')),
        percent(meanOf(transferred, 'finetuned')),
        points(gain, 1),
      ]);
      if (!claimed) continue;
      claim(
        `${task}, 10 images of each class, augmentation ${augment}: 5 points above training from scratch`,
        `${points(gain, 1)} points`,
        gain >= 0.05,
      );
    }
    console.log('10 target images of each class, 60 epochs:\n');
    console.log(table(['source and target', 'augmentation', 'from scratch', 'transferred', 'points'], rows));

    const both =
      '--classes 5-9 --mode parameters --epochs 4 --lr 0.02 --source-data mnist --source-classes 0-4';
    const forgetting = (results) =>
      mean(results.map((r) => reportOf(r).source_before.test - reportOf(r).source_after.test));
    const plain = to(lenet, both);
    const rehearsed = to(lenet, `${both} --lambda 1 --rehearsal 0.02`);
    const pulled = to(lenet, `${both} --l2sp 0.01`);
    console.log('\nForgetting of 0-4 while 5-9 are learned, `lenet5`, 4 epochs:\n');
    console.log(
      table(
        ['source term', '5-9', '0-4 forgotten, points'],
        [
          ['none', plain],
          ['L2-SP, 0.01', pulled],
          ['2 % of the images rehearsed', rehearsed],
        ].map(([name, results]) => [
          name,
          percent(meanOf(results, 'finetuned')),
          points(forgetting(results)),
        ]),
      ),
    );
    claim(
      '2 % rehearsal keeps forgetting under 1 point',
      `${points(forgetting(rehearsed))} points`,
      forgetting(rehearsed) < 0.01,
    );
  },

  /** A small student alone and with a teacher. */
  distillation() {
    heading('Distillation');
    const results = seeds.map((seed) => {
      const teacher = original('lenet5', seed);
      const text = '--mode distill --student lenet-300-100 --epochs 15 --augment shift:1 --lr 0.02 --control';
      return {
        teacher,
        ...experiments.run(['transfer', teacher.file, ...mnist, ...words(text), '--seed', `${seed}`]),
      };
    });
    const teacher = mean(results.map((result) => result.teacher.test_accuracy));
    const alone = meanOf(results, 'control');
    const taught = meanOf(results, 'finetuned');
    console.log(
      table(
        ['teacher', 'student', 'alone', 'taught', 'of the gap closed'],
        [
          [
            `\`lenet5\` ${percent(teacher)}`,
            '`lenet-300-100`',
            percent(alone),
            percent(taught),
            percent((taught - alone) / (teacher - alone), 0),
          ],
        ],
      ),
    );
    claim(
      'distillation halves the gap between student and teacher',
      `${percent((taught - alone) / (teacher - alone), 0)} of it closed`,
      taught - alone >= (teacher - alone) / 2,
    );
  },
};

const recipesOfPruning = {
  lenet5: '--criterion magnitude --sparsity 0.92 --schedule cubic --finetune 10 --lr 0.02 --augment standard',
  'lenet-300-100':
    '--criterion magnitude --sparsity 0.92 --schedule cubic --finetune 10 --lr 0.02 --augment shift:1',
  resnet:
    '--criterion magnitude --sparsity 0.5 --granularity channel --scope layer --slim --schedule one-shot ' +
    '--finetune 5 --lr 0.05 --augment standard --weight-decay 0.0005',
};

const wanted = options.only?.split(',') ?? Object.keys(sections);
for (const name of wanted) {
  const section = sections[name];
  if (!section) {
    console.error(`There is no section ${name}; the sections are ${Object.keys(sections).join(', ')}.`);
    process.exit(2);
  }
  section();
}
heading('What was to be shown');
console.log(table(['claim', 'measured', 'holds'], claims));
console.log(`\nSeeds ${seeds.join(', ')}; ${experiments.commands.length} commands.`);
