// Small multiples of a tensor [tiles][height][width] on the page's colour scale: filters, feature maps.

import { scaleIndex, type PlotTheme } from '../colors';
import { paintPixels, prepare } from './canvas';

export interface Tiles {
  values: Float32Array;
  count: number;
  height: number;
  width: number;
  /** The magnitude at the end of the scale; the same for all tiles, so that they compare. */
  limit: number;
}

const gap = 6;
const wanted = 46;

export interface TileLayout {
  columns: number;
  rows: number;
  tileWidth: number;
  tileHeight: number;
}

/** Tiles about `wanted` pixels wide that fill the width; fewer tiles become larger, within reason. */
export function layoutTiles({ count, height, width }: Tiles, room: number): TileLayout {
  const narrow = height === 1 && width === 1;
  const most = narrow ? 14 : 72;
  const ideal = narrow ? 14 : wanted;
  const fitting = Math.max(1, Math.floor((room + gap) / (ideal + gap)));
  const columns = Math.min(count, fitting);
  const tileWidth = Math.min(most, (room + gap) / columns - gap);
  return {
    columns,
    rows: Math.ceil(count / columns),
    tileWidth,
    tileHeight: (tileWidth * height) / width,
  };
}

export function tilesHeight(tiles: Tiles, room: number): number {
  const { rows, tileHeight } = layoutTiles(tiles, room);
  return rows * (tileHeight + gap) - gap;
}

export function drawTiles(canvas: HTMLCanvasElement, tiles: Tiles, theme: PlotTheme): void {
  const { context, width: room } = prepare(canvas);
  const { columns, tileWidth, tileHeight } = layoutTiles(tiles, room);
  const { values, count, height, width, limit } = tiles;
  const image = new ImageData(width, height);
  for (let tile = 0; tile < count; ++tile) {
    const from = tile * height * width;
    for (let i = 0; i < height * width; ++i) {
      const at = 3 * scaleIndex((values[from + i] ?? 0) / limit);
      image.data[4 * i] = theme.scale[at] ?? 0;
      image.data[4 * i + 1] = theme.scale[at + 1] ?? 0;
      image.data[4 * i + 2] = theme.scale[at + 2] ?? 0;
      image.data[4 * i + 3] = 255;
    }
    const x = (tile % columns) * (tileWidth + gap);
    const y = Math.floor(tile / columns) * (tileHeight + gap);
    paintPixels(context, image, x, y, tileWidth, tileHeight);
    context.strokeStyle = theme.line;
    context.strokeRect(x + 0.5, y + 0.5, tileWidth - 1, tileHeight - 1);
  }
}

/** What tiles say beside their picture: number, smallest and largest value, and how many are not 0. */
export function tileRows({ values, count, height, width }: Tiles, most: number): string[][] {
  const size = height * width;
  return Array.from({ length: Math.min(count, most) }, (_, i) => {
    const tile = values.subarray(i * size, (i + 1) * size);
    const kept = tile.reduce((sum, value) => sum + (value === 0 ? 0 : 1), 0);
    return [String(i + 1), ...[Math.min(...tile), Math.max(...tile)].map(rounded), `${kept} / ${size}`];
  });
}
const rounded = (value: number): string => value.toPrecision(2);

/** The largest magnitude, never zero. */
export function magnitude(values: Float32Array): number {
  let largest = 0;
  for (const value of values) largest = Math.max(largest, Math.abs(value));
  return largest || 1;
}
