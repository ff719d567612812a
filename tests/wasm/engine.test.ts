import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { createEngine, type Engine } from 'espalier';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { digits, errorOf } from './data.js';

const node = parseInt(process.versions.node);

/** Runs a module in a Node of its own and reads what it prints as JSON. */
function run(source: string, flags: string[] = []): Record<string, unknown> {
  const code = `import { createEngine } from 'espalier';\n${source}`;
  const options = { cwd: fileURLToPath(new URL('.', import.meta.url)), encoding: 'utf8' } as const;
  const output = execFileSync('node', [...flags, '--input-type=module', '-e', code], options);
  return JSON.parse(output) as Record<string, unknown>;
}
const relaxedFlag = node < 21 ? ['--experimental-wasm-relaxed-simd'] : [];

describe('which binary runs', () => {
  test('plain kernels run when they are asked for, and say so', async () => {
    const engine = await createEngine({ kernels: 'plain', threads: 1 });
    expect(engine.info).toMatchObject({ kernels: 'plain', threads: 1, lanes: 8, worker: false });
    expect(engine.info.fallbackReason).toBe('');
    await engine.dispose();
  });

  test('the threads that are asked for run', async () => {
    const engine = await createEngine({ kernels: 'plain', threads: 3 });
    expect(engine.info.threads).toBe(3);
    await engine.dispose();
  });

  test.runIf(node < 21)('without relaxed SIMD the plain kernels run, with a reason', async () => {
    const engine = await createEngine();
    expect(engine.info.kernels).toBe('plain');
    expect(engine.info.fallbackReason).toContain('no relaxed SIMD');
    await engine.dispose();
    const error = await errorOf(createEngine({ kernels: 'relaxed' }));
    expect(error).toMatchObject({ code: 'unsupported' });
  });

  test('relaxed kernels run where the processor fuses, and round differently', () => {
    const train = `
      const engine = await createEngine({ kernels: KERNELS, threads: 2 });
      const data = await engine.loadDataset({ kind: 'synthetic', train: 300, test: 10 });
      const model = await engine.createModel('small', { dataset: data });
      await model.train(data, { epochs: 1 }).done;
      console.log(JSON.stringify({ ...engine.info, sha: await model.weightsSha256() }));`;
    const plain = run(train.replace('KERNELS', '"plain"'), relaxedFlag);
    const automatic = run(train.replace('KERNELS', '"auto"'), relaxedFlag);
    expect(plain.kernels).toBe('plain');
    if (automatic.kernels === 'plain') expect(automatic.fallbackReason).toContain('not fused');
    else expect(automatic).toMatchObject({ kernels: 'relaxed', fallbackReason: '', threads: 2 });
    expect(automatic.sha === plain.sha).toBe(automatic.kernels === 'plain');
  });

  test('it works where code may not be made from strings', () => {
    const info = run('console.log(JSON.stringify((await createEngine({ threads: 2 })).info));', [
      '--disallow-code-generation-from-strings',
    ]);
    expect(info.threads).toBe(2);
  });

  test('nothing global is touched, and an idle engine with threads lets Node end', () => {
    const { added } = run(`
      const names = () => Object.getOwnPropertyNames(globalThis);
      const before = new Set(names());
      const engine = await createEngine({ threads: 2 });
      await engine.createModel('small');
      console.log(JSON.stringify({ added: names().filter((name) => !before.has(name)) }));`);
    expect(added).toEqual([]);
  });

  test('wrong options are named', async () => {
    expect(await errorOf(createEngine({ threads: 0 }))).toMatchObject({ code: 'argument', where: 'threads' });
    const lost = await errorOf(createEngine({ wasmFolder: 'file:///nowhere', threads: 1 }));
    expect(lost.message).toContain('file:///nowhere/espalier-simd.wasm');
  });
});

describe('an engine', () => {
  let engine: Engine;
  beforeAll(async () => {
    engine = await createEngine({ threads: 2 });
  });
  afterAll(() => engine.dispose());

  test('a small network learns generated digits', async () => {
    const data = await digits(engine, 3000, 500);
    const model = await engine.createModel('small', { dataset: data });
    await model.train(data, { epochs: 5 }).done;
    const evaluation = await model.evaluate(data, 'test');
    expect(evaluation.accuracy).toBeGreaterThan(0.85);
    expect(evaluation.count).toBe(500);
    const right = Array.from({ length: 10 }, (_, i) => evaluation.confusion[i * 10 + i] ?? 0);
    expect(right.reduce((sum, n) => sum + n) / 500).toBe(evaluation.accuracy);
    expect(evaluation.confusion.reduce((sum, n) => sum + n)).toBe(500);
    expect(evaluation.predictions).toHaveLength(500);
    expect(Math.max(...evaluation.confidences)).toBeLessThanOrEqual(1);

    const { pixels } = await data.images('test', [0, 1, 2, 3, 4, 5, 6]);
    const probabilities = await model.predict(pixels, 7);
    for (let i = 0; i < 7; ++i) {
      const row = probabilities.subarray(10 * i, 10 * i + 10);
      expect(row.reduce((sum, p) => sum + p)).toBeCloseTo(1, 5);
      expect(row.indexOf(Math.max(...row))).toBe(evaluation.predictions[i]);
    }
  });

  test('layers, tensors and feature maps have the shapes that the model says', async () => {
    const model = await engine.createModel('lenet5');
    const inspection = await model.inspect();
    expect(inspection.parameters).toBe(431_080);
    const image = new Uint8Array(28 * 28).map((_, i) => i % 251);
    for (const { name, shape } of inspection.layers) {
      const { shape: found, data } = await model.activations(image, name);
      expect(found).toEqual(shape);
      expect(data).toHaveLength(shape.reduce((a, b) => a * b));
    }
    let count = 0;
    for (const { name, shape } of inspection.tensors) {
      const tensor = await model.tensor(name);
      expect(tensor.shape).toEqual(shape);
      count += tensor.data.length;
    }
    expect(count).toBe(431_080);
    await model.dispose();
  });

  test('every preset of the catalogue builds and its layers are in the schema', async () => {
    const catalog = await engine.catalog();
    const schema = JSON.stringify(await engine.schema());
    expect(catalog.optimizers.length * catalog.schedules.length * catalog.losses.length).toBeGreaterThan(10);
    for (const layer of catalog.layers) expect(schema).toContain(`{"const":"${layer.name}"}`);
    for (const preset of catalog.presets) {
      const model = await engine.createModel(preset.spec);
      expect((await model.inspect()).spec.classes).toBe(preset.spec.classes);
      await model.dispose();
    }
  });

  test('a saved model has the same weights when it is loaded', async () => {
    const model = await engine.createModel('small', { seed: 7 });
    const file = await model.save();
    const copy = await engine.loadModel(new Blob([file as Uint8Array<ArrayBuffer>]));
    expect(await copy.weightsSha256()).toBe(await model.weightsSha256());
    expect(await copy.weightsSha256()).not.toBe(await (await engine.createModel('small')).weightsSha256());
  });

  test('the heap does not grow over many models that come and go', async () => {
    const round = async () => {
      const data = await digits(engine, 300, 50);
      const model = await engine.createModel('small', { dataset: data });
      await model.train(data, { epochs: 1 }).done;
      await model.evaluate(data, 'test');
      await model.predict((await data.images('test', [0])).pixels);
      await engine.loadModel(await model.save()).then((copy) => copy.dispose());
      await model.dispose();
      await data.dispose();
    };
    for (let i = 0; i < 5; ++i) await round();
    const { heapBytes } = await engine.memory();
    for (let i = 0; i < 40; ++i) await round();
    expect(await engine.memory()).toEqual({ heapBytes });
  });

  test('what was disposed of says so', async () => {
    const model = await engine.createModel('small');
    await model.dispose();
    expect(await errorOf(model.inspect())).toMatchObject({ code: 'argument', where: 'model' });
    const other = await createEngine({ threads: 1 });
    const orphan = await other.createModel('small');
    await other.dispose();
    expect(await errorOf(orphan.inspect())).toMatchObject({ code: 'aborted' });
  });
});
