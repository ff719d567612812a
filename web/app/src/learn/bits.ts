// How many bits the drawings and examples have: those of the right side, where it is quantized.

import { comparison } from '../compress/comparison.svelte';
import { isActive } from '../compress/stack';

const usual = 3;

export function presentBits(): number {
  const card = comparison.stacks.right.find((one) => one.kind === 'quantize' && isActive(one));
  return card ? Number(card.options.weights) : usual;
}
