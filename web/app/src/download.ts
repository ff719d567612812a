// Fetches a catalogue dataset: mirror after mirror, with progress, checked by SHA-256.

import { unpackArchive } from './data/archive';
import { addressOf, bytesOf, type CatalogueDataset, type CatalogueFile } from './datasets';
import { t } from './i18n/index.svelte';
import { PageError } from './page-error';
import { pieces, Sha256 } from './sha256';

export interface DownloadedFile {
  name: string;
  data: Blob;
}
export interface DownloadOptions {
  signal: AbortSignal;
  onProgress: (fraction: number) => void;
}

/** Pieces become a blob when they are so many bytes: browsers keep large blobs out of memory. */
const keptBytes = 4 * 2 ** 20;

export async function download(
  dataset: CatalogueDataset,
  { signal, onProgress }: DownloadOptions,
): Promise<DownloadedFile[]> {
  const total = bytesOf(dataset);
  const files: DownloadedFile[] = [];
  let before = 0;
  for (const file of dataset.files) {
    const report = (bytes: number) => onProgress(Math.min((before + bytes) / total, 1));
    files.push({ name: file.name, data: await fetchFile(dataset, file, signal, report) });
    before += file.bytes;
    report(0);
  }
  if (!dataset.members) return files;
  const members = (await Promise.all(files.map(unpackArchive))).flat();
  signal.throwIfAborted();
  return members;
}

async function fetchFile(
  dataset: CatalogueDataset,
  file: CatalogueFile,
  signal: AbortSignal,
  onBytes: (bytes: number) => void,
): Promise<Blob> {
  let reason = '';
  for (const mirror of dataset.mirrors) {
    try {
      const response = await fetch(mirror + file.name, { signal, mode: 'cors', credentials: 'omit' });
      if (!response.ok) throw new PageError(t.notices.answered(response.status));
      const { data, hash } = await readAll(response, onBytes);
      if (hash !== file.sha256) throw new PageError(t.notices.damaged(file.name));
      return data;
    } catch (error) {
      if (signal.aborted) throw error;
      const network = error instanceof TypeError;
      const why = network ? t.notices.unreachable : error instanceof Error ? error.message : String(error);
      reason = `${new URL(mirror).host}: ${why}`;
    }
  }
  if (!navigator.onLine) throw new PageError(t.notices.offline(dataset.name));
  // Hosts of archives often let no other site read them; whoever visits them gets the file all the same.
  if (dataset.members)
    throw new PageError(t.notices.archiveNotFetched(dataset.name, reason), addressOf(dataset));
  throw new PageError(t.notices.notFetched(dataset.name, reason));
}

async function readAll(
  response: Response,
  onBytes: (bytes: number) => void,
): Promise<{ data: Blob; hash: string }> {
  const hash = new Sha256();
  const blobs: Blob[] = [];
  let kept: Uint8Array<ArrayBuffer>[] = [];
  let keptSize = 0;
  let size = 0;
  for await (const piece of response.body ? pieces(response.body) : []) {
    hash.add(piece);
    kept.push(piece as Uint8Array<ArrayBuffer>);
    keptSize += piece.length;
    if (keptSize >= keptBytes) {
      blobs.push(new Blob(kept));
      [kept, keptSize] = [[], 0];
    }
    size += piece.length;
    onBytes(size);
  }
  return { data: new Blob([...blobs, ...kept]), hash: hash.digest() };
}
