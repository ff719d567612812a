// From dropped files to a dataset: NumPy archives, pictures in folders, ZIP and tar archives of anything, or what the
// engine reads itself.

import { t } from '../i18n/index.svelte';
import { ownDataset, recognise, slug, type Identity } from '../recognise';
import { isArchive, unpackArchive, withoutEnding } from './archive';
import { readNpz } from './npz';
import { isPicture, readPictures } from './pictures';

export interface NamedBlob {
  /** With the folders that it is in. */
  name: string;
  data: Blob;
}

/** Files that the engine reads. */
export interface ReadDataset {
  files: NamedBlob[];
  /** What the files cannot say. */
  classNames?: string[];
}

export async function readDataset(files: NamedBlob[]): Promise<Identity & ReadDataset> {
  const [first] = files;
  if (first && files.length === 1) {
    if (/\.npz$/i.test(first.name)) return { ...namedAfter(first.name), files: await readNpz(first) };
    if (isArchive(first)) {
      const inside = await unpackArchive(first);
      if (!inside.some(isPicture)) return readDataset(inside);
      const identity = namedAfter(first.name);
      return { ...identity, ...(await readPictures(inside, identity.name)) };
    }
  }
  if (first && files.some(isPicture)) {
    const identity = namedAfter(first.name.split('/').length > 1 ? (first.name.split('/')[0] ?? '') : '');
    return { ...identity, ...(await readPictures(files, identity.name)) };
  }
  return { ...((await recognise(files)) ?? ownDataset(files)), files };
}

function namedAfter(path: string): Identity {
  const plain = withoutEnding(path.replace(/^.*\//, '')).replace(/\.npz$/i, '');
  return { id: `own-${slug(plain)}`, name: plain || t.data.own };
}
