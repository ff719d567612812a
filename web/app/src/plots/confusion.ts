// True class down, predicted class across. Right answers are green, wrong ones brown; each row is a
// share of its class, and wrong answers are on a square root, so that few of them can be seen.

import { scaleColor, textOn, type PlotTheme } from '../colors';
import { prepare } from './canvas';

export interface Confusion<Counts = Uint32Array> {
  counts: Counts;
  classNames: string[];
  /** The cell that is chosen or pointed at. */
  active?: { truth: number; guess: number } | undefined;
}

const margin = 26;

export function confusionCell(
  { classNames }: Pick<Confusion, 'classNames'>,
  size: number,
  x: number,
  y: number,
): { truth: number; guess: number } | undefined {
  const cell = (size - margin) / classNames.length;
  const truth = Math.floor((y - margin) / cell);
  const guess = Math.floor((x - margin) / cell);
  const inside = truth >= 0 && guess >= 0 && truth < classNames.length && guess < classNames.length;
  return inside ? { truth, guess } : undefined;
}

export function drawConfusion(canvas: HTMLCanvasElement, data: Confusion, theme: PlotTheme): void {
  const classes = data.classNames.length;
  drawMatrix(canvas, data, theme, (count, truth, guess) => {
    const row = data.counts.subarray(truth * classes, (truth + 1) * classes);
    const share = count / (row.reduce((sum, one) => sum + one, 0) || 1);
    return truth === guess ? 0.75 * share ** 2 : -Math.min(1, 1.6 * Math.sqrt(share));
  });
}

/** What a matrix says beside its picture: true class, answer and count, where that is not 0. */
export function confusionRows({ counts, classNames }: Confusion<Uint32Array | Int32Array>): string[][] {
  const classes = classNames.length;
  const nameOf = (label: number) => classNames[label] ?? String(label);
  return Array.from(counts, (count, i) => ({ count, i }))
    .filter(({ count }) => count !== 0)
    .map(({ count, i }) => [nameOf(Math.floor(i / classes)), nameOf(i % classes), String(count)]);
}

/** Second minus first: green where that is more right answers or fewer mistakes. */
export function drawConfusionDifference(
  canvas: HTMLCanvasElement,
  data: Confusion<Int32Array>,
  theme: PlotTheme,
): void {
  const most = Math.max(1, ...data.counts.map(Math.abs));
  drawMatrix(canvas, data, theme, (count, truth, guess) => {
    const better = truth === guess ? count : -count;
    return Math.sign(better) * Math.sqrt(Math.abs(better) / most);
  });
}

/** `valueOf` is a cell's place on the colour scale. */
function drawMatrix(
  canvas: HTMLCanvasElement,
  { counts, classNames, active }: Confusion<Uint32Array | Int32Array>,
  theme: PlotTheme,
  valueOf: (count: number, truth: number, guess: number) => number,
): void {
  const { context, width } = prepare(canvas);
  const classes = classNames.length;
  const cell = (width - margin) / classes;
  context.textAlign = 'center';
  context.textBaseline = 'middle';
  context.fillStyle = theme.line;
  context.fillRect(margin - 1, margin - 1, width - margin + 1, width - margin + 1);
  const size = Math.max(8, Math.min(12, cell * 0.36));
  counts.forEach((count, i) => {
    const [truth, guess] = [Math.floor(i / classes), i % classes];
    const value = valueOf(count, truth, guess);
    const x = margin + guess * cell;
    const y = margin + truth * cell;
    context.fillStyle = scaleColor(theme, value);
    context.fillRect(x, y, cell - 1, cell - 1);
    if (count === 0 || cell < 18) return;
    context.fillStyle = textOn(theme, value);
    context.font = `${size}px ${theme.font}`;
    context.fillText(String(count).replace('-', '−'), x + (cell - 1) / 2, y + cell / 2, cell - 3);
  });
  context.fillStyle = theme.muted;
  context.font = `11px ${theme.font}`;
  classNames.forEach((name, i) => {
    const text = cell < 12 && i % 5 ? '' : name.slice(0, name.length > 3 ? 3 : 4);
    context.fillText(text, margin + (i + 0.5) * cell, margin / 2, cell + 6);
    context.fillText(text, margin / 2 - 1, margin + (i + 0.5) * cell, margin);
  });
  if (!active) return;
  context.strokeStyle = theme.text;
  context.lineWidth = 2;
  context.strokeRect(margin + active.guess * cell, margin + active.truth * cell, cell - 1, cell - 1);
}
