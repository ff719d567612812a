// The trainings under way, as this browser keeps them: what it takes to go on after a reload as if there had been none.
// Every tab keeps its own, under a name that it holds as a Web Lock while it is open. A reload takes up the tab's own;
// a new tab takes up one that nobody holds any more.

import type { TrainingDone, TrainingProgress } from 'espalier';
import type { HistoryState } from '../history';
import type { Settings } from '../settings';
import { forgetKept, keptKeys, keepValue, readKept } from '../storage';

export interface KeptTraining {
  /** When it was kept, in milliseconds. */
  at: number;
  /** Those that it was started with. */
  settings: Settings;
  datasetId: string;
  modelName: string;
  /** A checkpoint with the optimizer's state, or, when it is finished, the model. */
  bytes: Uint8Array;
  state: 'training' | 'paused' | 'finished';
  step: number;
  /** Of these weights; the last one is under way. */
  trainings: number;
  progress: TrainingProgress | undefined;
  /** Of a training that ran to its end; a model from a file has none. */
  finished: TrainingDone | undefined;
  validationAccuracy: number | undefined;
  history: HistoryState;
}

const prefix = 'training:';
const tabKey = 'espalier:tab';
/** A page that is being reloaded gives its name back a moment later. */
const patienceMs = 2_000;
/** Of tabs that are closed. */
const mostOthers = 3;

export class TrainingKeeper {
  #key: string | undefined;

  /** What goes on in this tab, if there is something kept that `isWanted`. */
  async open(isWanted: (kept: KeptTraining) => boolean): Promise<KeptTraining | undefined> {
    const own = rememberedKey();
    if (own && (await hold(own, patienceMs))) {
      this.#key = own;
      const kept = await readKept<KeptTraining>(own).catch(() => undefined);
      return kept && isWanted(kept) ? kept : undefined;
    }
    const left = await leftOver().catch(() => []);
    for (const { key } of left.slice(mostOthers)) void forgetKept(key).catch(() => {});
    for (const { key, kept } of left.slice(0, mostOthers)) {
      if (!isWanted(kept) || !(await hold(key))) continue;
      this.#use(key);
      return kept;
    }
    const key = prefix + Math.random().toString(36).slice(2);
    await hold(key);
    this.#use(key);
    return undefined;
  }

  async keep(training: KeptTraining): Promise<void> {
    if (this.#key) await keepValue(this.#key, training);
  }

  async forget(): Promise<void> {
    if (this.#key) await forgetKept(this.#key);
  }

  #use(key: string): void {
    this.#key = key;
    try {
      sessionStorage.setItem(tabKey, key);
    } catch {
      // Then it goes on in the next tab.
    }
  }
}

/** A checkpoint is a safetensors file: the length of its header, the header as JSON, and the tensors. */
export function stepOfCheckpoint(bytes: Uint8Array): number {
  const length = Number(new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0, true));
  const header = JSON.parse(new TextDecoder().decode(bytes.subarray(8, 8 + length))) as {
    __metadata__: Record<string, string>;
  };
  const { step } = JSON.parse(header.__metadata__['espalier.training'] ?? '{}') as { step?: number };
  return step ?? 0;
}

function rememberedKey(): string | undefined {
  try {
    return sessionStorage.getItem(tabKey) ?? undefined;
  } catch {
    return undefined;
  }
}

/** The newest first. Without locks nobody knows whose tab is still open. */
async function leftOver(): Promise<{ key: string; kept: KeptTraining }[]> {
  if (!navigator.locks) return [];
  const held = new Set((await navigator.locks.query()).held?.map(({ name }) => name));
  const free = (await keptKeys(prefix)).filter((key) => !held.has(lockOf(key)));
  const all = await Promise.all(free.map(async (key) => ({ key, kept: await readKept<KeptTraining>(key) })));
  return all.flatMap(({ key, kept }) => (kept ? [{ key, kept }] : [])).sort((a, b) => b.kept.at - a.kept.at);
}

const lockOf = (key: string): string => `espalier:${key}`;

/** Whether it became ours within the time, until the tab is closed. */
function hold(key: string, patience = 0): Promise<boolean> {
  // Pages that are not secure have no locks.
  if (!navigator.locks) return Promise.resolve(true);
  const options = patience > 0 ? { signal: AbortSignal.timeout(patience) } : { ifAvailable: true };
  return new Promise((resolve) => {
    navigator.locks
      .request(lockOf(key), options, (lock) => {
        resolve(lock !== null);
        return lock && new Promise<never>(() => {});
      })
      .catch(() => resolve(false));
  });
}
