// The one store of the page, and the only module that talks to the engine.

import {
  EspalierError,
  type Catalog,
  type Dataset,
  type DatasetInfo,
  type DatasetSource,
  type Engine,
  type EngineInfo,
  type Evaluation,
  type Model,
  type ModelInspection,
  type Pipeline,
  type SplitName,
  type Tensor,
  type Training,
  type TrainingDone,
  type TrainingEvent,
  type TrainingProgress,
} from 'espalier';
import { readDataset, type NamedBlob, type ReadDataset } from './data/source';
import { builtInDigits } from './datasets';
import { History } from './history';
import { t } from './i18n/index.svelte';
import { drawnDigits } from './kept-digits';
import { takeEngine } from './opening';
import { PageError } from './page-error';
import type { Identity } from './recognise';
import { stepOfCheckpoint, TrainingKeeper, type KeptTraining } from './session/kept-training';
import { library } from './session/library.svelte';
import { loadFitting, modelOf, networkOf } from './session/models';
import { classNamesOf, datasetNameOf } from './session/names';
import { notices } from './session/notices.svelte';
import {
  defaults,
  fromHash,
  modelNameOf,
  sameSettings,
  stepOf,
  toConfig,
  toHash,
  type Settings,
} from './settings';

export type Phase = 'starting' | 'training' | 'paused' | 'done' | 'ready' | 'failed';

/** The image that probabilities and feature maps are shown for. */
export interface Input {
  pixels: Uint8Array;
  /** Its place in the samples, or undefined for a drawing. */
  sample?: number;
  label?: number;
}
export interface Samples {
  indices: number[];
  pixels: Uint8Array;
  labels: Uint16Array;
}
export interface Judgement {
  split: SplitName;
  step: number;
  evaluation: Evaluation;
  labels: Uint16Array;
}
const sampleCount = 30;
const numbersEveryMs = 200;
const viewsEveryMs = 250;
const checkpointEveryMs = 2_000;
/** Checkpoints may take this part of the time. */
const checkpointShare = 1 / 20;
/** Without a minute of rest between them. */
const mostCrashes = 3;
const crashesCountMs = 60_000;
/** Judging the model may take this part of the time. */
const judgingShare = 1 / 15;

class Session {
  phase = $state<Phase>('starting');
  engine = $state.raw<EngineInfo>();
  catalog = $state.raw<Catalog>();
  settings = $state<Settings>(fromHash(typeof location === 'undefined' ? '' : location.hash));
  /** Those that the training on show was started with. */
  applied = $state.raw<Settings>();

  dataset = $state.raw<DatasetInfo>();
  datasetId = $state<string>(builtInDigits.id);

  modelName = $state('');
  /** Goes up when a model's file is opened. */
  openedModels = $state(0);
  inspection = $state.raw<ModelInspection>();
  weightsHash = $state('');

  progress = $state.raw<TrainingProgress>();
  /** Of the present weights. */
  trainings = $state(0);
  /** Training steps done; a pause comes a few steps after the last progress. */
  step = $state(0);
  imagesPerSecond = $state(0);
  finished = $state.raw<TrainingDone>();
  testAccuracy = $state<number>();
  validationAccuracy = $state<number>();
  readonly history = new History();
  /** Goes up when the history has grown. */
  historyVersion = $state(0);

  samples = $state.raw<Samples>();
  input = $state.raw<Input>();
  probabilities = $state.raw<Float32Array>();
  filters = $state.raw<Tensor>();
  layer = $state('');
  maps = $state.raw<Tensor>();
  judgement = $state.raw<Judgement>();
  judgedSplit = $state<SplitName>('validation');

  /** Goes up when the weights, or the data that they are judged by, are others. */
  weightsVersion = $state(0);

  #engine: Engine | undefined;
  #digits: Promise<Dataset> | undefined;
  #dataset: Dataset | undefined;
  #source: DatasetSource = drawnDigits;
  #model: Model | undefined;
  #training: Training | undefined;
  /** The work that replaces engine, dataset, model or training: one at a time. */
  #order: Promise<void> = Promise.resolve();
  #pending: TrainingProgress[] = [];
  #later: (() => void)[] = [];
  /** Resolves when the first network learns, or cannot. */
  readonly begun = new Promise<void>((resolve) => this.#later.push(resolve));
  #numbersTimer: ReturnType<typeof setTimeout> | undefined;
  #viewsTimer: ReturnType<typeof setTimeout> | undefined;
  #viewsBusy = false;
  #viewsAgain = false;
  #judging: AbortController | undefined;
  #judgedAt = 0;
  #labels = new Map<SplitName, Uint16Array>();
  readonly #keeper = new TrainingKeeper();
  #checkpoint: KeptTraining | undefined;
  /** Not before. */
  #checkpointAt = 0;
  #recovering = false;
  #crashes: number[] = [];
  /** Where the address wants a training to be paused. */
  #until = typeof location === 'undefined' ? 0 : stepOf(location.hash);

  /** What is compressed, and where. */
  get handles(): { engine: Engine; model: Model; dataset: Dataset } | undefined {
    const [engine, model, dataset] = [this.#engine, this.#model, this.#dataset];
    return engine && model && dataset && { engine, model, dataset };
  }

  className(label: number): string {
    return this.classNames[label] ?? String(label);
  }

  get datasetName(): string {
    return datasetNameOf(this.datasetId, this.dataset);
  }

  get classNames(): string[] {
    return classNamesOf(this.datasetId, this.dataset);
  }

  /** The menus say something else than what is being trained. */
  get hasChanges(): boolean {
    const { applied, settings } = this;
    if (!applied) return false;
    return !sameSettings(applied, settings);
  }

  /** Whether the settings alone make these weights: one training from fresh ones. */
  get isRepeatable(): boolean {
    return this.trainings === 1 && this.phase !== 'ready';
  }

  /** Which passes made the network that was opened, as long as it is not trained further. */
  get pipeline(): Pipeline | undefined {
    return this.trainings === 0 ? this.#model?.pipeline : undefined;
  }

  /** Whether a digit can be drawn for this dataset. */
  get isDrawable(): boolean {
    return this.dataset?.channels === 1 && this.dataset.height === this.dataset.width;
  }

  // ── Starting ─────────────────────────────────────────────────────────────────────────────────

  start(): Promise<void> {
    document.addEventListener('visibilitychange', () => {
      if (document.hidden) void this.#saveCheckpoint(true);
    });
    return this.#inOrder(async () => {
      await this.#openEngine();
      if (!(await this.#openKept())) await this.#openFirst();
      this.catalog = await this.#engine?.catalog();
      await library.list();
    });
  }

  /** What was kept of this tab, or of one that is closed. */
  async #openKept(): Promise<boolean> {
    const kept = await this.#keeper.open((one) => this.#isWanted(one));
    if (!kept) return false;
    try {
      const source = await library.sourceOf(kept.datasetId);
      if (!source) return false;
      await this.#takeUp(kept, source);
      notices.say('info', kept.state === 'finished' ? t.notices.restored : t.notices.resumed);
      return true;
    } catch {
      // Kept by another version of the page, perhaps; a fresh start takes its place.
      return false;
    }
  }

  /** Whether it is what the address asks for, or leads there. */
  #isWanted({ settings, step, trainings, state }: KeptTraining): boolean {
    if (!sameSettings(settings, this.settings)) return false;
    if (this.#until === 0 || (step === this.#until && state === 'paused')) return true;
    return trainings === 1 && step < this.#until;
  }

  async #takeUp(kept: KeptTraining, source: DatasetSource): Promise<void> {
    const dataset = await this.#load(source);
    const model = await this.#need().loadModel(kept.bytes);
    await this.#useDataset(kept.datasetId, source, dataset);
    await this.#adopt(model, kept.modelName);
    this.#checkpoint = kept;
    this.step = kept.step;
    this.progress = kept.progress;
    this.validationAccuracy = kept.validationAccuracy;
    this.history.restore(kept.history);
    this.historyVersion += 1;
    if (kept.state === 'finished') {
      this.trainings = kept.trainings;
      this.applied = kept.settings;
      this.finished = kept.finished;
      this.phase = kept.finished ? 'done' : 'ready';
      this.#begun();
      await this.#inspect(model);
      this.#settle();
      return;
    }
    this.trainings = kept.trainings - 1;
    const paused = kept.state === 'paused' || this.#until > 0;
    this.#run(kept.settings, model.resume(dataset, { paused }));
    this.#afterFirstStep(() => this.#inspect(model));
  }

  async #openEngine(): Promise<void> {
    const { engine, digits } = await takeEngine();
    this.#engine = engine;
    this.#digits = digits;
    this.engine = engine.info;
  }

  /** The built-in digits may be there already. */
  #load(source: DatasetSource): Promise<Dataset> {
    const digits = source === drawnDigits ? this.#digits : undefined;
    if (digits) this.#digits = undefined;
    return digits ?? this.#need().loadDataset(source);
  }

  /** What the address asks for; what of it is impossible is said, and the page opens all the same. */
  async #openFirst(): Promise<void> {
    const id = this.settings.dataset;
    try {
      const source = await library.sourceOf(id);
      if (source) return await this.#change(id, source);
      notices.say('info', t.notices.notStored(id));
      return await this.#change(builtInDigits.id, drawnDigits);
    } catch (error) {
      this.report(error);
    }
    const { preset } = defaults;
    // A network that is impossible stays in the menus, where it can be mended.
    if (!this.settings.network) this.settings.preset = preset;
    const settings = { ...$state.snapshot(this.settings), preset, network: '' };
    await this.#change(builtInDigits.id, drawnDigits, settings);
  }

  /** Other data and a fresh model for it. If one of them is impossible, everything stays as it was. */
  async #change(
    id: string,
    source: DatasetSource,
    settings: Settings = $state.snapshot(this.settings),
  ): Promise<void> {
    const dataset = await this.#load(source);
    let model: Model;
    try {
      model = await this.#create(settings, dataset);
      performance.mark('model');
    } catch (error) {
      void dataset.dispose().catch(() => {});
      throw error;
    }
    await this.#useDataset(id, source, dataset);
    await this.#begin(model, { ...settings, dataset: id });
  }

  async #useDataset(id: string, source: DatasetSource, dataset: Dataset): Promise<void> {
    const old = this.#dataset;
    await this.#stop();
    this.#dataset = dataset;
    this.#source = source;
    this.#labels.clear();
    this.dataset = dataset.info;
    this.datasetId = id;
    this.settings.dataset = id;
    this.judgement = undefined;
    this.input = undefined;
    this.samples = undefined;
    void old?.dispose().catch(() => {});
    this.#afterFirstStep(() => this.#chooseSamples(0));
  }

  // ── Training ─────────────────────────────────────────────────────────────────────────────────

  /** Fresh weights and the settings of the menus. */
  reset(): Promise<void> {
    if (!this.#engine) return this.start();
    return this.#inOrder(async () => {
      const settings = $state.snapshot(this.settings);
      await this.#begin(await this.#create(settings, this.#dataset), settings);
    });
  }

  #create(settings: Settings, dataset: Dataset | undefined): Promise<Model> {
    const spec = (dataset && modelOf(settings, dataset.info)) ?? settings.preset;
    return this.#need().createModel(spec, { seed: settings.seed, ...(dataset && { dataset }) });
  }

  async #begin(model: Model, settings: Settings): Promise<void> {
    await this.#adopt(model, modelNameOf(settings));
    this.history.clear();
    this.#run(settings);
    void this.#keeper.forget().catch(() => {});
    if (this.#until > 0) void this.pause();
    this.#afterFirstStep(() => this.#inspect(model));
  }

  async #adopt(model: Model, name: string): Promise<void> {
    await this.#stop();
    const old = this.#model;
    this.#model = model;
    this.modelName = name;
    this.trainings = 0;
    this.progress = undefined;
    this.step = 0;
    this.imagesPerSecond = 0;
    this.finished = undefined;
    this.testAccuracy = undefined;
    this.validationAccuracy = undefined;
    this.judgement = undefined;
    this.weightsHash = '';
    this.#checkpoint = undefined;
    this.weightsVersion += 1;
    void old?.dispose().catch(() => {});
  }

  async #inspect(model: Model): Promise<void> {
    try {
      const inspection = await model.inspect();
      if (model !== this.#model) return;
      this.inspection = inspection;
      const layers = inspection.layers.filter(({ shape }) => shape[1] > 1 || shape[2] > 1);
      const candidates = layers.length > 0 ? layers : inspection.layers;
      if (!inspection.layers.some(({ name }) => name === this.layer)) this.layer = candidates[0]?.name ?? '';
      this.#refreshViews();
    } catch (error) {
      this.report(error);
    }
  }

  /** Trains the present model; its curves go on from where they are. */
  #run(settings: Settings, training?: Training): void {
    const model = this.#model;
    const dataset = this.#dataset;
    if (!model || !dataset) return;
    this.applied = settings;
    this.finished = undefined;
    this.weightsHash = '';
    this.trainings += 1;
    this.phase = 'training';
    this.#judgedAt = performance.now();
    this.#checkpointAt = performance.now() + checkpointEveryMs;
    if (!training) this.history.continueFrom();
    this.#training = training ?? model.train(dataset, toConfig(settings));
    void this.#follow(this.#training);
    this.#keepViewsFresh();
  }

  /** What can wait until the engine learns: it does one thing at a time. */
  #afterFirstStep(work: () => Promise<void>): void {
    this.#later.push(() => void work().catch((error: unknown) => this.report(error)));
  }

  #begun(): void {
    for (const work of this.#later.splice(0)) work();
  }

  async #follow(training: Training): Promise<void> {
    try {
      for await (const event of training) {
        if (training !== this.#training) break;
        this.#receive(event);
        this.#begun();
      }
    } catch (error) {
      this.#begun();
      if (training !== this.#training) return;
      this.#flushNumbers();
      this.#training = undefined;
      this.phase = 'failed';
      this.report(error);
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
        this.#settle();
        void this.#saveCheckpoint(true);
        break;
      case 'done':
        this.#flushNumbers();
        this.#training = undefined;
        if (event.aborted) break;
        this.finished = event;
        this.phase = 'done';
        this.#settle();
        void this.#keepFinished();
        break;
    }
  }

  /** Paused as early as could be, a training that an address describes goes on to exactly its step. */
  #goesFurther(step: number): boolean {
    const rest = this.#until - step;
    this.#until = 0;
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

  /** Weights stand still: show everything as of now. */
  #settle(): void {
    this.weightsVersion += 1;
    this.#refreshViews();
    void this.#hash();
    void this.judge();
  }

  async #hash(): Promise<void> {
    const model = this.#model;
    try {
      const hash = (await model?.weightsSha256()) ?? '';
      if (model === this.#model && this.phase !== 'training') this.weightsHash = hash;
    } catch {
      // Browsers hash on https and localhost only.
    }
  }

  async #stop(): Promise<void> {
    const training = this.#training;
    this.#training = undefined;
    this.#judging?.abort();
    clearTimeout(this.#numbersTimer);
    this.#numbersTimer = undefined;
    this.#pending.length = 0;
    await training?.abort().catch(() => {});
  }

  async pause(): Promise<void> {
    await this.#steer((training) => training.pause());
  }

  async resume(): Promise<void> {
    if (this.phase === 'done' || this.phase === 'ready') return this.trainOn();
    this.weightsHash = '';
    await this.#steer(async (training) => {
      await training.resume();
      this.phase = 'training';
      this.#keepViewsFresh();
    });
  }

  toggle(): Promise<void> {
    return this.phase === 'training' ? this.pause() : this.resume();
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
    this.#keepViewsFresh();
    await this.#steer((training) => training.step(perEpoch - (this.step % perEpoch)));
  }

  #stepsPerEpoch(): number {
    const { applied, dataset, progress } = this;
    if (!applied || !dataset) return 0;
    if (progress) return progress.totalSteps / applied.epochs;
    return Math.ceil(dataset.counts.train / applied.batchSize);
  }

  /** Another training with the settings of the menus, from the present weights. */
  trainOn(): Promise<void> {
    return this.#inOrder(async () => {
      await this.#stop();
      const { preset, network } = this.applied ?? this.settings;
      this.#run({ ...$state.snapshot(this.settings), preset, network });
    });
  }

  async #steer(action: (training: Training) => Promise<void>): Promise<void> {
    const training = this.#training;
    if (!training) return;
    try {
      await action(training);
    } catch (error) {
      if (training === this.#training) this.report(error);
    }
  }

  /** A new engine, and the training goes on from its last checkpoint. */
  async #recover(): Promise<void> {
    if (this.#recovering) return;
    this.#recovering = true;
    const now = performance.now();
    this.#crashes = [...this.#crashes.filter((at) => now - at < crashesCountMs), now];
    if (this.#crashes.length > mostCrashes) return notices.say('error', t.notices.gaveUp);
    const checkpoint = this.#checkpoint;
    await this.#inOrder(async () => {
      await this.#openEngine();
      if (checkpoint) await this.#takeUp(checkpoint, this.#source);
      else await this.#change(this.datasetId, this.#source, this.applied);
      notices.say('info', checkpoint ? t.notices.recovered : t.notices.recoveredAnew);
    });
    this.#recovering = false;
  }

  async #saveCheckpoint(now = false): Promise<void> {
    const training = this.#training;
    const begin = performance.now();
    if (!training || (!now && begin < this.#checkpointAt)) return;
    this.#checkpointAt = Infinity;
    const { progress } = this;
    const history = this.history.state();
    const bytes = await training.checkpoint().catch(() => undefined);
    if (training !== this.#training) return;
    if (bytes) {
      const state = this.phase === 'paused' ? 'paused' : 'training';
      await this.#keepTraining(bytes, state, { step: stepOfCheckpoint(bytes), progress, history });
    }
    const end = performance.now();
    this.#checkpointAt = end + Math.max(checkpointEveryMs, (end - begin) / checkpointShare);
  }

  async #keepFinished(): Promise<void> {
    const model = this.#model;
    const bytes = await model?.save().catch(() => undefined);
    if (model !== this.#model || !bytes || this.#training) return;
    const { step, progress } = this;
    await this.#keepTraining(bytes, 'finished', { step, progress, history: this.history.state() });
  }

  async #keepTraining(
    bytes: Uint8Array,
    state: KeptTraining['state'],
    seen: Pick<KeptTraining, 'step' | 'progress' | 'history'>,
  ): Promise<void> {
    const { applied, datasetId, modelName, trainings, finished, validationAccuracy } = this;
    if (!applied) return;
    const settings = { ...applied, dataset: datasetId };
    const about = { settings, datasetId, modelName, trainings, finished, validationAccuracy };
    this.#checkpoint = { at: Date.now(), bytes, state, ...about, ...seen };
    await this.#keeper.keep(this.#checkpoint).catch(() => notices.say('info', t.notices.notKept));
  }

  // ── Looking inside ───────────────────────────────────────────────────────────────────────────

  show(input: Input): void {
    this.input = input;
    this.#refreshViews();
  }

  showSample(sample: number): void {
    const { samples, dataset } = this;
    if (!samples || !dataset) return;
    const size = dataset.channels * dataset.height * dataset.width;
    const pixels = samples.pixels.slice(sample * size, (sample + 1) * size);
    this.show({ pixels, sample, label: samples.labels[sample] });
  }

  showLayer(name: string): void {
    this.layer = name;
    this.#refreshViews();
  }

  /** Other test images: `from` counts pages. */
  async #chooseSamples(page: number): Promise<void> {
    const dataset = this.#dataset;
    if (!dataset) return;
    const count = Math.min(sampleCount, dataset.info.counts.test);
    const indices = Array.from({ length: count }, (_, i) => (page * count + i) % dataset.info.counts.test);
    const { pixels, labels } = await dataset.images('test', indices);
    if (dataset !== this.#dataset) return;
    this.samples = { indices, pixels, labels };
    this.showSample(0);
  }

  async moreSamples(): Promise<void> {
    const page = Math.round((this.samples?.indices[0] ?? 0) / sampleCount) + 1;
    await this.#chooseSamples(page).catch((error: unknown) => this.report(error));
  }

  #keepViewsFresh(): void {
    clearTimeout(this.#viewsTimer);
    this.#viewsTimer = setTimeout(() => {
      if (this.phase !== 'training') return;
      if (!document.hidden) this.#refreshViews();
      void this.#judgeNowAndThen();
      void this.#saveCheckpoint();
      this.#keepViewsFresh();
    }, viewsEveryMs);
  }

  /** At most one round is under way; a change during it starts another. */
  #refreshViews(): void {
    if (this.#viewsBusy) {
      this.#viewsAgain = true;
      return;
    }
    this.#viewsBusy = true;
    void this.#readViews()
      .catch((error: unknown) => {
        if (this.phase !== 'failed') this.report(error);
      })
      .finally(() => {
        this.#viewsBusy = false;
        if (!this.#viewsAgain) return;
        this.#viewsAgain = false;
        this.#refreshViews();
      });
  }

  async #readViews(): Promise<void> {
    const model = this.#model;
    const { input, inspection, layer } = this;
    if (!model) return;
    const known = inspection?.layers.some(({ name }) => name === layer);
    const first = inspection?.tensors.find(({ shape }) => shape.length > 1);
    const [probabilities, maps, filters] = await Promise.all([
      input && model.predict(input.pixels, 1),
      input && known ? model.activations(input.pixels, layer) : undefined,
      first && model.tensor(first.name),
    ]);
    if (model !== this.#model) return;
    if (probabilities) this.probabilities = probabilities;
    if (maps) this.maps = maps;
    if (filters) this.filters = filters;
  }

  async #judgeNowAndThen(): Promise<void> {
    const cost = (this.judgement?.evaluation.seconds ?? 0) * 1000;
    const wait = Math.max(1500, cost / judgingShare);
    // The test split is for the final figure, so while training only validation is looked at.
    if (this.judgedSplit !== 'validation' || document.hidden || this.#judging) return;
    if (performance.now() - this.#judgedAt > wait) await this.judge();
  }

  judgeOn(split: SplitName): Promise<void> {
    this.judgedSplit = split;
    return this.judge();
  }

  /** Runs the model over a whole split: confusion, mistakes, and the final figure when training is done. */
  async judge(): Promise<void> {
    const model = this.#model;
    const dataset = this.#dataset;
    if (!model || !dataset) return;
    this.#judging?.abort();
    const judging = (this.#judging = new AbortController());
    const { signal } = judging;
    try {
      const split = this.#nonEmpty(this.judgedSplit);
      const { step } = this;
      const evaluation = await model.evaluate(dataset, split, { signal });
      const labels = await this.#labelsOf(dataset, split);
      if (model !== this.#model || signal.aborted) return;
      this.judgement = { split, step, evaluation, labels };
      if (this.phase === 'done') {
        const final = split === 'test' ? evaluation : await model.evaluate(dataset, 'test', { signal });
        if (model === this.#model && this.phase === 'done') this.testAccuracy = final.accuracy;
      }
    } catch (error) {
      const expected =
        error instanceof EspalierError && (error.code === 'aborted' || error.code === 'crashed');
      if (!expected && model === this.#model) this.report(error);
    } finally {
      this.#judgedAt = performance.now();
      if (this.#judging === judging) this.#judging = undefined;
    }
  }

  #nonEmpty(split: SplitName): SplitName {
    return this.dataset?.counts[split] ? split : 'test';
  }

  async #labelsOf(dataset: Dataset, split: SplitName): Promise<Uint16Array> {
    const known = this.#labels.get(split);
    if (known) return known;
    const count = dataset.info.counts[split];
    const labels = new Uint16Array(count);
    const chunk = 1000;
    for (let at = 0; at < count; at += chunk) {
      const indices = Array.from({ length: Math.min(chunk, count - at) }, (_, i) => at + i);
      labels.set((await dataset.images(split, indices)).labels, at);
    }
    if (dataset === this.#dataset) this.#labels.set(split, labels);
    return labels;
  }

  /** For the gallery of mistakes. */
  async images(split: SplitName, indices: number[]): Promise<Uint8Array> {
    const batch = await this.#dataset?.images(split, indices);
    return batch?.pixels ?? new Uint8Array();
  }

  // ── Files ────────────────────────────────────────────────────────────────────────────────────

  /** Whatever was dropped or chosen: one model, or the files of a dataset. */
  async open(files: NamedBlob[]): Promise<void> {
    if (files.length === 0) return;
    const models = files.filter(({ name }) => /\.(safetensors|espalier|onnx)$/i.test(name));
    const [model] = models;
    if (model && files.length > 1) {
      return notices.say('error', t.notices.oneModel);
    }
    await this.#inOrder(() => (model ? this.#openModel(model) : this.#openFiles(files)), false);
  }

  async #openModel(file: NamedBlob): Promise<void> {
    const model = await loadFitting(this.#need(), file, this.dataset);
    await this.#adopt(model, model.spec.name ?? file.name);
    this.openedModels += 1;
    this.history.clear();
    this.historyVersion += 1;
    Object.assign(this.settings, networkOf(model.spec, this.modelName, this.catalog));
    this.applied = $state.snapshot(this.settings);
    this.phase = 'ready';
    await this.#inspect(model);
    this.#settle();
    void this.#keepFinished();
    notices.say('info', t.notices.loaded(file.name));
  }

  /** A dataset that was read or drawn: trained on, and kept. */
  take(dataset: Identity & ReadDataset): Promise<void> {
    return this.#inOrder(() => this.#take(dataset), false);
  }

  async #openFiles(files: NamedBlob[]): Promise<void> {
    await this.#take(await readDataset(files));
  }

  async #take({ id, name, files, classNames }: Identity & ReadDataset): Promise<void> {
    await this.#change(id, { kind: 'files', files, name });
    await library.keep({ id, name, ...(classNames && { classNames }) }, files);
  }

  /** Fresh data under this name, with a fresh model. */
  use(id: string, source: DatasetSource): Promise<void> {
    return this.#inOrder(() => this.#change(id, source), false);
  }

  useStored(id: string): Promise<void> {
    return this.#inOrder(async () => {
      const source = await library.sourceOf(id);
      if (!source) throw new PageError(t.notices.loadAgain(id));
      await this.#change(id, source);
    }, false);
  }

  // ── The page ─────────────────────────────────────────────────────────────────────────────────

  /** Keeps the address in step with the menus and with `others`, without filling the history. */
  writeAddress(others: Record<string, string>): void {
    const hash = toHash($state.snapshot(this.settings), others, location.hash);
    history.replaceState(null, '', hash ? `#${hash}` : location.pathname + location.search);
  }

  /** Somebody changed the address by hand, or followed a link to another set-up. */
  readAddress(): void {
    const settings = fromHash(location.hash);
    const moved = settings.dataset !== this.datasetId;
    this.#until = stepOf(location.hash);
    Object.assign(this.settings, settings);
    void (moved ? this.useStored(settings.dataset) : this.reset());
  }

  report(error: unknown): void {
    if (error instanceof EspalierError && error.code === 'crashed') return void this.#recover();
    notices.sayError(error);
  }

  /** `fatal`: nothing is left that could go on. */
  #inOrder(work: () => Promise<void>, fatal = true): Promise<void> {
    const done = this.#order.then(work).catch((error: unknown) => {
      if (error instanceof EspalierError && error.code === 'aborted') return;
      if (fatal || !this.#training) this.phase = this.#model ? this.phase : 'failed';
      this.report(error);
    });
    this.#order = done;
    return done;
  }

  #need(): Engine {
    if (!this.#engine) throw new PageError(t.notices.noEngine);
    return this.#engine;
  }
}

export const session = new Session();

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
