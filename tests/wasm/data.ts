// Small datasets and files for the tests.

import type { Dataset, Engine, EspalierError, NamedFile } from 'espalier';

export const digits = (engine: Engine, train = 1200, test = 300): Promise<Dataset> =>
  engine.loadDataset({ kind: 'synthetic', train, test, seed: 1 });

/** An IDX file: two zeros, type 8 (bytes), the number of dimensions, the dimensions, the values. */
export function idx(dimensions: number[], values: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(4 + 4 * dimensions.length + values.length);
  const view = new DataView(bytes.buffer);
  bytes.set([0, 0, 8, dimensions.length]);
  dimensions.forEach((extent, i) => view.setUint32(4 + 4 * i, extent));
  bytes.set(values, 4 + 4 * dimensions.length);
  return bytes;
}

/** Four files like MNIST's, made of generated digits. */
export async function idxFiles(engine: Engine, train = 240, test = 60): Promise<NamedFile[]> {
  const dataset = await digits(engine, train + Math.ceil(train / 10), test);
  const files: NamedFile[] = [];
  for (const [split, prefix, count] of [
    ['train', 'train', train],
    ['test', 't10k', test],
  ] as const) {
    const { pixels, labels } = await dataset.images(split, [...Array(count).keys()]);
    files.push({ name: `${prefix}-images-idx3-ubyte`, data: idx([count, 28, 28], pixels) });
    files.push({ name: `${prefix}-labels-idx1-ubyte`, data: idx([count], Uint8Array.from(labels)) });
  }
  await dataset.dispose();
  return files;
}

export async function gzip(data: Uint8Array): Promise<Uint8Array> {
  const stream = new Blob([data as Uint8Array<ArrayBuffer>])
    .stream()
    .pipeThrough(new CompressionStream('gzip'));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

/** What an operation that must fail failed with. */
export async function errorOf(operation: Promise<unknown>): Promise<EspalierError> {
  try {
    await operation;
  } catch (error) {
    return error as EspalierError;
  }
  throw new Error('This should have failed.');
}

export const sleep = (milliseconds: number) => new Promise((resolve) => setTimeout(resolve, milliseconds));
