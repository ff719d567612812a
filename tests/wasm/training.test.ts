import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { createEngine, type Dataset, type Engine, type Model, type TrainingEvent } from 'espalier';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { digits, errorOf, sleep } from './data.js';

let engine: Engine;
let data: Dataset;
let model: Model;
beforeAll(async () => {
  engine = await createEngine({ kernels: 'plain', threads: 1 });
  data = await digits(engine);
});
afterAll(() => engine.dispose());
const fresh = async () => (model = await engine.createModel('small', { dataset: data }));

describe('events', () => {
  test('progress moves forward, epochs are validated, and the last event is done', async () => {
    await fresh();
    const events: TrainingEvent[] = [];
    for await (const event of model.train(data, { epochs: 2 })) events.push(event);
    const progress = events.filter((event) => event.type === 'progress');
    const epochs = events.filter((event) => event.type === 'epoch');
    const last = events.at(-1);
    expect(epochs.map((event) => event.epoch)).toEqual([1, 2]);
    for (const epoch of epochs) expect(epoch.validationAccuracy).toBeGreaterThan(0);
    expect(last).toMatchObject({ type: 'done', aborted: false, epochs: 2, step: progress.at(-1)?.step });
    expect(progress.every((event, i) => event.step > (progress[i - 1]?.step ?? 0))).toBe(true);
    expect(progress.at(-1)).toMatchObject({ epoch: 2, etaSeconds: 0 });
    for (const event of progress) {
      for (const number of [event.loss, event.gradientNorm, event.imagesPerSecond, event.learningRate]) {
        expect(number).toBeGreaterThan(0);
      }
    }
  });

  test('a fast training does not flood: at most 20 progress events a second', async () => {
    await fresh();
    const begin = performance.now();
    let count = 0;
    const config = { epochs: 30, validate: false, limit: 600 };
    for await (const event of model.train(data, config)) count += event.type === 'progress' ? 1 : 0;
    const seconds = (performance.now() - begin) / 1000;
    // And one at the end of each epoch.
    expect(count).toBeLessThanOrEqual(20 * seconds + 30 + 1);
    expect(count).toBeGreaterThan(3 * seconds);
  });

  test('a training that nobody listens to runs to its end', async () => {
    await fresh();
    const done = await model.train(data, { epochs: 1 }).done;
    expect(done.step).toBe(Math.ceil(data.info.counts.train / 64));
  });
});

describe('steering', () => {
  test('pause holds the weights still; resume goes on', async () => {
    await fresh();
    const training = model.train(data, { epochs: 50 });
    await training.pause();
    expect(training.state).toBe('paused');
    const paused = await model.weightsSha256();
    await sleep(80);
    expect(await model.weightsSha256()).toBe(paused);
    await training.resume();
    expect(training.state).toBe('running');
    await sleep(80);
    expect(await model.weightsSha256()).not.toBe(paused);
    await training.abort();
    expect(training.state).toBe('done');
  });

  test('step runs exactly so many steps', async () => {
    await fresh();
    const training = model.train(data, { epochs: 50 });
    await training.pause();
    const steps: number[] = [];
    const listening = (async () => {
      for await (const event of training) if (event.type === 'paused') steps.push(event.step);
    })();
    await training.step();
    await training.step(7);
    await training.step();
    await training.abort();
    await listening;
    const first = steps[0] ?? NaN;
    expect(steps).toEqual([first, first + 1, first + 8, first + 9]);
  });

  test('a step without a pause, and half a step, are mistakes', async () => {
    await fresh();
    const training = model.train(data, { epochs: 50 });
    expect(await errorOf(training.step())).toMatchObject({ code: 'argument', where: 'step' });
    await training.pause();
    expect(await errorOf(training.step(0.5))).toMatchObject({ code: 'argument', where: 'count' });
    await training.abort();
  });

  test('abort stops within 100 ms and keeps the current weights', async () => {
    await fresh();
    const before = await model.weightsSha256();
    for (const wait of [0, 40, 90]) {
      const training = model.train(data, { epochs: 1000 });
      await sleep(wait);
      const begin = performance.now();
      await training.abort();
      expect(performance.now() - begin).toBeLessThan(100);
      expect(await training.done).toMatchObject({ type: 'done', aborted: true });
    }
    expect(await model.weightsSha256()).not.toBe(before);
  });

  test('an abort signal ends a training, also before it began', async () => {
    await fresh();
    const controller = new AbortController();
    const training = model.train(data, { epochs: 1000 }, { signal: controller.signal });
    setTimeout(() => controller.abort(), 30);
    expect(await training.done).toMatchObject({ aborted: true });
    const late = model.train(data, { epochs: 1000 }, { signal: controller.signal });
    expect(await late.done).toMatchObject({ aborted: true, step: 0 });
  });

  test('leaving the loop ends the training', async () => {
    await fresh();
    const training = model.train(data, { epochs: 1000 });
    for await (const event of training) if (event.type === 'progress') break;
    expect(await training.done).toMatchObject({ aborted: true });
  });

  test('other calls are answered within 100 ms while it trains', async () => {
    await fresh();
    const training = model.train(data, { epochs: 1000 });
    const { pixels } = await data.images('test', [0]);
    for (let i = 0; i < 10; ++i) {
      const begin = performance.now();
      await model.predict(pixels);
      expect(performance.now() - begin).toBeLessThan(100);
    }
    expect((await model.evaluate(data, 'validation')).count).toBe(data.info.counts.validation);
    await training.abort();
  });

  test('an evaluation can be aborted', async () => {
    await fresh();
    const many = await digits(engine, 60, 20_000);
    const controller = new AbortController();
    const error = errorOf(
      model.evaluate(many, 'test', { signal: controller.signal, onProgress: () => controller.abort() }),
    );
    expect(await error).toMatchObject({ code: 'aborted' });
    await many.dispose();
  });

  test('a model trains once at a time', async () => {
    await fresh();
    const training = model.train(data, { epochs: 1000 });
    expect(await errorOf(model.train(data).done)).toMatchObject({ code: 'argument', where: 'model' });
    await training.abort();
    await model.train(data, { epochs: 1, limit: 64 }).done;
  });
});

describe('the same bits', () => {
  const config = { epochs: 2, optimizer: 'adam', learning_rate: 0.002, augment: 'shift:2', seed: 3 };

  test('one, two and four threads give the same weights', async () => {
    const hashes = [];
    for (const threads of [1, 2, 4]) {
      const other = await createEngine({ kernels: 'plain', threads });
      const dataset = await digits(other);
      const network = await other.createModel('small', { dataset });
      await network.train(dataset, config).done;
      hashes.push(await network.weightsSha256());
      await other.dispose();
    }
    expect(new Set(hashes).size).toBe(1);
  });

  test('a training that is interrupted and resumed gives the same weights', async () => {
    await fresh();
    await model.train(data, config).done;
    const whole = await model.weightsSha256();

    await fresh();
    const training = model.train(data, config);
    await training.pause();
    await training.step(9);
    const file = await training.checkpoint();
    await training.abort();
    const restored = await engine.loadModel(file);
    const before = await restored.weightsSha256();
    const resumed = restored.resume(data, { paused: true });
    await sleep(80);
    expect(await restored.weightsSha256()).toBe(before);
    await resumed.resume();
    await resumed.done;
    expect(await restored.weightsSha256()).toBe(whole);
    expect(await errorOf(restored.resume(data).done)).toMatchObject({ code: 'argument', where: 'model' });
  });

  const native = fileURLToPath(new URL('../../build/native/espalier', import.meta.url));
  test.runIf(existsSync(native))('the native command line gives the same weights', async () => {
    const options = ['--data', 'synthetic:1200', '--model', 'small', '--epochs', '2', '--kernels', 'plain'];
    const { weights_sha256 } = JSON.parse(
      execFileSync(native, ['train', ...options, '--json'], {
        encoding: 'utf8',
        stdio: ['ignore', 'pipe', 'ignore'],
      }),
    );
    const dataset = await digits(engine, 1200, 200);
    const network = await engine.createModel('small', { dataset });
    await network.train(dataset, { epochs: 2 }).done;
    expect(await network.weightsSha256()).toBe(weights_sha256);
  });
});
