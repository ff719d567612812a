// Weights as a picture, a row for each output: dark where a weight is kept, empty where it is 0.

import type { PlotTheme } from '../colors';
import { paintPixels, prepare } from './canvas';

export interface Mask {
  values: Float32Array;
  rows: number;
  columns: number;
}

const tallest = 200;
const shortestRow = 8;

/** Squares where they fit; layers that are wide get higher rows, layers that are high lower ones. */
export function maskHeight({ rows, columns }: Mask, room: number): number {
  return Math.min(tallest, Math.max((room / columns) * rows, rows * shortestRow));
}

export function drawMask(canvas: HTMLCanvasElement, { values, rows, columns }: Mask, theme: PlotTheme): void {
  const { context, width, height } = prepare(canvas);
  const image = new ImageData(columns, rows);
  const full = 3 * 255;
  for (let i = 0; i < rows * columns; ++i) {
    const at = values[i] === 0 ? 0 : full;
    image.data[4 * i] = theme.ink[at] ?? 0;
    image.data[4 * i + 1] = theme.ink[at + 1] ?? 0;
    image.data[4 * i + 2] = theme.ink[at + 2] ?? 0;
    image.data[4 * i + 3] = 255;
  }
  paintPixels(context, image, 0, 0, width, height);
}
