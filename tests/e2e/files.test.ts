import { readFileSync } from 'node:fs';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { exportSide } from './downloads';
import { hasMnist, mnist } from './mnist';
import { drop, openPlayground, settled, type Playground } from './playground';

const isLong = process.env.ESPALIER_LONG === '1';

let playground: Playground;
afterEach(async () => {
  await playground.close();
  expect(playground.problems).toEqual([]);
});

/** IDX: images of `classes` classes, each a bright bar at its own height. */
function idx(count: number, classes: number, size: number): { images: Uint8Array; labels: Uint8Array } {
  const big = (value: number) => [value >>> 24, (value >>> 16) & 255, (value >>> 8) & 255, value & 255];
  const pixels = new Uint8Array(count * size * size);
  const labels = new Uint8Array(count);
  for (let i = 0; i < count; ++i) {
    const label = (i * 7) % classes;
    labels[i] = label;
    const row = Math.floor(((label + 0.5) * size) / classes);
    for (let x = 2; x < size - 2; ++x) pixels[(i * size + row) * size + x] = 200 + (i % 50);
  }
  return {
    images: Uint8Array.from([0, 0, 8, 3, ...big(count), ...big(size), ...big(size), ...pixels]),
    labels: Uint8Array.from([0, 0, 8, 1, ...big(count), ...labels]),
  };
}

describe('wrong files are named in a sentence, and training goes on', () => {
  beforeEach(async () => {
    playground = await openPlayground({ hash: '#epochs=900' });
    await playground.read.untilState(/Training/);
  });

  const { images, labels } = idx(60, 3, 12);
  const wrong = {
    'a text': [{ name: 'notes.txt', bytes: 'hello' }],
    'an empty file': [{ name: 'train-images-idx3-ubyte', bytes: '' }],
    'images without labels': [{ name: 'train-images-idx3-ubyte', bytes: images }],
    'a truncated file': [
      { name: 'train-images-idx3-ubyte', bytes: images.subarray(0, 500) },
      { name: 'train-labels-idx1-ubyte', bytes: labels },
    ],
    'a damaged gzip file': [
      { name: 'train-images-idx3-ubyte.gz', bytes: Uint8Array.from([0x1f, 0x8b, 8, 0, 1, 2, 3, 4, 5, 6, 7]) },
      { name: 'train-labels-idx1-ubyte', bytes: labels },
    ],
    'a model that is none': [{ name: 'model.safetensors', bytes: 'not a model at all' }],
    'an .espalier file that is none': [{ name: 'model.espalier', bytes: 'not a model at all' }],
    'an ONNX file that is none': [{ name: 'model.onnx', bytes: 'not a model at all' }],
    'an empty model': [{ name: 'model.onnx', bytes: '' }],
    'labels for other images': [
      { name: 'train-images-idx3-ubyte', bytes: images },
      { name: 'train-labels-idx1-ubyte', bytes: idx(59, 3, 12).labels },
    ],
    'a model and a dataset': [
      { name: 'a.espalier', bytes: 'x' },
      { name: 'train-labels-idx1-ubyte', bytes: labels },
    ],
    'two models': [
      { name: 'a.safetensors', bytes: 'x' },
      { name: 'b.safetensors', bytes: 'y' },
    ],
  };
  for (const [what, files] of Object.entries(wrong)) {
    test(what, async () => {
      const { page, read } = playground;
      await expect.poll(() => read.step()).toBeGreaterThan(0);
      await drop(page, files);
      const notice = await read.notice();
      expect(notice.length).toBeGreaterThan(20);
      expect(notice).toMatch(/[.!?]$/);
      expect(notice).not.toMatch(/undefined|NaN|\[object|at line|TypeError|RuntimeError/);
      expect(await page.getByTestId('notice').count()).toBe(1);
      const step = await read.step();
      expect(await read.state()).toBe('Training');
      await expect.poll(() => read.step()).toBeGreaterThan(step);
      await page.getByRole('button', { name: 'Dismiss' }).click();
      await expect.poll(() => page.getByTestId('notice').count()).toBe(0);
    });
  }
});

test('dropped IDX files of any size and classes train, and are offered again after a reload', async () => {
  playground = await openPlayground({ hash: '#epochs=200' });
  const { page, read } = playground;
  await read.untilState(/Training/);
  const { images, labels } = idx(600, 3, 12);
  await drop(page, [
    { name: 'train-labels-idx1-ubyte', bytes: labels },
    { name: 'train-images-idx3-ubyte', bytes: images },
  ]);
  await expect.poll(() => read.probabilities()).toHaveLength(3);
  await read.untilState(/Training|Trained/);
  await expect.poll(() => page.url()).toContain('dataset=');
  await page.getByRole('button', { name: 'Change data' }).click();
  await page.getByText('From your files').waitFor();

  await page.reload();
  await read.untilState(/Training|Trained/);
  await expect.poll(() => read.probabilities()).toHaveLength(3);

  await page.getByRole('button', { name: 'Change data' }).click();
  await page.getByRole('button', { name: 'Use Built-in digits' }).click();
  await expect.poll(() => read.probabilities()).toHaveLength(10);
  await page.getByRole('button', { name: 'Change data' }).click();
  await page.getByRole('button', { name: /^Remove .* from this browser/ }).click();
  await expect.poll(() => page.getByText('From your files').count()).toBe(0);
});

test('a dataset that cannot be fetched says so, and training goes on', async () => {
  playground = await openPlayground({ hash: '#epochs=900' });
  const { page, read, context } = playground;
  await read.untilState(/Training/);
  await context.route(/^https:/, (route) => route.abort());
  await page.getByRole('button', { name: 'Change data' }).click();
  await page.getByRole('button', { name: /^Download MNIST,/ }).click();
  expect(await read.notice()).toMatch(/MNIST could not be downloaded .* drop its files/);
  expect(await read.state()).toBe('Training');
  // The browser itself reports the requests that were cut.
  playground.problems.length = 0;
});

test('a file of a mirror with other contents is refused', async () => {
  playground = await openPlayground({ hash: '#epochs=900' });
  const { page, read, context } = playground;
  await read.untilState(/Training/);
  await context.route(/^https:/, (route) =>
    route.fulfill({ body: 'not MNIST', headers: { 'access-control-allow-origin': '*' } }),
  );
  await page.getByRole('button', { name: 'Change data' }).click();
  await page.getByRole('button', { name: /^Download MNIST,/ }).click();
  expect(await read.notice()).toContain('arrived damaged');
  expect(await read.state()).toBe('Training');
});

test('a saved model gives the same predictions after a reload', async () => {
  playground = await openPlayground({ hash: '#epochs=2' });
  const { page, read } = playground;
  await read.untilState(/Trained/);
  const hash = await read.hash();
  await page.getByRole('button', { name: /^Test image 3:/ }).click();
  await page.waitForTimeout(300);
  const before = await read.probabilities();
  const [download] = await Promise.all([
    page.waitForEvent('download'),
    page.getByRole('button', { name: 'Save model' }).click(),
  ]);
  expect(download.suggestedFilename()).toMatch(/^espalier-small-.*\.safetensors$/);
  const file = await download.path();
  const bytes = readFileSync(file);

  await page.goto('about:blank');
  await page.goto(playground.url.replace('epochs=2', 'epochs=900&seed=9'));
  await read.untilState(/Training/);
  await drop(page, [{ name: 'model.safetensors', bytes }]);
  await read.untilState(/Loaded/);
  expect(await read.hash()).toBe(hash);
  await page.getByRole('button', { name: /^Test image 3:/ }).click();
  await expect.poll(() => read.probabilities()).toEqual(before);

  await page.getByRole('button', { name: 'Train on' }).click();
  await read.untilState(/Training/);
});

test('a compressed network is opened from .espalier and ONNX, and refused when it is cut off or altered', async () => {
  playground = await openPlayground({ hash: '#epochs=2&right=prune,sparsity=0.5;quantize,weights=8' });
  const { page, read } = playground;
  await read.untilState(/Trained/);
  await settled(page);
  const accuracy = await read.number('accuracy');
  const compact = await exportSide(page, 'Compact file, .espalier');
  const onnx = await exportSide(page, 'For ONNX Runtime, .onnx');
  const floats = await exportSide(page, 'For Python, .safetensors');
  const altered = (bytes: Buffer) => bytes.map((byte, i) => (i === bytes.length >> 1 ? byte ^ 0x55 : byte));
  const wrong = {
    'cut.espalier': compact.bytes.subarray(0, -20),
    'altered.espalier': altered(compact.bytes),
    'cut.onnx': onnx.bytes.subarray(0, onnx.bytes.length >> 1),
    'cut.safetensors': floats.bytes.subarray(0, -20),
  };
  for (const [name, bytes] of Object.entries(wrong)) {
    await drop(page, [{ name, bytes }]);
    expect(await read.notice(), name).toMatch(/.{20,}[.!?]$/s);
    expect(await read.state(), name).toMatch(/Trained/);
    await page.getByRole('button', { name: 'Dismiss' }).click();
    await expect.poll(() => page.getByTestId('notice').count()).toBe(0);
  }
  for (const { name, bytes } of [onnx, compact]) {
    await drop(page, [{ name, bytes }]);
    await page
      .getByTestId('notice')
      .filter({ hasText: `${name} is loaded` })
      .waitFor();
    await read.untilState(/Loaded/);
    await settled(page);
    // What was compressed before is not compressed again.
    expect(await read.text('right-name')).toBe('Right: Not compressed yet');
    expect(await read.number('accuracy'), name).toBeCloseTo(accuracy, 5);
    expect(await read.number('changed'), name).toBe(0);
  }
  expect(await read.number('bytes')).toBe(compact.bytes.length);
});

test('a model for other images is refused, and training goes on', async () => {
  playground = await openPlayground({ hash: '#epochs=1' });
  const { page, read } = playground;
  await read.untilState(/Trained/);
  const [download] = await Promise.all([
    page.waitForEvent('download'),
    page.getByRole('button', { name: 'Save model' }).click(),
  ]);
  const bytes = readFileSync(await download.path());
  const { images, labels } = idx(600, 3, 12);
  await drop(page, [
    { name: 'train-labels-idx1-ubyte', bytes: labels },
    { name: 'train-images-idx3-ubyte', bytes: images },
  ]);
  await expect.poll(() => read.probabilities()).toHaveLength(3);
  await drop(page, [{ name: 'digits.safetensors', bytes }]);
  await expect.poll(() => read.notice()).toContain('takes images of 1 × 28 × 28 in 10 classes');
});

test('images that are too small for the chosen model are refused, and training goes on', async () => {
  playground = await openPlayground({ hash: '#epochs=900&preset=lenet5' });
  const { page, read } = playground;
  await read.untilState(/Training/);
  const { images, labels } = idx(600, 3, 8);
  await drop(page, [
    { name: 'train-labels-idx1-ubyte', bytes: labels },
    { name: 'train-images-idx3-ubyte', bytes: images },
  ]);
  expect(await read.notice()).toMatch(/conv|pool|kernel|fit/);
  expect(await read.text('data')).toBe('Built-in digits');
  const step = await read.step();
  await expect.poll(() => read.step(), { timeout: 10_000 }).toBeGreaterThan(step);
});

async function trainMnist(hash: string, timeout: number): Promise<{ accuracy: number; seconds: number }> {
  playground = await openPlayground({ hash });
  const { page, read } = playground;
  await read.untilState(/Training/);
  await page.getByRole('button', { name: 'Change data' }).click();
  await page.getByTestId('data-files').setInputFiles(mnist);
  await page.getByTestId('data').filter({ hasText: 'MNIST' }).waitFor();
  await read.untilState(/Training/);
  const begin = Date.now();
  await read.untilState(/Trained · [\d.]+ % on test/, timeout);
  const seconds = (Date.now() - begin) / 1000;
  const accuracy = parseFloat(/([\d.]+) %/.exec(await read.state())?.[1] ?? '0');
  console.log(`${hash}: ${accuracy} % on MNIST's test images after ${Math.round(seconds)} s`);
  return { accuracy, seconds };
}

test.skipIf(!hasMnist)(
  'real MNIST through the file input: one epoch of lenet5 on all images reaches 97 % (needs the MNIST files)',
  async () => {
    const { accuracy } = await trainMnist('#preset=lenet5&epochs=1&schedule=one-cycle', 280_000);
    expect(accuracy).toBeGreaterThanOrEqual(97);
    // The files are kept, and used again without asking.
    const { page, read } = playground;
    await expect.poll(() => page.url()).toContain('dataset=');
    await page.reload();
    await read.untilState(/Trained/);
    await page.getByRole('button', { name: 'Change data' }).click();
    await page.getByText('55,000 training, 5,000 validation and 10,000 test images').waitFor();
  },
  300_000,
);

test.skipIf(!hasMnist || !isLong)(
  'real MNIST: ten epochs of lenet5 on all images reach 99 % (needs the MNIST files and ESPALIER_LONG=1)',
  async () => {
    const { accuracy } = await trainMnist('#preset=lenet5&epochs=10', 1_700_000);
    expect(accuracy).toBeGreaterThanOrEqual(99);
  },
  1_800_000,
);
