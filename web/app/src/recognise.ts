// Which dataset somebody's files are: a known one by checksum, otherwise what their names say.

import { catalogue } from './datasets';
import { t } from './i18n/index.svelte';
import { sha256 } from './sha256';

interface OwnFile {
  name: string;
  data: Blob;
}
export interface Identity {
  id: string;
  name: string;
}

/** The labels and the test images say enough; hashing the large files would only take time. */
const maxHashedBytes = 5e6;

export async function recognise(files: readonly OwnFile[]): Promise<Identity | undefined> {
  for (const { data } of files) {
    const candidates = catalogue.filter((dataset) => dataset.files.some((file) => file.bytes === data.size));
    if (candidates.length === 0 || data.size > maxHashedBytes) continue;
    const hash = await sha256(data);
    const known = candidates.find((dataset) => dataset.files.some((file) => file.sha256 === hash));
    if (known) return { id: known.id, name: known.name };
  }
  return undefined;
}

/** "emnist-letters-train-images-idx3-ubyte.gz" is "emnist-letters". */
export function ownDataset(files: readonly OwnFile[]): Identity {
  const known = catalogue.find(({ members }) => members && files.some(({ name }) => members.test(name)));
  if (known) return { id: known.id, name: known.name };
  const first = files.find(({ name }) => /train/i.test(name)) ?? files[0];
  const prefix =
    first?.name.replace(/[-_.]?(train|t10k|test|images|labels|idx\d|ubyte|gz|bin)\b.*$/i, '') ?? '';
  const name = prefix || t.data.own;
  return { id: `own-${slug(prefix)}`, name };
}

export const slug = (text: string): string =>
  text
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, '-')
    .replace(/^-|-$/g, '') || 'unnamed';
