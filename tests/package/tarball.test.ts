import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createProject, packageFolder, type Project } from './project.js';

let project: Project;
beforeAll(() => {
  project = createProject();
});
afterAll(() => project?.remove());

test('ten lines from the README train a network in Node', () => {
  const readme = readFileSync(join(packageFolder, 'README.md'), 'utf8');
  const snippet = /```js\n([^]*?)```/.exec(readme)?.[1] ?? '';
  expect(snippet.trimEnd().split('\n')).toHaveLength(10);
  project.write('train.js', snippet);
  const output = execFileSync('node', ['train.js'], { cwd: project.folder, encoding: 'utf8' });
  expect(output.match(/^epoch \d: /gm)).toHaveLength(3);
  expect(Number(/test accuracy ([\d.]+)/.exec(output)?.[1])).toBeGreaterThan(0.85);
});

test('the README compresses a network in Node', () => {
  const readme = readFileSync(join(packageFolder, 'README.md'), 'utf8');
  const snippet = /## Compression[^]*?```js\n([^]*?)```/.exec(readme)?.[1] ?? '';
  project.write('compress.js', snippet);
  const output = execFileSync('node', ['compress.js'], { cwd: project.folder, encoding: 'utf8' });
  expect(output).toMatch(/^[a-z- ]+: \d+ of \d+$/m);
  const [, bytes, accuracy] = /^(\d+) bytes, test accuracy ([\d.]+)$/m.exec(output) ?? [];
  expect(Number(bytes)).toBeLessThan((9098 * 4) / 8);
  expect(Number(accuracy)).toBeGreaterThan(0.8);
});

test('the README packs, saves and sweeps in Node', () => {
  const readme = readFileSync(join(packageFolder, 'README.md'), 'utf8');
  const section = /## Pipelines[^]*?\n## /.exec(readme)?.[0] ?? '';
  const snippets = [...section.matchAll(/```js\n([^]*?)```/g)].map(([, snippet]) => snippet ?? '');
  expect(snippets).toHaveLength(2);
  project.write('sweep.js', snippets.join(''));
  const output = execFileSync('node', ['sweep.js'], { cwd: project.folder, encoding: 'utf8' });
  expect(output).toMatch(/^2 of 2, quantize: [a-z]+$/m);
  expect(output.match(/^[a-z0-9]+: int8, \d+ bytes$/gm)).toHaveLength(3);
  const [, bytes, accuracy] =
    /^(\d+) bytes, test accuracy ([\d.]+), [\d.]+ microseconds an image$/m.exec(output) ?? [];
  expect(Number(bytes)).toBeLessThan(9098 * 1.1);
  expect(Number(accuracy)).toBeGreaterThan(0.8);
  expect(output).toMatch(/^10 2$/m); // labels, and int8's passes: fold, quantize
  expect(output.match(/^\{"passes\[0\].*\} \d+ [\d.]+/gm)).toHaveLength(4);
});

test('the tarball has what it needs and no sources', () => {
  const installed = join(project.folder, 'node_modules/espalier');
  for (const file of ['dist/index.js', 'dist/index.d.ts', 'wasm/espalier-simd.wasm', 'README.md']) {
    expect(existsSync(join(installed, file))).toBe(true);
  }
  expect(existsSync(join(installed, 'src'))).toBe(false);
  const { version } = JSON.parse(readFileSync(join(installed, 'package.json'), 'utf8')) as {
    version: string;
  };
  project.write(
    'version.js',
    `import { createEngine } from 'espalier';
     console.log((await createEngine({ threads: 1 })).info.version);`,
  );
  const output = execFileSync('node', ['version.js'], { cwd: project.folder, encoding: 'utf8' });
  expect(output.trim()).toBe(version);
});

test('its types hold in a strict project', () => {
  project.write(
    'page.ts',
    `import { createEngine, EspalierError, type Compression, type Engine, type TrainingEvent } from 'espalier';
     const engine: Engine = await createEngine({ kernels: 'plain', threads: 'auto' });
     const data = await engine.loadDataset({ kind: 'synthetic' });
     const model = await engine.createModel('small', { dataset: data });
     const describe = (event: TrainingEvent): string => {
       switch (event.type) {
         case 'progress': return event.loss.toFixed(3);
         case 'epoch': return String(event.validationAccuracy);
         case 'paused': return String(event.step);
         case 'done': return String(event.aborted);
       }
     };
     for await (const event of model.train(data, { epochs: 1 })) console.log(describe(event));
     const pass: Compression = model.quantize(data, { scheme: 'ternary', weights: 2, qat: 1 });
     for await (const { stage, etaSeconds = 0 } of pass) console.log(stage.length, etaSeconds.toFixed());
     const { report, model: small } = await pass.done;
     console.log(report.after.total.bytes, report.accuracy_control?.test, small.spec.name);
     // @ts-expect-error: not a criterion
     model.prune(data, { criterion: 'hope' });
     // @ts-expect-error: not a kernel
     createEngine({ kernels: 'fast' }).catch((error: EspalierError) => error.code === 'argument');`,
  );
  const tsc = join(packageFolder, '../../node_modules/typescript/bin/tsc');
  const options =
    '--strict --noEmit --target es2022 --module nodenext --moduleResolution nodenext --lib es2023,dom';
  // Prints what is wrong.
  try {
    execFileSync('node', [tsc, ...options.split(' '), 'page.ts'], { cwd: project.folder, encoding: 'utf8' });
  } catch (error) {
    throw new Error((error as { stdout: string }).stdout, { cause: error });
  }
});
