// Datasets and trainings kept in this browser (IndexedDB). Everything here may fail: private windows have no storage.

import { createStore, del, delMany, get, keys, set, update, type UseStore } from 'idb-keyval';

export interface StoredDataset {
  id: string;
  name: string;
  bytes: number;
  /** What the files cannot say. */
  classNames?: string[];
}
export interface StoredFile {
  name: string;
  data: Blob;
}

const indexKey = 'index';
let opened: UseStore | undefined;
const store = () => (opened ??= createStore('espalier', 'datasets'));

export async function listStored(): Promise<StoredDataset[]> {
  return (await get<StoredDataset[]>(indexKey, store())) ?? [];
}

export async function readStored(id: string): Promise<StoredFile[] | undefined> {
  return get<StoredFile[]>(`files:${id}`, store());
}

export async function keep(dataset: StoredDataset, files: StoredFile[]): Promise<void> {
  await set(`files:${dataset.id}`, files, store());
  await update<StoredDataset[]>(
    indexKey,
    (list = []) => [...list.filter(({ id }) => id !== dataset.id), dataset],
    store(),
  );
}

export async function forget(id: string): Promise<void> {
  await update<StoredDataset[]>(indexKey, (list = []) => list.filter((one) => one.id !== id), store());
  await del(`files:${id}`, store());
}

export function readKept<Value>(key: string): Promise<Value | undefined> {
  return get<Value>(key, store());
}

export function forgetKept(key: string): Promise<void> {
  return del(key, store());
}

export function keepValue(key: string, value: unknown): Promise<void> {
  return set(key, value, store());
}

export async function keptKeys(prefix: string): Promise<string[]> {
  return (await keys<string>(store())).filter((key) => key.startsWith(prefix));
}

/** In place of all else whose key begins so. */
export async function keepOnly(prefix: string, key: string, value: unknown): Promise<void> {
  await delMany(await keptKeys(prefix), store());
  await set(key, value, store());
}
