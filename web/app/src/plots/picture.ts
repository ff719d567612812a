// One image of a dataset: grey as ink on paper, or colour.

import type { PlotTheme } from '../colors';
import { paintPixels, prepare } from './canvas';

export interface Picture {
  pixels: Uint8Array;
  channels: number;
  height: number;
  width: number;
}

export function drawPicture(canvas: HTMLCanvasElement, picture: Picture, theme: PlotTheme): void {
  const { context, width, height } = prepare(canvas);
  paintPixels(context, toImage(picture, theme), 0, 0, width, height);
}

export function toImage({ pixels, channels, height, width }: Picture, { ink }: PlotTheme): ImageData {
  const image = new ImageData(width, height);
  const plane = height * width;
  for (let i = 0; i < plane; ++i) {
    const grey = 3 * (pixels[i] ?? 0);
    for (let c = 0; c < 3; ++c) {
      image.data[4 * i + c] = (channels === 3 ? pixels[c * plane + i] : ink[grey + c]) ?? 0;
    }
    image.data[4 * i + 3] = 255;
  }
  return image;
}
