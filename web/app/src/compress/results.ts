// What stacks make of one set of weights. Every result is computed once and kept while it may be asked for again,
// so that going back is instant.

import type {
  Dataset,
  Engine,
  Evaluation,
  InferenceTime,
  Model,
  PackedModel,
  PassProgress,
  Pipeline,
} from 'espalier';
import { kinds } from './cards';
import { runPass } from './runtime';
import { activeCards, toPipeline, toStep, type Card, type Stack } from './stack';

export interface Result {
  /** Which weights, and which passes. */
  readonly key: string;
  readonly model: Model;
  readonly packed: PackedModel;
  /** The complete `.espalier` file. */
  readonly file: Uint8Array;
  /** Probabilities of the wall's images, [image][class]. */
  readonly wall: Float32Array;
  readonly evaluation?: Evaluation;
  readonly time?: InferenceTime;
}

/** A card that could not be run. */
export class CardError extends Error {
  constructor(
    readonly card: number,
    cause: unknown,
  ) {
    super(cause instanceof Error ? cause.message : String(cause));
    this.cause = cause;
  }
}

export interface Watch {
  /** Fires when something newer is wanted: what takes seconds is given up. */
  signal: AbortSignal;
  /** While a slider moves, cards that train are left out, unless their result is known. */
  quick: boolean;
  onProgress: (card: Card, progress: PassProgress) => void;
}

const mostModels = 12;

export class Results {
  readonly #dataset: Dataset;
  readonly #wallPixels: Uint8Array;
  readonly #wallCount: number;
  readonly #base: Model;
  readonly #version: string;
  readonly #pipeline: Pipeline | undefined;
  /** By key, the least recently used first. */
  readonly #models = new Map<string, Model>();
  readonly #results = new Map<string, Result>();

  private constructor(
    base: Model,
    version: string,
    dataset: Dataset,
    wall: { pixels: Uint8Array; count: number },
    pipeline: Pipeline | undefined,
  ) {
    this.#pipeline = pipeline;
    this.#base = base;
    this.#version = version;
    this.#dataset = dataset;
    this.#wallPixels = wall.pixels;
    this.#wallCount = wall.count;
  }

  /** Of a copy: the model may be trained meanwhile. `pipeline`: what made the model. */
  static async of(
    engine: Engine,
    model: Model,
    version: string,
    dataset: Dataset,
    wall: { pixels: Uint8Array; count: number },
    pipeline?: Pipeline,
  ): Promise<Results> {
    return new Results(await engine.loadModel(await model.save()), version, dataset, wall, pipeline);
  }

  get version(): string {
    return this.#version;
  }

  /** The model after a stack. */
  async modelOf(stack: Stack, watch: Watch): Promise<Model> {
    return (await this.#modelOf(stack, watch)).model;
  }

  /** The model after the stack; `skipped`: without a card that trains. */
  async #modelOf(stack: Stack, { signal, quick, onProgress }: Watch): Promise<{ key: string; model: Model }> {
    let key = this.#version;
    let model = this.#base;
    for (const card of activeCards(stack)) {
      const step = toStep(card);
      const next = `${key} ${JSON.stringify(step)}`;
      const known = this.#models.get(next);
      const { trains } = kinds[card.kind];
      if (!known && trains && quick) continue;
      try {
        model =
          known ??
          (await this.#run(model, step, trains ? signal : undefined, (progress) =>
            onProgress(card, progress),
          ));
      } catch (error) {
        throw new CardError(card.id, error);
      }
      key = next;
      this.#models.delete(key);
      this.#models.set(key, model);
    }
    return { key, model };
  }

  async #run(
    model: Model,
    step: ReturnType<typeof toStep>,
    signal: AbortSignal | undefined,
    onProgress: (progress: PassProgress) => void,
  ): Promise<Model> {
    const run = runPass(model, this.#dataset, step, signal);
    for await (const progress of run) onProgress(progress);
    return (await run.done).model;
  }

  /** As far as the wall and the size of the file: a moment. */
  async quick(stack: Stack, watch: Watch): Promise<Result> {
    const { key, model } = await this.#modelOf(stack, watch);
    const known = this.#results.get(key);
    if (known) return this.#keep(known);
    const packed = await model.pack();
    const wall = await packed.predict(this.#wallPixels, this.#wallCount);
    const notes = { labels: this.#dataset.info.classNames, pipeline: toPipeline(stack, this.#pipeline) };
    const file = (await model.saveAs('espalier', notes)).bytes;
    return this.#keep({ key, model, packed, wall, file });
  }

  /** On all test images. */
  async evaluated(result: Result, signal: AbortSignal): Promise<Result> {
    const known = this.#results.get(result.key) ?? result;
    if (known.evaluation) return this.#keep(known);
    const evaluation = await result.packed.evaluate(this.#dataset, 'test', { signal });
    return this.#keep({ ...result, evaluation });
  }

  /** How fast it is, on one thread. */
  async timed(result: Result, signal: AbortSignal): Promise<Result> {
    const known = this.#results.get(result.key) ?? result;
    if (known.time) return this.#keep(known);
    const time = await result.packed.time(this.#dataset, { signal });
    return this.#keep({ ...known, time });
  }

  #keep(result: Result): Result {
    this.#results.delete(result.key);
    this.#results.set(result.key, result);
    for (const [key, old] of this.#results) {
      if (this.#results.size <= mostModels) break;
      this.#results.delete(key);
      void old.packed.dispose().catch(() => {});
    }
    for (const [key, old] of this.#models) {
      if (this.#models.size <= mostModels) break;
      if (this.#results.has(key)) continue;
      this.#models.delete(key);
      void old.dispose().catch(() => {});
    }
    return result;
  }

  dispose(): void {
    for (const { packed } of this.#results.values()) void packed.dispose().catch(() => {});
    for (const model of [this.#base, ...this.#models.values()]) void model.dispose().catch(() => {});
    this.#results.clear();
    this.#models.clear();
  }
}
