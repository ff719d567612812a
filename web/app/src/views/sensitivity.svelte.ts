// What each layer alone costs: it is compressed, the others are left as they are, and the validation images are asked.

import type { Dataset, Model } from 'espalier';
import { session } from '../session.svelte';
import { untilStanding } from './standing';
import { layerOf, weightNames } from './tensors.svelte';

export type Axis = 'bits' | 'sparsity';

export const settings: Record<Axis, readonly number[]> = {
  bits: [8, 6, 5, 4, 3, 2, 1],
  sparsity: [0.3, 0.5, 0.7, 0.8, 0.9, 0.95],
};

export interface SensitivityMap {
  layers: string[];
  /** Accuracy on the validation images, [layer][setting]; NaN: not measured yet. */
  accuracies: number[];
  /** Of the network as it is. */
  original: number;
}

class Sensitivity {
  axis = $state<Axis>('bits');
  maps = $state.raw<Partial<Record<Axis, SensitivityMap>>>({});
  progress = $state.raw<{ done: number; total: number; seconds: number }>();
  error = $state('');
  /** What the maps were measured of. */
  #version = $state(-1);
  #abort: AbortController | undefined;

  /** That of these weights. */
  get map(): SensitivityMap | undefined {
    return this.#version === session.weightsVersion ? this.maps[this.axis] : undefined;
  }

  async start(): Promise<void> {
    const { handles } = session;
    if (!handles || this.progress) return;
    const { model, dataset } = handles;
    const { axis } = this;
    const { signal } = (this.#abort = new AbortController());
    this.error = '';
    this.progress = { done: 0, total: 1, seconds: 0 };
    await untilStanding();
    if (this.#version !== session.weightsVersion) this.maps = {};
    this.#version = session.weightsVersion;
    try {
      await this.#measure(axis, model, dataset, signal);
    } catch (error) {
      if (!signal.aborted) this.error = error instanceof Error ? error.message : String(error);
    } finally {
      this.progress = undefined;
    }
  }

  stop(): void {
    this.#abort?.abort();
  }

  async #measure(axis: Axis, model: Model, dataset: Dataset, signal: AbortSignal): Promise<void> {
    const began = performance.now();
    const layers = (await weightNames(model)).map(layerOf);
    const split = dataset.info.counts.validation > 0 ? 'validation' : 'test';
    const { accuracy: original } = await model.evaluate(dataset, split, { signal });
    const cells = layers.flatMap((layer) => settings[axis].map((setting) => ({ layer, setting })));
    const accuracies = cells.map(() => NaN);
    this.maps = { ...this.maps, [axis]: { layers, accuracies: [...accuracies], original } };
    for (const [i, { layer, setting }] of cells.entries()) {
      signal.throwIfAborted();
      const { model: compressed } = await compress(axis, model, dataset, layer, setting, signal);
      const { accuracy } = await compressed.evaluate(dataset, split, { signal });
      void compressed.dispose().catch(() => {});
      accuracies[i] = accuracy;
      this.maps = { ...this.maps, [axis]: { layers, accuracies: [...accuracies], original } };
      const seconds = ((performance.now() - began) / 1000 / (i + 1)) * (cells.length - i - 1);
      this.progress = { done: i + 1, total: cells.length, seconds };
    }
  }
}

function compress(
  axis: Axis,
  model: Model,
  dataset: Dataset,
  layer: string,
  setting: number,
  signal: AbortSignal,
) {
  const run = { measure: false, signal };
  return axis === 'bits'
    ? model.quantize(
        dataset,
        {
          scheme: 'affine',
          granularity: 'channel',
          calibrate: 'mse',
          weights: `float,${layer}=${setting}`,
          activations: 'float',
          control: false,
        },
        run,
      ).done
    : model.prune(dataset, { layers: [layer], sparsity: setting, scope: 'layer', control: false }, run).done;
}

export const sensitivity = new Sensitivity();
