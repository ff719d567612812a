// Weights of both networks, read again when one of them is another.

import type { Dataset, Model, Tensor } from 'espalier';
import { comparison, type SideName, type Sides } from '../compress/comparison.svelte';

type Both<Value> = Partial<Sides<Value>>;

/** What `read` says of both models, as they and what `read` depends on change. For the start of a component. */
export function ofBoth<Value>(read: (model: Model) => Promise<Value>): { readonly now: Both<Value> } {
  let now = $state.raw<Both<Value>>({});
  const models = $derived({
    left: comparison.results.left?.model,
    right: comparison.results.right?.model,
  });
  const left = $derived(models.left);
  const right = $derived(models.right);
  $effect(() => {
    let isCurrent = true;
    // A model that went meanwhile has a successor.
    const quiet = (model: Model | undefined) => model && read(model).catch(() => undefined);
    void Promise.all([quiet(left), quiet(right)]).then(([a, b]) => {
      if (isCurrent) now = { ...(a && { left: a }), ...(b && { right: b }) };
    });
    return () => (isCurrent = false);
  });
  return {
    get now() {
      return now;
    },
  };
}

/** Names of the weights of layers, biases left out, in the order of the file. */
export async function weightNames(model: Model): Promise<string[]> {
  const { tensors } = await model.inspect();
  return tensors.filter(({ shape }) => shape.length > 1).map(({ name }) => name);
}

/** Those of both networks. */
export function allNames({ left = [], right = [] }: Both<string[]>): string[] {
  return [...right, ...left.filter((name) => !right.includes(name))];
}

export const sideNames: readonly SideName[] = ['left', 'right'];

/** "conv1.weight" is conv1's. */
export const layerOf = (tensor: string): string => tensor.replace(/\.\w+$/, '');

export function nonzeros({ data }: Tensor): number {
  let count = 0;
  for (const value of data) if (value !== 0) count += 1;
  return count;
}

/** Choices are made on the validation images; a dataset without any has only its test images. */
export async function validationAccuracy(
  model: Model,
  dataset: Dataset,
  signal: AbortSignal,
): Promise<number> {
  const split = dataset.info.counts.validation > 0 ? 'validation' : 'test';
  return (await model.evaluate(dataset, split, { signal })).accuracy;
}
