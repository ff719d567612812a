// Points of bytes (logarithmic) and accuracy; those that none beats are on a line.

import type { PlotTheme } from '../colors';
import { bytes as byteText, percent } from '../format';
import { prepare } from './canvas';

interface Place {
  file_bytes: number;
  validation_accuracy: number;
}
export interface ParetoPlot {
  points: readonly Place[];
  front: readonly Place[];
  /** Of the points. */
  active?: number | undefined;
}

const margin = { left: 52, right: 14, top: 10, bottom: 26 };

function scales({ points }: ParetoPlot, width: number, height: number) {
  const logs = points.map(({ file_bytes }) => Math.log(file_bytes));
  const [low, high] = [Math.min(...logs) - 0.1, Math.max(...logs) + 0.1];
  const least = Math.max(0, Math.min(...points.map(({ validation_accuracy }) => validation_accuracy)) - 0.03);
  const [room, tall] = [width - margin.left - margin.right, height - margin.top - margin.bottom];
  return {
    low: Math.exp(low),
    high: Math.exp(high),
    least,
    x: (size: number) => margin.left + (room * (Math.log(size) - low)) / (high - low),
    y: (accuracy: number) => margin.top + tall * (1 - (accuracy - least) / (1 - least)),
  };
}

/** The point at most so many pixels away. */
export function pointAt(
  plot: ParetoPlot,
  width: number,
  height: number,
  at: { x: number; y: number },
  reach = 24,
): number | undefined {
  if (plot.points.length === 0) return undefined;
  const { x, y } = scales(plot, width, height);
  let nearest: number | undefined;
  let best = reach;
  plot.points.forEach(({ file_bytes, validation_accuracy }, i) => {
    const distance = Math.hypot(x(file_bytes) - at.x, y(validation_accuracy) - at.y);
    if (distance < best) [best, nearest] = [distance, i];
  });
  return nearest;
}

export function drawPareto(canvas: HTMLCanvasElement, plot: ParetoPlot, theme: PlotTheme): void {
  const { context, width, height } = prepare(canvas);
  const { points, front, active } = plot;
  if (points.length === 0) return;
  const { x, y, low, high, least } = scales(plot, width, height);
  context.font = `12px ${theme.font}`;
  context.textBaseline = 'middle';
  context.strokeStyle = theme.line;
  context.fillStyle = theme.muted;
  context.textAlign = 'right';
  for (let i = 0; i <= 4; ++i) {
    const accuracy = least + ((1 - least) * i) / 4;
    context.beginPath();
    context.moveTo(margin.left, y(accuracy));
    context.lineTo(width - margin.right, y(accuracy));
    context.stroke();
    context.fillText(percent(accuracy, 0), margin.left - 8, y(accuracy));
  }
  context.textAlign = 'center';
  for (let size = 2 ** Math.ceil(Math.log2(low)); size <= high; size *= 2) {
    context.fillText(byteText(size), x(size), height - margin.bottom / 2 + 2);
  }
  context.strokeStyle = theme.training;
  context.lineWidth = 2;
  context.beginPath();
  for (const { file_bytes, validation_accuracy } of front)
    context.lineTo(x(file_bytes), y(validation_accuracy));
  context.stroke();
  points.forEach((point, i) => {
    const isFront = front.includes(point);
    context.beginPath();
    context.arc(
      x(point.file_bytes),
      y(point.validation_accuracy),
      i === active ? 8 : isFront ? 5.5 : 4,
      0,
      2 * Math.PI,
    );
    context.fillStyle = isFront ? theme.training : theme.surface;
    context.strokeStyle = isFront ? theme.training : theme.muted;
    context.fill();
    context.stroke();
  });
}
