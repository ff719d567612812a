// A cell for each row and column: how much is lost, from the colour of the page to brown, on a square root.

import { scaleColor, textOn, type PlotTheme } from '../colors';
import { prepare } from './canvas';

export interface Heatmap {
  rows: readonly string[];
  columns: readonly string[];
  /** [row][column], at least 0; NaN: nothing yet. */
  losses: readonly number[];
  /** At the end of the scale. */
  most: number;
  /** What is written in a cell. */
  text: (loss: number) => string;
}

const rowHeight = 34;
const headHeight = 24;
const labelWidth = 84;

export const heatmapHeight = ({ rows }: Heatmap): number => headHeight + rows.length * rowHeight;

export function drawHeatmap(
  canvas: HTMLCanvasElement,
  { rows, columns, losses, most, text }: Heatmap,
  theme: PlotTheme,
): void {
  const { context, width } = prepare(canvas);
  const cell = (width - labelWidth) / columns.length;
  context.font = `12.5px ${theme.font}`;
  context.textBaseline = 'middle';
  context.fillStyle = theme.muted;
  context.textAlign = 'center';
  columns.forEach((name, i) =>
    context.fillText(name, labelWidth + (i + 0.5) * cell, headHeight / 2, cell - 2),
  );
  context.textAlign = 'left';
  rows.forEach((name, i) => context.fillText(name, 0, headHeight + (i + 0.5) * rowHeight, labelWidth - 8));
  context.textAlign = 'center';
  losses.forEach((loss, i) => {
    const x = labelWidth + (i % columns.length) * cell;
    const y = headHeight + Math.floor(i / columns.length) * rowHeight;
    if (Number.isNaN(loss)) {
      context.strokeStyle = theme.line;
      context.strokeRect(x + 0.5, y + 0.5, cell - 3, rowHeight - 3);
      return;
    }
    const value = -0.85 * Math.sqrt(Math.min(1, Math.max(0, loss) / most));
    context.fillStyle = scaleColor(theme, value);
    context.fillRect(x, y, cell - 2, rowHeight - 2);
    context.fillStyle = textOn(theme, value);
    context.fillText(text(loss), x + cell / 2 - 1, y + rowHeight / 2, cell - 6);
  });
}
