// Files as people have them: gzipped or not, in any order, recognised by name and content.

import { EspalierError, reasonOf } from '../error.js';
import type { Bytes, NamedFile } from '../types.js';

/** A file's bytes, unpacked; `name` is without ".gz". */
export interface Part {
  name: string;
  bytes: Uint8Array;
}
export interface Described {
  description: Record<string, unknown>;
  parts: Part[];
}

const maxUnpackedBytes = 2 ** 30;
const cifarRecord = 1 + 3 * 32 * 32;

export async function readBytes(data: Bytes): Promise<Uint8Array> {
  if (data instanceof Blob) return new Uint8Array(await data.arrayBuffer());
  return data instanceof Uint8Array ? data : new Uint8Array(data);
}

export async function unpack({ name, data }: NamedFile): Promise<Part> {
  const bytes = await readBytes(data);
  const packed = bytes[0] === 0x1f && bytes[1] === 0x8b;
  const named = /\.gz$/i.test(name);
  if (named && !packed) {
    throw new EspalierError('data', name, 'is not a gzip file although its name ends in .gz; load it again');
  }
  return packed ? { name: name.replace(/\.gz$/i, ''), bytes: await gunzip(name, bytes) } : { name, bytes };
}

async function gunzip(name: string, bytes: Uint8Array): Promise<Uint8Array> {
  const stream = new Blob([bytes as Uint8Array<ArrayBuffer>])
    .stream()
    .pipeThrough(new DecompressionStream('gzip'));
  const chunks: Uint8Array[] = [];
  let size = 0;
  try {
    for (const reader = stream.getReader(); ;) {
      const { done, value } = await reader.read();
      if (done) break;
      chunks.push(value);
      size += value.length;
      if (size > maxUnpackedBytes) {
        await reader.cancel();
        throw new EspalierError('data', name, 'unpacks to more than 1 GiB');
      }
    }
  } catch (error) {
    if (error instanceof EspalierError) throw error;
    throw new EspalierError('data', name, `is a damaged gzip file (${reasonOf(error)}); load it again`);
  }
  const unpacked = new Uint8Array(size);
  let at = 0;
  for (const chunk of chunks) {
    unpacked.set(chunk, at);
    at += chunk.length;
  }
  return unpacked;
}

type Kind = 'idx images' | 'idx labels' | 'cifar' | 'unknown';

function kindOf({ name, bytes }: Part): Kind {
  const idx = bytes[0] === 0 && bytes[1] === 0 && bytes[2] !== undefined && bytes[2] >= 8 && bytes[2] <= 14;
  if (idx && bytes[3] === 1) return 'idx labels';
  if (idx && (bytes[3] === 3 || bytes[3] === 4)) return 'idx images';
  // A damaged file keeps its name, and the engine says what is wrong with it.
  if (/labels|idx1/i.test(name)) return 'idx labels';
  if (/images|idx[34]/i.test(name)) return 'idx images';
  if (/(data|test)_batch/i.test(name)) return 'cifar';
  const whole = bytes.length > 0 && bytes.length % cifarRecord === 0;
  if (!whole) return 'unknown';
  for (let at = 0; at < bytes.length; at += cifarRecord) if ((bytes[at] ?? 255) > 9) return 'unknown';
  return 'cifar';
}

const isTest = ({ name }: Part) => /t10k|test/i.test(name);

/** Sorts files into what the engine's create_dataset() takes. */
export async function describeFiles(files: readonly NamedFile[], name?: string): Promise<Described> {
  const parts = await Promise.all(files.map(unpack));
  const of = (kind: Kind) => parts.filter((part) => kindOf(part) === kind);
  const images = of('idx images');
  const labels = of('idx labels');
  if (images.length > 0 || labels.length > 0) return describeIdx(images, labels, name);
  const batches = of('cifar');
  if (batches.length > 0) return describeCifar(batches, name);
  const found = parts.map((part) => part.name).join(', ') || 'nothing';
  const wanted = 'give the IDX files of MNIST and its relatives, or the binary batches of CIFAR-10';
  throw new EspalierError('data', found, `no dataset was recognised; ${wanted}`);
}

function describeIdx(images: Part[], labels: Part[], name?: string): Described {
  const [trainImages, testImages] = trainAndTest(images, 'images');
  const [trainLabels, testLabels] = trainAndTest(labels, 'labels');
  if (!trainImages) throw missing('train-images-idx3-ubyte', 'the images of the training labels');
  if (!trainLabels) throw missing('train-labels-idx1-ubyte', 'the labels of the training images');
  if (testImages && !testLabels) throw missing('t10k-labels-idx1-ubyte', 'the labels of the test images');
  if (testLabels && !testImages) throw missing('t10k-images-idx3-ubyte', 'the images of the test labels');
  const parts = [trainImages, trainLabels];
  if (testImages && testLabels) parts.push(testImages, testLabels);
  // EMNIST stores its images transposed.
  const transposed = /emnist/i.test(trainImages.name);
  return { description: { kind: 'idx', name, transposed }, parts };
}

/** By name; where the names do not tell, the larger file is for training. */
function trainAndTest(parts: Part[], what: string): [Part | undefined, Part | undefined] {
  if (parts.length > 2) {
    const names = parts.map((part) => part.name).join(', ');
    throw new EspalierError('data', names, `are ${parts.length} files of ${what}; give those of one dataset`);
  }
  const [first, second] = parts;
  if (!first) return [undefined, undefined];
  if (!second) return isTest(first) ? [undefined, first] : [first, undefined];
  const swap = isTest(first) === isTest(second) ? first.bytes.length < second.bytes.length : isTest(first);
  return swap ? [second, first] : [first, second];
}

function describeCifar(batches: Part[], name?: string): Described {
  const test = batches.find(isTest);
  const train = batches.filter((part) => part !== test).sort((a, b) => a.name.localeCompare(b.name));
  if (train.length === 0) throw missing('data_batch_1.bin', 'a training batch');
  if (!test) throw missing('test_batch.bin', 'the test batch');
  return { description: { kind: 'cifar10', name }, parts: [...train, test] };
}

function missing(file: string, what: string): EspalierError {
  return new EspalierError('data', file, `is missing: add ${what}`);
}
