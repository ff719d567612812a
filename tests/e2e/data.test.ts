// What becomes a dataset: NumPy archives, pictures in folders, what the page draws itself; and a sentence for the rest.

import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { deflateSync } from 'node:zlib';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { bytesOf, cifarArchive, crc32, emnistArchive, tar, zip } from './archives';
import { draw, drop, openPlayground, type Playground, type TestFile } from './playground';

let playground: Playground;
beforeEach(async () => {
  playground = await openPlayground({ hash: '#epochs=900' });
  await expect.poll(() => playground.read.step()).toBeGreaterThan(0);
});
afterEach(async () => {
  await playground.close();
  expect(playground.problems).toEqual([]);
});

function npy(descr: string, shape: number[], values: ArrayBufferView): Uint8Array {
  const text = `{'descr': '${descr}', 'fortran_order': False, 'shape': (${shape.join(', ')},), }`;
  const header = text.padEnd(64 * Math.ceil((text.length + 11) / 64) - 11) + '\n';
  const length = Buffer.alloc(2);
  length.writeUInt16LE(header.length);
  const data = Buffer.from(values.buffer, values.byteOffset, values.byteLength);
  return Buffer.concat([bytesOf('\x93NUMPY\x01\x00'), length, bytesOf(header), data]);
}

/** RGB, 8 bits (https://www.w3.org/TR/png). */
function png(width: number, height: number, color: (x: number, y: number) => number[]): Uint8Array {
  const chunk = (type: string, data: Uint8Array) => {
    const body = Buffer.concat([bytesOf(type), data]);
    const [length, crc] = [Buffer.alloc(4), Buffer.alloc(4)];
    length.writeUInt32BE(data.length);
    crc.writeUInt32BE(crc32(body));
    return Buffer.concat([length, body, crc]);
  };
  const header = Buffer.alloc(13);
  header.writeUInt32BE(width, 0);
  header.writeUInt32BE(height, 4);
  header.set([8, 2], 8);
  const rows = Array.from({ length: height }, (_, y) => [
    0,
    ...Array.from({ length: width }, (_, x) => color(x, y)).flat(),
  ]).flat();
  return Buffer.concat([
    bytesOf('\x89PNG\r\n\x1a\n'),
    chunk('IHDR', header),
    chunk('IDAT', deflateSync(Uint8Array.from(rows))),
    chunk('IEND', new Uint8Array()),
  ]);
}

/** `perClass` pictures of each colour in folders of their own. */
function pictures(colors: Record<string, number[]>, perClass: number, size = 16): TestFile[] {
  return Object.entries(colors).flatMap(([folder, color]) =>
    Array.from({ length: perClass }, (_, i) => ({
      name: `set/${folder}/${i}.png`,
      bytes: png(size, size, (x, y) => ((x + y + i) % 4 ? color : [0, 0, 0])),
    })),
  );
}
const colors = { red: [220, 20, 20], green: [20, 200, 20], blue: [20, 20, 220] };

/** Images whose class is the brighter half, as numbers from 0 to 1. */
function halves(count: number) {
  const images = new Float32Array(count * 12 * 12);
  const labels = new BigInt64Array(count);
  for (let i = 0; i < count; ++i) {
    labels[i] = BigInt(i % 2);
    const from = i * 144 + (i % 2) * 72;
    images.fill(0.5 + (i % 5) / 10, from, from + 72);
  }
  return { images, labels };
}

async function openData(): Promise<void> {
  await playground.page.getByRole('button', { name: 'Change data' }).click();
}
const dataSentence = () => playground.page.getByText(/^In use:/).innerText();

test('a NumPy archive of floats with channels last trains, with its own test split', async () => {
  const { page, read } = playground;
  const [train, some] = [halves(240), halves(60)];
  const bytes = zip([
    { name: 'x_train.npy', bytes: npy('<f4', [240, 12, 12, 1], train.images) },
    { name: 'y_train.npy', bytes: npy('<i8', [240], train.labels) },
    { name: 'x_test.npy', bytes: npy('<f4', [60, 12, 12, 1], some.images) },
    { name: 'y_test.npy', bytes: npy('<i8', [60, 1], some.labels) },
  ]);
  await drop(page, [{ name: 'Halves.npz', bytes }]);
  await expect.poll(() => read.probabilities()).toHaveLength(2);
  await openData();
  expect(await dataSentence()).toBe(
    'In use: 220 training, 20 validation and 60 test images of 1 × 12 × 12 in 2 classes.',
  );
  await expect.poll(() => page.url()).toContain('dataset=own-halves');
});

test('a ZIP of pictures in folders trains in colour, by the names of its folders, also after a reload', async () => {
  const { page, read } = playground;
  await drop(page, [{ name: 'colours.zip', bytes: zip(pictures(colors, 24)) }]);
  await expect.poll(() => read.probabilities()).toHaveLength(3);
  const names = page.getByTestId('probabilities');
  await expect.poll(() => names.innerText()).toMatch(/blue[^]*green[^]*red/);
  await openData();
  expect(await dataSentence()).toContain('12 test images of 3 × 16 × 16 in 3 classes.');
  await page.reload();
  await expect.poll(() => names.innerText()).toMatch(/blue[^]*green[^]*red/);
});

test('a folder of pictures is chosen; large ones are made smaller', async () => {
  const { page, read } = playground;
  const root = mkdtempSync(join(tmpdir(), 'espalier-pictures-'));
  try {
    for (const { name, bytes } of pictures({ grey: [90, 90, 90], white: [255, 255, 255] }, 8, 70)) {
      mkdirSync(join(root, dirname(name)), { recursive: true });
      writeFileSync(join(root, name), bytes);
    }
    await page.getByTestId('data-folder').setInputFiles(join(root, 'set'));
    await expect.poll(() => read.probabilities()).toHaveLength(2);
    await openData();
    expect(await dataSentence()).toContain('images of 1 × 32 × 32 in 2 classes.');
  } finally {
    rmSync(root, { recursive: true });
  }
});

test('CIFAR-10’s binary batches train', async () => {
  const { page, read } = playground;
  const batch = (count: number) =>
    Uint8Array.from({ length: count * 3073 }, (_, i) =>
      i % 3073 ? (i * 31) % 256 : Math.floor(i / 3073) % 10,
    );
  await drop(page, [
    { name: 'data_batch_1.bin', bytes: batch(100) },
    { name: 'test_batch.bin', bytes: batch(20) },
  ]);
  await expect.poll(() => page.getByTestId('probabilities').innerText()).toContain('airplane');
  await openData();
  expect(await dataSentence()).toContain('20 test images of 3 × 32 × 32 in 10 classes.');
  expect(await read.state()).toMatch(/Training/);
});

test('the archive of CIFAR-10 is a dataset as it is, and the same one as its batches', async () => {
  const { page } = playground;
  await drop(page, [{ name: 'cifar-10-binary.tar.gz', bytes: cifarArchive(20) }]);
  await expect.poll(() => page.getByTestId('probabilities').innerText()).toContain('airplane');
  await expect.poll(() => page.url()).toContain('dataset=cifar-10');
  await openData();
  expect(await dataSentence()).toBe(
    'In use: 92 training, 8 validation and 20 test images of 3 × 32 × 32 in 10 classes.',
  );
});

test('the archive of EMNIST gives its letters, and they stand upright', async () => {
  const { page } = playground;
  // A line from top to bottom, which lies on its side in the file.
  const line = (letter: number) =>
    Uint8Array.from({ length: 784 }, (_, i) => (Math.floor(i / 28) === 1 + letter ? 255 : 0));
  await drop(page, [{ name: 'gzip.zip', bytes: emnistArchive(52, line) }]);
  await expect.poll(() => page.getByTestId('probabilities').innerText()).toMatch(/^a$/m);
  await expect.poll(() => page.url()).toContain('dataset=emnist-letters');
  await openData();
  expect(await dataSentence()).toBe(
    'In use: 286 training, 26 validation and 52 test images of 1 × 28 × 28 in 26 classes.',
  );
  await page.keyboard.press('Escape');
  const thumbnail = page.getByRole('button', { name: /^Test image 1:/ }).locator('canvas');
  const isUpright = () =>
    thumbnail.evaluate((element) => {
      const { width, height } = element as HTMLCanvasElement;
      const context = (element as HTMLCanvasElement).getContext('2d');
      if (!context || !width) return undefined;
      const { data } = context.getImageData(0, 0, width, height);
      // Along a line nothing changes; across it, much does.
      let [down, across] = [0, 0];
      for (let y = 1; y < height; ++y) {
        for (let x = 1; x < width; ++x) {
          const at = 4 * (y * width + x);
          down += Math.abs((data[at] ?? 0) - (data[at - 4 * width] ?? 0));
          across += Math.abs((data[at] ?? 0) - (data[at - 4] ?? 0));
        }
      }
      return down === 0 && across > 0;
    });
  await expect.poll(isUpright).toBe(true);
});

test('a tar of pictures in folders trains, too', async () => {
  const { page, read } = playground;
  await drop(page, [{ name: 'colours.tar', bytes: tar(pictures(colors, 12)) }]);
  await expect.poll(() => read.probabilities()).toHaveLength(3);
});

for (const [name, classes, names] of [
  ['Letters', 26, /^[A-Z]$/m],
  ['Shapes', 8, /^circle$/m],
] as const) {
  test(`the page draws ${name.toLowerCase()} itself, and they are learnt`, async () => {
    const { page, read } = playground;
    await openData();
    await page.getByRole('button', { name: `Use ${name}` }).click();
    await expect.poll(() => page.url()).toContain(`dataset=${name.toLowerCase()}`);
    await expect.poll(() => page.getByTestId('probabilities').innerText()).toMatch(names);
    await expect.poll(() => read.number('validation'), { timeout: 60_000 }).toBeGreaterThan(90);
    await openData();
    expect(await dataSentence()).toContain(`in ${classes} classes.`);
  }, 90_000);
}

test('drawings of own classes are kept, trained on, and there again after a reload', async () => {
  const { page, read } = playground;
  await page.getByText('Your own classes').click();
  const train = page.getByRole('button', { name: 'Train on my drawings' });
  for (const [name, [from, to]] of Object.entries({
    bar: [
      [0.5, 0.15],
      [0.5, 0.85],
    ],
    dash: [
      [0.15, 0.5],
      [0.85, 0.5],
    ],
  } as Record<string, [[number, number], [number, number]]>)) {
    for (let i = 0; i < 3; ++i) {
      expect(await train.isDisabled()).toBe(true);
      await page.getByLabel('What this drawing is').fill(name);
      await draw(page, [[from[0], from[1] + i / 100], to]);
      await page.getByRole('button', { name: 'Keep', exact: true }).click();
    }
  }
  await train.click();
  await expect.poll(() => read.probabilities()).toHaveLength(2);
  await expect.poll(() => page.getByTestId('probabilities').innerText()).toMatch(/bar[^]*dash/);
  await openData();
  // Two of three in 40 variants; a twelfth of them is for validation.
  expect(await dataSentence()).toBe(
    'In use: 147 training, 13 validation and 2 test images of 1 × 28 × 28 in 2 classes.',
  );
  await page.reload();
  await expect.poll(() => page.getByTestId('probabilities').innerText()).toMatch(/bar[^]*dash/);
  await page.getByText('Your own classes').click();
  expect(await page.getByText('3 drawings').count()).toBe(2);
});

describe('what is wrong gets one sentence, and training goes on', () => {
  const { images, labels } = halves(12);
  const x = { name: 'x.npy', bytes: npy('<f4', [12, 12, 12], images) };
  const wrong: Record<string, [TestFile[], RegExp]> = {
    'an archive that is none': [[{ name: 'a.zip', bytes: 'no archive' }], /a\.zip cannot be unpacked/],
    'an archive that is cut off': [
      [{ name: 'a.zip', bytes: zip(pictures(colors, 2)).subarray(0, -60) }],
      /a\.zip cannot be unpacked/,
    ],
    'a tar that is none': [[{ name: 'a.tgz', bytes: 'no archive' }], /a\.tgz cannot be unpacked/],
    'a tar that is cut off': [
      [{ name: 'a.tar', bytes: tar(pictures(colors, 2)).subarray(0, -1500) }],
      /a\.tar cannot be unpacked/,
    ],
    'a tar without its end': [
      [{ name: 'a.tar', bytes: tar(pictures(colors, 2)).subarray(0, -1024) }],
      /a\.tar cannot be unpacked/,
    ],
    'a gzipped tar that is cut off': [
      [{ name: 'cifar-10-binary.tar.gz', bytes: cifarArchive(10).subarray(0, -400) }],
      /cifar-10-binary\.tar\.gz cannot be unpacked/,
    ],
    'NumPy images without labels': [
      [{ name: 'a.npz', bytes: zip([x]) }],
      /needs an array of labels .* has x\./,
    ],
    'another number of labels': [
      [{ name: 'a.npz', bytes: zip([x, { name: 'y.npy', bytes: npy('<i8', [11], labels.subarray(1)) }]) }],
      /another number of images in x than of labels in y/,
    ],
    'labels that are no whole numbers': [
      [
        {
          name: 'a.npz',
          bytes: zip([x, { name: 'y.npy', bytes: npy('<f4', [12], images.subarray(0, 12)) }]),
        },
      ],
      /labels in y that are not whole numbers/,
    ],
    'an array of objects': [
      [{ name: 'a.npz', bytes: zip([{ name: 'x.npy', bytes: npy('|O', [12, 12, 12], images) }]) }],
      /array x, which cannot be read here \(type \|O\)/,
    ],
    'NumPy values of no shape for images': [
      [
        {
          name: 'a.npz',
          bytes: zip([
            { name: 'x.npy', bytes: npy('<f4', [12, 2, 6, 12], images) },
            { name: 'y.npy', bytes: npy('<i8', [12], labels) },
          ]),
        },
      ],
      /array x of shape 12 × 2 × 6 × 12/,
    ],
    'pictures of one class': [
      [{ name: 'a.zip', bytes: zip(pictures({ red: colors.red }, 3)) }],
      /one class only/,
    ],
    'a class of one picture': [
      [
        {
          name: 'a.zip',
          bytes: zip([...pictures({ red: colors.red }, 3), ...pictures({ blue: colors.blue }, 1)]),
        },
      ],
      /single picture in the folder “blue”/,
    ],
    'a picture that is none': [
      [
        {
          name: 'a.zip',
          bytes: zip([...pictures(colors, 2), { name: 'set/red/x.png', bytes: bytesOf('no') }]),
        },
      ],
      /set\/red\/x\.png is no picture/,
    ],
    'a CIFAR-10 batch that is cut off': [
      [
        { name: 'data_batch_1.bin', bytes: new Uint8Array(5000) },
        { name: 'test_batch.bin', bytes: new Uint8Array(3073) },
      ],
      /no multiple of 3073/,
    ],
    'an archive without a dataset': [
      [{ name: 'a.zip', bytes: zip([{ name: 'readme.txt', bytes: bytesOf('hello') }]) }],
      /no dataset was recognised/,
    ],
  };
  test('one after the other', { timeout: 120_000 }, async () => {
    const { page, read } = playground;
    for (const [what, [files, sentence]] of Object.entries(wrong)) {
      await drop(page, files);
      const notice = await read.notice();
      expect(notice, what).toMatch(sentence);
      expect(notice, what).toMatch(/[.!?]$/);
      expect(await page.getByTestId('notice').count(), what).toBe(1);
      await page.getByRole('button', { name: 'Dismiss' }).click();
      const step = await read.step();
      await expect.poll(() => read.step()).toBeGreaterThan(step);
    }
  });
});
