// Images of strokes as a hand would draw them: turned, slanted, scaled and shaken a little. Without a canvas, so that
// every browser draws the same from the same seed.

import { idxSplits, type Batch } from '../idx';
import type { NamedBlob } from '../source';
import { randomFrom, type Random } from './random';

/** Points "x,y" from 0 to 10, y down; a space goes on, a slash begins another stroke. */
export type Strokes = string;

const side = 28;
/** Of the box that the strokes are drawn in, as of MNIST. */
const box = 20;
/** Images between two breaths of the page. */
const atOnce = 40;

/** `perClass` images of each, class after class. */
export async function drawDataset(
  classes: readonly Strokes[],
  perClass: number,
  seed: number,
): Promise<NamedBlob[]> {
  const random = randomFrom(seed);
  const plane = side * side;
  const count = classes.length * perClass;
  const batch: Batch = {
    channels: 1,
    height: side,
    width: side,
    pixels: new Uint8Array(count * plane),
    labels: Uint8Array.from({ length: count }, (_, i) => Math.floor(i / perClass)),
  };
  const strokes = classes.map(parse);
  for (let i = 0; i < count; ++i) {
    if (i % atOnce === atOnce - 1) await new Promise((resolve) => setTimeout(resolve));
    const own = strokes[Math.floor(i / perClass)] ?? [];
    draw(handDrawn(own, random), 0.9 + 0.8 * random(), batch.pixels.subarray(i * plane, (i + 1) * plane));
  }
  return idxSplits(batch);
}

type Point = readonly [x: number, y: number];

const parse = (strokes: Strokes): Point[][] =>
  strokes.split('/').map((stroke) =>
    stroke
      .trim()
      .split(/\s+/)
      .map((point) => point.split(',').map(Number))
      .map(([x = 0, y = 0]) => [x, y] as const),
  );

function handDrawn(strokes: Point[][], random: Random): Point[][] {
  const spread = (amount: number) => amount * (2 * random() - 1);
  const [turn, slant, wide, high] = [spread(0.2), spread(0.25), 1 + spread(0.15), 1 + spread(0.15)];
  const [right, down] = [spread(1.5), spread(1.5)];
  const unit = box / 10;
  return strokes.map((stroke) =>
    stroke.map(([px, py]) => {
      const x = (px - 5 + spread(0.35)) * wide + slant * (5 - py);
      const y = (py - 5 + spread(0.35)) * high;
      const [cos, sin] = [Math.cos(turn), Math.sin(turn)];
      const middle = (side - 1) / 2;
      return [
        middle + right + unit * 0.9 * (cos * x - sin * y),
        middle + down + unit * 0.9 * (sin * x + cos * y),
      ];
    }),
  );
}

/** Lines with soft edges: ink falls from 255 to 0 within a pixel around the pen's `radius`. */
function draw(strokes: Point[][], radius: number, image: Uint8Array): void {
  for (const stroke of strokes) {
    for (let i = 1; i < stroke.length; ++i) line(stroke[i - 1] ?? [0, 0], stroke[i] ?? [0, 0], radius, image);
  }
}

function line([ax, ay]: Point, [bx, by]: Point, radius: number, image: Uint8Array): void {
  const [dx, dy] = [bx - ax, by - ay];
  const length = dx * dx + dy * dy || 1;
  const reach = radius + 1;
  const clamp = (value: number) => Math.min(side - 1, Math.max(0, value));
  const [top, bottom] = [
    clamp(Math.floor(Math.min(ay, by) - reach)),
    clamp(Math.ceil(Math.max(ay, by) + reach)),
  ];
  const [left, right] = [
    clamp(Math.floor(Math.min(ax, bx) - reach)),
    clamp(Math.ceil(Math.max(ax, bx) + reach)),
  ];
  for (let y = top; y <= bottom; ++y) {
    for (let x = left; x <= right; ++x) {
      const along = Math.min(1, Math.max(0, ((x - ax) * dx + (y - ay) * dy) / length));
      const distance = Math.hypot(x - ax - along * dx, y - ay - along * dy);
      const ink = Math.round(255 * Math.min(1, Math.max(0, radius + 0.5 - distance)));
      const at = y * side + x;
      image[at] = Math.max(image[at] ?? 0, ink);
    }
  }
}
