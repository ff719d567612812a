// Looking inside the network: an image, what the network answers, what its layers make of it, and its first filters.

import type { Model, ModelInspection, Tensor } from 'espalier';
import type { Current } from './current';
import type { Run } from './run.svelte';

/** The image that probabilities and feature maps are shown for. */
export interface Input {
  pixels: Uint8Array;
  /** Its place in the samples, or undefined for a drawing. */
  sample?: number;
  label?: number;
}
export interface Samples {
  indices: number[];
  pixels: Uint8Array;
  labels: Uint16Array;
}

const sampleCount = 30;

export class Inside {
  inspection = $state.raw<ModelInspection>();
  samples = $state.raw<Samples>();
  input = $state.raw<Input>();
  probabilities = $state.raw<Float32Array>();
  filters = $state.raw<Tensor>();
  layer = $state('');
  maps = $state.raw<Tensor>();

  readonly #current: Current;
  readonly #run: Run;
  readonly #report: (error: unknown) => void;
  #isBusy = false;
  #again = false;

  constructor(current: Current, run: Run, report: (error: unknown) => void) {
    this.#current = current;
    this.#run = run;
    this.#report = report;
  }

  /** Of data that are gone. */
  clear(): void {
    this.input = undefined;
    this.samples = undefined;
  }

  async inspect(model: Model): Promise<void> {
    try {
      const inspection = await model.inspect();
      if (model !== this.#current.model) return;
      this.inspection = inspection;
      const layers = inspection.layers.filter(({ shape }) => shape[1] > 1 || shape[2] > 1);
      const candidates = layers.length > 0 ? layers : inspection.layers;
      if (!inspection.layers.some(({ name }) => name === this.layer)) this.layer = candidates[0]?.name ?? '';
      this.refresh();
    } catch (error) {
      this.#report(error);
    }
  }

  show(input: Input): void {
    this.input = input;
    this.refresh();
  }

  showSample(sample: number): void {
    const { samples } = this;
    const dataset = this.#current.dataset?.info;
    if (!samples || !dataset) return;
    const size = dataset.channels * dataset.height * dataset.width;
    const pixels = samples.pixels.slice(sample * size, (sample + 1) * size);
    this.show({ pixels, sample, label: samples.labels[sample] });
  }

  showLayer(name: string): void {
    this.layer = name;
    this.refresh();
  }

  /** Other test images: `page` counts groups of them. */
  async chooseSamples(page: number): Promise<void> {
    const { dataset } = this.#current;
    if (!dataset) return;
    const count = Math.min(sampleCount, dataset.info.counts.test);
    const indices = Array.from({ length: count }, (_, i) => (page * count + i) % dataset.info.counts.test);
    const { pixels, labels } = await dataset.images('test', indices);
    if (dataset !== this.#current.dataset) return;
    this.samples = { indices, pixels, labels };
    this.showSample(0);
  }

  async moreSamples(): Promise<void> {
    const page = Math.round((this.samples?.indices[0] ?? 0) / sampleCount) + 1;
    await this.chooseSamples(page).catch(this.#report);
  }

  /** At most one round is under way; a change during it starts another. */
  refresh(): void {
    if (this.#isBusy) {
      this.#again = true;
      return;
    }
    this.#isBusy = true;
    void this.#read()
      .catch((error: unknown) => {
        if (this.#run.phase !== 'failed') this.#report(error);
      })
      .finally(() => {
        this.#isBusy = false;
        if (!this.#again) return;
        this.#again = false;
        this.refresh();
      });
  }

  async #read(): Promise<void> {
    const { model } = this.#current;
    const { input, inspection, layer } = this;
    if (!model) return;
    const known = inspection?.layers.some(({ name }) => name === layer);
    const first = inspection?.tensors.find(({ shape }) => shape.length > 1);
    const [probabilities, maps, filters] = await Promise.all([
      input && model.predict(input.pixels, 1),
      input && known ? model.activations(input.pixels, layer) : undefined,
      first && model.tensor(first.name),
    ]);
    if (model !== this.#current.model) return;
    if (probabilities) this.probabilities = probabilities;
    if (maps) this.maps = maps;
    if (filters) this.filters = filters;
  }
}
