// The texts to learn from, in their order. To add one, add a row, and its texts to `t.learn.texts`.

import { tick, type Component } from 'svelte';
import { comparison } from '../compress/comparison.svelte';
import { healingOptions } from '../compress/heal';
import { newCard, type Stack } from '../compress/stack';
import { goTo } from '../go-to';
import { lab } from '../lab/lab.svelte';
import { halves } from '../lab/tasks';
import { shown } from '../views/shown.svelte';
import type { ViewName } from '../views/views';
import BothNow from './BothNow.svelte';
import Criteria from './formulas/Criteria.svelte';
import Entropy from './formulas/Entropy.svelte';
import Quantizers from './formulas/Quantizers.svelte';
import SourceTerm from './formulas/SourceTerm.svelte';
import StraightThrough from './formulas/StraightThrough.svelte';
import Zero from './formulas/Zero.svelte';
import LabNow from './LabNow.svelte';
import SharingNow from './SharingNow.svelte';
import Staircases from './Staircases.svelte';
import ZeroNow from './ZeroNow.svelte';

export interface Text {
  Formula: Component;
  /** What is drawn and measured now. */
  figures: readonly Component[];
  /** Sets the controls as the text says, and goes there. */
  tryIt: () => void;
}

/** Two stacks side by side, and the card of the right one that the text is about. */
function compare(left: Stack, right: Stack, kind: string, view: ViewName): void {
  comparison.compare(left, right);
  shown.name = view;
  void tick().then(() => goTo(`[data-kind=${kind}] :is(input[type=range], select)`));
}

/** Both by minimum and maximum, one grid for a whole layer, as the article has it. */
const grid = (scheme: string, bits: number) =>
  newCard('quantize', { scheme, weights: bits, granularity: 'tensor', calibrate: 'min-max' });
const mostlyPruned = () => newCard('prune', { sparsity: 0.6 });
const halfPruned = (criterion: string) => newCard('prune', { criterion, sparsity: 0.5, scope: 'layer' });

export const texts = {
  quantizer: {
    Formula: Quantizers,
    figures: [Staircases, BothNow],
    tryIt: () => compare([grid('article', 4)], [grid('affine', 4)], 'quantize', 'weights'),
  },
  zero: {
    Formula: Zero,
    figures: [ZeroNow, BothNow],
    tryIt: () =>
      compare(
        [mostlyPruned(), grid('article', 4)],
        [mostlyPruned(), grid('affine', 4)],
        'quantize',
        'weights',
      ),
  },
  gradient: {
    Formula: Criteria,
    figures: [BothNow],
    tryIt: () => compare([halfPruned('gradient')], [halfPruned('magnitude')], 'prune', 'masks'),
  },
  straightThrough: {
    Formula: StraightThrough,
    figures: [BothNow],
    tryIt: () => {
      const twoBits = () => newCard('quantize', { weights: 2 });
      compare([twoBits()], [twoBits(), newCard('heal', healingOptions())], 'heal', 'weights');
    },
  },
  sharing: {
    Formula: Entropy,
    figures: [SharingNow, BothNow],
    tryIt: () =>
      compare(
        [newCard('share', { weights: 4 })],
        [newCard('prune', { sparsity: 0.7 }), newCard('share', { weights: 4 })],
        'share',
        'weights',
      ),
  },
  transfer: {
    Formula: SourceTerm,
    figures: [LabNow],
    tryIt: () => {
      lab.isOpen = true;
      if (!lab.isRunning) {
        lab.task = halves;
        lab.term = 'rehearsal';
      }
      void tick().then(() => goTo('#run-lab'));
    },
  },
} satisfies Record<string, Text>;

export type TextName = keyof typeof texts;
export const textNames = Object.keys(texts) as TextName[];
