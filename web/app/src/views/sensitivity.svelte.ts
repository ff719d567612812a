// What each layer alone costs: it is compressed, the others are left as they are, and the validation images are asked.

import type { Dataset, Model } from 'espalier';
import { session } from '../session.svelte';
import { Measurement, oneByOne } from './measurement.svelte';
import { layerOf, validationAccuracy, weightNames } from './tensors.svelte';

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
  readonly measurement = new Measurement();
  axis = $state<Axis>('bits');
  maps = $state.raw<Partial<Record<Axis, SensitivityMap>>>({});
  /** What the maps were measured of. */
  #version = $state(-1);

  /** That of these weights. */
  get map(): SensitivityMap | undefined {
    return this.#version === session.weightsVersion ? this.maps[this.axis] : undefined;
  }

  start(): Promise<void> {
    const { axis } = this;
    return this.measurement.run(async (model, dataset, signal, show) => {
      if (this.#version !== session.weightsVersion) this.maps = {};
      this.#version = session.weightsVersion;
      const layers = (await weightNames(model)).map(layerOf);
      const original = await validationAccuracy(model, dataset, signal);
      const cells = layers.flatMap((layer) => settings[axis].map((setting) => ({ layer, setting })));
      const accuracies = cells.map(() => NaN);
      const keep = () =>
        (this.maps = { ...this.maps, [axis]: { layers, accuracies: [...accuracies], original } });
      keep();
      await oneByOne(cells, signal, show, async ({ layer, setting }, i) => {
        const { model: compressed } = await compress(axis, model, dataset, layer, setting, signal);
        accuracies[i] = await validationAccuracy(compressed, dataset, signal);
        void compressed.dispose().catch(() => {});
        keep();
      });
    });
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
