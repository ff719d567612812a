// The training on show: the hand on it, the events that it sends, and the numbers that they tell.

import type { Training, TrainingDone, TrainingEvent, TrainingProgress } from 'espalier';
import { History } from '../history';
import { stepOf, toConfig, type Settings } from '../settings';
import type { Current } from './current';
import type { KeptTraining } from './kept-training';

export type Phase = 'starting' | 'training' | 'paused' | 'done' | 'ready' | 'failed';

/** What else there is to do. */
export interface RunEvents {
  /** Every now and then while it trains. */
  onBeat: () => void;
  onPaused: () => void;
  onDone: () => void;
  report: (error: unknown) => void;
}

const numbersEveryMs = 200;
const beatMs = 250;

export class Run {
  phase = $state<Phase>('starting');
  /** The settings that it was started with. */
  applied = $state.raw<Settings>();
  progress = $state.raw<TrainingProgress>();
  /** Training steps done; a pause comes a few steps after the last progress. */
  step = $state(0);
  imagesPerSecond = $state(0);
  finished = $state.raw<TrainingDone>();
  validationAccuracy = $state<number>();
  readonly history = new History();
  /** Goes up when the history has grown. */
  historyVersion = $state(0);
  /** How many the present weights have had. */
  trainings = $state(0);
  /** Goes up when the weights, or the data that they are judged by, are others. */
  weightsVersion = $state(0);
  /** Empty while they change. */
  weightsHash = $state('');
  /** Where the address wants a training to be paused; 0: nowhere. */
  until = typeof location === 'undefined' ? 0 : stepOf(location.hash);

  readonly #current: Current;
  readonly #events: RunEvents;
  #later: (() => void)[] = [];
  /** Resolves when the first network learns, or cannot. */
  readonly begun = new Promise<void>((resolve) => this.#later.push(resolve));
  #pending: TrainingProgress[] = [];
  #numbersTimer: ReturnType<typeof setTimeout> | undefined;
  #beatTimer: ReturnType<typeof setTimeout> | undefined;

  constructor(current: Current, events: RunEvents) {
    this.#current = current;
    this.#events = events;
  }

  /** For other weights. */
  clear(): void {
    this.trainings = 0;
    this.progress = undefined;
    this.step = 0;
    this.imagesPerSecond = 0;
    this.finished = undefined;
    this.validationAccuracy = undefined;
    this.weightsHash = '';
    this.weightsVersion += 1;
  }

  /** All that was seen of a training. One that is not finished is started next. */
  restore(kept: KeptTraining): void {
    this.step = kept.step;
    this.progress = kept.progress;
    this.validationAccuracy = kept.validationAccuracy;
    this.history.restore(kept.history);
    this.historyVersion += 1;
    const isFinished = kept.state === 'finished';
    this.trainings = isFinished ? kept.trainings : kept.trainings - 1;
    if (!isFinished) return;
    this.applied = kept.settings;
    this.finished = kept.finished;
    this.phase = kept.finished ? 'done' : 'ready';
    this.#begin();
  }

  /** For weights of a file, which start a curve of their own. */
  showUntrained(settings: Settings): void {
    this.history.clear();
    this.historyVersion += 1;
    this.applied = settings;
    this.phase = 'ready';
  }

  /** Trains the present model, or goes on with `resumed`; the curves go on from where they are. */
  start(settings: Settings, resumed?: Training): void {
    const { model, dataset } = this.#current;
    if (!model || !dataset) return;
    this.applied = settings;
    this.finished = undefined;
    this.weightsHash = '';
    this.trainings += 1;
    this.phase = 'training';
    if (!resumed) this.history.continueFrom();
    const training = resumed ?? model.train(dataset, toConfig(settings));
    this.#current.training = training;
    void this.#follow(training);
    this.#beat();
  }

  async stop(): Promise<void> {
    const { training } = this.#current;
    this.#current.training = undefined;
    clearTimeout(this.#numbersTimer);
    this.#numbersTimer = undefined;
    this.#pending.length = 0;
    await training?.abort().catch(() => {});
  }

  /** What can wait until the engine learns: it does one thing at a time. */
  afterFirstStep(work: () => Promise<void>): void {
    this.#later.push(() => void work().catch(this.#events.report));
  }

  #begin(): void {
    for (const work of this.#later.splice(0)) work();
  }

  // ── The hand on it ───────────────────────────────────────────────────────────────────────────

  async pause(): Promise<void> {
    await this.#steer((training) => training.pause());
  }

  async resume(): Promise<void> {
    this.weightsHash = '';
    await this.#steer(async (training) => {
      await training.resume();
      this.phase = 'training';
      this.#beat();
    });
  }

  async stepOnce(): Promise<void> {
    if (this.phase === 'training') await this.pause();
    this.weightsHash = '';
    await this.#steer((training) => training.step(1));
  }

  /** To the end of the epoch that is under way, or of the next one. */
  async epochOnce(): Promise<void> {
    if (this.phase === 'training') await this.pause();
    const perEpoch = this.#stepsPerEpoch();
    if (this.phase !== 'paused' || !perEpoch) return;
    this.weightsHash = '';
    this.phase = 'training';
    this.#beat();
    await this.#steer((training) => training.step(perEpoch - (this.step % perEpoch)));
  }

  #stepsPerEpoch(): number {
    const { applied, progress } = this;
    const { dataset } = this.#current;
    if (!applied || !dataset) return 0;
    if (progress) return progress.totalSteps / applied.epochs;
    return Math.ceil(dataset.info.counts.train / applied.batchSize);
  }

  async #steer(action: (training: Training) => Promise<void>): Promise<void> {
    const { training } = this.#current;
    if (!training) return;
    try {
      await action(training);
    } catch (error) {
      if (training === this.#current.training) this.#events.report(error);
    }
  }

  // ── What it says ─────────────────────────────────────────────────────────────────────────────

  async #follow(training: Training): Promise<void> {
    try {
      for await (const event of training) {
        if (training !== this.#current.training) break;
        this.#receive(event);
        this.#begin();
      }
    } catch (error) {
      this.#begin();
      if (training !== this.#current.training) return;
      this.#flushNumbers();
      this.#current.training = undefined;
      this.phase = 'failed';
      this.#events.report(error);
    }
  }

  #receive(event: TrainingEvent): void {
    switch (event.type) {
      case 'progress':
        if (!this.progress && this.#pending.length === 0) performance.mark('first step');
        this.#pending.push(event);
        this.history.addProgress(event);
        this.#numbersTimer ??= setTimeout(() => this.#flushNumbers(), numbersEveryMs);
        break;
      case 'epoch':
        this.history.addEpoch(event);
        this.validationAccuracy = event.validationAccuracy;
        this.#flushNumbers();
        break;
      case 'paused':
        this.#flushNumbers();
        // One that was taken up paused has done nothing yet.
        this.step = event.step || this.step;
        if (this.#goesFurther(this.step)) break;
        this.phase = 'paused';
        this.#events.onPaused();
        break;
      case 'done':
        this.#flushNumbers();
        this.#current.training = undefined;
        if (event.aborted) break;
        this.finished = event;
        this.phase = 'done';
        this.#events.onDone();
        break;
    }
  }

  /** Paused as early as could be, a training that an address describes goes on to exactly its step. */
  #goesFurther(step: number): boolean {
    const rest = this.until - step;
    this.until = 0;
    if (rest > 0) void this.#steer((training) => training.step(rest));
    return rest > 0;
  }

  #flushNumbers(): void {
    clearTimeout(this.#numbersTimer);
    this.#numbersTimer = undefined;
    const events = this.#pending.splice(0);
    const last = events.at(-1);
    if (last) {
      this.imagesPerSecond = meanSpeed(events, this.progress?.step ?? 0);
      this.progress = last;
      this.step = last.step;
      this.weightsVersion += 1;
    }
    this.historyVersion += 1;
  }

  #beat(): void {
    clearTimeout(this.#beatTimer);
    this.#beatTimer = setTimeout(() => {
      if (this.phase !== 'training') return;
      this.#events.onBeat();
      this.#beat();
    }, beatMs);
  }

  async hashWeights(): Promise<void> {
    const { model } = this.#current;
    try {
      const hash = (await model?.weightsSha256()) ?? '';
      if (model === this.#current.model && this.phase !== 'training') this.weightsHash = hash;
    } catch {
      // Browsers hash on https and localhost only.
    }
  }
}

/** All images over all the time that they took. */
function meanSpeed(events: TrainingProgress[], stepBefore: number): number {
  let steps = 0;
  let seconds = 0;
  let before = stepBefore;
  for (const { step, imagesPerSecond } of events) {
    const done = Math.max(1, step - before);
    before = step;
    steps += done;
    seconds += done / Math.max(imagesPerSecond, 1e-9);
  }
  return steps / seconds;
}
