// Datasets that NumPy wrote: an .npz is a ZIP archive of arrays. Images and labels are told apart by their shapes,
// splits by their names ("x_train", "test_images").

import { t } from '../i18n/index.svelte';
import { PageError } from '../page-error';
import { idxFiles } from './idx';
import type { NamedBlob } from './source';
import { unzip } from './zip';

interface NumpyArray {
  name: string;
  shape: number[];
  values: ArrayLike<number | bigint>;
}

/** As IDX files. */
export async function readNpz(file: NamedBlob): Promise<NamedBlob[]> {
  const arrays: NumpyArray[] = [];
  for (const { name, data } of await unzip(file)) {
    arrays.push(readNpy(file.name, name.replace(/\.npy$/, ''), await data.arrayBuffer()));
  }
  const isTest = ({ name }: NumpyArray) => /test/i.test(name);
  const train = pairs(
    file.name,
    arrays.filter((array) => !isTest(array)),
  );
  const test = pairs(file.name, arrays.filter(isTest));
  if (train.length === 0) {
    throw new PageError(t.notices.npzNoPair(file.name, arrays.map(({ name }) => name).join(', ')));
  }
  return [...idxFiles('train', train), ...(test.length > 0 ? idxFiles('t10k', test) : [])];
}

/** Images and their labels, in the order of the file ("train", then "val"). */
function pairs(file: string, arrays: NumpyArray[]) {
  const labels = arrays.filter(isLabels);
  const images = arrays.filter((array) => !isLabels(array));
  if (images.length !== labels.length) {
    throw new PageError(t.notices.npzNoPair(file, arrays.map(({ name }) => name).join(', ')));
  }
  return images.map((array, i) => {
    const own = labels[i];
    const batch = toBatch(file, array);
    if (!own || own.shape[0] !== array.shape[0]) {
      throw new PageError(t.notices.npzCounts(file, array.name, own?.name ?? ''));
    }
    return { ...batch, labels: toLabels(file, own) };
  });
}

const isLabels = ({ shape }: NumpyArray): boolean =>
  shape.length === 1 || (shape.length === 2 && shape[1] === 1);

function toLabels(file: string, { name, values }: NumpyArray): Uint8Array<ArrayBuffer> {
  const labels = Uint8Array.from(values as ArrayLike<number>, Number);
  for (let i = 0; i < labels.length; ++i) {
    if (labels[i] !== Number(values[i])) throw new PageError(t.notices.npzLabels(file, name));
  }
  return labels;
}

/** Numbers from 0 to 1 become bytes; channels that come last come first. */
function toBatch(file: string, { name, shape, values }: NumpyArray) {
  const [count = 0, ...rest] = shape;
  const side = Math.sqrt(rest[0] ?? 0);
  const isFlat = rest.length === 1 && Number.isInteger(side);
  const isLast = rest.length === 3 && [1, 3].includes(rest[2] ?? 0);
  const isFirst = rest.length === 3 && [1, 3].includes(rest[0] ?? 0);
  const size = isFlat
    ? [1, side, side]
    : rest.length === 2
      ? [1, ...rest]
      : isLast
        ? [rest[2], rest[0], rest[1]]
        : isFirst
          ? rest
          : undefined;
  const [channels = 0, height = 0, width = 0] = size ?? [];
  if (channels * height * width === 0) {
    throw new PageError(t.notices.npzShape(file, name, shape.join(' × ')));
  }
  const plane = height * width;
  const pixels = new Uint8Array(count * channels * plane);
  const scale = values instanceof Uint8Array || largest(values) > 1 ? 1 : 255;
  for (let i = 0; i < pixels.length; ++i) {
    const [image, inside] = [Math.floor(i / (channels * plane)), i % (channels * plane)];
    const from = isLast ? (inside % plane) * channels + Math.floor(inside / plane) : inside;
    pixels[i] = Math.min(
      255,
      Math.max(0, Math.round(scale * Number(values[image * channels * plane + from]))),
    );
  }
  return { channels, height, width, pixels };
}

function largest(values: ArrayLike<number | bigint>): number {
  let most = 0;
  for (let i = 0; i < values.length; ++i) most = Math.max(most, Number(values[i]));
  return most;
}

const types = {
  '|u1': Uint8Array,
  '|i1': Int8Array,
  '|b1': Uint8Array,
  '<u2': Uint16Array,
  '<i2': Int16Array,
  '<u4': Uint32Array,
  '<i4': Int32Array,
  '<u8': BigUint64Array,
  '<i8': BigInt64Array,
  '<f4': Float32Array,
  '<f8': Float64Array,
} as const;

/** https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html */
function readNpy(file: string, name: string, bytes: ArrayBuffer): NumpyArray {
  const view = new DataView(bytes);
  const isNumpy = view.byteLength > 12 && view.getUint32(0) === 0x934e554d;
  const isLong = isNumpy && view.getUint8(6) > 1;
  const begin = isLong ? 12 : 10;
  const length = !isNumpy ? 0 : isLong ? view.getUint32(8, true) : view.getUint16(8, true);
  const header = new TextDecoder('latin1').decode(bytes.slice(begin, begin + length));
  const descr = /'descr': '([^']+)'/.exec(header)?.[1] ?? '';
  const shape = /'shape': \(([^)]*)\)/.exec(header)?.[1]?.match(/\d+/g)?.map(Number);
  const Values = types[descr as keyof typeof types];
  if (!Values || !shape || /'fortran_order': True/.test(header)) {
    throw new PageError(t.notices.npzArray(file, name, descr));
  }
  const count = shape.reduce((product, extent) => product * extent, 1);
  const data = bytes.slice(begin + length, begin + length + count * Values.BYTES_PER_ELEMENT);
  if (data.byteLength !== count * Values.BYTES_PER_ELEMENT) throw new PageError(t.notices.zipDamaged(file));
  return { name, shape, values: new Values(data) };
}
