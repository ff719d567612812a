// IDX files, as the engine reads them: http://yann.lecun.com/exdb/mnist describes the format.

import type { NamedBlob } from './source';

export interface Batch {
  channels: number;
  height: number;
  width: number;
  pixels: Uint8Array;
  labels: ArrayLike<number>;
}

/** Images and labels of all batches, which are of one size. Names: "train" or, of the test split, "t10k". */
export function idxFiles(name: 'train' | 't10k', batches: Batch[]): NamedBlob[] {
  const { channels = 1, height = 0, width = 0 } = batches[0] ?? {};
  const count = batches.reduce((sum, { labels }) => sum + labels.length, 0);
  const size = channels === 1 ? [height, width] : [channels, height, width];
  const pixels = batches.map((batch) => batch.pixels as Uint8Array<ArrayBuffer>);
  const labels = batches.map((batch) => Uint8Array.from(batch.labels));
  return [
    {
      name: `${name}-images-idx${size.length + 1}-ubyte`,
      data: new Blob([header(count, ...size), ...pixels]),
    },
    { name: `${name}-labels-idx1-ubyte`, data: new Blob([header(count), ...labels]) },
  ];
}

/** Of each class, one image in so many is for the test; of fewer images, the last one. */
const testShare = 6;

/** Both splits. */
export function idxSplits(batch: Batch): NamedBlob[] {
  const { train, test } = splitPlaces(batch.labels);
  return [...idxFiles('train', [pick(batch, train)]), ...idxFiles('t10k', [pick(batch, test)])];
}

/** Classes take turns, because whoever reads the files puts the last images aside for validation. */
export function splitPlaces(labels: ArrayLike<number>): { train: number[]; test: number[] } {
  const places: number[][] = [];
  for (let i = 0; i < labels.length; ++i) (places[labels[i] ?? 0] ??= []).push(i);
  const isTest = (at: number, count: number) =>
    at % testShare === testShare - 1 || (count < testShare && at === count - 1);
  const split = (wanted: boolean) =>
    places
      .flatMap((own) =>
        own.filter((_, at) => isTest(at, own.length) === wanted).map((place, turn) => ({ place, turn })),
      )
      .sort((a, b) => a.turn - b.turn)
      .map(({ place }) => place);
  return { train: split(false), test: split(true) };
}

export function pick(batch: Batch, places: number[]): Batch {
  const size = batch.channels * batch.height * batch.width;
  const pixels = new Uint8Array(places.length * size);
  places.forEach((place, i) => pixels.set(batch.pixels.subarray(place * size, (place + 1) * size), i * size));
  return { ...batch, pixels, labels: places.map((place) => batch.labels[place] ?? 0) };
}

function header(...dimensions: number[]): DataView<ArrayBuffer> {
  const view = new DataView(new ArrayBuffer(4 + 4 * dimensions.length));
  view.setUint32(0, 0x0800 + dimensions.length);
  dimensions.forEach((dimension, i) => view.setUint32(4 + 4 * i, dimension));
  return view;
}
