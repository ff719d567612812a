// The colour scale itself, for legends.

import { scaleColor, type PlotTheme } from '../colors';
import { prepare } from './canvas';

export function drawScale(canvas: HTMLCanvasElement, from: number, theme: PlotTheme): void {
  const { context, width, height } = prepare(canvas);
  for (let x = 0; x < width; ++x) {
    context.fillStyle = scaleColor(theme, from + ((1 - from) * x) / Math.max(1, width - 1));
    context.fillRect(x, 0, 1.5, height);
  }
}
