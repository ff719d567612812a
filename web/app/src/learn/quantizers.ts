// The source article's quantizer beside rounding, on the same levels from xmin to xmax, and how far off they are.

export interface Range {
  low: number;
  high: number;
}
/** What x becomes: through Q and back. */
export type Quantizer = (x: number, range: Range, bits: number) => number;

export const stepsOf = (bits: number): number => 2 ** bits - 1;
export const stepOf = ({ low, high }: Range, bits: number): number => (high - low) / stepsOf(bits);

/** Q = ⌊(xmax − x) / Δ⌋ with bmin = 0, and its inverse xmax − Q · Δ. */
export const floored: Quantizer = (x, range, bits) => {
  const step = stepOf(range, bits);
  return range.high - Math.floor((range.high - x) / step) * step;
};

/** The nearest level. */
export const rounded: Quantizer = (x, range, bits) => {
  const step = stepOf(range, bits);
  return range.low + Math.round((x - range.low) / step) * step;
};

/** Of numbers spread evenly over the range; in steps. */
export interface Errors {
  worst: number;
  /** With its sign: 0 where errors cancel. */
  mean: number;
  meanSquare: number;
}

/** So many numbers between two levels. */
const density = 256;

export function errorsOf(quantizer: Quantizer, range: Range, bits: number): Errors {
  const step = stepOf(range, bits);
  const count = density * stepsOf(bits);
  let [worst, sum, squares] = [0, 0, 0];
  for (let i = 0; i < count; ++i) {
    // In the middle between two, never on a level itself.
    const x = range.low + ((range.high - range.low) * (i + 0.5)) / count;
    const error = (quantizer(x, range, bits) - x) / step;
    worst = Math.max(worst, Math.abs(error));
    sum += error;
    squares += error * error;
  }
  return { worst, mean: sum / count, meanSquare: squares / count };
}
