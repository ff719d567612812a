// The datasets that can be trained on without asking anybody: built in, drawn here, or kept in this browser.

import type { DatasetSource } from 'espalier';
import { drawnDatasets, isDrawn } from '../data/drawn';
import { builtInDigits, catalogue } from '../datasets';
import { t } from '../i18n/index.svelte';
import { drawnDigits } from '../kept-digits';
import { forget, keep, listStored, readStored, type StoredDataset, type StoredFile } from '../storage';
import { notices } from './notices.svelte';

class Library {
  stored = $state.raw<StoredDataset[]>([]);

  async list(): Promise<void> {
    this.stored = await listStored().catch(() => []);
  }

  /** Where the data of this name come from; nothing, if this browser does not have them. */
  async sourceOf(id: string): Promise<DatasetSource | undefined> {
    if (id === builtInDigits.id) return drawnDigits;
    if (isDrawn(id)) return { kind: 'files', files: await drawnDatasets[id](), name: id };
    const files = await readStored(id).catch(() => undefined);
    return files && { kind: 'files', files, name: await this.#nameOf(id) };
  }

  async keep(about: Omit<StoredDataset, 'bytes'>, files: StoredFile[]): Promise<void> {
    const bytes = files.reduce((sum, { data }) => sum + data.size, 0);
    try {
      await keep({ ...about, bytes }, files);
      await this.list();
    } catch {
      notices.say('info', t.notices.noRoom(about.name));
    }
  }

  async forget(id: string): Promise<void> {
    await forget(id).catch((error: unknown) => notices.sayError(error));
    await this.list();
  }

  async #nameOf(id: string): Promise<string> {
    const known = catalogue.find((dataset) => dataset.id === id);
    if (known) return known.name;
    await this.list();
    return this.stored.find((dataset) => dataset.id === id)?.name ?? id;
  }
}

export const library = new Library();
