// Two compressions of the network that trains, side by side: what is on the wall, in the footer and in the views.

import { EspalierError, type Evaluation, type Model, type PassProgress } from 'espalier';
import { session } from '../session.svelte';
import type { Card, Stack } from './stack';
import { changed, describe, freshStack, fromText, moved, newCard, toText, without } from './stack';
import type { CardKind, Options } from './cards';
import { Latest } from './latest';
import { CardError, Results, type Result } from './results';
import { t } from '../i18n/index.svelte';
import { Undo } from '../undo';

export type SideName = 'left' | 'right';
export type Sides<Value> = Readonly<Record<SideName, Value>>;

export interface WallImages {
  count: number;
  pixels: Uint8Array;
  labels: Uint16Array;
  channels: number;
  height: number;
  width: number;
}
/** A card that trains, while it does. */
export interface Healing {
  card: number;
  fraction: number;
  points: { done: number; loss: number; accuracy: number }[];
  /** Of the x axis. */
  total: number;
}
/** What the footer has shown of the right side. */
export interface Score {
  bytes: number;
  accuracy: number;
  changed: number;
}

const wallCount = 400;
const mostScores = 60;
/** Following a training may take this part of the time. */
const followingShare = 1 / 4;
const followEveryMs = 400;
/** All test images take longer than those of the wall. */
const evaluateEveryMs = 2000;
/** An evaluation that takes longer is given up when a slider moves on. */
const patienceSeconds = 0.5;

class Comparison {
  stacks = $state.raw<Sides<Stack>>({ left: [], right: freshStack() });
  results = $state.raw<Partial<Sides<Result>>>({});
  /** The last that were measured: those of `results`, or of what was there a moment ago. */
  evaluations = $state.raw<Partial<Sides<Evaluation>>>({});
  scores = $state.raw<Score[]>([]);
  /** Microseconds, likewise: measured less often. */
  times = $state.raw<number[]>([]);
  wall = $state.raw<WallImages>();
  healing = $state.raw<Healing>();
  error = $state.raw<{ card: number; text: string }>();
  isBusy = $state(false);
  canUndo = $state(false);
  canRedo = $state(false);

  readonly #latest = new Latest();
  readonly #undo = new Undo<Sides<Stack>>();
  #results: Results | undefined;
  #wallOf: object | undefined;
  #endedAt = 0;
  #cost = 0;
  #evaluatedAt = 0;
  #openedModels = 0;

  /** Whether a side's figures are those of what is on the wall. */
  isMeasured(side: SideName): boolean {
    const result = this.results[side];
    return result !== undefined && result.evaluation === this.evaluations[side];
  }

  get isSame(): boolean {
    return this.results.left?.key === this.results.right?.key;
  }

  /** Test images that the two sides answer differently. */
  get changedCount(): number | undefined {
    return countChanged(this.evaluations.left, this.evaluations.right);
  }

  nameOf(side: SideName): string {
    return describe(this.stacks[side]) || (side === 'left' ? t.wall.original : t.wall.notCompressed);
  }

  // ── The stack ────────────────────────────────────────────────────────────────────────────────

  /** `live`: a slider that moves; what takes long waits for `settle`. */
  setOptions(card: Card, options: Options, live = false): void {
    const about = `${card.id} ${Object.keys(options).join()}`;
    const stack = changed(this.stacks.right, card.id, { options: { ...card.options, ...options } });
    this.#edit({ right: stack }, { live, about: live ? about : undefined });
  }
  settle(): void {
    this.#undo.close();
    this.#request(false);
  }
  toggle({ id, on }: Card): void {
    this.#edit({ right: changed(this.stacks.right, id, { on: !on }) });
  }
  add(kind: CardKind, options: Options = {}): void {
    this.#edit({ right: [...this.stacks.right, newCard(kind, options)] });
  }
  remove({ id }: Card): void {
    this.#edit({ right: without(this.stacks.right, id) });
  }
  move({ id }: Card, to: number, live = false): void {
    this.#edit({ right: moved(this.stacks.right, id, to) }, { live, about: live ? `move ${id}` : undefined });
  }
  clear(): void {
    this.#edit({ right: freshStack() });
  }
  copyToLeft(): void {
    this.#edit({ left: this.stacks.right });
  }
  showOriginal(): void {
    this.#edit({ left: [] });
  }
  load(stack: Stack): void {
    this.#edit({ right: stack });
  }
  /** Two compressions against each other. */
  compare(left: Stack, right: Stack): void {
    this.#edit({ left, right });
  }

  get lastStep(): number {
    return this.#undo.last;
  }
  get nextStep(): number {
    return this.#undo.next;
  }
  undo(): void {
    this.#go(this.#undo.undo(this.stacks));
  }
  redo(): void {
    this.#go(this.#undo.redo(this.stacks));
  }

  #go(stacks: Sides<Stack> | undefined): void {
    if (stacks) this.#use(stacks);
  }

  #edit(
    stacks: Partial<Sides<Stack>>,
    { live = false, about }: { live?: boolean; about?: string | undefined } = {},
  ): void {
    this.#undo.remember(this.stacks, about);
    // What is being compressed stands still.
    if (session.phase === 'training') void session.pause();
    this.#use({ ...this.stacks, ...stacks }, live);
  }

  #use(stacks: Sides<Stack>, live = false): void {
    this.stacks = stacks;
    this.canUndo = this.#undo.canUndo;
    this.canRedo = this.#undo.canRedo;
    this.#request(live);
  }

  // ── Measuring ────────────────────────────────────────────────────────────────────────────────

  /** Called when the weights have changed. */
  follow(): void {
    // What was opened may be compressed already, and is shown as it is.
    if (session.openedModels !== this.#openedModels) {
      this.#openedModels = session.openedModels;
      return this.#edit({ left: [], right: freshStack() });
    }
    if (session.phase !== 'training') return this.#request(false);
    const wait = Math.max(followEveryMs, this.#cost / followingShare);
    if (this.#latest.isBusy || document.hidden || performance.now() - this.#endedAt < wait) return;
    this.#request(true);
  }

  #request(quick: boolean): void {
    if (!session.handles) return;
    this.isBusy = true;
    this.#latest.request(async (signal) => {
      const began = performance.now();
      try {
        await this.#measure(signal, quick);
        this.error = undefined;
      } catch (error) {
        this.#report(error);
      }
      this.healing = undefined;
      this.#endedAt = performance.now();
      this.#cost = this.#endedAt - began;
      if (!signal.aborted) this.isBusy = false;
    });
  }

  async #measure(signal: AbortSignal, quick: boolean): Promise<void> {
    const results = await this.#resultsOfNow();
    if (!results) return;
    const { left: leftStack, right: rightStack } = this.stacks;
    const watch = {
      signal,
      quick,
      onProgress: (card: Card, progress: PassProgress) => this.#show(card, progress),
    };
    const left = await results.quick(leftStack, watch);
    const right = await results.quick(rightStack, watch);
    this.healing = undefined;
    this.results = { left, right };
    const isFollowing = session.phase === 'training';
    if (isFollowing && performance.now() - this.#evaluatedAt < evaluateEveryMs) return;
    await this.#evaluate(results, 'left', signal);
    await this.#evaluate(results, 'right', signal);
    this.#evaluatedAt = performance.now();
    this.#score();
    if (quick || isFollowing) return;
    await this.#time(results, 'left', signal);
    await this.#time(results, 'right', signal);
    const time = this.results.right?.time?.microsecondsPerImage;
    if (time !== undefined) this.times = [...this.times, time].slice(-mostScores);
  }

  /** Half a second of work, so only when everything stands still. */
  async #time(results: Results, side: SideName, signal: AbortSignal): Promise<void> {
    const result = this.results[side];
    if (result) this.results = { ...this.results, [side]: await results.timed(result, signal) };
  }

  async #evaluate(results: Results, side: SideName, signal: AbortSignal): Promise<void> {
    const result = this.results[side];
    if (!result) return;
    const isSlow = (this.evaluations[side]?.seconds ?? 0) > patienceSeconds;
    const evaluated = await results.evaluated(result, isSlow ? signal : new AbortController().signal);
    this.results = { ...this.results, [side]: evaluated };
    this.evaluations = { ...this.evaluations, [side]: evaluated.evaluation };
  }

  #score(): void {
    const { right } = this.results;
    const changedNow = this.changedCount;
    if (!right?.evaluation || changedNow === undefined) return;
    const score = { bytes: right.file.length, accuracy: right.evaluation.accuracy, changed: changedNow };
    this.scores = [...this.scores, score].slice(-mostScores);
  }

  #show(card: Card, { stage, done, total, loss, accuracy }: PassProgress): void {
    if (loss === undefined || accuracy === undefined) return;
    const before = this.healing?.card === card.id && stage !== 'control' ? this.healing.points : [];
    const points = [...before, { done, loss, accuracy }];
    this.healing = { card: card.id, fraction: total > 0 ? done / total : 0, points, total };
  }

  /** For the weights as they are. */
  async #resultsOfNow(): Promise<Results | undefined> {
    const { handles, weightsVersion } = session;
    if (!handles) return undefined;
    const { engine, model, dataset } = handles;
    await this.#readWall(handles.dataset);
    const version = String(weightsVersion);
    if (this.#results?.version === version) return this.#results;
    const wall = this.wall;
    if (!wall) return undefined;
    const old = this.#results;
    this.#results = await Results.of(engine, model, version, dataset, wall, session.pipeline);
    // Views may still be reading from them.
    setTimeout(() => old?.dispose(), 2000);
    return this.#results;
  }

  async #readWall(dataset: NonNullable<typeof session.handles>['dataset']): Promise<void> {
    if (this.#wallOf === dataset) return;
    const { channels, height, width, counts } = dataset.info;
    const count = Math.min(wallCount, counts.test);
    const { pixels, labels } = await dataset.images(
      'test',
      Uint32Array.from({ length: count }, (_, i) => i),
    );
    this.#wallOf = dataset;
    this.results = {};
    this.evaluations = {};
    this.scores = [];
    this.times = [];
    this.wall = { count, pixels, labels, channels, height, width };
  }

  #report(error: unknown): void {
    const cause = error instanceof CardError ? error.cause : error;
    const code = cause instanceof EspalierError ? cause.code : '';
    if (code === 'aborted') return;
    if (code === 'crashed') session.report(cause);
    else if (error instanceof CardError) this.error = { card: error.card, text: error.message };
    else session.report(error);
  }

  /** The model after the first cards of the right side, for views that try something on it. */
  async modelBefore({ id }: Card): Promise<Model | undefined> {
    const results = await this.#resultsOfNow();
    const { right } = this.stacks;
    const before = right.slice(
      0,
      right.findIndex((card) => card.id === id),
    );
    const { signal } = new AbortController();
    return results?.modelOf(before, { signal, quick: true, onProgress: () => {} });
  }

  // ── The address ──────────────────────────────────────────────────────────────────────────────

  readAddress(): void {
    const given = new URLSearchParams(location.hash.slice(1));
    const [left, right] = [given.get('left'), given.get('right')];
    this.stacks = { left: left ? fromText(left) : [], right: right ? fromText(right) : freshStack() };
  }

  /** Beside the settings, without filling the history. */
  writeAddress(): void {
    const { left, right } = this.stacks;
    const texts = { left: toText(left), right: toText(right) };
    session.writeAddress({
      left: texts.left,
      right: texts.right === toText(freshStack()) ? '' : texts.right,
      step: session.phase === 'paused' ? String(session.run.step) : '',
    });
  }
}

export const comparison = new Comparison();

function countChanged(left?: Evaluation, right?: Evaluation): number | undefined {
  if (!left || left.predictions.length !== right?.predictions.length) return undefined;
  let count = 0;
  for (let i = 0; i < left.predictions.length; ++i) {
    if (left.predictions[i] !== right.predictions[i]) count += 1;
  }
  return count;
}
