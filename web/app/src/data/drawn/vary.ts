// Grey images turned, slanted, scaled and moved a little, by bilinear interpolation.

import type { Batch } from '../idx';
import { randomFrom } from './random';

const seed = 1;

/** `variants` of each image, in turns: all images once, then all again. */
export function vary({ height, width, pixels, labels, ...rest }: Batch, variants: number): Batch {
  const random = randomFrom(seed);
  const spread = (amount: number) => amount * (2 * random() - 1);
  const plane = height * width;
  const varied = new Uint8Array(pixels.length * variants);
  for (let at = 0; at < varied.length; at += plane) {
    const image = pixels.subarray(at % pixels.length, (at % pixels.length) + plane);
    const [turn, slant] = [spread(0.25), spread(0.2)];
    const [wide, high] = [1 + spread(0.15), 1 + spread(0.15)];
    const [right, down] = [spread(2), spread(2)];
    const [cos, sin] = [Math.cos(turn), Math.sin(turn)];
    const [middleX, middleY] = [(width - 1) / 2, (height - 1) / 2];
    for (let i = 0; i < plane; ++i) {
      const x = (i % width) - middleX - right;
      const y = Math.floor(i / width) - middleY - down;
      const fromX = (cos * x + sin * y) * wide + slant * y;
      const fromY = (cos * y - sin * x) * high;
      varied[at + i] = Math.round(between(image, width, height, fromX + middleX, fromY + middleY));
    }
  }
  const all = Array.from({ length: labels.length * variants }, (_, i) => labels[i % labels.length] ?? 0);
  return { ...rest, height, width, pixels: varied, labels: all };
}

function between(image: Uint8Array, width: number, height: number, x: number, y: number): number {
  const [left, top] = [Math.floor(x), Math.floor(y)];
  const value = (u: number, v: number) =>
    u < 0 || v < 0 || u >= width || v >= height ? 0 : (image[v * width + u] ?? 0);
  const [across, down] = [x - left, y - top];
  return (
    (1 - down) * ((1 - across) * value(left, top) + across * value(left + 1, top)) +
    down * ((1 - across) * value(left, top + 1) + across * value(left + 1, top + 1))
  );
}
