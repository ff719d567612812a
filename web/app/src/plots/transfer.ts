// Learning curves of several ways, on epochs that double from tick to tick. Each has a colour, a dash and a mark of its
// own, which the legend repeats.

import type { PlotTheme } from '../colors';
import { percent } from '../format';
import { prepare } from './canvas';

export interface TransferCurve {
  points: readonly { epochs: number; accuracy: number }[];
}
export interface TransferPlot {
  /** At most as many as there are lines. */
  curves: readonly TransferCurve[];
  /** The ticks of the x axis. */
  lengths: readonly number[];
  axis: string;
}

interface Line {
  color: 'muted' | 'training' | 'validation' | 'text';
  dash: readonly number[];
  /** Around 0, 0. */
  mark: string;
}
export const lines: readonly Line[] = [
  { color: 'muted', dash: [2, 3], mark: 'M-3.5-3.5h7v7h-7z' },
  { color: 'training', dash: [], mark: 'M0-4a4 4 0 1 1 0 8a4 4 0 1 1 0-8z' },
  { color: 'validation', dash: [8, 4], mark: 'M0-5L4.5 3.5H-4.5z' },
  { color: 'text', dash: [], mark: 'M0-5L5 0L0 5L-5 0z' },
];

const margin = { left: 48, right: 14, top: 10, bottom: 40 };

export function drawTransfer(
  canvas: HTMLCanvasElement,
  { curves, lengths, axis }: TransferPlot,
  theme: PlotTheme,
): void {
  const { context, width, height } = prepare(canvas);
  const accuracies = curves.flatMap(({ points }) => points.map(({ accuracy }) => accuracy));
  const least = Math.floor(10 * Math.min(0.9, ...accuracies)) / 10;
  const most = Math.max(1, ...lengths);
  const x = (epochs: number) =>
    margin.left + ((width - margin.left - margin.right) * Math.log2(1 + epochs)) / Math.log2(1 + most);
  const y = (accuracy: number) =>
    margin.top + ((height - margin.top - margin.bottom) * (1 - accuracy)) / (1 - least);

  context.font = `12px ${theme.font}`;
  context.textBaseline = 'middle';
  context.strokeStyle = theme.line;
  context.fillStyle = theme.muted;
  context.textAlign = 'right';
  const every = least < 0.5 ? 2 : 1;
  for (let tenth = 10; tenth >= Math.round(10 * least); tenth -= every) {
    context.beginPath();
    context.moveTo(margin.left, y(tenth / 10));
    context.lineTo(width - margin.right, y(tenth / 10));
    context.stroke();
    context.fillText(percent(tenth / 10, 0), margin.left - 8, y(tenth / 10));
  }
  context.textAlign = 'center';
  for (const length of lengths) context.fillText(String(length), x(length), height - margin.bottom + 12);
  context.fillText(axis, (width + margin.left - margin.right) / 2, height - 8);

  context.lineWidth = 2;
  curves.forEach(({ points }, i) => {
    const line = lines[i];
    if (!line) return;
    context.strokeStyle = context.fillStyle = theme[line.color];
    context.setLineDash([...line.dash]);
    context.beginPath();
    for (const { epochs, accuracy } of points) context.lineTo(x(epochs), y(accuracy));
    context.stroke();
    for (const { epochs, accuracy } of points) {
      context.save();
      context.translate(x(epochs), y(accuracy));
      context.fill(new Path2D(line.mark));
      context.restore();
    }
  });
  context.setLineDash([]);
}
