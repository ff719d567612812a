// Fetches a catalogue dataset: mirror after mirror, with progress, checked by SHA-256.

import { bytesOf, type CatalogueDataset, type CatalogueFile } from './datasets';
import { t } from './i18n/index.svelte';
import { PageError } from './page-error';

export interface DownloadedFile {
  name: string;
  data: Blob;
}
export interface DownloadOptions {
  signal: AbortSignal;
  onProgress: (fraction: number) => void;
}

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
  return files;
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
      const data = await readAll(response, onBytes);
      const hash = await sha256(data);
      if (hash !== file.sha256) throw new PageError(t.notices.damaged(file.name));
      return new Blob([data]);
    } catch (error) {
      if (signal.aborted) throw error;
      const network = error instanceof TypeError;
      const why = network ? t.notices.unreachable : error instanceof Error ? error.message : String(error);
      reason = `${new URL(mirror).host}: ${why}`;
    }
  }
  throw new PageError(
    navigator.onLine ? t.notices.notFetched(dataset.name, reason) : t.notices.offline(dataset.name),
  );
}

async function readAll(
  response: Response,
  onBytes: (bytes: number) => void,
): Promise<Uint8Array<ArrayBuffer>> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  const reader = response.body?.getReader();
  while (reader) {
    const { done, value } = await reader.read();
    if (done) break;
    chunks.push(value);
    size += value.length;
    onBytes(size);
  }
  const bytes = new Uint8Array(size);
  let at = 0;
  for (const chunk of chunks) {
    bytes.set(chunk, at);
    at += chunk.length;
  }
  return bytes;
}

export async function sha256(bytes: BufferSource): Promise<string> {
  const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', bytes));
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, '0')).join('');
}
