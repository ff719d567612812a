// What each layer of the right network costs: the original with that layer alone compressed as it is there, asked for
// its validation images. Cards that train are left out, because one layer alone would be healed by all others.

import type { Dataset, LayerExecution, Model } from 'espalier';
import { kinds } from '../compress/cards';
import { comparison } from '../compress/comparison.svelte';
import { runPass } from '../compress/runtime';
import { activeCards, toStep, type Card, type PassStep } from '../compress/stack';
import { Measurement, oneByOne } from './measurement.svelte';
import { layerOf, validationAccuracy, weightNames } from './tensors.svelte';

class LayerCosts {
  readonly measurement = new Measurement();
  /** Points of accuracy by layer. */
  #costs = $state.raw<ReadonlyMap<string, number>>(new Map());
  /** Which result they are of. */
  #key = $state('');

  /** Those of what is shown. */
  get costs(): ReadonlyMap<string, number> {
    return this.#key === comparison.results.right?.key ? this.#costs : new Map();
  }

  start(): Promise<void> {
    return this.measurement.run(async (model, dataset, signal, show) => {
      const result = comparison.results.right;
      if (!result) return;
      const cards = activeCards(comparison.stacks.right).filter(({ kind }) => !kinds[kind].trains);
      const layers = (await weightNames(model)).map(layerOf);
      const original = await validationAccuracy(model, dataset, signal);
      this.#key = result.key;
      this.#costs = new Map();
      await oneByOne(layers, signal, show, async (layer) => {
        const row = result.packed.layers.find((one) => one.layer === layer);
        const steps = cards.map((card) => ofLayer(card, layer, row));
        const accuracy = await accuracyAfter(model, dataset, steps, signal);
        this.#costs = new Map([...this.#costs, [layer, 100 * (original - accuracy)]]);
      });
    });
  }
}

/** The step of a card, for one layer alone. */
function ofLayer(card: Card, layer: string, row: LayerExecution | undefined): PassStep {
  const step = toStep(card);
  if (step.pass !== 'quantize') {
    // A sparsity of the whole network has left this layer its own; of channels that are gone nothing tells it.
    const isOwn = step.pass === 'prune' && step.scope === 'global' && !step.slim && row;
    return { ...step, layers: [layer], ...(isOwn && { scope: 'layer', sparsity: 1 - row.density }) };
  }
  const parts = String(step.weights).split(',');
  const own = parts.find((part) => part.startsWith(`${layer}=`));
  const bits = own ? own.slice(layer.length + 1) : parts[0];
  return { ...step, weights: `float,${layer}=${bits}`, activations: 'float', ranges: '' };
}

async function accuracyAfter(
  model: Model,
  dataset: Dataset,
  steps: readonly PassStep[],
  signal: AbortSignal,
): Promise<number> {
  let now = model;
  const next = (after: Model) => {
    if (now !== model) void now.dispose().catch(() => {});
    now = after;
  };
  try {
    for (const step of steps) next((await runPass(now, dataset, step, signal).done).model);
    return await validationAccuracy(now, dataset, signal);
  } finally {
    next(model);
  }
}

export const layerCosts = new LayerCosts();
