// Work of a view that takes a while: it begins when training stands still, shows how far it is, and can be stopped.

import { EspalierError, type Dataset, type Model } from 'espalier';
import { session } from '../session.svelte';
import { untilStanding } from './standing';

interface Progress {
  done: number;
  total: number;
  /** That are left; undefined: not known yet. */
  seconds: number | undefined;
}

export class Measurement {
  progress = $state.raw<Progress>();
  error = $state('');
  #abort: AbortController | undefined;

  /** One at a time; what it throws is shown, unless it was stopped. */
  async run(
    work: (
      model: Model,
      dataset: Dataset,
      signal: AbortSignal,
      show: (progress: Progress) => void,
    ) => Promise<void>,
  ): Promise<void> {
    const { handles } = session;
    if (!handles || this.progress) return;
    const { signal } = (this.#abort = new AbortController());
    this.error = '';
    this.progress = { done: 0, total: 1, seconds: undefined };
    await untilStanding();
    try {
      await work(handles.model, handles.dataset, signal, (progress) => (this.progress = progress));
    } catch (error) {
      const isStopped = signal.aborted || (error instanceof EspalierError && error.code === 'aborted');
      if (!isStopped) this.error = error instanceof Error ? error.message : String(error);
    } finally {
      this.progress = undefined;
    }
  }

  stop(): void {
    this.#abort?.abort();
  }
}

/** One after another; what is left is expected to take as long as what was done. */
export async function oneByOne<Item>(
  items: readonly Item[],
  signal: AbortSignal,
  show: (progress: Progress) => void,
  one: (item: Item, index: number) => Promise<void>,
): Promise<void> {
  const began = performance.now();
  for (const [i, item] of items.entries()) {
    signal.throwIfAborted();
    await one(item, i);
    const seconds = ((performance.now() - began) / 1000 / (i + 1)) * (items.length - i - 1);
    show({ done: i + 1, total: items.length, seconds });
  }
}
