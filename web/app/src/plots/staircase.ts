// What a quantizer makes of each number of a range, above, and how far off that is, below.

import type { PlotTheme } from '../colors';
import { prepare } from './canvas';

export interface Staircase {
  quantize: (x: number) => number;
  low: number;
  high: number;
  step: number;
  color: 'training' | 'validation';
}

const margin = 8;
const gap = 14;
/** Of the height, for the errors. */
const errorShare = 0.34;

export function drawStaircase(
  canvas: HTMLCanvasElement,
  { quantize, low, high, step, color }: Staircase,
  theme: PlotTheme,
): void {
  const { context, width, height } = prepare(canvas);
  const room = width - 2 * margin;
  const tall = height - 2 * margin - gap;
  const stairs = { top: margin, height: tall * (1 - errorShare) };
  const errors = { top: stairs.top + stairs.height + gap, height: tall * errorShare };
  const at = (x: number) => margin + (room * (x - low)) / (high - low);
  const up = (y: number) => stairs.top + stairs.height * (1 - (y - low) / (high - low));
  /** From a step below to a step above. */
  const off = (error: number) => errors.top + errors.height * (0.5 - error / step / 2);

  context.strokeStyle = theme.line;
  context.lineWidth = 1;
  for (const box of [stairs, errors]) context.strokeRect(margin, box.top, room, box.height);
  const line = (stroke: string, dash: number[], draw: () => void) => {
    context.strokeStyle = stroke;
    context.setLineDash(dash);
    context.beginPath();
    draw();
    context.stroke();
  };
  line(theme.muted, [3, 3], () => {
    context.moveTo(at(low), up(low));
    context.lineTo(at(high), up(high));
    context.moveTo(at(low), off(0));
    context.lineTo(at(high), off(0));
  });
  context.lineWidth = 1.75;
  const columns = Math.max(2, Math.round(2 * room));
  const over = (y: (x: number) => number) => () => {
    for (let i = 0; i <= columns; ++i) {
      const x = low + ((high - low) * i) / columns;
      context.lineTo(at(x), y(x));
    }
  };
  line(
    theme[color],
    [],
    over((x) => up(quantize(x))),
  );
  line(
    theme[color],
    [],
    over((x) => off(quantize(x) - x)),
  );
}
