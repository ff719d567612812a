// The last values of a figure as a line from the least to the largest, with a point at the present one.

import type { PlotTheme } from '../colors';
import { prepare } from './canvas';

export function drawSparkline(canvas: HTMLCanvasElement, values: readonly number[], theme: PlotTheme): void {
  const { context, width, height } = prepare(canvas);
  const last = values.at(-1);
  if (last === undefined) return;
  const [least, most] = [Math.min(...values), Math.max(...values)];
  const room = height - 8;
  const y = (value: number) => 4 + (most > least ? room * (1 - (value - least) / (most - least)) : room / 2);
  const x = (i: number) => (values.length > 1 ? 3 + ((width - 8) * i) / (values.length - 1) : width - 5);
  context.strokeStyle = theme.muted;
  context.lineWidth = 1.5;
  context.beginPath();
  values.forEach((value, i) => (i === 0 ? context.moveTo(x(0), y(value)) : context.lineTo(x(i), y(value))));
  context.stroke();
  context.fillStyle = theme.training;
  context.beginPath();
  context.arc(x(values.length - 1), y(last), 3, 0, 2 * Math.PI);
  context.fill();
}
