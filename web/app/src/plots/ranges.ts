// How often a layer gives which number, on a square root, and where ranges of a few bits would end: the one that is
// looked at with what it clips, others as dashed lines with their names.

import type { PlotTheme } from '../colors';
import { prepare } from './canvas';

export interface RangesPlot {
  /** Middles of bins, and how often. */
  bins: readonly (readonly [x: number, count: number])[];
  /** What the axis covers. */
  low: number;
  high: number;
  /** The one that is looked at. */
  range: { low: number; high: number };
  others: readonly { name: string; low: number; high: number }[];
}

const columns = 160;
const labelHeight = 18;
const nameHeight = 15;

/** Where a number lies, as a share of the width. */
export const placeOf = (value: number, { low, high }: { low: number; high: number }): number =>
  (value - low) / (high - low || 1);

/** What the names of the ranges take at the top. */
export const namesHeight = (names: number): number => nameHeight * names + 4;

export function drawRanges(canvas: HTMLCanvasElement, plot: RangesPlot, theme: PlotTheme): void {
  const { context, width, height } = prepare(canvas);
  const { bins, range, others } = plot;
  const floor = height - labelHeight;
  const ceiling = namesHeight(others.length);
  const counts = new Float64Array(columns);
  for (const [x, count] of bins) {
    const column = Math.min(columns - 1, Math.max(0, Math.floor(columns * placeOf(x, plot))));
    counts[column] = (counts[column] ?? 0) + count;
  }
  const most = Math.sqrt(Math.max(1, ...counts));
  const x = (value: number) => width * placeOf(value, plot);
  const step = width / columns;
  counts.forEach((count, column) => {
    if (count === 0) return;
    const middle = (column + 0.5) * step;
    const isClipped = middle < x(range.low) || middle > x(range.high);
    const top = floor - ((floor - ceiling) * Math.sqrt(count)) / most;
    context.fillStyle = isClipped ? theme.validation : theme.training;
    context.fillRect(column * step, top, Math.max(1, step - 1), floor - top);
  });
  context.strokeStyle = theme.line;
  context.beginPath();
  context.moveTo(0, floor + 0.5);
  context.lineTo(width, floor + 0.5);
  context.stroke();

  context.font = `12px ${theme.font}`;
  others.forEach(({ name, low, high }, row) => {
    const top = nameHeight * row;
    context.strokeStyle = theme.muted;
    context.setLineDash([3, 3]);
    context.beginPath();
    for (const end of [low, high]) {
      if (end === 0) continue;
      context.moveTo(x(end), top + 2);
      context.lineTo(x(end), floor);
    }
    context.stroke();
    context.setLineDash([]);
    const isLeft = x(high) > width / 2;
    context.fillStyle = theme.text;
    context.textBaseline = 'top';
    context.textAlign = isLeft ? 'right' : 'left';
    context.fillText(name, x(high) + (isLeft ? -5 : 5), top + 1);
  });

  context.fillStyle = theme.muted;
  context.textBaseline = 'bottom';
  for (const [value, align] of [
    [plot.low, 'left'],
    [plot.high, 'right'],
  ] as const) {
    context.textAlign = align;
    context.fillText(value === 0 ? '0' : value.toPrecision(3), x(value), height);
  }
  if (plot.low < 0 && x(0) > 60 && x(0) < width - 60) {
    context.textAlign = 'center';
    context.fillText('0', x(0), height);
  }
}
