// Archives of files. Of one that holds a dataset of the catalogue only that is taken: EMNIST's has five others.

import { catalogue } from '../datasets';
import type { NamedBlob } from './source';
import { untar } from './tar';
import { unzip } from './zip';

const endings = /\.(zip|tar|tar\.gz|tgz)$/i;

export const isArchive = ({ name }: NamedBlob): boolean => endings.test(name);
export const withoutEnding = (name: string): string => name.replace(endings, '');

export async function unpackArchive(file: NamedBlob): Promise<NamedBlob[]> {
  if (/\.zip$/i.test(file.name)) return unzip(file, wanted);
  const files = await untar(file);
  const names = wanted(files.map(({ name }) => name));
  return files.filter(({ name }) => names.includes(name));
}

function wanted(names: string[]): string[] {
  const dataset = catalogue.find(({ members }) => members && names.some((name) => members.test(name)));
  return names.filter((name) => dataset?.members?.test(name) ?? true);
}
