// Test images edge to edge. Left of the divider the left network's answers, right of it the right one's: wrong
// answers are tinted brown and say what was answered; where the right one's answer is another than the left one's,
// the image glows, green if it is right now, brown if it is wrong.

import type { PlotTheme } from '../colors';
import { prepare } from './canvas';
import { toImage, type Picture } from './picture';

export interface WallImages extends Picture {
  count: number;
  labels: Uint16Array;
}
export interface Wall {
  images: WallImages;
  /** Answers of both networks, image by image. Absent: not known yet. */
  left?: Uint16Array | undefined;
  right?: Uint16Array | undefined;
  /** The divider's place, as a share of the width. */
  divider: number;
  /** The image that is pointed at. */
  cursor?: number | undefined;
  classNames: string[];
}

export interface WallLayout {
  columns: number;
  rows: number;
  side: number;
  left: number;
  top: number;
}

const smallestTile = 26;
/** A gap at the edge of so much of the wall is none. */
const hardly = 0.04;
const gap = 2;
const glowWidth = 6;

/** Square tiles in whole rows and columns: of those that leave hardly a gap, the most; on small screens fewer. */
export function layoutWall(count: number, width: number, height: number): WallLayout {
  const layouts: WallLayout[] = [];
  for (let columns = 1; columns <= count && width / columns >= smallestTile; ++columns) {
    const most = Math.max(1, Math.floor(count / columns));
    // Either the rows fill the width, or what is there fills the height.
    const side = Math.min(width / columns, height);
    const rows = Math.max(1, Math.min(Math.floor(height / side), most));
    const left = (width - columns * side) / 2;
    layouts.push({ columns, rows, side, left, top: Math.max(0, (height - rows * side) / 2) });
  }
  const covered = ({ columns, rows, side }: WallLayout) => columns * rows * side * side;
  const enough = (1 - hardly) * Math.max(...layouts.map(covered));
  // More columns, more tiles.
  const best = layouts.findLast((layout) => covered(layout) >= enough);
  return best ?? { columns: 1, rows: 1, side: width, left: 0, top: 0 };
}

export function tileAt(layout: WallLayout, x: number, y: number): number | undefined {
  const column = Math.floor((x - layout.left) / layout.side);
  const row = Math.floor((y - layout.top) / layout.side);
  const inside = column >= 0 && row >= 0 && column < layout.columns && row < layout.rows;
  return inside ? row * layout.columns + column : undefined;
}

export function tilePlace({ columns, side, left, top }: WallLayout, tile: number): { x: number; y: number } {
  return { x: left + (tile % columns) * side, y: top + Math.floor(tile / columns) * side };
}

export function drawWall(canvas: HTMLCanvasElement, wall: Wall, theme: PlotTheme): void {
  const { context, width, height } = prepare(canvas);
  const { images, left, right, divider, cursor } = wall;
  const layout = layoutWall(images.count, width, height);
  const shown = layout.columns * layout.rows;
  const sheet = sheetOf(images, theme);
  const inner = layout.side - gap;
  context.imageSmoothingEnabled = inner < images.width * 2;
  for (let tile = 0; tile < shown; ++tile) {
    const { x, y } = tilePlace(layout, tile);
    const [column, row] = [tile % sheetColumns, Math.floor(tile / sheetColumns)];
    const { width: w, height: h } = images;
    context.drawImage(sheet, column * w, row * h, w, h, x, y, inner, inner);
  }
  const line = divider * width;
  clipped(context, 0, line, height, () =>
    drawAnswers(context, layout, wall, [0, line], left, undefined, theme),
  );
  clipped(context, line, width, height, () =>
    drawAnswers(context, layout, wall, [line, width], right, left, theme),
  );
  if (cursor === undefined || cursor >= shown) return;
  const { x, y } = tilePlace(layout, cursor);
  context.strokeStyle = theme.text;
  context.lineWidth = 2;
  context.strokeRect(x, y, inner, inner);
}

/** What is between `from` and `to`; tiles that the edge cuts are drawn on both sides of it. */
function clipped(
  context: CanvasRenderingContext2D,
  from: number,
  to: number,
  height: number,
  draw: () => void,
) {
  context.save();
  context.beginPath();
  context.rect(from, 0, to - from, height);
  context.clip();
  draw();
  context.restore();
}

function drawAnswers(
  context: CanvasRenderingContext2D,
  layout: WallLayout,
  { images, classNames }: Wall,
  [from, to]: readonly [from: number, to: number],
  answers: Uint16Array | undefined,
  before: Uint16Array | undefined,
  theme: PlotTheme,
): void {
  if (!answers) return;
  const inner = layout.side - gap;
  const shown = Math.min(layout.columns * layout.rows, answers.length);
  for (let tile = 0; tile < shown; ++tile) {
    const answer = answers[tile] ?? 0;
    const isWrong = answer !== images.labels[tile];
    const isChanged = before !== undefined && before[tile] !== answer;
    if (!isWrong && !isChanged) continue;
    const { x, y } = tilePlace(layout, tile);
    if (x - glowWidth > to || x + inner + glowWidth < from) continue;
    if (isWrong) {
      context.globalAlpha = theme.dark ? 0.5 : 0.42;
      context.fillStyle = theme.validation;
      context.fillRect(x, y, inner, inner);
      context.globalAlpha = 1;
      context.drawImage(labelOf(classNames[answer] ?? String(answer), inner, theme), x, y, inner, inner);
    }
    if (isChanged) glow(context, x, y, inner, isWrong ? theme.validation : theme.training);
  }
}

let labels:
  { side: number; dark: boolean; ratio: number; byText: Map<string, HTMLCanvasElement> } | undefined;

/** A tile with a text in its corner: outlined text is slow, and on a wall full of mistakes there are hundreds. */
function labelOf(text: string, side: number, theme: PlotTheme): HTMLCanvasElement {
  const ratio = Math.min(globalThis.devicePixelRatio || 1, 3);
  if (labels?.side !== side || labels.dark !== theme.dark || labels.ratio !== ratio) {
    labels = { side, dark: theme.dark, ratio, byText: new Map() };
  }
  const known = labels.byText.get(text);
  if (known) return known;
  const canvas = document.createElement('canvas');
  canvas.width = canvas.height = Math.ceil(side * ratio);
  const context = canvas.getContext('2d');
  if (context) {
    context.scale(canvas.width / side, canvas.width / side);
    context.font = `600 ${Math.max(9, Math.min(13, side * 0.36))}px ${theme.font}`;
    context.textAlign = 'right';
    context.lineWidth = 3;
    context.lineJoin = 'round';
    context.strokeStyle = theme.surface;
    context.strokeText(text, side - 2, side - 3, side);
    context.fillStyle = theme.text;
    context.fillText(text, side - 2, side - 3, side);
  }
  labels.byText.set(text, canvas);
  return canvas;
}

function glow(context: CanvasRenderingContext2D, x: number, y: number, side: number, color: string): void {
  context.strokeStyle = color;
  context.globalAlpha = 0.4;
  context.lineWidth = glowWidth;
  context.strokeRect(x, y, side, side);
  context.globalAlpha = 1;
  context.lineWidth = 2.5;
  context.strokeRect(x + 1, y + 1, side - 2, side - 2);
}

const sheetColumns = 20;
let lastSheet: { pixels: Uint8Array; dark: boolean; canvas: HTMLCanvasElement } | undefined;

/** All images on one canvas, so that drawing them again costs nothing. */
function sheetOf(images: WallImages, theme: PlotTheme): HTMLCanvasElement {
  const { pixels, count, channels, height, width } = images;
  if (lastSheet?.pixels === pixels && lastSheet.dark === theme.dark) return lastSheet.canvas;
  const canvas = document.createElement('canvas');
  canvas.width = sheetColumns * width;
  canvas.height = Math.ceil(count / sheetColumns) * height;
  const context = canvas.getContext('2d');
  const size = channels * height * width;
  for (let i = 0; i < count; ++i) {
    const picture = { pixels: pixels.subarray(i * size, (i + 1) * size), channels, height, width };
    context?.putImageData(
      toImage(picture, theme),
      (i % sheetColumns) * width,
      Math.floor(i / sheetColumns) * height,
    );
  }
  lastSheet = { pixels, dark: theme.dark, canvas };
  return canvas;
}
