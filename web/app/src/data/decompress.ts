// Browsers unpack on the thread that asks for it, as much as they are given at once. So they are given little, with a
// rest now and then: the page stays quick while a large archive is unpacked.

import { Pace } from '../pace';

const readBytes = 2 ** 20;
/** What hardly shrank takes a millisecond; zeros become a thousand times as many, and take a few more. */
const pieceBytes = 2 ** 14;

export function decompressed(data: Blob, format: CompressionFormat): ReadableStream<Uint8Array> {
  const { readable, writable } = new DecompressionStream(format);
  const writer = writable.getWriter() as WritableStreamDefaultWriter<Uint8Array>;
  // Whoever reads hears of what is wrong.
  void feed(data, writer).catch(() => {});
  return readable;
}

async function feed(data: Blob, writer: WritableStreamDefaultWriter<Uint8Array>): Promise<void> {
  const pace = new Pace();
  for (let from = 0; from < data.size; from += readBytes) {
    const bytes = new Uint8Array(await data.slice(from, from + readBytes).arrayBuffer());
    for (let at = 0; at < bytes.length; at += pieceBytes) {
      await writer.write(bytes.subarray(at, at + pieceBytes));
      await pace.rest();
    }
  }
  await writer.close();
}
