// Who runs, and what is known of each so far.

import { contestants, type Contestant, type LoadOptions } from 'espalier-race';
import { t } from '../i18n/race';
import { sentence } from './sentence';
import type { Task } from './tasks';

type Missing = 'notIsolated' | 'oneCore';
export type LaneState = 'idle' | 'waiting' | 'starting' | 'ready' | 'running' | 'out';

export class Lane {
  readonly id: string;
  readonly contestant: Contestant;
  readonly options: LoadOptions;
  /** Why it cannot run in this browser, on this page. */
  readonly missing: Missing | undefined;

  takesPart = $state(true);
  state = $state<LaneState>('idle');
  /** Why it is out. */
  reason = $state('');
  /** What it chose for itself, such as its kernels. */
  using = $state('');
  /** With the first weights, and after a step of training. */
  losses = $state.raw<number[]>([]);
  /** Images a second, turn by turn. */
  samples = $state.raw<number[]>([]);

  readonly sorted = $derived(this.samples.toSorted((a, b) => a - b));
  readonly median = $derived(medianOf(this.sorted));
  readonly low = $derived(this.sorted[0]);
  readonly high = $derived(this.sorted.at(-1));

  constructor(
    contestant: Contestant,
    options: LoadOptions,
    own?: { id: string; missing: Missing | undefined },
  ) {
    this.contestant = contestant;
    this.options = options;
    this.id = own?.id ?? contestant.id;
    this.missing = own?.missing;
  }

  get name(): string {
    const { id, contestant, options } = this;
    return id === contestant.id ? contestant.name : t.withThreads(contestant.name, options.threads ?? 1);
  }

  /** Why it cannot take part; empty if it can. */
  barred(task: Task): string {
    if (this.missing) return t[this.missing];
    const { id, trains, infers } = this.contestant;
    const can = task.kind === 'training' ? trains : infers;
    return can === true ? '' : (t.cannotTrain[id] ?? sentence(can));
  }

  /** Why there are no numbers of it; empty if there may be some. */
  absence(task: Task): string {
    return this.barred(task) || this.reason || (this.takesPart ? '' : t.leftOut);
  }

  reset(state: LaneState): void {
    this.state = state;
    this.reason = '';
    this.using = '';
    this.losses = [];
    this.samples = [];
  }

  leave(reason: string): void {
    this.state = 'out';
    this.reason = reason;
  }
}

export interface Browser {
  isolated: boolean;
  cores: number;
}

/** Espalier with one thread and with several, then its peers. */
export function makeLanes({ isolated, cores }: Browser): Lane[] {
  return contestants.flatMap((contestant) => {
    const lane = new Lane(contestant, { threads: 1 });
    if (contestant.id !== champion) return [lane];
    // What it takes by itself.
    const threads = Math.max(2, Math.min(cores, 4));
    const missing = !isolated ? 'notIsolated' : cores < 2 ? 'oneCore' : undefined;
    const own = { id: championWithThreads, missing } as const;
    return [lane, new Lane(contestant, { threads }, own)];
  });
}

export const champion = 'espalier';
export const championWithThreads = 'espalier-threads';

function medianOf(sorted: readonly number[]): number | undefined {
  const middle = sorted.length >> 1;
  const upper = sorted[middle];
  if (upper === undefined || sorted.length % 2) return upper;
  return ((sorted[middle - 1] ?? upper) + upper) / 2;
}
