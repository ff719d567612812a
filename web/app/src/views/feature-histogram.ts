// How often numbers occur, counted as they come, and what a grid of few bits makes of them.

/** At most 0 and at least 0: 0 is always in it. */
export interface Range {
  low: number;
  high: number;
}
/** Mean squares over all numbers. */
export interface RangeError {
  clipping: number;
  rounding: number;
  /** The share of the numbers that are clipped. */
  clipped: number;
}

/** On each side of zero. */
const binCount = 2048;

/** A bin's width is a power of two that grows with the numbers, so none of them has to be kept. */
export class FeatureHistogram {
  count = 0;
  zeros = 0;
  low = 0;
  high = 0;
  #width = 2 ** -40;
  readonly #positive = new Float64Array(binCount);
  readonly #negative = new Float64Array(binCount);

  add(values: Float32Array): void {
    this.count += values.length;
    for (const value of values) {
      if (value === 0) {
        this.zeros += 1;
        continue;
      }
      const size = Math.abs(value);
      while (size >= this.#width * binCount) this.#grow();
      const bins = value > 0 ? this.#positive : this.#negative;
      const bin = Math.floor(size / this.#width);
      bins[bin] = (bins[bin] ?? 0) + 1;
      this.low = Math.min(this.low, value);
      this.high = Math.max(this.high, value);
    }
  }

  /** Middles of the bins that have something in them, and how much. */
  *bins(): Generator<[x: number, count: number]> {
    for (let i = 0; i < binCount; ++i) {
      const x = (i + 0.5) * this.#width;
      const [positive = 0, negative = 0] = [this.#positive[i], this.#negative[i]];
      if (positive > 0) yield [Math.min(x, this.high), positive];
      if (negative > 0) yield [Math.max(-x, this.low), negative];
    }
  }

  #grow(): void {
    for (const bins of [this.#positive, this.#negative]) {
      for (let i = 0; i < binCount / 2; ++i) bins[i] = (bins[2 * i] ?? 0) + (bins[2 * i + 1] ?? 0);
      bins.fill(0, binCount / 2);
    }
    this.#width *= 2;
  }
}

/** Codes are evenly spaced over the range, and 0 is one of them. */
export function rangeError(histogram: FeatureHistogram, { low, high }: Range, bits: number): RangeError {
  const highest = 2 ** bits - 1;
  const step = (high - low) / highest;
  const first = -Math.round(-low / step);
  let [clipping, rounding, clipped] = [0, 0, 0];
  for (const [x, count] of histogram.bins()) {
    const code = Math.round(x / step);
    const nearest = Math.min(first + highest, Math.max(first, code));
    const square = count * (x - nearest * step) ** 2;
    if (nearest === code) rounding += square;
    else [clipping, clipped] = [clipping + square, clipped + count];
  }
  const count = Math.max(1, histogram.count);
  return { clipping: clipping / count, rounding: rounding / count, clipped: clipped / count };
}
