// How often values occur, on a square root: the first network's as an outline, the second one's filled. Below, a comb
// with a tooth for each value that the second one has.

import type { PlotTheme } from '../colors';
import { prepare } from './canvas';

export interface Histogram {
  /** Of both networks; bins from -limit to limit. */
  left?: Uint32Array | undefined;
  right?: Uint32Array | undefined;
  limit: number;
  /** Different values of the second one; none where they are too many to draw. */
  levels: readonly number[];
}

export const bins = 121;
const combHeight = 26;
const labelHeight = 18;

export function countBins(values: Float32Array, limit: number): Uint32Array {
  const counts = new Uint32Array(bins);
  for (const value of values) {
    const bin = Math.round(((value / limit + 1) / 2) * (bins - 1));
    counts[bin] = (counts[bin] ?? 0) + 1;
  }
  return counts;
}

/** Undefined beyond `most` of them. */
export function levelsOf(values: Float32Array, most: number): number[] | undefined {
  const levels = new Set<number>();
  for (const value of values) {
    levels.add(value);
    if (levels.size > most) return undefined;
  }
  return [...levels].sort((a, b) => a - b);
}

export function drawHistogram(
  canvas: HTMLCanvasElement,
  { left, right, limit, levels }: Histogram,
  theme: PlotTheme,
): void {
  const { context, width, height } = prepare(canvas);
  const floor = height - combHeight - labelHeight;
  const most = Math.sqrt(Math.max(1, ...(left ?? []), ...(right ?? [])));
  const step = width / bins;
  const y = (count: number) => floor - ((floor - 6) * Math.sqrt(count)) / most;
  context.fillStyle = theme.training;
  right?.forEach((count, bin) => {
    if (count > 0) context.fillRect(bin * step, y(count), Math.max(1, step - 1), floor - y(count));
  });
  context.strokeStyle = theme.validation;
  context.lineWidth = 1.5;
  context.beginPath();
  left?.forEach((count, bin) => {
    context.lineTo(bin * step, y(count));
    context.lineTo((bin + 1) * step, y(count));
  });
  context.stroke();
  context.strokeStyle = theme.line;
  context.beginPath();
  context.moveTo(0, floor + 0.5);
  context.lineTo(width, floor + 0.5);
  context.stroke();
  const x = (value: number) => ((value / limit + 1) / 2) * (width - step) + step / 2;
  context.fillStyle = theme.text;
  context.globalAlpha = levels.length > 40 ? 0.5 : 1;
  for (const level of levels) context.fillRect(x(level) - 0.75, floor + 5, 1.5, combHeight - 9);
  context.globalAlpha = 1;
  context.fillStyle = theme.muted;
  context.font = `12px ${theme.font}`;
  context.textBaseline = 'bottom';
  for (const [value, align] of [
    [-limit, 'left'],
    [0, 'center'],
    [limit, 'right'],
  ] as const) {
    context.textAlign = align;
    context.fillText(value === 0 ? '0' : value.toPrecision(2), ((value / limit + 1) / 2) * width, height);
  }
}
