// The accuracy (solid, 0 to 1) and the loss (dotted, from 0) of a short training, over its steps.

import type { PlotTheme } from '../colors';
import { prepare } from './canvas';

export interface HealingCurve {
  points: readonly { done: number; loss: number; accuracy: number }[];
  total: number;
}

export function drawHealing(
  canvas: HTMLCanvasElement,
  { points, total }: HealingCurve,
  theme: PlotTheme,
): void {
  const { context, width, height } = prepare(canvas);
  const most = Math.max(...points.map(({ loss }) => loss), 1e-9);
  context.strokeStyle = theme.line;
  context.strokeRect(0.5, 0.5, width - 1, height - 1);
  const draw = (color: string, dash: number[], value: (point: HealingCurve['points'][number]) => number) => {
    context.strokeStyle = color;
    context.lineWidth = 2;
    context.setLineDash(dash);
    context.beginPath();
    points.forEach((point, i) => {
      const x = (width * point.done) / Math.max(total, 1);
      const y = 2 + (height - 4) * (1 - value(point));
      if (i === 0) context.moveTo(x, y);
      else context.lineTo(x, y);
    });
    context.stroke();
  };
  draw(theme.validation, [2, 3], ({ loss }) => loss / most);
  draw(theme.training, [], ({ accuracy }) => accuracy);
}
