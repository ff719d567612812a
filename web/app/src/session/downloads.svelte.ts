// A dataset of the catalogue on its way into this browser. Nothing of this is needed before somebody asks for one.

import type { CatalogueDataset } from '../datasets';
import { download } from '../download';
import { session } from '../session.svelte';
import { library } from './library.svelte';

export interface Download {
  id: string;
  fraction: number;
}

class Downloads {
  /** One at a time. */
  current = $state.raw<Download>();
  #abort: AbortController | undefined;

  async start(dataset: CatalogueDataset): Promise<void> {
    const { id, name } = dataset;
    this.#abort?.abort();
    const { signal } = (this.#abort = new AbortController());
    this.current = { id, fraction: 0 };
    try {
      const onProgress = (fraction: number) => (this.current = { id, fraction });
      const files = await download(dataset, { signal, onProgress });
      this.current = undefined;
      await session.use(id, { kind: 'files', files, name });
      await library.keep({ id, name }, files);
    } catch (error) {
      if (!signal.aborted) session.report(error);
    } finally {
      if (this.#abort.signal === signal) this.current = undefined;
    }
  }

  cancel(): void {
    this.#abort?.abort();
    this.current = undefined;
  }
}

export const downloads = new Downloads();
