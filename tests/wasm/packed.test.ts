// Packed models, files in every format, pipelines and sweeps, in Node; and that the command line does the same.

import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { setFlagsFromString } from 'node:v8';
import {
  createEngine,
  type Catalog,
  type Dataset,
  type Engine,
  type KernelName,
  type Model,
  type PipelineProgress,
  type SweepGrid,
  type SweepLine,
} from 'espalier';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { digits, errorOf, sleep } from './data.js';

// Node 20 has relaxed SIMD behind a flag.
if (Number(process.versions.node.split('.')[0]) < 21) setFlagsFromString('--experimental-wasm-relaxed-simd');

const native = fileURLToPath(new URL('../../build/native/espalier', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'espalier-packed-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const grid: SweepGrid = {
  passes: [
    { pass: 'prune', sparsity: [0.5, 0.9], finetune: 0 },
    { pass: 'quantize', weights: ['4', '8'], images: 64 },
  ],
};

interface Trained {
  engine: Engine;
  data: Dataset;
  model: Model;
  int8: Model;
}
async function trained(kernels: KernelName, name = 'small'): Promise<Trained> {
  const engine = await createEngine({ kernels, threads: 1 });
  const data = await digits(engine);
  const model = await engine.createModel(name, { dataset: data });
  await model.train(data, { epochs: 2 }).done;
  const run = { measure: false };
  const { model: int8 } = await model.quantize(data, { weights: 8, images: 128 }, run).done;
  return { engine, data, model, int8 };
}

describe.each(['plain', 'relaxed'] as const)('packed, with %s kernels', (kernels) => {
  let t: Trained;
  beforeAll(async () => {
    t = await trained(kernels);
  });
  afterAll(() => t?.engine.dispose());

  test('8 bits run as such, and every image gets the probabilities of plain loops, bit for bit', async () => {
    const packed = await t.int8.pack();
    const reference = await t.int8.pack({ runtime: 'reference' });
    expect(packed.layers.map(({ format }) => format)).toEqual(['int8', 'int8', 'int8']);
    expect(packed.layers.map(({ type }) => type)).toEqual(['conv', 'conv', 'dense']);
    expect(packed.bytes).toBe(packed.layers.reduce((sum, { bytes }) => sum + bytes, 0));
    const { pixels } = await t.data.images('test', [...Array(300).keys()]);
    const probabilities = await packed.predict(pixels);
    expect(probabilities).toEqual(await reference.predict(pixels));
    // One image by itself takes other kernels.
    const first = pixels.subarray(0, 784);
    expect(await packed.predict(first)).toEqual(probabilities.slice(0, 10));
    const [a, b] = [await packed.evaluate(t.data, 'test'), await reference.evaluate(t.data, 'test')];
    expect({ ...a, seconds: 0 }).toEqual({ ...b, seconds: 0 });
    a.predictions.forEach((predicted, i) =>
      expect(probabilities[10 * i + predicted]).toBeCloseTo(a.confidences[i] ?? NaN, 6),
    );
  });

  test('a float model packed predicts as it does itself', async () => {
    const packed = await t.model.pack();
    const { pixels } = await t.data.images('test', [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    const expected = await t.model.predict(pixels);
    (await packed.predict(pixels)).forEach((p, i) => expect(p).toBeCloseTo(expected[i] ?? NaN, 5));
  });

  test('a format can be asked for, and one that does not exist is refused', async () => {
    const packed = await t.int8.pack({ format: 'float32' });
    expect(packed.layers.map(({ format, why }) => `${format}, ${why}`)).toEqual(
      Array(3).fill('float32, asked for'),
    );
    expect(await errorOf(t.model.pack({ format: 'int7' }))).toMatchObject({
      code: 'argument',
      where: 'format',
    });
    expect(await errorOf(t.model.pack({ runtime: 'fast' as 'packed' }))).toMatchObject({ where: 'runtime' });
  });

  test('time is measured, whole and by layer', async () => {
    const packed = await t.int8.pack();
    const { microsecondsPerImage, layers } = await packed.time(t.data);
    expect(microsecondsPerImage).toBeGreaterThan(0);
    expect(layers[0]?.layer).toBe('input');
    for (const { layer } of packed.layers) expect(layers.map((row) => row.layer)).toContain(layer);
    for (const { microseconds } of layers) expect(microseconds).toBeGreaterThanOrEqual(0);
  });

  test('an evaluation that nobody wants any more makes room for the next one', async () => {
    const packed = await t.int8.pack();
    // Plain loops take several slices of time, so that there is something to abort.
    const slow = await t.int8.pack({ runtime: 'reference' });
    const controller = new AbortController();
    const old = errorOf(slow.evaluate(t.data, 'train', { signal: controller.signal }));
    await sleep(1);
    controller.abort();
    expect(await old).toMatchObject({ code: 'aborted' });
    expect((await packed.evaluate(t.data, 'test')).count).toBe(300);
    await packed.dispose();
    expect(await errorOf(packed.evaluate(t.data, 'test'))).toMatchObject({ code: 'argument' });
  });

  test('measure: false leaves the accuracies out, and changes nothing else', async () => {
    const options = { weights: 8, images: 128 };
    const { model, report } = await t.model.quantize(t.data, options).done;
    const fast = await t.model.quantize(t.data, options, { measure: false }).done;
    expect(await fast.model.weightsSha256()).toBe(await model.weightsSha256());
    const { accuracy_before, accuracy_after, ...rest } = report;
    expect(accuracy_before && accuracy_after).toBeDefined();
    expect(fast.report).toEqual(rest);
  });
});

describe('files', () => {
  let t: Trained;
  let catalog: Catalog;
  beforeAll(async () => {
    t = await trained('plain');
    catalog = await t.engine.catalog();
  });
  afterAll(() => t?.engine.dispose());

  test('every format is written, and read again where it can be, with the same predictions', async () => {
    const { pixels } = await t.data.images('test', [...Array(40).keys()]);
    const expected = await (await t.int8.pack()).predict(pixels);
    for (const { name, readable } of catalog.fileFormats) {
      const { bytes } = await t.int8.saveAs(name);
      expect(bytes.length, name).toBeGreaterThan(1000);
      if (!readable) continue;
      const loaded = await t.engine.loadModel(bytes);
      expect(await (await loaded.pack()).predict(pixels), name).toEqual(expected);
    }
    expect(await errorOf(t.int8.saveAs('exe' as 'c'))).toMatchObject({ code: 'argument', where: 'format' });
  });

  test('an .espalier file says its parts, which are all of it, and keeps labels and pipeline', async () => {
    const labels = t.data.info.classNames;
    const pipeline = { passes: [{ pass: 'quantize' as const, weights: '8' }] };
    const { bytes, parts } = await t.int8.saveAs('espalier', { labels, pipeline });
    expect(parts.reduce((sum, part) => sum + part.bytes, 0)).toBe(bytes.length);
    expect(parts.map(({ name }) => name)).toContain('conv1.weight');
    const loaded = await t.engine.loadModel(bytes);
    expect(loaded.labels).toEqual(labels);
    expect(loaded.pipeline).toEqual(pipeline);
    // They stay with the model, and without them it has none.
    expect((await loaded.saveAs('espalier')).bytes).toEqual(bytes);
    const plain = await t.engine.loadModel((await t.int8.saveAs('espalier')).bytes);
    expect([plain.labels, plain.pipeline]).toEqual([[], undefined]);
  });
});

describe('pipelines', () => {
  let t: Trained;
  beforeAll(async () => {
    t = await trained('plain');
  });
  afterAll(() => t?.engine.dispose());

  test('a named one tells which pass is under way, and its model carries it into files', async () => {
    const run = t.model.compress(t.data, 'int8');
    const seen: PipelineProgress[] = [];
    for await (const event of run) seen.push(event);
    for (const { pass, index, passes } of seen) {
      expect(index).toBeLessThan(passes);
      expect(typeof pass).toBe('string');
    }
    const { model, report, pipeline } = await run.done;
    expect(report).toMatchObject({ pipeline: 'int8' });
    expect(report.passes).toHaveLength(pipeline.passes.length);
    expect(report.accuracy_after?.test).toBeGreaterThan(0.3);
    expect(model.pipeline).toEqual(pipeline);
    expect(model.labels).toEqual(t.data.info.classNames);
    const loaded = await t.engine.loadModel((await model.saveAs('espalier')).bytes);
    expect(loaded.pipeline).toEqual(pipeline);
  });

  test('it is paused, continued and aborted like any work', async () => {
    const run = t.model.compress(t.data, { passes: [{ pass: 'finetune', epochs: 1000 }] });
    await run.pause();
    expect(run.state).toBe('paused');
    await run.resume();
    expect(run.state).toBe('running');
    await run.abort();
    expect(await errorOf(run.done)).toMatchObject({ code: 'aborted' });
  });

  test('mistakes are named by their place', async () => {
    expect(await errorOf(t.model.compress(t.data, 'nothing').done)).toMatchObject({ where: 'pipeline' });
    const wrong = t.model.compress(t.data, { passes: [{ pass: 'prune', sparsity: 2 }] });
    expect(await errorOf(wrong.done)).toMatchObject({ code: 'argument', where: 'passes[0].sparsity' });
  });

  test('a sweep gives a line for each combination, aborts, and goes on from its lines', async () => {
    const lines: SweepLine[] = [];
    const first = t.model.sweep(t.data, grid);
    for await (const event of first) {
      if (event.type === 'progress') expect(event.total).toBe(4);
      else lines.push(event.line);
      if (lines.length === 2) break;
    }
    expect(await errorOf(first.done)).toMatchObject({ code: 'aborted' });

    let fresh = 0;
    const second = t.model.sweep(t.data, grid, { lines });
    for await (const event of second) fresh += event.type === 'line' ? 1 : 0;
    expect(fresh).toBe(2);
    const { lines: all } = await second.done;
    expect(all).toHaveLength(4);
    expect(all.slice(0, 2).map(({ pareto: _, ...line }) => line)).toEqual(lines);
    expect(all.some(({ pareto }) => pareto)).toBe(true);
    expect(all.map(({ choices }) => Object.values(choices))).toEqual([
      [0.5, '4'],
      [0.5, '8'],
      [0.9, '4'],
      [0.9, '8'],
    ]);
    for (const line of all) {
      // The bytes are those of the file that the pipeline makes.
      const { model } = await t.model.compress(t.data, line.pipeline, { measure: false }).done;
      expect((await model.saveAs('espalier')).bytes.length).toBe(line.file_bytes);
      expect(line.microseconds_per_image).toBeGreaterThan(0);
    }
  });

  test('shards share the work', async () => {
    const run = async (shard: string) => (await t.model.sweep(t.data, grid, { shard }).done).lines;
    const [even, odd] = [await run('0/2'), await run('1/2')];
    expect([...even, ...odd].map(({ pipeline }) => JSON.stringify(pipeline)).length).toBe(4);
    expect(new Set([...even, ...odd].map(({ pipeline }) => JSON.stringify(pipeline))).size).toBe(4);
    expect(await errorOf(t.model.sweep(t.data, grid, { shard: '2/2' }).done)).toMatchObject({
      where: 'shard',
    });
  });

  test('a pipeline that does not fit leaves a line that says so', async () => {
    const { lines } = await t.int8.sweep(t.data, { passes: [{ pass: 'quantize', weights: ['8'] }] }).done;
    expect(lines[0]?.error).toContain('quantized already');
    expect(lines[0]?.pareto).toBe(false);
  });
});

describe.runIf(existsSync(native))('the command line', () => {
  let t: Trained;
  const source = join(folder, 'model.safetensors');
  const data = ['--data', 'synthetic:1200', '--seed', '1', '--kernels', 'plain'];
  const cli = (...words: string[]): unknown =>
    JSON.parse(
      execFileSync(native, [...words, '--json'], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }),
    );
  beforeAll(async () => {
    const engine = await createEngine({ kernels: 'plain', threads: 1 });
    const dataset = await digits(engine, 1200, 200);
    const model = await engine.createModel('mobile', { dataset });
    await model.train(dataset, { epochs: 1 }).done;
    const { model: int8 } = await model.compress(dataset, 'int8', { measure: false }).done;
    t = { engine, data: dataset, model, int8 };
    writeFileSync(source, await model.save());
  });
  afterAll(() => t?.engine.dispose());

  test('compresses to the same file, byte for byte', () => {
    const out = join(folder, 'int8.espalier');
    cli('compress', source, ...data, '--pipeline', 'int8', '--out', out);
    return t.int8
      .saveAs('espalier')
      .then(({ bytes }) => expect(bytes).toEqual(new Uint8Array(readFileSync(out))));
  });

  test('exports every format to the same bytes', async () => {
    const from = join(folder, 'again.espalier');
    writeFileSync(from, (await t.int8.saveAs('espalier')).bytes);
    for (const { name, extension } of (await t.engine.catalog()).fileFormats) {
      const out = join(folder, `export${extension}`);
      cli('export', from, '--format', name, '--out', out);
      const loaded = await t.engine.loadModel(new Uint8Array(readFileSync(from)));
      // Buffers, because a difference of arrays is printed for minutes.
      expect(readFileSync(out).equals((await loaded.saveAs(name)).bytes), name).toBe(true);
    }
  });

  test.each(['packed', 'reference'] as const)(
    'evaluates the %s model to the same numbers',
    async (runtime) => {
      const file = join(folder, 'eval.espalier');
      writeFileSync(file, (await t.int8.saveAs('espalier')).bytes);
      const theirs = cli('eval', file, ...data, '--runtime', runtime) as {
        loss: number;
        accuracy: number;
        confusion: number[][];
        layers: object[];
      };
      const packed = await t.int8.pack({ runtime });
      const ours = await packed.evaluate(t.data, 'test');
      expect(ours.loss).toBe(theirs.loss);
      expect(ours.accuracy).toBe(theirs.accuracy);
      expect([...ours.confusion]).toEqual(theirs.confusion.flat());
      expect(packed.layers.map(({ layer, format }) => ({ layer, format }))).toEqual(
        theirs.layers
          .map((row) => row as { layer: string; format: string })
          .map(({ layer, format }) => ({ layer, format })),
      );
    },
  );
});
