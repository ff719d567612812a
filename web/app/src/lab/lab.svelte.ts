// What is chosen in the lab, the experiment under way, and the last one's figures, which stay while the page is open.

import { EspalierError, type Model } from 'espalier';
import { t } from '../i18n/index.svelte';
import { PageError } from '../page-error';
import { session } from '../session.svelte';
import { untilStanding } from '../views/standing';
import { curveSplit, Experiment, sourcePreset, transferRate, type Point, type Stage } from './experiment';
import { Steering } from './steering';
import { allTasks, halves, openTask, type OpenedTask, type Task } from './tasks';
import type { Finals } from './verdict';
import type { SourceTerm, WayName } from './ways';

export const ranges = {
  perClass: { min: 1, max: 500, whole: true },
  epochs: { min: 1, max: 64, whole: true },
};

export interface Outcome {
  name: Task['name'];
  perClass: number;
  epochs: number;
  seed: number;
  rate: number;
  term: SourceTerm;
  /** The network of the page, or one that was trained for this. */
  source: 'present' | 'trained';
  /** On the source's test images. */
  sourceAccuracy?: number;
  /** What the curves are measured on. */
  split: 'validation' | 'test';
  counts: { curve: number; test: number };
  curves: Record<WayName, readonly Point[]>;
  finals: Finals;
}

class Lab {
  isOpen = $state(false);
  task = $state<string>(halves);
  perClass = $state(10);
  epochs = $state(32);
  term = $state<SourceTerm>('rehearsal');

  stage = $state.raw<Stage>();
  progress = $state.raw<{ share: number; seconds: number | undefined }>();
  isPaused = $state(false);
  outcome = $state.raw<Outcome>();
  /** `english`: what the engine said. */
  error = $state.raw<{ text: string; english?: string }>();
  #steering: Steering | undefined;
  #stageBegan = 0;

  get tasks(): Task[] {
    return allTasks();
  }
  get chosen(): Task | undefined {
    return this.tasks.find(({ id }) => id === this.task);
  }
  get isRunning(): boolean {
    return this.progress !== undefined;
  }

  async start(): Promise<void> {
    const { handles } = session;
    const task = this.chosen;
    if (!handles || !task || task.missing || this.isRunning) return;
    const steering = (this.#steering = new Steering());
    this.error = undefined;
    this.isPaused = false;
    this.progress = { share: 0, seconds: undefined };
    let opened: OpenedTask | undefined;
    let model: Model | undefined;
    try {
      await untilStanding();
      const { perClass, epochs, term } = this;
      const plan = { perClass, epochs, term, seed: session.settings.seed };
      const { modelName } = session;
      opened = await openTask(task.id, handles, plan);
      const { isKnown, target } = opened;
      const preset = isKnown ? modelName : sourcePreset;
      const split = curveSplit(target);
      const { counts } = target.info;
      const outcome: Outcome = {
        ...plan,
        name: task.name,
        rate: transferRate(preset),
        source: isKnown ? 'present' : 'trained',
        split,
        counts: { curve: counts[split], test: counts.test },
        curves: { scratch: [], parameters: [], frozen: [], term: [] },
        finals: {},
      };
      const experiment = this.#watched(steering, outcome);
      // Of a copy: the network of the page may be trained meanwhile.
      model = isKnown
        ? await handles.engine.loadModel(await handles.model.save())
        : await experiment.trainSource(handles.engine, opened, plan);
      await experiment.run(model, preset, opened, plan);
    } catch (error) {
      if (!steering.signal.aborted) this.#report(error);
    } finally {
      for (const used of [model, opened?.source, opened?.target]) void used?.dispose().catch(() => {});
      if (this.#steering === steering) this.#end();
    }
  }

  pause(): void {
    this.#steering?.pause();
    this.isPaused = true;
  }
  resume(): void {
    this.#steering?.resume();
    this.isPaused = false;
  }
  /** What was measured stays. */
  cancel(): void {
    this.#steering?.stop();
    this.#end();
  }

  #end(): void {
    this.#steering = undefined;
    this.stage = undefined;
    this.progress = undefined;
    this.isPaused = false;
  }

  /** Its news are of nobody's interest any more when it was cancelled. */
  #watched(steering: Steering, begun: Outcome): Experiment {
    let outcome = begun;
    const show = (change: Partial<Outcome>) => {
      outcome = { ...outcome, ...change };
      if (this.#steering === steering) this.outcome = outcome;
    };
    return new Experiment(steering, {
      onStage: (stage) => {
        if (this.#steering !== steering) return;
        if (stage.name !== this.stage?.name) this.#stageBegan = steering.seconds;
        this.stage = stage;
      },
      onProgress: (share) => {
        if (this.#steering !== steering) return;
        const seconds = steering.seconds - this.#stageBegan;
        this.progress = { share, seconds: share > 0 ? (seconds / share) * (1 - share) : undefined };
      },
      onSource: (sourceAccuracy) => show({ sourceAccuracy }),
      onPoint: (way, point) =>
        show({ curves: { ...outcome.curves, [way]: [...outcome.curves[way], point] } }),
      onFinal: (way, final) => show({ finals: { ...outcome.finals, [way]: final } }),
    });
  }

  #report(error: unknown): void {
    if (error instanceof EspalierError && error.code === 'crashed') return session.report(error);
    const text = error instanceof Error ? error.message : String(error);
    this.error = error instanceof PageError ? { text } : { text: t.page.engineSays, english: text };
  }
}

export const lab = new Lab();
