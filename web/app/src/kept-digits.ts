// The built-in digits, kept after the first visit: to read them takes less time than to draw them again.

import type { Dataset, DatasetSource, SplitName } from 'espalier';
import { idxFiles } from './data/idx';
import { keepOnly, readKept, type StoredFile } from './storage';

export const drawnDigits: DatasetSource = { kind: 'synthetic', train: 6_000, test: 1_000, seed: 1 };

/** Scripts are named after their contents and what they load, the engine included: another engine, another key. */
const key = import.meta.env.DEV ? undefined : `digits:${import.meta.url}`;

/** Those of an earlier visit, byte for byte the drawn ones. */
export async function keptDigits(): Promise<DatasetSource | undefined> {
  const files = key && (await readKept<StoredFile[]>(key).catch(() => undefined));
  return files ? { kind: 'files', name: 'built-in digits', files } : undefined;
}

/** For the next visit; a browser without room for them draws them again. */
export async function keepDigits(dataset: Dataset): Promise<void> {
  if (!key || (await readKept(key))) return;
  const read = (split: SplitName) =>
    dataset.images(
      split,
      Uint32Array.from({ length: dataset.info.counts[split] }, (_, i) => i),
    );
  const { channels, height, width } = dataset.info;
  const batch = async (split: SplitName) => ({ channels, height, width, ...(await read(split)) });
  // Whoever reads the files puts the last images aside for validation, as was done here.
  const train = [await batch('train'), await batch('validation')];
  const test = [await batch('test')];
  await keepOnly('digits:', key, [...idxFiles('train', train), ...idxFiles('t10k', test)]);
}
