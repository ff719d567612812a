// Keeps the training as it goes, so that a reload or a new engine goes on from there.

import { t } from '../i18n/index.svelte';
import { sameSettings, type Settings } from '../settings';
import type { Current } from './current';
import { stepOfCheckpoint, TrainingKeeper, type KeptTraining } from './kept-training';
import { notices } from './notices.svelte';
import type { Run } from './run.svelte';

const everyMs = 2_000;
/** Checkpoints may take this part of the time. */
const share = 1 / 20;

export class Keeping {
  /** The last one of the present weights. */
  last: KeptTraining | undefined;

  readonly #current: Current;
  readonly #run: Run;
  readonly #about: () => Pick<KeptTraining, 'datasetId' | 'modelName'>;
  readonly #keeper = new TrainingKeeper();
  #notBefore = 0;

  constructor(current: Current, run: Run, about: () => Pick<KeptTraining, 'datasetId' | 'modelName'>) {
    this.#current = current;
    this.#run = run;
    this.#about = about;
  }

  /** What was kept of this tab, or of one that is closed, if it is what the address asks for, or leads there. */
  open(asked: Settings): Promise<KeptTraining | undefined> {
    return this.#keeper.open(({ settings, step, trainings, state }) => {
      const { until } = this.#run;
      if (!sameSettings(settings, asked)) return false;
      if (until === 0 || (step === until && state === 'paused')) return true;
      return trainings === 1 && step < until;
    });
  }

  forget(): void {
    void this.#keeper.forget().catch(() => {});
  }

  /** As if it had just been done. */
  rest(): void {
    this.#notBefore = performance.now() + everyMs;
  }

  /** Of the training under way, where it is time to, or `now`. */
  async saveCheckpoint(now = false): Promise<void> {
    const { training } = this.#current;
    const begin = performance.now();
    if (!training || (!now && begin < this.#notBefore)) return;
    this.#notBefore = Infinity;
    const { progress } = this.#run;
    const history = this.#run.history.state();
    const bytes = await training.checkpoint().catch(() => undefined);
    if (training !== this.#current.training) return;
    if (bytes) {
      const state = this.#run.phase === 'paused' ? 'paused' : 'training';
      await this.#keep(bytes, state, { step: stepOfCheckpoint(bytes), progress, history });
    }
    const end = performance.now();
    this.#notBefore = end + Math.max(everyMs, (end - begin) / share);
  }

  /** Of a model that is not being trained. */
  async saveFinished(): Promise<void> {
    const { model } = this.#current;
    const bytes = await model?.save().catch(() => undefined);
    if (model !== this.#current.model || !bytes || this.#current.training) return;
    const { step, progress, history } = this.#run;
    await this.#keep(bytes, 'finished', { step, progress, history: history.state() });
  }

  async #keep(
    bytes: Uint8Array,
    state: KeptTraining['state'],
    seen: Pick<KeptTraining, 'step' | 'progress' | 'history'>,
  ): Promise<void> {
    const { applied, trainings, finished, validationAccuracy } = this.#run;
    if (!applied) return;
    const about = this.#about();
    const settings = { ...applied, dataset: about.datasetId };
    const run = { settings, trainings, finished, validationAccuracy };
    this.last = { at: Date.now(), bytes, state, ...about, ...run, ...seen };
    await this.#keeper.keep(this.last).catch(() => notices.say('info', t.notices.notKept));
  }
}
