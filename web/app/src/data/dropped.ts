// What was dropped or chosen: files, and those of folders by their paths.

import type { NamedBlob } from './source';

export const namedFiles = (files: Iterable<File>): NamedBlob[] =>
  [...files].map((file) => ({ name: file.webkitRelativePath || file.name, data: file }));

export async function droppedFiles(transfer: DataTransfer): Promise<NamedBlob[]> {
  // Both are there only until the event has been handled.
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry());
  const files = namedFiles(transfer.files);
  if (!entries.some((entry) => entry?.isDirectory)) return files;
  const inside = entries.flatMap((entry) => (entry ? [filesOf(entry)] : []));
  return (await Promise.all(inside)).flat();
}

async function filesOf(entry: FileSystemEntry): Promise<NamedBlob[]> {
  if (entry.isFile) {
    const data = await new Promise<File>((resolve, reject) =>
      (entry as FileSystemFileEntry).file(resolve, reject),
    );
    return [{ name: entry.fullPath.replace(/^\//, ''), data }];
  }
  const reader = (entry as FileSystemDirectoryEntry).createReader();
  const files: NamedBlob[] = [];
  // A folder is read in parts; the last one is empty.
  for (;;) {
    const part = await new Promise<FileSystemEntry[]>((resolve, reject) =>
      reader.readEntries(resolve, reject),
    );
    if (part.length === 0) return files;
    for (const inside of part) files.push(...(await filesOf(inside)));
  }
}
