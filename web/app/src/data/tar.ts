// The files of a tar archive (POSIX ustar), gzipped or not, in one pass: what is not wanted is never kept.

import { t } from '../i18n/index.svelte';
import { PageError } from '../page-error';
import { decompressed } from './decompress';
import type { NamedBlob } from './source';

interface Header {
  name: string;
  size: number;
  isFile: boolean;
}

const blockBytes = 512;
/** Pieces become a blob when they are so many bytes: browsers keep large blobs out of memory. */
const keptBytes = 4 * 2 ** 20;

export async function untar({ name, data }: NamedBlob): Promise<NamedBlob[]> {
  const blocks = new Blocks(await unpacked(data));
  try {
    return await filesOf(blocks);
  } catch {
    throw new PageError(t.notices.tarDamaged(name));
  } finally {
    blocks.close();
  }
}

async function unpacked(data: Blob): Promise<ReadableStream<Uint8Array>> {
  const [first, second] = new Uint8Array(await data.slice(0, 2).arrayBuffer());
  const isGzip = first === 0x1f && second === 0x8b;
  return isGzip ? decompressed(data, 'gzip') : data.stream();
}

async function filesOf(blocks: Blocks): Promise<NamedBlob[]> {
  const files: NamedBlob[] = [];
  for (;;) {
    const header = readHeader(await blocks.take(blockBytes));
    if (!header) return files;
    const { name, size, isFile } = header;
    const data = await blocks.takeBlob(size, isFile);
    await blocks.take((blockBytes - (size % blockBytes)) % blockBytes);
    if (isFile) files.push({ name, data });
  }
}

/** Undefined: the zeros that the archive ends with. */
function readHeader(block: Uint8Array): Header | undefined {
  if (block.every((byte) => byte === 0)) return undefined;
  const text = (from: number, length: number) => {
    const field = block.subarray(from, from + length);
    const end = field.indexOf(0);
    return new TextDecoder().decode(end < 0 ? field : field.subarray(0, end));
  };
  const octal = (from: number, length: number) => parseInt(text(from, length).trim(), 8);
  // The checksum counts its own field as spaces.
  const sum = block.reduce((total, byte, at) => total + (at >= 148 && at < 156 ? 32 : byte), 0);
  if (octal(148, 8) !== sum) throw new Error('checksum');
  const size = octal(124, 12);
  if (!Number.isSafeInteger(size)) throw new Error('size');
  const folder = text(257, 5) === 'ustar' ? text(345, 155) : '';
  const type = text(156, 1);
  return {
    name: folder ? `${folder}/${text(0, 100)}` : text(0, 100),
    size,
    isFile: type === '0' || type === '',
  };
}

/** A stream in pieces of a wanted length. */
class Blocks {
  readonly #reader: ReadableStreamDefaultReader<Uint8Array>;
  #rest = new Uint8Array();

  constructor(stream: ReadableStream<Uint8Array>) {
    this.#reader = stream.getReader();
  }

  /** What comes after is not unpacked. */
  close(): void {
    void this.#reader.cancel().catch(() => {});
  }

  async take(size: number): Promise<Uint8Array> {
    const bytes = new Uint8Array(size);
    for (let at = 0; at < size;) {
      const piece = await this.#some(size - at);
      bytes.set(piece, at);
      at += piece.length;
    }
    return bytes;
  }

  async takeBlob(size: number, isKept: boolean): Promise<Blob> {
    const blobs: Blob[] = [];
    let pieces: Uint8Array<ArrayBuffer>[] = [];
    let bytes = 0;
    for (let at = 0; at < size;) {
      const piece = await this.#some(size - at);
      at += piece.length;
      if (!isKept) continue;
      pieces.push(piece);
      bytes += piece.length;
      if (bytes < keptBytes) continue;
      blobs.push(new Blob(pieces));
      [pieces, bytes] = [[], 0];
    }
    return new Blob([...blobs, ...pieces]);
  }

  /** At most so many bytes: what there is. */
  async #some(most: number): Promise<Uint8Array<ArrayBuffer>> {
    while (this.#rest.length === 0) {
      const { done, value } = await this.#reader.read();
      if (done) throw new Error('end');
      this.#rest = value as Uint8Array<ArrayBuffer>;
    }
    const piece = this.#rest.subarray(0, most);
    this.#rest = this.#rest.subarray(piece.length);
    return piece;
  }
}
