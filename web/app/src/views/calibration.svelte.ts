// What calibration sees of each layer and what each of its methods makes of it: the engine quantizes with every method,
// and the same network with float features gives the numbers for the histogram.

import type { Model } from 'espalier';
import { kinds } from '../compress/cards';
import { comparison } from '../compress/comparison.svelte';
import { isActive, toStep, type Card } from '../compress/stack';
import { session } from '../session.svelte';
import { FeatureHistogram } from './feature-histogram';
import { measureRanges, quantized, withoutRanges, type Ranges } from './feature-ranges';

export interface Observed {
  histogram: FeatureHistogram;
  images: number;
}

const mostImages = 128;
const imagesAtOnce = 16;

class Calibration {
  ranges = $state.raw<Ranges>(new Map());
  observed = $state.raw<Observed>();
  error = $state('');
  /** With features of full precision, quantized otherwise. */
  #floats: Model | undefined;
  #measured = '';

  /** The card that quantizes features. */
  get card(): Card | undefined {
    return comparison.stacks.right.find(
      (card) =>
        isActive(card) && kinds[card.kind].pass === 'quantize' && card.options.activations !== 'float',
    );
  }

  get methods(): readonly string[] {
    const pass = session.catalog?.passes.find(({ name }) => name === 'quantize');
    return pass?.fields.find(({ name }) => name === 'calibrate')?.choices ?? [];
  }

  /** Whether the engine takes ranges that are given. */
  get isSettable(): boolean {
    const pass = session.catalog?.passes.find(({ name }) => name === 'quantize');
    return pass?.fields.some(({ name }) => name === 'ranges') ?? false;
  }

  /** What the ranges depend on; changes of the ranges themselves and of the method do not count. */
  get subject(): string {
    const { card } = this;
    if (!card || this.methods.length === 0 || session.phase === 'training') return '';
    const { right } = comparison.stacks;
    const before = right.slice(0, right.indexOf(card)).filter(isActive).map(toStep);
    const step = { ...toStep(card), calibrate: '', ranges: '' };
    return JSON.stringify([session.weightsVersion, ...before, step]);
  }

  async measure(signal: AbortSignal): Promise<void> {
    const { subject, card } = this;
    const dataset = session.handles?.dataset;
    if (!card || !dataset || subject === this.#measured) return;
    this.#forget();
    try {
      const before = await comparison.modelBefore(card);
      if (!before || signal.aborted) return;
      const step = withoutRanges(toStep(card));
      const found = await measureRanges(before, dataset, step, this.methods, signal);
      this.#floats = await quantized(before, dataset, { ...step, activations: 'float' }, signal);
      this.ranges = found;
      this.#measured = subject;
    } catch (error) {
      if (!signal.aborted) this.error = error instanceof Error ? error.message : String(error);
    }
  }

  /** Some training images, a few at a time; what is known so far is shown. */
  async observe(layer: string, signal: AbortSignal): Promise<void> {
    const model = this.#floats;
    const dataset = session.handles?.dataset;
    this.observed = undefined;
    if (!model || !dataset) return;
    const { channels, height, width, counts } = dataset.info;
    const size = channels * height * width;
    const total = Math.min(mostImages, counts.train);
    const histogram = new FeatureHistogram();
    try {
      for (let first = 0; first < total; first += imagesAtOnce) {
        const count = Math.min(imagesAtOnce, total - first);
        const indices = Array.from({ length: count }, (_, i) => first + i);
        const { pixels } = await dataset.images('train', indices);
        for (let i = 0; i < count && !signal.aborted; ++i) {
          const image = pixels.subarray(i * size, (i + 1) * size);
          histogram.add((await model.activations(image, layer)).data);
        }
        if (signal.aborted) return;
        this.observed = { histogram, images: first + count };
      }
    } catch (error) {
      if (!signal.aborted) this.error = error instanceof Error ? error.message : String(error);
    }
  }

  /** The view is closed, or shows another network. */
  #forget(): void {
    void this.#floats?.dispose().catch(() => {});
    this.#floats = undefined;
    this.#measured = '';
    this.ranges = new Map();
    this.observed = undefined;
    this.error = '';
  }
  close(): void {
    this.#forget();
  }
}

export const calibration = new Calibration();
