import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import {
  createEngine,
  EspalierError,
  type Catalog,
  type Dataset,
  type Engine,
  type FactorizeOptions,
  type FineTuneOptions,
  type Model,
  type PassName,
  type PassProgress,
  type PruneOptions,
  type QuantizeOptions,
  type RoundOptions,
  type TransferOptions,
} from 'espalier';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { digits, errorOf, sleep } from './data.js';

let engine: Engine;
let data: Dataset;
let catalog: Catalog;
beforeAll(async () => {
  engine = await createEngine({ kernels: 'plain', threads: 1 });
  data = await digits(engine);
  catalog = await engine.catalog();
});
afterAll(() => engine.dispose());

const trained = async (): Promise<Model> => {
  const model = await engine.createModel('small', { dataset: data });
  await model.train(data, { epochs: 2 }).done;
  return model;
};
/** Work that would take minutes. */
const endless = (model: Model, signal?: AbortSignal) =>
  model.quantize(data, { qat: 1000, control: false }, { signal });
const zeros = (values: Float32Array) => values.reduce((count, value) => count + (value === 0 ? 1 : 0), 0);

describe('the passes', () => {
  test('quantize: fewer bits, fewer bytes, a new model', async () => {
    const model = await trained();
    const before = await model.weightsSha256();
    const { report, model: small } = await model.quantize(data, { weights: 4, control: false }).done;
    expect(report).toMatchObject({ pass: 'quantize', model: 'small', revived: 0, finetune_epochs: 0 });
    expect(report.before.total.bits).toBe(32);
    expect(report.after.total.bits).toBe(4);
    expect(report.after.total.bytes).toBeLessThan(report.before.total.bytes / 4);
    expect(report.after.layers.map(({ name }) => name)).toContain('conv1');
    for (const accuracy of [report.accuracy_before, report.accuracy_after]) {
      expect(accuracy?.validation).toBeGreaterThan(0.3);
      expect(accuracy?.test).toBeLessThanOrEqual(1);
    }
    for (const note of Object.values(report.notes)) expect(note).toBeTypeOf('string');
    // The report says what the models themselves say, and the first one is as it was.
    const original = await model.evaluate(data, 'test');
    expect(report.accuracy_before?.test).toBeCloseTo(original.accuracy, 6);
    expect((await small.evaluate(data, 'test')).accuracy).toBeCloseTo(report.accuracy_after?.test ?? NaN, 6);
    expect(await model.weightsSha256()).toBe(before);
    const { layers } = await small.inspect();
    expect(layers.find(({ name }) => name === 'conv1')?.detail).toContain('symmetric weights of 4 bits');
    // It is kept in a file.
    const loaded = await engine.loadModel(await small.save());
    expect(await loaded.weightsSha256()).toBe(await small.weightsSha256());
  });

  test('bits by layer are a text, and other scales can be learned', async () => {
    const model = await trained();
    const options: QuantizeOptions = { weights: '3,conv1=8', qat: 1, control: false, activations: 'float' };
    const { report } = await model.quantize(data, options).done;
    const bits = new Map(report.after.layers.map(({ name, bits }) => [name, bits]));
    expect(bits.get('conv1')).toBe(8);
    expect(bits.get('conv2')).toBe(3);
    expect(report.accuracy_finetuned?.validation).toBeGreaterThan(0.3);
  });

  test('prune: the share that was asked for is 0, and stays it while the new model trains', async () => {
    const model = await trained();
    const options: PruneOptions = { sparsity: 0.8, finetune: 1, control: false };
    const { report, model: sparse } = await model.prune(data, options).done;
    expect(report.after.total.nonzeros).toBeLessThan(0.25 * report.before.total.nonzeros);
    expect(report.revived).toBe(0);
    const weights = async () => {
      const { tensors } = await sparse.inspect();
      const names = tensors.map(({ name }) => name).filter((name) => name.endsWith('.weight'));
      return Promise.all(names.map(async (name) => zeros((await sparse.tensor(name)).data)));
    };
    const pruned = await weights();
    await sparse.train(data, { epochs: 1, weight_decay: 0.01 }).done;
    expect(await weights()).toEqual(pruned);
    expect(zeros((await model.tensor('conv2.weight')).data)).toBe(0);
  });

  test('channels are slimmed away', async () => {
    const model = await trained();
    const options: PruneOptions = { sparsity: 0.5, granularity: 'channel', slim: true, control: false };
    const { report, model: slim } = await model.prune(data, options).done;
    expect(report.after.total.macs).toBeLessThan(report.before.total.macs);
    const inspection = await slim.inspect();
    expect(inspection.parameters).toBeLessThan((await model.inspect()).parameters);
    expect(inspection.macs).toBe(report.after.total.macs);
  });

  test('rewinding needs the early model and takes it', async () => {
    const early = await engine.createModel('small', { dataset: data });
    await early.train(data, { epochs: 1, limit: 128 }).done;
    const options: PruneOptions = { sparsity: 0.5, finetune: 1, rewind: true, control: false };
    const model = await trained();
    expect(await errorOf(model.prune(data, options).done)).toMatchObject({ code: 'argument' });
    const { report } = await model.prune(data, options, { early }).done;
    expect(report.revived).toBe(0);
  });

  test('finetune, fold, slim and round each give a model of their own and a report', async () => {
    const model = await trained();
    const options: PruneOptions = { sparsity: 0.5, granularity: 'channel', control: false };
    const { model: pruned } = await model.prune(data, options).done;
    const { model: slimmed, report } = await pruned.slim(data).done;
    expect(report.after.total.parameters).toBeLessThan(report.before.total.parameters);
    const tuned = await slimmed.finetune(data, { epochs: 1, distillation: 0.5 }).done;
    expect(tuned.report.finetune_epochs).toBe(1);
    const { model: folded } = await tuned.model.fold(data).done;
    const { model: rounded } = await folded.round(data, { biases: 4 }).done;
    for (const bias of (await rounded.tensor('conv1.bias')).data) {
      expect(bias / 2 ** (Math.floor(Math.log2(Math.abs(bias))) - 3)).toSatisfy(Number.isInteger);
    }
  });

  test('factorize: layers become two thinner ones', async () => {
    const model = await engine.createModel('lenet-300-100', { dataset: data });
    const { report, model: thin } = await model.factorize(data, { rank: 8 }).done;
    expect(report.after.total.parameters).toBeLessThan(report.before.total.parameters / 4);
    expect((await thin.inspect()).layers.length).toBeGreaterThan((await model.inspect()).layers.length);
  });

  test('transfer: to other classes, with the source remembered', async () => {
    const low = await data.subset({ classes: '0-4' });
    const high = await data.subset({ classes: [5, 6, 7, 8, 9], perClass: 10, seed: 3 });
    const source = await engine.createModel('small', { dataset: low });
    await source.train(low, { epochs: 2 }).done;
    const before = await source.weightsSha256();
    const options: TransferOptions = { mode: 'parameters', epochs: 2, freeze: ['conv*'], new_head: true };
    const { report, model } = await source.transfer(high, options, { sourceDataset: low }).done;
    expect(model.spec.classes).toBe(5);
    expect((await model.tensor('conv1.weight')).data).toEqual((await source.tensor('conv1.weight')).data);
    expect(report.source_before?.test).toBeGreaterThan(0.3);
    expect(await source.weightsSha256()).toBe(before);
  });

  test('distillation: into a student by name, by spec, or one that is there', async () => {
    const teacher = await trained();
    const layers = [{ type: 'flatten' }, { type: 'dense', units: 'classes' }];
    const spec = { name: 'tiny', input: { channels: 1, height: 28, width: 28 }, classes: 10, layers };
    const student = { mode: 'distill', epochs: 1 } as const;
    const tiny = await teacher.transfer(data, { ...student, student: spec }).done;
    expect(tiny.model.spec.layers).toHaveLength(2);
    const named = await teacher.transfer(data, { ...student, student: 'lenet-300-100' }).done;
    expect(named.model.spec.name).toBe('lenet-300-100');
    const target = await engine.createModel(spec, { seed: 5, dataset: data });
    const untouched = await target.weightsSha256();
    const given = await teacher.transfer(data, student, { target }).done;
    expect(given.model.spec.layers).toHaveLength(2);
    expect(await target.weightsSha256()).toBe(untouched);
  });

  test('passes compose', async () => {
    const model = await trained();
    const pruned = await model.prune(data, { sparsity: 0.5, control: false }).done;
    const both = await pruned.model.quantize(data, { weights: 4, control: false }).done;
    expect(both.report.before.total.nonzeros).toBe(pruned.report.after.total.nonzeros);
    expect(both.report.after.total.bytes).toBeLessThan(pruned.report.after.total.bytes);
    expect(both.report.after.total.nonzeros).toBeLessThanOrEqual(pruned.report.after.total.nonzeros);
  });

  test('the same pass gives the same model, also while the original trains', async () => {
    const file = await (await trained()).save();
    const run = async (trainMeanwhile: boolean) => {
      const model = await engine.loadModel(file);
      const pass = model.quantize(data, { weights: 3, qat: 1, control: false });
      const training = trainMeanwhile ? model.train(data, { epochs: 1000 }) : undefined;
      const { model: small } = await pass.done;
      await training?.abort();
      return small.weightsSha256();
    };
    expect(await run(true)).toBe(await run(false));
  });
});

describe('the native command line', () => {
  const native = fileURLToPath(new URL('../../build/native/espalier', import.meta.url));
  const folder = mkdtempSync(join(tmpdir(), 'espalier-passes-'));
  afterAll(() => rmSync(folder, { recursive: true }));

  test.runIf(existsSync(native))('compresses the same file to the same bits', async () => {
    const dataset = await digits(engine, 1200, 200);
    const model = await engine.createModel('mobile', { dataset });
    await model.train(dataset, { epochs: 1 }).done;
    const file = join(folder, 'model.safetensors');
    writeFileSync(file, await model.save());
    const out = join(folder, 'out.safetensors');
    const run = (words: string[]): string => {
      const options = ['--data', 'synthetic:1200', '--seed', '1', '--kernels', 'plain', '--lr', '0.01'];
      const text = execFileSync(native, [...words, ...options, '--out', out, '--json'], {
        encoding: 'utf8',
        stdio: ['ignore', 'pipe', 'ignore'],
      });
      return (JSON.parse(text) as { weights_sha256: string }).weights_sha256;
    };
    const training = { learning_rate: 0.01, seed: 1 };
    const pruned = await model.prune(
      dataset,
      { sparsity: 0.7, criterion: 'taylor', finetune: 1, control: false },
      { training },
    ).done;
    expect(await pruned.model.weightsSha256()).toBe(
      run(['prune', file, ...'--sparsity 0.7 --criterion taylor --finetune 1 --no-control'.split(' ')]),
    );
    const quantized = await model.quantize(
      dataset,
      { weights: 4, activations: '8', qat: 1, control: false },
      { training },
    ).done;
    expect(await quantized.model.weightsSha256()).toBe(
      run(['quantize', file, ...'--weights 4 --activations 8 --qat 1 --no-control'.split(' ')]),
    );
  });
});

describe('progress', () => {
  test('goes forward within a stage, with an estimate, and does not flood', async () => {
    const model = await trained();
    const events: PassProgress[] = [];
    const begin = performance.now();
    const pass = model.quantize(data, { weights: 4, qat: 20, control: false });
    for await (const event of pass) events.push(event);
    const seconds = (performance.now() - begin) / 1000;
    expect(pass.state).toBe('done');
    expect(events.length).toBeLessThanOrEqual(15 * seconds + 1);
    expect(events.length).toBeGreaterThan(3);
    const stages = events.map(({ stage }) => stage);
    for (const [i, event] of events.entries()) {
      const { stage, done, total, etaSeconds } = event;
      expect(event.type).toBe('progress');
      expect(stage).not.toBe('');
      expect(done).toBeLessThanOrEqual(total);
      if (done > 0) expect(etaSeconds).toBeGreaterThanOrEqual(0);
      const last = events[i - 1];
      if (last?.stage === stage && last.total === total) expect(done).toBeGreaterThanOrEqual(last.done);
    }
    // The stage that trains says how it goes.
    const training = events.filter(({ loss }) => loss !== undefined);
    expect(training.length).toBeGreaterThan(0);
    for (const { loss, accuracy } of training) {
      expect(loss).toBeGreaterThan(0);
      expect(accuracy).toBeLessThanOrEqual(1);
    }
    const longest = training.at(-1)?.stage ?? '';
    expect(stages.lastIndexOf(longest) - stages.indexOf(longest) + 1).toBe(
      stages.filter((stage) => stage === longest).length,
    );
  });
});

describe('steering', () => {
  test('pause holds it; resume goes on to the same result', async () => {
    const file = await (await trained()).save();
    const run = async (steer: boolean) => {
      const pass = (await engine.loadModel(file)).quantize(data, { weights: 3, qat: 3, control: false });
      if (steer) {
        await sleep(60);
        const begin = performance.now();
        await pass.pause();
        expect(performance.now() - begin).toBeLessThan(100);
        expect(pass.state).toBe('paused');
        let ended = false;
        void pass.done.then(() => (ended = true));
        await sleep(300);
        expect(ended).toBe(false);
        await pass.resume();
        expect(pass.state).toBe('running');
      }
      return (await pass.done).model.weightsSha256();
    };
    expect(await run(true)).toBe(await run(false));
  });

  test('a pause that is taken back at once is answered', async () => {
    const pass = endless(await trained());
    await Promise.all([pass.pause(), pass.resume()]);
    expect(pass.state).toBe('running');
    await pass.abort();
  });

  test('abort is answered within 100 ms, also in a pause, and the original is as it was', async () => {
    const model = await trained();
    const before = await model.weightsSha256();
    for (const wait of [0, 50, 150]) {
      const pass = endless(model);
      await sleep(wait);
      if (wait === 50) await pass.pause();
      const begin = performance.now();
      await pass.abort();
      expect(performance.now() - begin).toBeLessThan(100);
      expect(pass.state).toBe('failed');
      const error = await errorOf(pass.done);
      expect(error).toBeInstanceOf(EspalierError);
      expect(error.code).toBe('aborted');
    }
    expect(await model.weightsSha256()).toBe(before);
    await model.train(data, { epochs: 1, limit: 64 }).done;
  });

  test('a signal aborts it, also before it began; who iterates sees the error', async () => {
    const model = await trained();
    const controller = new AbortController();
    const pass = endless(model, controller.signal);
    const iteration = (async () => {
      for await (const event of pass) if (event.done > 0) controller.abort();
    })();
    expect(await errorOf(iteration)).toMatchObject({ code: 'aborted' });
    expect(await errorOf(endless(model, controller.signal).done)).toMatchObject({ code: 'aborted' });
  });

  test('leaving the loop aborts it', async () => {
    const pass = endless(await trained());
    for await (const event of pass) if (event.type === 'progress') break;
    expect(await errorOf(pass.done)).toMatchObject({ code: 'aborted' });
  });

  test('other calls are answered within 100 ms meanwhile', async () => {
    const model = await trained();
    const pass = endless(model);
    const { pixels } = await data.images('test', [0]);
    for (let i = 0; i < 10; ++i) {
      const begin = performance.now();
      await model.predict(pixels);
      expect(performance.now() - begin).toBeLessThan(100);
    }
    await pass.abort();
  });

  test('the heap does not grow over passes that are aborted or end', async () => {
    const model = await trained();
    const round = async () => {
      const pass = endless(model);
      await sleep(20);
      await pass.abort();
      const { model: small } = await model.prune(data, { sparsity: 0.5, control: false }).done;
      await small.dispose();
    };
    for (let i = 0; i < 3; ++i) await round();
    const { heapBytes } = await engine.memory();
    for (let i = 0; i < 15; ++i) await round();
    expect(await engine.memory()).toEqual({ heapBytes });
  });
});

describe('mistakes', () => {
  test.each<[string, PassName, object, object]>([
    ['an unknown option', 'quantize', { bits: 4 }, { where: 'bits' }],
    ['an unknown scheme', 'quantize', { scheme: 'float' }, { where: 'scheme' }],
    ['too many bits', 'quantize', { weights: 9 }, { where: 'weights' }],
    ['everything pruned', 'prune', { sparsity: 1 }, { where: 'sparsity' }],
    ['an unknown criterion', 'prune', { criterion: 'hope' }, { where: 'criterion' }],
    ['rank and energy', 'factorize', { rank: 3, energy: 0.5 }, { where: 'energy' }],
    ['no student', 'transfer', { mode: 'distill' }, { where: 'student' }],
  ])('%s is named', async (_, pass, options, expected) => {
    const model = await engine.createModel('small', { dataset: data });
    const error = await errorOf(model[pass](data, options).done);
    expect(error).toBeInstanceOf(EspalierError);
    expect(error).toMatchObject({ code: 'argument', ...expected });
  });

  test('wrong ways to train, and things that are no datasets or models', async () => {
    const model = await engine.createModel('small', { dataset: data });
    const training = { learning_rate: 'fast' } as object;
    const wrong = await errorOf(model.quantize(data, {}, { training }).done);
    expect(wrong).toMatchObject({ code: 'argument', where: 'learning_rate' });
    expect(() => model.quantize({} as Dataset)).toThrow(EspalierError);
    expect(() => model.prune(data, {}, { early: {} as Model })).toThrow(EspalierError);
  });

  test('a pass whose training diverges says so', async () => {
    const model = await trained();
    const before = await model.weightsSha256();
    const options: PruneOptions = { sparsity: 0.5, finetune: 2, control: false };
    const pass = model.prune(data, options, { training: { learning_rate: 1e6 } });
    expect(await errorOf(pass.done)).toMatchObject({ code: 'diverged' });
    expect(pass.state).toBe('failed');
    expect(await model.weightsSha256()).toBe(before);
  });

  test('data that does not fit, and an engine that is gone', async () => {
    const layers = [{ type: 'flatten' }, { type: 'dense', units: 'classes' }];
    const input = { channels: 1, height: 28, width: 28 };
    const model = await engine.createModel({ input, classes: 7, layers });
    expect(await errorOf(model.quantize(data).done)).toMatchObject({ code: 'data' });
    const other = await createEngine({ threads: 1 });
    const set = await digits(other, 120, 10);
    const pass = (await other.createModel('small', { dataset: set })).quantize(set, { qat: 1000 });
    await other.dispose();
    expect(await errorOf(pass.done)).toMatchObject({ code: 'aborted' });
  });
});

describe('the catalogue', () => {
  // Every option that the types have, so that neither they nor the engine can have one alone.
  const options: {
    quantize: Record<keyof QuantizeOptions, true>;
    prune: Record<keyof PruneOptions, true>;
    factorize: Record<keyof FactorizeOptions, true>;
    finetune: Record<keyof FineTuneOptions, true>;
    fold: object;
    slim: object;
    round: Record<keyof RoundOptions, true>;
    transfer: Record<keyof TransferOptions, true>;
  } = {
    quantize: {
      weights: true,
      activations: true,
      scheme: true,
      granularity: true,
      group_size: true,
      calibrate: true,
      ranges: true,
      images: true,
      qat: true,
      distillation: true,
      learned: true,
      bytes: true,
      initialization: true,
      fold: true,
      control: true,
    },
    prune: {
      criterion: true,
      sparsity: true,
      threshold: true,
      bytes: true,
      granularity: true,
      scope: true,
      schedule: true,
      rounds: true,
      samples: true,
      finetune: true,
      distillation: true,
      rewind: true,
      slim: true,
      control: true,
      layers: true,
    },
    factorize: { rank: true, energy: true, layers: true, finetune: true, control: true },
    transfer: {
      mode: true,
      freeze: true,
      layer_rates: true,
      lambda: true,
      l2sp: true,
      rehearsal: true,
      temperature: true,
      alpha: true,
      hint: true,
      hint_epochs: true,
      student: true,
      epochs: true,
      new_head: true,
      control: true,
    },
    finetune: { epochs: true, distillation: true, temperature: true, control: true },
    fold: {},
    slim: {},
    round: { biases: true, grids: true, weights: true },
  };

  test('passes have the options of the types, with defaults and words', () => {
    expect(catalog.passes.map(({ name }) => name)).toEqual(Object.keys(options));
    for (const { name, summary, fields } of catalog.passes) {
      expect(summary.length).toBeGreaterThan(10);
      expect(fields.map((field) => field.name).sort()).toEqual(Object.keys(options[name]).sort());
      for (const field of fields) {
        expect(field.description).not.toBe('');
        expect(field.default).toBeDefined();
        if (field.choices) expect(field.choices).toContain(field.default);
        if (field.minimum !== undefined) expect(field.maximum).toBeGreaterThan(field.minimum);
      }
    }
  });

  test('the defaults of a pass are accepted when they are spelt out', async () => {
    const model = await trained();
    const { fields } = catalog.passes.find(({ name }) => name === 'quantize') ?? { fields: [] };
    const spelt = Object.fromEntries(fields.map((field) => [field.name, field.default])) as QuantizeOptions;
    const [one, two] = [await model.quantize(data, spelt).done, await model.quantize(data).done];
    expect(await one.model.weightsSha256()).toBe(await two.model.weightsSha256());
  });

  test('schemes are the choices of quantize', () => {
    const scheme = catalog.passes[0]?.fields.find(({ name }) => name === 'scheme');
    expect(catalog.schemes.map(({ name }) => name)).toEqual(scheme?.choices);
    for (const { minBits, maxBits, summary } of catalog.schemes) {
      expect(minBits).toBeGreaterThanOrEqual(1);
      expect(maxBits).toBeLessThanOrEqual(8);
      expect(maxBits).toBeGreaterThanOrEqual(minBits);
      expect(summary).not.toBe('');
    }
    const byName = new Map(catalog.schemes.map((row) => [row.name, row]));
    expect(byName.get('symmetric')).toMatchObject({ learnable: true, exactZero: true });
    expect(byName.get('article')).toMatchObject({ exactZero: false });
  });
});

describe('parts of a dataset', () => {
  test('classes become 0, 1, … in the order of the list; the original stays', async () => {
    const part = await data.subset({ classes: [7, 2] });
    expect(part.info.classNames).toEqual(['7', '2']);
    expect(part.info.counts.test).toBeLessThan(data.info.counts.test);
    const { labels } = await part.images('test', [...Array(part.info.counts.test).keys()]);
    expect(new Set(labels)).toEqual(new Set([0, 1]));
    expect(data.info.classNames).toHaveLength(10);
    expect((await part.subset({ classes: '0-1' })).info).toEqual(part.info);
  });

  test('so many images of each class, the same ones for the same seed', async () => {
    const few = async (seed: number) => {
      const part = await data.subset({ perClass: 3, seed });
      expect(part.info.counts).toMatchObject({ train: 30, test: data.info.counts.test });
      const { pixels, labels } = await part.images('train', [...Array(30).keys()]);
      const counts = Array.from({ length: 10 }, (_, c) => labels.filter((label) => label === c).length);
      expect(counts).toEqual(Array(10).fill(3));
      return pixels;
    };
    expect(await few(1)).toEqual(await few(1));
    expect(await few(2)).not.toEqual(await few(1));
  });

  test('classes that are not there, and half an image, are mistakes', async () => {
    for (const classes of [[3, 11], '0-', [4], [1, 1]]) {
      expect(await errorOf(data.subset({ classes }))).toMatchObject({ code: 'argument', where: 'classes' });
    }
    expect(await errorOf(data.subset({ perClass: 0.5 }))).toMatchObject({ where: 'perClass' });
    expect(await errorOf(data.subset({ perClass: 1e6 }))).toMatchObject({ code: 'data' });
    expect(await errorOf(data.subset({ perClass: 1, seed: -1 }))).toMatchObject({ where: 'seed' });
  });
});

test('numbers with many digits are read as JavaScript reads them', async () => {
  let state = 1;
  const random = () => (state = (state * 48271) % 2147483647) / 2147483647;
  const layers = [{ type: 'flatten' }, { type: 'dense', units: 'classes' }];
  for (let i = 0; i < 300; ++i) {
    const mean = (random() - 0.5) * 10 ** Math.floor(38 * random() - 20);
    const input = { channels: 1, height: 2, width: 2, mean: [mean], standard_deviation: [1] };
    const model = await engine.createModel({ input, classes: 2, layers });
    expect(model.spec.input.mean).toEqual([mean]);
    await model.dispose();
  }
});
