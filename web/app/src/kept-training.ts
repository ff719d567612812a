// The training under way, as this browser keeps it: what it takes to go on after a reload as if there had been none.
// One tab of the page keeps its training; the others wait for their turn.

import type { HistoryState } from './history';
import type { Settings } from './settings';
import { forgetKept, keepOnly, readKept } from './storage';

export interface KeptTraining {
  /** Those that it was started with. */
  settings: Settings;
  datasetId: string;
  modelName: string;
  /** A checkpoint with the optimizer's state, or, when it is finished, the model. */
  bytes: Uint8Array;
  state: 'training' | 'paused' | 'finished';
  history: HistoryState;
}

const key = 'training';

export const readTraining = (): Promise<KeptTraining | undefined> => readKept<KeptTraining>(key);
export const keepTraining = (training: KeptTraining): Promise<void> => keepOnly(key, key, training);
export const forgetTraining = (): Promise<void> => forgetKept(key);

/** The right to keep a training, held until the tab is closed (a Web Lock). */
export class Turn {
  isOurs = false;
  #taken: Promise<void> | undefined;

  /** Whether it is ours within the time; later it may still become so. */
  async take(patienceMs: number): Promise<boolean> {
    this.#taken ??= this.#ask();
    await Promise.race([this.#taken, new Promise((resolve) => setTimeout(resolve, patienceMs))]);
    return this.isOurs;
  }

  #ask(): Promise<void> {
    return new Promise((resolve) => {
      const take = () => {
        this.isOurs = true;
        resolve();
      };
      // Pages that are not secure have no locks.
      if (!navigator.locks) return take();
      navigator.locks
        .request('espalier:training', () => {
          take();
          return new Promise<never>(() => {});
        })
        .catch(take);
    });
  }
}
