// One experiment: a source network, then the target task in four ways, at growing lengths.
//
// A pass cannot be continued, so each point of a curve is a pass of its own from the start. With a constant learning
// rate and the same seed, a longer one takes the very steps of a shorter one first: the points are of one training.

import type { Dataset, Engine, Model, PassProgress, TrainingConfig } from 'espalier';
import { usualLearningRate } from '../settings';
import type { Steering } from './steering';
import type { OpenedTask } from './tasks';
import type { Final } from './verdict';
import { wayNames, ways, type Circumstances, type WayName } from './ways';

export interface Point {
  epochs: number;
  accuracy: number;
}
/** What is under way. */
export type Stage = { name: 'source' } | { name: 'target'; way: WayName; epochs: number };

export interface Plan {
  /** At most; each curve has its points at 0, 1, 2, 4, … of them. */
  epochs: number;
  seed: number;
  term: Circumstances['term'];
}
export interface Watch {
  onStage: (stage: Stage) => void;
  /** From 0 to 1. */
  onProgress: (share: number) => void;
  onSource: (accuracy: number) => void;
  onPoint: (way: WayName, point: Point) => void;
  onFinal: (way: WayName, final: Final) => void;
}

export const sourcePreset = 'small';
export const sourceEpochs = 4;
/** Few images are few steps in large batches. */
export const batchSize = 16;
/** A network that knows something takes smaller steps than a fresh one. */
const rateShare = 0.2;
/** Of evaluating an image, beside training on it. */
const evaluationCost = 0.25;

export const transferRate = (preset: string): number =>
  Number((rateShare * usualLearningRate({ optimizer: 'momentum', preset })).toPrecision(2));

/** 0, 1, 2, 4, … and the last. */
export function lengthsOf(epochs: number): number[] {
  const lengths = [0];
  for (let length = 1; length < epochs; length *= 2) lengths.push(length);
  return [...lengths, epochs];
}

/** Validation images, or test images where there are none. */
export const curveSplit = ({ info }: Dataset): 'validation' | 'test' =>
  info.counts.validation > 0 ? 'validation' : 'test';

export class Experiment {
  readonly #steering: Steering;
  readonly #watch: Watch;
  #work = 0;
  #done = 0;

  constructor(steering: Steering, watch: Watch) {
    this.#steering = steering;
    this.#watch = watch;
  }

  /** A network that knows nothing of the target. */
  async trainSource(engine: Engine, { source }: OpenedTask, { seed }: Plan): Promise<Model> {
    this.#watch.onStage({ name: 'source' });
    const model = await engine.createModel(sourcePreset, { seed, dataset: source });
    const config = {
      epochs: sourceEpochs,
      learning_rate: usualLearningRate({ optimizer: 'momentum', preset: sourcePreset }),
      seed,
      validate: false,
    };
    const { signal } = this.#steering;
    const training = await this.#steering.start(() => model.train(source, config, { signal }));
    for await (const event of training) {
      if (event.type === 'progress') this.#watch.onProgress(event.step / event.totalSteps);
    }
    // One that was stopped ends as if it were done.
    signal.throwIfAborted();
    return model;
  }

  /** All ways at each length before the next length, so that the curves grow side by side. */
  async run(model: Model, preset: string, task: OpenedTask, { epochs, seed, term }: Plan): Promise<void> {
    const { signal } = this.#steering;
    const { source, target, newHead } = task;
    this.#watch.onSource((await model.evaluate(source, 'test', { signal })).accuracy);
    const circumstances = { frozenLayers: await layersThatRead(model), term, newHead };
    const training: TrainingConfig = {
      batch_size: batchSize,
      learning_rate: transferRate(preset),
      schedule: 'constant',
      seed,
    };
    const lengths = lengthsOf(epochs);
    const split = curveSplit(target);
    const { counts } = target.info;
    const workOf = (way: WayName, length: number) =>
      ways[way].cost * length * counts.train + evaluationCost * counts[split];
    this.#done = 0;
    this.#work = lengths.reduce(
      (sum, length) => sum + wayNames.reduce((all, way) => all + workOf(way, length), 0),
      0,
    );
    for (const length of lengths) {
      const isLast = length === epochs;
      for (const way of wayNames) {
        this.#watch.onStage({ name: 'target', way, epochs: length });
        const options = { ...ways[way].options(circumstances), epochs: length };
        const pass = await this.#steering.start(() =>
          model.transfer(target, options, { sourceDataset: source, training, measure: isLast, signal }),
        );
        const work = workOf(way, length);
        for await (const progress of pass) this.#show(progress, work);
        const { model: learned, report } = await pass.done;
        const { accuracy } = await learned.evaluate(target, split, { signal });
        void learned.dispose().catch(() => {});
        this.#done += work;
        this.#watch.onPoint(way, { epochs: length, accuracy });
        const { accuracy_finetuned: finetuned, source_before: before, source_after: after } = report;
        if (!isLast || !finetuned) continue;
        this.#watch.onFinal(way, {
          target: finetuned.test,
          ...(before && after && { before: before.test, after: after.test }),
        });
      }
    }
  }

  /** Only training says how far the pass is: what else it does is short. */
  #show({ stage, done, total }: PassProgress, work: number): void {
    const share = stage === 'fine-tune' && total > 0 ? done / total : 0;
    this.#watch.onProgress((this.#done + share * work) / this.#work);
  }
}

/** Convolutions with what belongs to them; without any, all layers with weights but the last one. */
async function layersThatRead(model: Model): Promise<string[]> {
  const { layers } = await model.inspect();
  const reading = layers.filter(({ type }) => type === 'conv' || type === 'batch_norm');
  const weighted = layers.filter(({ parameters }) => parameters > 0);
  return (reading.length > 0 ? reading : weighted.slice(0, -1)).map(({ name }) => name);
}
