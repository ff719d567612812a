// The built-in digits, kept after the first visit: to read them takes less time than to draw them again.

import type { Dataset, DatasetSource, ImageBatch, SplitName } from 'espalier';
import { keepOnly, readKept, type StoredFile } from './storage';

export const drawnDigits: DatasetSource = { kind: 'synthetic', train: 6_000, test: 1_000, seed: 1 };

/** Scripts are named after their contents and what they load, the engine included: another engine, another key. */
const key = import.meta.env.DEV ? undefined : `digits:${import.meta.url}`;

/** Those of an earlier visit, byte for byte the drawn ones. */
export async function keptDigits(): Promise<DatasetSource | undefined> {
  const files = key && (await readKept<StoredFile[]>(key).catch(() => undefined));
  return files ? { kind: 'files', name: 'built-in digits', files } : undefined;
}

/** For the next visit; a browser without room for them draws them again. */
export async function keepDigits(dataset: Dataset): Promise<void> {
  if (!key || (await readKept(key))) return;
  const read = (split: SplitName) =>
    dataset.images(
      split,
      Uint32Array.from({ length: dataset.info.counts[split] }, (_, i) => i),
    );
  const size = [dataset.info.height, dataset.info.width];
  // Whoever reads the files puts the last images aside for validation, as was done here.
  const train = [await read('train'), await read('validation')];
  const test = [await read('test')];
  await keepOnly('digits:', key, [...idxFiles('train', train, size), ...idxFiles('t10k', test, size)]);
}

/** http://yann.lecun.com/exdb/mnist describes the format. */
function idxFiles(name: string, batches: ImageBatch[], size: number[]): StoredFile[] {
  const count = batches.reduce((sum, { labels }) => sum + labels.length, 0);
  const header = (...dimensions: number[]) => {
    const view = new DataView(new ArrayBuffer(4 + 4 * dimensions.length));
    view.setUint32(0, 0x0800 + dimensions.length);
    dimensions.forEach((dimension, i) => view.setUint32(4 + 4 * i, dimension));
    return view;
  };
  const pixels = batches.map(({ pixels }) => pixels as Uint8Array<ArrayBuffer>);
  const labels = batches.map(({ labels }) => Uint8Array.from(labels));
  return [
    { name: `${name}-images-idx3-ubyte`, data: new Blob([header(count, ...size), ...pixels]) },
    { name: `${name}-labels-idx1-ubyte`, data: new Blob([header(count), ...labels]) },
  ];
}
