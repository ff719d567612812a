// The one store of the page, and the only module that opens the engine. Its parts are in session/: the training run, looking
// inside, judging and keeping. Here is what replaces what they work on: the engine, the data, the model.

import {
  EspalierError,
  type Catalog,
  type Dataset,
  type DatasetInfo,
  type DatasetSource,
  type EngineInfo,
  type Model,
  type Pipeline,
  type Training,
} from 'espalier';
import { readDataset, type NamedBlob, type ReadDataset } from './data/source';
import { builtInDigits } from './datasets';
import { t } from './i18n/index.svelte';
import { drawnDigits } from './kept-digits';
import { PageError } from './page-error';
import type { Identity } from './recognise';
import { Current, type Handles } from './session/current';
import { Inside } from './session/inside.svelte';
import { Judging } from './session/judging.svelte';
import { Keeping } from './session/keeping';
import type { KeptTraining } from './session/kept-training';
import { library } from './session/library.svelte';
import { loadFitting, networkOf } from './session/models';
import { classNamesOf, datasetNameOf } from './session/names';
import { notices } from './session/notices.svelte';
import { Run, type Phase } from './session/run.svelte';
import { defaults, fromHash, modelNameOf, sameSettings, stepOf, toHash, type Settings } from './settings';

/** Without a minute of rest between them. */
const mostCrashes = 3;
const crashesCountMs = 60_000;

class Session {
  engine = $state.raw<EngineInfo>();
  catalog = $state.raw<Catalog>();
  settings = $state<Settings>(fromHash(typeof location === 'undefined' ? '' : location.hash));
  dataset = $state.raw<DatasetInfo>();
  datasetId = $state<string>(builtInDigits.id);
  modelName = $state('');
  /** Goes up when a model's file is opened. */
  openedModels = $state(0);

  readonly #current = new Current();
  #source: DatasetSource = drawnDigits;
  /** The work that replaces engine, dataset, model or training: one at a time. */
  #order: Promise<void> = Promise.resolve();
  #recovering = false;
  #crashes: number[] = [];

  readonly run = new Run(this.#current, {
    onBeat: () => this.#lookAgain(),
    onPaused: () => {
      this.#settle();
      void this.#keeping.saveCheckpoint(true);
    },
    onDone: () => {
      this.#settle();
      void this.#keeping.saveFinished();
    },
    report: (error) => this.report(error),
  });
  readonly inside = new Inside(this.#current, this.run, (error) => this.report(error));
  readonly judging = new Judging(this.#current, this.run, (error) => this.report(error));
  readonly #keeping = new Keeping(this.#current, this.run, () => {
    const { datasetId, modelName } = this;
    return { datasetId, modelName };
  });

  get phase(): Phase {
    return this.run.phase;
  }

  get weightsVersion(): number {
    return this.run.weightsVersion;
  }

  /** What is compressed, and where. */
  get handles(): Handles | undefined {
    return this.#current.handles;
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
    const { applied } = this.run;
    return applied !== undefined && !sameSettings(applied, this.settings);
  }

  /** Whether the settings alone make these weights: one training from fresh ones. */
  get isRepeatable(): boolean {
    return this.run.trainings === 1 && this.phase !== 'ready';
  }

  /** Which passes made the network that was opened, as long as it is not trained further. */
  get pipeline(): Pipeline | undefined {
    return this.run.trainings === 0 ? this.#current.model?.pipeline : undefined;
  }

  /** Whether a digit can be drawn for this dataset. */
  get isDrawable(): boolean {
    return this.dataset?.channels === 1 && this.dataset.height === this.dataset.width;
  }

  // ── Starting ─────────────────────────────────────────────────────────────────────────────────

  start(): Promise<void> {
    document.addEventListener('visibilitychange', () => {
      if (document.hidden) void this.#keeping.saveCheckpoint(true);
    });
    return this.#inOrder(async () => {
      this.engine = await this.#current.openEngine();
      if (!(await this.#openKept())) await this.#openFirst();
      this.catalog = await this.#current.engine?.catalog();
      await library.list();
    });
  }

  async #openKept(): Promise<boolean> {
    const kept = await this.#keeping.open(this.settings);
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

  async #takeUp(kept: KeptTraining, source: DatasetSource): Promise<void> {
    const dataset = await this.#current.load(source);
    const model = await this.#current.needEngine().loadModel(kept.bytes);
    await this.#useDataset(kept.datasetId, source, dataset);
    await this.#adopt(model, kept.modelName);
    this.#keeping.last = kept;
    this.run.restore(kept);
    if (kept.state === 'finished') {
      await this.inside.inspect(model);
      return this.#settle();
    }
    const paused = kept.state === 'paused' || this.run.until > 0;
    this.#train(kept.settings, model.resume(dataset, { paused }));
    this.run.afterFirstStep(() => this.inside.inspect(model));
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

  // ── Data, model and training ─────────────────────────────────────────────────────────────────

  /** Other data and a fresh model for it. If one of them is impossible, everything stays as it was. */
  async #change(
    id: string,
    source: DatasetSource,
    settings: Settings = $state.snapshot(this.settings),
  ): Promise<void> {
    const dataset = await this.#current.load(source);
    let model: Model;
    try {
      model = await this.#current.create(settings, dataset);
      performance.mark('model');
    } catch (error) {
      void dataset.dispose().catch(() => {});
      throw error;
    }
    await this.#useDataset(id, source, dataset);
    await this.#begin(model, { ...settings, dataset: id });
  }

  async #useDataset(id: string, source: DatasetSource, dataset: Dataset): Promise<void> {
    const old = this.#current.dataset;
    await this.#stop();
    this.#current.dataset = dataset;
    this.#source = source;
    this.dataset = dataset.info;
    this.datasetId = id;
    this.settings.dataset = id;
    this.judging.judgement = undefined;
    this.inside.clear();
    void old?.dispose().catch(() => {});
    this.run.afterFirstStep(() => this.inside.chooseSamples(0));
  }

  /** Fresh weights and the settings of the menus. */
  reset(): Promise<void> {
    if (!this.#current.engine) return this.start();
    return this.#inOrder(async () => {
      const settings = $state.snapshot(this.settings);
      const model = await this.#current.create(settings, this.#current.dataset);
      await this.#begin(model, settings);
    });
  }

  async #begin(model: Model, settings: Settings): Promise<void> {
    await this.#adopt(model, modelNameOf(settings));
    this.run.history.clear();
    this.#train(settings);
    this.#keeping.forget();
    if (this.run.until > 0) void this.pause();
    this.run.afterFirstStep(() => this.inside.inspect(model));
  }

  async #adopt(model: Model, name: string): Promise<void> {
    await this.#stop();
    const old = this.#current.model;
    this.#current.model = model;
    this.modelName = name;
    this.run.clear();
    this.judging.clear();
    this.#keeping.last = undefined;
    void old?.dispose().catch(() => {});
  }

  #train(settings: Settings, resumed?: Training): void {
    this.judging.rest();
    this.#keeping.rest();
    this.run.start(settings, resumed);
  }

  #stop(): Promise<void> {
    this.judging.abort();
    return this.run.stop();
  }

  pause(): Promise<void> {
    return this.run.pause();
  }

  toggle(): Promise<void> {
    if (this.phase === 'training') return this.pause();
    return this.phase === 'done' || this.phase === 'ready' ? this.#trainOn() : this.run.resume();
  }

  /** Another training with the settings of the menus, from the present weights. */
  #trainOn(): Promise<void> {
    return this.#inOrder(async () => {
      await this.#stop();
      const { preset, network } = this.run.applied ?? this.settings;
      this.#train({ ...$state.snapshot(this.settings), preset, network });
    });
  }

  #lookAgain(): void {
    if (!document.hidden) this.inside.refresh();
    void this.judging.nowAndThen();
    void this.#keeping.saveCheckpoint();
  }

  /** Weights stand still: show everything as of now. */
  #settle(): void {
    this.run.weightsVersion += 1;
    this.inside.refresh();
    void this.run.hashWeights();
    void this.judging.judge();
  }

  /** A new engine, and the training goes on from its last checkpoint. */
  async #recover(): Promise<void> {
    if (this.#recovering) return;
    this.#recovering = true;
    const now = performance.now();
    this.#crashes = [...this.#crashes.filter((at) => now - at < crashesCountMs), now];
    if (this.#crashes.length > mostCrashes) return notices.say('error', t.notices.gaveUp);
    const checkpoint = this.#keeping.last;
    await this.#inOrder(async () => {
      this.engine = await this.#current.openEngine();
      if (checkpoint) await this.#takeUp(checkpoint, this.#source);
      else await this.#change(this.datasetId, this.#source, this.run.applied);
      notices.say('info', checkpoint ? t.notices.recovered : t.notices.recoveredAnew);
    });
    this.#recovering = false;
  }

  // ── Files ────────────────────────────────────────────────────────────────────────────────────

  /** Whatever was dropped or chosen: one model, or the files of a dataset. */
  async open(files: NamedBlob[]): Promise<void> {
    if (files.length === 0) return;
    const models = files.filter(({ name }) => /\.(safetensors|espalier|onnx)$/i.test(name));
    const [model] = models;
    if (model && files.length > 1) return notices.say('error', t.notices.oneModel);
    const work = async () => (model ? this.#openModel(model) : this.#take(await readDataset(files)));
    await this.#inOrder(work, false);
  }

  async #openModel(file: NamedBlob): Promise<void> {
    const model = await loadFitting(this.#current.needEngine(), file, this.dataset);
    await this.#adopt(model, model.spec.name ?? file.name);
    this.openedModels += 1;
    Object.assign(this.settings, networkOf(model.spec, this.modelName, this.catalog));
    this.run.showUntrained($state.snapshot(this.settings));
    await this.inside.inspect(model);
    this.#settle();
    void this.#keeping.saveFinished();
    notices.say('info', t.notices.loaded(file.name));
  }

  /** A dataset that was read or drawn: trained on, and kept. */
  take(dataset: Identity & ReadDataset): Promise<void> {
    return this.#inOrder(() => this.#take(dataset), false);
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
    this.run.until = stepOf(location.hash);
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
      const { model, training } = this.#current;
      if ((fatal || !training) && !model) this.run.phase = 'failed';
      this.report(error);
    });
    this.#order = done;
    return done;
  }
}

export const session = new Session();
