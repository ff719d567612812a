// Smallest and largest weight of the first layer that the left network has: what the drawings are of.

import type { Model } from 'espalier';
import { ofBoth, weightNames } from '../views/tensors.svelte';
import type { Range } from './quantizers';

/** For the start of a component. */
export function firstRange(): { readonly now: { name: string; range: Range } | undefined } {
  const ranges = ofBoth(async (model: Model) => {
    const [name] = await weightNames(model);
    if (name === undefined) return undefined;
    const { data } = await model.tensor(name);
    const range = { low: Infinity, high: -Infinity };
    for (const value of data) {
      range.low = Math.min(range.low, value);
      range.high = Math.max(range.high, value);
    }
    return { name, range };
  });
  return {
    get now() {
      const known = ranges.now.left;
      return known && known.range.low < known.range.high ? known : undefined;
    },
  };
}
