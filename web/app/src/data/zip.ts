// The files of a ZIP archive (PKWARE's APPNOTE), unpacked by the browser one by one. No ZIP64: no file of more than 4 GB.

import { t } from '../i18n/index.svelte';
import { PageError } from '../page-error';
import { decompressed } from './decompress';
import type { NamedBlob } from './source';

interface Entry {
  name: string;
  method: number;
  size: number;
  /** Where its own header begins. */
  at: number;
}

const endSignature = 0x06054b50;
const entrySignature = 0x02014b50;
const endBytes = 22;
const maxComment = 0xffff;
const [stored, deflated] = [0, 8];

/** `wanted`: which of the names are unpacked. */
export async function unzip(
  { name, data }: NamedBlob,
  wanted = (names: string[]) => names,
): Promise<NamedBlob[]> {
  try {
    const entries = await directory(data);
    const files = entries.filter((entry) => !entry.name.endsWith('/') && !isHidden(entry.name));
    const names = wanted(files.map((entry) => entry.name));
    const unpacked: NamedBlob[] = [];
    for (const entry of files) {
      if (names.includes(entry.name)) unpacked.push({ name: entry.name, data: await unpack(data, entry) });
    }
    return unpacked;
  } catch {
    throw new PageError(t.notices.zipDamaged(name));
  }
}

/** What some systems put into archives beside the files. */
const isHidden = (path: string): boolean => /(^|\/)(__MACOSX\/|\.)/.test(path);

const read = async (data: Blob, from: number, to: number): Promise<DataView> =>
  new DataView(await data.slice(from, to).arrayBuffer());

/** It stands at the end, so that archives can grow. */
async function directory(data: Blob): Promise<Entry[]> {
  const from = Math.max(0, data.size - endBytes - maxComment);
  const tail = await read(data, from, data.size);
  let end = tail.byteLength - endBytes;
  while (tail.getUint32(end, true) !== endSignature) end -= 1;
  const [size, at] = [tail.getUint32(end + 12, true), tail.getUint32(end + 16, true)];
  const view = await read(data, at, at + size);
  const entries: Entry[] = [];
  for (let place = 0; place < view.byteLength;) {
    if (view.getUint32(place, true) !== entrySignature) throw new Error('entry');
    const [nameLength, extra, comment] = [28, 30, 32].map((field) => view.getUint16(place + field, true));
    const name = new Uint8Array(view.buffer, place + 46, nameLength);
    entries.push({
      name: new TextDecoder().decode(name),
      method: view.getUint16(place + 10, true),
      size: view.getUint32(place + 20, true),
      at: view.getUint32(place + 42, true),
    });
    place += 46 + (nameLength ?? 0) + (extra ?? 0) + (comment ?? 0);
  }
  return entries;
}

async function unpack(data: Blob, { method, size, at }: Entry): Promise<Blob> {
  const header = await read(data, at, at + 30);
  const begin = at + 30 + header.getUint16(26, true) + header.getUint16(28, true);
  const packed = data.slice(begin, begin + size);
  if (method === stored) return packed;
  if (method !== deflated || packed.size !== size) throw new Error('method');
  return new Response(decompressed(packed, 'deflate-raw')).blob();
}
