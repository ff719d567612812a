import { createEngine, EspalierError, type Engine, type NamedFile } from 'espalier';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Connection } from '../../web/package/dist/connection.js';
import type { Binary, Native } from '../../web/package/dist/espalier/instance.js';
import { serve } from '../../web/package/dist/espalier/server.js';
import { binary } from '../../web/package/dist/espalier/simd.js';
import type { Reply } from '../../web/package/dist/protocol.js';
import { digits, errorOf, gzip, idx, idxFiles, sleep } from './data.js';

let engine: Engine;
let files: NamedFile[];
beforeAll(async () => {
  engine = await createEngine({ threads: 1 });
  files = await idxFiles(engine);
});
afterAll(() => engine.dispose());

const load = (list: NamedFile[]) => engine.loadDataset({ kind: 'files', files: list });
const bytesOf = (file: NamedFile | undefined) => file?.data as Uint8Array<ArrayBuffer>;
/** The four files with one replaced or left out. */
const withFile = (index: number, data?: Uint8Array, name?: string) =>
  files.flatMap((file, i) => (i !== index ? [file] : data ? [{ name: name ?? file.name, data }] : []));

describe('dataset files', () => {
  test('IDX files load in any order, gzipped or not, as bytes, buffers or blobs', async () => {
    const [images, labels, testImages, testLabels] = files;
    const dataset = await load([
      { name: 't10k-labels-idx1-ubyte.gz', data: await gzip(bytesOf(testLabels)) },
      {
        name: 'train-images-idx3-ubyte.gz',
        data: new Blob([(await gzip(bytesOf(images))) as Uint8Array<ArrayBuffer>]),
      },
      { name: 't10k-images-idx3-ubyte', data: bytesOf(testImages).slice().buffer },
      { name: 'train-labels-idx1-ubyte', data: bytesOf(labels) },
    ]);
    expect(dataset.info).toMatchObject({ channels: 1, height: 28, width: 28, counts: { test: 60 } });
    expect(dataset.info.counts.train + dataset.info.counts.validation).toBe(240);
    const { pixels, labels: read } = await dataset.images('test', [59, 0]);
    expect(pixels.subarray(0, 784)).toEqual(bytesOf(testImages).subarray(16 + 59 * 784));
    expect(read[1]).toBe(bytesOf(testLabels)[8]);
  });

  test('files without telling names are sorted by content and size', async () => {
    const dataset = await load(files.map(({ data }, i) => ({ name: `file${3 - i}`, data })).reverse());
    expect(dataset.info.counts.test).toBe(60);
  });

  test('CIFAR-10 batches are recognised', async () => {
    const batch = new Uint8Array(10 * 3073).map((_, i) => (i % 3073 === 0 ? (i / 3073) % 10 : i % 256));
    const dataset = await load([
      { name: 'test_batch.bin', data: batch },
      { name: 'data_batch_2.bin', data: batch },
      { name: 'data_batch_1.bin.gz', data: await gzip(batch) },
    ]);
    expect(dataset.info).toMatchObject({ channels: 3, height: 32, width: 32, counts: { test: 10 } });
  });

  test('half a digit cannot be drawn, and loading can be given up', async () => {
    const half = errorOf(engine.loadDataset({ kind: 'synthetic', train: 0.5 }));
    expect(await half).toMatchObject({ code: 'argument', where: 'train' });
    const given = errorOf(engine.loadDataset({ kind: 'files', files }, { signal: AbortSignal.abort() }));
    expect(await given).toMatchObject({ code: 'aborted' });
  });

  test('decoded images are a dataset', async () => {
    const images = new Uint8Array(60 * 12).map((_, i) => i % 256);
    const labels = Array.from({ length: 60 }, (_, i) => i % 2);
    const shape = { channels: 3, height: 2, width: 2 };
    const dataset = await engine.loadDataset({
      kind: 'images',
      classNames: ['a', 'b'],
      ...shape,
      images,
      labels,
    });
    expect(dataset.info).toMatchObject({ ...shape, classNames: ['a', 'b'] });
  });

  test.each([
    ['a missing file', () => withFile(1), 'train-labels-idx1-ubyte', 'is missing'],
    ['a missing test file', () => withFile(2), 't10k-images-idx3-ubyte', 'is missing'],
    ['a file that is cut off', () => withFile(0, bytesOf(files[0]).subarray(0, 5000)), files0, 'cut off'],
    ['a header that is cut off', () => withFile(0, bytesOf(files[0]).subarray(0, 7)), files0, 'cut off'],
    ['a wrong magic number', () => withFile(0, new Uint8Array(900).fill(7)), files0, 'not an IDX file'],
    [
      'counts that differ',
      () => withFile(1, idx([239], new Uint8Array(239))),
      'train-labels-idx1-ubyte',
      '239 labels for the 240 images',
    ],
    [
      'a .gz that is none',
      () => withFile(0, bytesOf(files[0]), `${files0}.gz`),
      `${files0}.gz`,
      'not a gzip file',
    ],
    ['nothing known', () => [{ name: 'notes.txt', data: new Uint8Array(10) }], 'notes.txt', 'no dataset'],
  ])('%s is an error that names it', async (_, make, where, words) => {
    const error = await errorOf(load(make()));
    expect(error).toBeInstanceOf(EspalierError);
    expect(error).toMatchObject({ code: 'data', where });
    expect(error.message).toContain(words);
    expect(error.message.startsWith(`${where}: `)).toBe(true);
  });

  test('a damaged gzip file is an error that names it', async () => {
    const whole = await gzip(bytesOf(files[0]));
    const name = `${files0}.gz`;
    const flipped = whole.slice();
    flipped[whole.length >> 1]! ^= 0xff;
    for (const damaged of [whole.subarray(0, whole.length >> 1), flipped]) {
      const error = await errorOf(load(withFile(0, damaged, name)));
      expect(error).toMatchObject({ code: 'data', where: name });
      expect(error.message).toContain('damaged');
    }
  });
});
const files0 = 'train-images-idx3-ubyte';

describe('models', () => {
  test('JSON keeps strange characters, and says where it is broken', async () => {
    const name = 'tab\t, bell\u0007, é, 𝄞, "quoted"';
    const layers = [{ type: 'flatten' }, { type: 'dense', units: 'classes', name }];
    const input = { channels: 1, height: 2, width: 2 };
    const model = await engine.createModel({ name, input, classes: 2, layers });
    expect((await model.inspect()).layers[1]?.name).toBe(name);
    expect((await engine.loadModel(await model.save())).spec.name).toBe(name);

    // A header of 8 bytes with a control character in it.
    const header = new TextEncoder().encode('{"\u0001": 1}'.padEnd(16));
    const error = await errorOf(engine.loadModel(Uint8Array.of(16, 0, 0, 0, 0, 0, 0, 0, ...header)));
    expect(error.code).toBe('model');
    expect(error.message).toContain('U+0001');
  });

  test('a wrong spec names layer and field', async () => {
    const input = { channels: 1, height: 28, width: 28 };
    const layers = [{ type: 'conv', name: 'first', out_channels: 4, kernel: 40 }];
    const error = await errorOf(engine.createModel({ input, classes: 10, layers }));
    expect(error).toMatchObject({ code: 'spec' });
    expect(error.where).toContain('first');
    expect(await errorOf(engine.createModel('small', { seed: -1 }))).toMatchObject({ where: 'seed' });
    const unknown = await errorOf(engine.createModel('alexnet'));
    expect(unknown.message).toContain('small');
  });

  test('a model of other classes or another size does not fit the data', async () => {
    const data = await digits(engine, 120, 10);
    const layers = [{ type: 'flatten' }, { type: 'dense', units: 'classes' }];
    const input = { channels: 1, height: 28, width: 28 };
    const model = await engine.createModel({ input, classes: 7, layers });
    for (const attempt of [model.train(data).done, model.evaluate(data, 'test')]) {
      const error = await errorOf(attempt);
      expect(error.code).toBe('data');
      expect(error.message).toMatch(/10 classes.*7/);
    }
    const pixels = await errorOf(model.predict(new Uint8Array(100)));
    expect(pixels).toMatchObject({ code: 'argument', where: 'pixels' });
  });

  test('a wrong configuration names the option', async () => {
    const data = await digits(engine, 120, 10);
    const model = await engine.createModel('small');
    const wrong = await errorOf(model.train(data, { optimizer: 'adamax' }).done);
    expect(wrong.code).toBe('argument');
    const unknown = await errorOf(model.train(data, { lr: 1 } as object).done);
    expect(unknown).toMatchObject({ code: 'argument' });
    expect(unknown.message).toContain('lr');
  });

  test('a training that diverges says so and leaves weights that are finite', async () => {
    const data = await digits(engine, 600, 100);
    const model = await engine.createModel('small', { dataset: data });
    const training = model.train(data, { learning_rate: 1e6 });
    const iteration = (async () => {
      for await (const event of training) expect(event.type).not.toBe('done');
    })();
    expect(await errorOf(iteration)).toMatchObject({ code: 'diverged', where: 'training' });
    expect(await errorOf(training.done)).toMatchObject({ code: 'diverged' });
    expect(training.state).toBe('failed');
    const { data: weights } = await model.tensor('conv1.weight');
    expect(weights.every(Number.isFinite)).toBe(true);
    expect((await model.evaluate(data, 'test')).loss).toBeLessThan(10);
  });

  test('a model file that is cut off or something else is refused', async () => {
    const file = await (await engine.createModel('small')).save();
    for (const damaged of [file.subarray(0, file.length - 5), file.subarray(0, 20), new Uint8Array(0)]) {
      expect(await errorOf(engine.loadModel(damaged))).toMatchObject({ code: 'model' });
    }
    const model = await engine.loadModel(file);
    const error = await errorOf(model.resume(await digits(engine, 120, 10)).done);
    expect(error.message).toContain('no training to continue');
  });
});

describe('a trap', () => {
  test('fails the calls under way and all later ones, and the instance is not called again', async () => {
    // The real engine, but predict() reads far outside of its memory.
    let calls = 0;
    const factory: Binary['factory'] = async (options) => {
      const native = await binary.factory(options);
      const predict: Native['predict'] = (model, _pixels, bytes, count) =>
        native.predict(model, 0xfff0_0000, bytes, count);
      const schema = () => {
        calls += 1;
        return '{}';
      };
      return Object.create(native, { predict: { value: predict }, schema: { value: schema } }) as Native;
    };
    const connection = await Connection.open((receive) => {
      const server = serve({ ...binary, factory }, (reply: Reply) => queueMicrotask(() => receive(reply)));
      return {
        send: (request) => queueMicrotask(() => server.receive(request)),
        close: () => server.close(),
      };
    });
    await connection.call('open', { threads: 1 });
    const source = { kind: 'synthetic', train: 600, test: 60, seed: 1 } as const;
    const data = await connection.call('loadDataset', source);
    const model = await connection.call('createModel', 'small', 1, data.id);
    const training = errorOf(connection.call('train', model.id, data.id, { epochs: 1000 }));
    await sleep(50);
    const failed = await errorOf(connection.call('predict', model.id, new Uint8Array(28 * 28)));
    for (const error of [failed, await training, await errorOf(connection.call('schema'))]) {
      expect(error).toBeInstanceOf(EspalierError);
      expect(error.code).toBe('crashed');
      expect(error.message).toMatch(/memory access out of bounds.*Create a new one/);
    }
    expect(calls).toBe(0);

    const another = await createEngine({ threads: 1 });
    expect(await another.createModel('small')).toBeDefined();
    await another.dispose();
  });
});
