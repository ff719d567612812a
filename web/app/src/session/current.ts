// What the page works with at the moment. The session replaces it; its parts look at it, and whoever has waited looks
// whether it is still the same.

import type { Dataset, DatasetSource, Engine, EngineInfo, Model, Training } from 'espalier';
import { t } from '../i18n/index.svelte';
import { drawnDigits } from '../kept-digits';
import { takeEngine } from '../opening';
import { PageError } from '../page-error';
import type { Settings } from '../settings';
import { modelOf } from './models';

export interface Handles {
  engine: Engine;
  model: Model;
  dataset: Dataset;
}

export class Current {
  engine: Engine | undefined;
  dataset: Dataset | undefined;
  model: Model | undefined;
  /** Under way or paused. */
  training: Training | undefined;
  #digits: Promise<Dataset> | undefined;

  get handles(): Handles | undefined {
    const { engine, model, dataset } = this;
    return engine && model && dataset && { engine, model, dataset };
  }

  async openEngine(): Promise<EngineInfo> {
    const { engine, digits } = await takeEngine();
    this.engine = engine;
    this.#digits = digits;
    return engine.info;
  }

  needEngine(): Engine {
    if (!this.engine) throw new PageError(t.notices.noEngine);
    return this.engine;
  }

  /** The built-in digits may be there already. */
  load(source: DatasetSource): Promise<Dataset> {
    const digits = source === drawnDigits ? this.#digits : undefined;
    if (digits) this.#digits = undefined;
    return digits ?? this.needEngine().loadDataset(source);
  }

  create(settings: Settings, dataset: Dataset | undefined): Promise<Model> {
    const spec = (dataset && modelOf(settings, dataset.info)) ?? settings.preset;
    return this.needEngine().createModel(spec, { seed: settings.seed, ...(dataset && { dataset }) });
  }
}
