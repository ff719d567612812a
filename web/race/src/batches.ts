// The training images in shuffled batches, as floats: what Espalier's own batcher does, for the others.

import type { Setup } from './contestant';
import { floatsOf, imageSize } from './layers';

export interface Batch {
  /** [batch][channels][height][width]; the same memory each time. */
  floats: Float32Array;
  labels: Int32Array;
}

export class Batches {
  readonly #setup: Setup;
  readonly #size: number;
  readonly #floatOf: Float32Array;
  readonly #order: Uint32Array;
  readonly #batch: Batch;
  readonly #random: () => number;
  #next: number;

  constructor(setup: Setup) {
    this.#setup = setup;
    this.#size = imageSize(setup.network.spec);
    this.#floatOf = floatsOf(setup.network.spec);
    this.#order = Uint32Array.from({ length: setup.images.count }, (_, index) => index);
    this.#random = generator(setup.seed ?? 1);
    this.#next = setup.images.count;
    this.#batch = {
      floats: new Float32Array(setup.batch * this.#size),
      labels: new Int32Array(setup.batch),
    };
  }

  /** An epoch ends with its last full batch: graphs of a fixed size cannot take a smaller one. */
  next(): Batch {
    const { images, batch } = this.#setup;
    if (this.#next + batch > images.count) this.#shuffle();
    const { floats, labels } = this.#batch;
    for (let i = 0; i < batch; ++i) {
      const image = this.#order[this.#next + i] ?? 0;
      labels[i] = images.labels[image] ?? 0;
      const from = image * this.#size;
      for (let k = 0; k < this.#size; ++k) {
        floats[i * this.#size + k] = this.#floatOf[images.pixels[from + k] ?? 0] ?? 0;
      }
    }
    this.#next += batch;
    return this.#batch;
  }

  #shuffle(): void {
    const order = this.#order;
    for (let i = order.length - 1; i > 0; --i) {
      const j = Math.floor(this.#random() * (i + 1));
      const kept = order[i] ?? 0;
      order[i] = order[j] ?? 0;
      order[j] = kept;
    }
    this.#next = 0;
  }
}

/** Numbers in [0, 1), the same for the same seed (mulberry32, public domain). */
function generator(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
