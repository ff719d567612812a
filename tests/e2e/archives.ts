// Archives as people have them, made small.

import { deflateRawSync, gzipSync } from 'node:zlib';
import type { TestFile } from './playground';

export const bytesOf = (text: string) => new Uint8Array(Buffer.from(text, 'latin1'));

export function crc32(bytes: Uint8Array): number {
  let crc = ~0;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; ++bit) crc = (crc >>> 1) ^ (crc & 1 ? 0xedb88320 : 0);
  }
  return ~crc >>> 0;
}

/** ZIP (PKWARE's APPNOTE): every other file deflated, the others stored. */
export function zip(files: TestFile[]): Uint8Array {
  const parts: Buffer[] = [];
  const directory: Buffer[] = [];
  let at = 0;
  for (const [i, { name, bytes }] of files.entries()) {
    const plain = Buffer.from(bytes as Uint8Array);
    const packed = i % 2 ? plain : deflateRawSync(plain);
    const fields = Buffer.alloc(26);
    fields.writeUInt16LE(20, 0);
    fields.writeUInt16LE(i % 2 ? 0 : 8, 4);
    fields.writeUInt32LE(crc32(plain), 10);
    fields.writeUInt32LE(packed.length, 14);
    fields.writeUInt32LE(plain.length, 18);
    fields.writeUInt16LE(Buffer.byteLength(name), 22);
    const rest = Buffer.alloc(14);
    rest.writeUInt32LE(at, 10);
    const local = Buffer.concat([bytesOf('PK\x03\x04'), fields, Buffer.from(name), packed]);
    directory.push(Buffer.concat([bytesOf('PK\x01\x02\x14\x00'), fields, rest, Buffer.from(name)]));
    parts.push(local);
    at += local.length;
  }
  const central = Buffer.concat(directory);
  const end = Buffer.alloc(18);
  end.writeUInt16LE(files.length, 4);
  end.writeUInt16LE(files.length, 6);
  end.writeUInt32LE(central.length, 8);
  end.writeUInt32LE(at, 12);
  return Buffer.concat([...parts, central, bytesOf('PK\x05\x06'), end]);
}

/** POSIX ustar; a name that ends in a slash is a folder. */
export function tar(files: TestFile[]): Uint8Array {
  const blocks = files.flatMap(({ name, bytes }) => {
    const data = Buffer.from(bytes as Uint8Array);
    const header = Buffer.alloc(512);
    header.write(name, 0);
    header.write('0000644\0', 100);
    header.write(`${data.length.toString(8).padStart(11, '0')}\0`, 124);
    header.write(' '.repeat(8), 148);
    header.write(name.endsWith('/') ? '5' : '0', 156);
    header.write('ustar\x0000', 257);
    const sum = header.reduce((total, byte) => total + byte, 0);
    header.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148);
    return [header, data, Buffer.alloc((512 - (data.length % 512)) % 512)];
  });
  return Buffer.concat([...blocks, Buffer.alloc(1024)]);
}

/** As https://www.cs.toronto.edu/~kriz/cifar.html describes its binary version, with so many images in each batch. */
export function cifarArchive(count: number): Uint8Array {
  // Photographs hardly shrink, and neither does noise.
  const batch = Uint8Array.from({ length: count * 3073 }, (_, i) =>
    i % 3073 ? (Math.imul(i ^ (i >>> 7), 2654435761) >>> 11) & 255 : Math.floor(i / 3073) % 10,
  );
  const file = (name: string, bytes: Uint8Array) => ({ name: `cifar-10-batches-bin/${name}`, bytes });
  const files = [
    file('', new Uint8Array()),
    ...[1, 2, 3, 4, 5].map((number) => file(`data_batch_${number}.bin`, batch)),
    file('batches.meta.txt', bytesOf('airplane\nautomobile\n')),
    file('readme.html', bytesOf('<META HTTP-EQUIV="REFRESH" content="0;url=http://www.cs.toronto.edu">')),
    file('test_batch.bin', batch),
  ];
  return gzipSync(tar(files), { level: 1 });
}

const big = (value: number) => [value >>> 24, (value >>> 16) & 255, (value >>> 8) & 255, value & 255];

/** As NIST's archive has it: gzipped IDX files of several datasets, whose letters count from 1 and lie on their side. */
export function emnistArchive(count: number, image: (letter: number) => Uint8Array): Uint8Array {
  const idx = (set: string, split: string, images: number, classes: number, first: number): TestFile[] => {
    const labels = Array.from({ length: images }, (_, i) => first + (i % classes));
    const name = (kind: string) => `gzip/emnist-${set}-${split}-${kind}-ubyte.gz`;
    const pixels = Buffer.concat(labels.map((label) => image(label - first)));
    return [
      {
        name: name('images-idx3'),
        bytes: gzipSync(Buffer.from([0, 0, 8, 3, ...big(images), ...big(28), ...big(28), ...pixels])),
      },
      {
        name: name('labels-idx1'),
        bytes: gzipSync(Buffer.from([0, 0, 8, 1, ...big(images), ...labels])),
      },
    ];
  };
  return zip([
    { name: 'gzip/', bytes: '' },
    { name: 'gzip/emnist-digits-mapping.txt', bytes: '0 48\n' },
    ...idx('digits', 'test', 20, 10, 0),
    ...idx('digits', 'train', 20, 10, 0),
    { name: 'gzip/emnist-letters-mapping.txt', bytes: '1 65 97\n' },
    ...idx('letters', 'test', count, 26, 1),
    ...idx('letters', 'train', 6 * count, 26, 1),
  ]);
}
