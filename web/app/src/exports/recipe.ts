// How to make the same file elsewhere, from the original that the page trained.

import type { DatasetSource, KernelName, Pipeline } from 'espalier';
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
}

/** For a shell. */
export function commandOf({ original, out, dataset, pipeline }: Recipe): string {
  if (pipeline.passes.length === 0) return `espalier export ${original} --out ${out}`;
  const data = dataset === builtInDigits.id ? `synthetic:${digits.train}` : dataset;
  return [
    `cat > pipeline.json <<'END'`,
    JSON.stringify(pipeline, undefined, 2),
    'END',
    `espalier compress ${original} --data ${data} --pipeline pipeline.json --seed 1 --out ${out}`,
  ].join('\n');
}

/** For Node, with the package. */
export function snippetOf({ original, out, dataset, pipeline, kernels }: Recipe): string {
  const source =
    dataset === builtInDigits.id
      ? JSON.stringify(drawnDigits)
      : `{ kind: 'files', files: await Promise.all(names.map(async (name) => ({ name, data: await readFile(name) }))) }`;
  const lines = [
    `import { readFile, writeFile } from 'node:fs/promises';`,
    `import { createEngine } from 'espalier';`,
    '',
    ...(dataset === builtInDigits.id ? [] : [`const names = process.argv.slice(2);`]),
    `const engine = await createEngine({ kernels: '${kernels}' });`,
    `const data = await engine.loadDataset(${source});`,
    `const original = await engine.loadModel(await readFile('${original}'));`,
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
