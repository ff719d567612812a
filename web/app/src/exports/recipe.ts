// How to make the same file elsewhere, from the original that the page trained.

import type { DatasetSource, KernelName, ModelSpec, Pipeline, TrainingConfig } from 'espalier';
import { builtInDigits } from '../datasets';
import { drawnDigits } from '../kept-digits';

export interface Recipe {
  /** What it starts from, and what it writes. */
  original: string;
  out: string;
  dataset: string;
  pipeline: Pipeline;
  /** Those that ran here: training rounds differently with others. */
  kernels: KernelName;
  /** How the original is trained, where it is a network of its own. */
  training?: { spec: ModelSpec; config: TrainingConfig } | undefined;
}

/** The command line's names of what it does not call as the engine does. */
const flags: Partial<Record<keyof TrainingConfig, string>> = { batch_size: 'batch', learning_rate: 'lr' };

/** For a shell. */
export function commandOf({ original, out, dataset, pipeline, training }: Recipe): string {
  const data = dataset === builtInDigits.id ? `synthetic:${digits.train}` : dataset;
  const before = training ? trainingCommands(original, data, training) : [];
  if (pipeline.passes.length === 0) return [...before, `espalier export ${original} --out ${out}`].join('\n');
  return [
    ...before,
    `cat > pipeline.json <<'END'`,
    JSON.stringify(pipeline, undefined, 2),
    'END',
    `espalier compress ${original} --data ${data} --pipeline pipeline.json --seed 1 --out ${out}`,
  ].join('\n');
}

/** The original is what the page saved, or else it is trained anew. */
function trainingCommands(
  original: string,
  data: string,
  { spec, config }: NonNullable<Recipe['training']>,
): string[] {
  const options = Object.entries(config).map(([name, value]) => {
    const flag = flags[name as keyof TrainingConfig] ?? name.replaceAll('_', '-');
    return `--${flag} ${value}`;
  });
  return [
    `cat > network.json <<'END'`,
    JSON.stringify(spec, undefined, 2),
    'END',
    `[ -e ${original} ] ||`,
    `  espalier train --data ${data} --model network.json ${options.join(' ')} --out ${original}`,
  ];
}

/** For Node, with the package. */
export function snippetOf({ original, out, dataset, pipeline, kernels, training }: Recipe): string {
  const source =
    dataset === builtInDigits.id
      ? JSON.stringify(drawnDigits)
      : `{ kind: 'files', files: await Promise.all(names.map(async (name) => ({ name, data: await readFile(name) }))) }`;
  const load = `engine.loadModel(await readFile('${original}'))`;
  // The original is what the page saved, or else it is trained anew.
  const start = training
    ? [
        `const network = ${JSON.stringify(training.spec, undefined, 2)};`,
        `const isSaved = existsSync('${original}');`,
        `const original = await (isSaved ? ${load} : engine.createModel(network, { seed: ${training.config.seed}, dataset: data }));`,
        `if (!isSaved) await original.train(data, ${JSON.stringify(training.config, undefined, 2)}).done;`,
      ]
    : [`const original = await ${load};`];
  const lines = [
    ...(training ? [`import { existsSync } from 'node:fs';`] : []),
    `import { readFile, writeFile } from 'node:fs/promises';`,
    `import { createEngine } from 'espalier';`,
    '',
    ...(dataset === builtInDigits.id ? [] : [`const names = process.argv.slice(2);`]),
    `const engine = await createEngine({ kernels: '${kernels}' });`,
    `const data = await engine.loadDataset(${source});`,
    ...start,
    `const pipeline = ${JSON.stringify(pipeline, undefined, 2)};`,
    pipeline.passes.length > 0
      ? `const { model } = await original.compress(data, pipeline).done;`
      : `const model = original;`,
    `const file = await model.saveAs('espalier', { labels: data.info.classNames, pipeline });`,
    `await writeFile('${out}', file.bytes);`,
    `await engine.dispose();`,
  ];
  return `${lines.join('\n')}\n`;
}

const digits = drawnDigits as Extract<DatasetSource, { kind: 'synthetic' }>;
