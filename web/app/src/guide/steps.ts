// The first minute, step by step: where to look, and when a step is done. Its texts are `t.guide`, by name.

import { comparison } from '../compress/comparison.svelte';
import type { CardKind } from '../compress/cards';
import { isActive } from '../compress/stack';
import { session } from '../session.svelte';
import { share } from '../share.svelte';

export interface Step {
  name: 'watch' | 'draw' | 'shrink' | 'prune' | 'heal' | 'share';
  /** What "Show me" goes to. */
  selector: string;
  isDone: () => boolean;
}

/** The built-in digits are learned to this in a few seconds. */
const learned = 0.85;

const hasActive = (kind: CardKind) =>
  comparison.stacks.right.some((card) => card.kind === kind && isActive(card));

export const steps: readonly Step[] = [
  {
    name: 'watch',
    selector: '[data-testid=divider]',
    isDone: () => (session.run.validationAccuracy ?? 0) > learned,
  },
  {
    name: 'draw',
    selector: '[data-testid=pad]',
    isDone: () => session.inside.input !== undefined && session.inside.input.sample === undefined,
  },
  {
    name: 'shrink',
    selector: '[data-kind=quantize] input[type=range]',
    isDone: () => hasActive('quantize'),
  },
  {
    name: 'prune',
    selector: '[data-kind=prune] input[type=range]',
    isDone: () => hasActive('prune'),
  },
  { name: 'heal', selector: '#heal', isDone: () => hasActive('heal') },
  { name: 'share', selector: '#share', isDone: () => share.isDone },
];
