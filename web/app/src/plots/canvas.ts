// What every plot starts with.

import { t } from '../i18n/index.svelte';
import { PageError } from '../page-error';

/** A context in CSS pixels, cleared. The canvas already has its size in CSS pixels by layout. */
export function prepare(canvas: HTMLCanvasElement): {
  context: CanvasRenderingContext2D;
  width: number;
  height: number;
} {
  const ratio = Math.min(globalThis.devicePixelRatio || 1, 3);
  const width = canvas.clientWidth;
  const height = canvas.clientHeight;
  const [columns, rows] = [Math.round(width * ratio), Math.round(height * ratio)];
  if (canvas.width !== columns || canvas.height !== rows) {
    canvas.width = columns;
    canvas.height = rows;
  }
  const context = canvas.getContext('2d');
  if (!context) throw new PageError(t.notices.noCanvas);
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, width, height);
  return { context, width, height };
}

let scratch: HTMLCanvasElement | undefined;

/** Paints `width` × `height` RGBA pixels into a rectangle, as crisp squares. */
export function paintPixels(
  context: CanvasRenderingContext2D,
  image: ImageData,
  x: number,
  y: number,
  width: number,
  height: number,
): void {
  scratch ??= document.createElement('canvas');
  if (scratch.width < image.width) scratch.width = image.width;
  if (scratch.height < image.height) scratch.height = image.height;
  scratch.getContext('2d')?.putImageData(image, 0, 0);
  context.imageSmoothingEnabled = false;
  context.drawImage(scratch, 0, 0, image.width, image.height, x, y, width, height);
}
