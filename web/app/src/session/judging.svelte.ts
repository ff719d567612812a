// How good the network is on a whole split: confusion, mistakes, and the final figure when training is done.

import { EspalierError, type Dataset, type Evaluation, type SplitName } from 'espalier';
import type { Current } from './current';
import type { Run } from './run.svelte';

export interface Judgement {
  split: SplitName;
  step: number;
  evaluation: Evaluation;
  labels: Uint16Array;
}

const restMs = 1500;
/** While training, judging may take this part of the time. */
const share = 1 / 15;

export class Judging {
  judgement = $state.raw<Judgement>();
  split = $state<SplitName>('validation');
  testAccuracy = $state<number>();

  readonly #current: Current;
  readonly #run: Run;
  readonly #report: (error: unknown) => void;
  #underWay: AbortController | undefined;
  #judgedAt = 0;
  readonly #labels = new WeakMap<Dataset, Partial<Record<SplitName, Uint16Array>>>();

  constructor(current: Current, run: Run, report: (error: unknown) => void) {
    this.#current = current;
    this.#run = run;
    this.#report = report;
  }

  /** For other weights. */
  clear(): void {
    this.testAccuracy = undefined;
    this.judgement = undefined;
  }

  /** As if it had just been done. */
  rest(): void {
    this.#judgedAt = performance.now();
  }

  abort(): void {
    this.#underWay?.abort();
  }

  async nowAndThen(): Promise<void> {
    const cost = (this.judgement?.evaluation.seconds ?? 0) * 1000;
    const wait = Math.max(restMs, cost / share);
    // The test split is for the final figure, so while training only validation is looked at.
    if (this.split !== 'validation' || document.hidden || this.#underWay) return;
    if (performance.now() - this.#judgedAt > wait) await this.judge();
  }

  judgeOn(split: SplitName): Promise<void> {
    this.split = split;
    return this.judge();
  }

  async judge(): Promise<void> {
    const { model, dataset } = this.#current;
    if (!model || !dataset) return;
    this.#underWay?.abort();
    const underWay = (this.#underWay = new AbortController());
    const { signal } = underWay;
    try {
      const split = dataset.info.counts[this.split] ? this.split : 'test';
      const { step } = this.#run;
      const evaluation = await model.evaluate(dataset, split, { signal });
      const labels = await this.#labelsOf(dataset, split);
      if (model !== this.#current.model || signal.aborted) return;
      this.judgement = { split, step, evaluation, labels };
      if (this.#run.phase === 'done') {
        const final = split === 'test' ? evaluation : await model.evaluate(dataset, 'test', { signal });
        if (model === this.#current.model && this.#run.phase === 'done') this.testAccuracy = final.accuracy;
      }
    } catch (error) {
      const expected =
        error instanceof EspalierError && (error.code === 'aborted' || error.code === 'crashed');
      if (!expected && model === this.#current.model) this.#report(error);
    } finally {
      this.#judgedAt = performance.now();
      if (this.#underWay === underWay) this.#underWay = undefined;
    }
  }

  async #labelsOf(dataset: Dataset, split: SplitName): Promise<Uint16Array> {
    const known = this.#labels.get(dataset) ?? {};
    this.#labels.set(dataset, known);
    if (known[split]) return known[split];
    const count = dataset.info.counts[split];
    const labels = new Uint16Array(count);
    const chunk = 1000;
    for (let at = 0; at < count; at += chunk) {
      const indices = Array.from({ length: Math.min(chunk, count - at) }, (_, i) => at + i);
      labels.set((await dataset.images(split, indices)).labels, at);
    }
    return (known[split] = labels);
  }

  /** For the gallery of mistakes. */
  async images(split: SplitName, indices: number[]): Promise<Uint8Array> {
    const batch = await this.#current.dataset?.images(split, indices);
    return batch?.pixels ?? new Uint8Array();
  }
}
