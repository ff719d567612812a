// A folder, or a ZIP archive, of pictures: the folder that a picture is in is its class. Pictures of one small size
// stay as they are; others are cut square around the middle and made as large as CIFAR-10's.

import { t } from '../i18n/index.svelte';
import { PageError } from '../page-error';
import { idxSplits } from './idx';
import type { NamedBlob, ReadDataset } from './source';

const maxSide = 64;
const usualSide = 32;

export const isPicture = ({ name }: NamedBlob): boolean => /\.(png|jpe?g|webp|gif|bmp|avif)$/i.test(name);

export async function readPictures(files: readonly NamedBlob[], name: string): Promise<ReadDataset> {
  const pictures = files.filter(isPicture).map((file) => ({ ...file, folder: folderOf(file.name) }));
  const classNames = [...new Set(pictures.map(({ folder }) => folder))].sort(byName);
  if (classNames.length < 2) throw new PageError(t.notices.oneFolder(name));
  if (classNames.length > 256) throw new PageError(t.notices.manyFolders(name, classNames.length));
  const single = classNames.find((one) => pictures.filter(({ folder }) => folder === one).length < 2);
  if (single !== undefined) throw new PageError(t.notices.fewPictures(name, single));
  pictures.sort((a, b) => byName(a.name, b.name));
  const { width, height } = await sizeOf(pictures);
  const plane = width * height;
  const rgba = new Uint8Array(4 * plane * pictures.length);
  for (const [i, picture] of pictures.entries())
    rgba.set(await decode(picture, width, height), 4 * plane * i);
  const channels = isGrey(rgba) ? 1 : 3;
  const pixels = planes(rgba, channels, plane);
  const labels = pictures.map(({ folder }) => classNames.indexOf(folder));
  return { files: idxSplits({ channels, height, width, pixels, labels }), classNames };
}

/** 2 before 10. */
const byName = new Intl.Collator('en', { numeric: true }).compare;

const folderOf = (path: string): string => path.split('/').at(-2) ?? '';

async function open({ name, data }: NamedBlob): Promise<ImageBitmap> {
  try {
    return await createImageBitmap(data);
  } catch {
    throw new PageError(t.notices.noPicture(name));
  }
}

async function sizeOf(pictures: readonly NamedBlob[]): Promise<{ width: number; height: number }> {
  let size: { width: number; height: number } | undefined;
  for (const picture of pictures) {
    const { width, height } = await open(picture);
    const isSame = !size || (size.width === width && size.height === height);
    if (!isSame || Math.max(width, height) > maxSide) return { width: usualSide, height: usualSide };
    size = { width, height };
  }
  return size ?? { width: usualSide, height: usualSide };
}

let sheet: CanvasRenderingContext2D | undefined;

async function decode(picture: NamedBlob, width: number, height: number): Promise<Uint8ClampedArray> {
  const bitmap = await open(picture);
  sheet ??= document.createElement('canvas').getContext('2d', { willReadFrequently: true }) ?? undefined;
  if (!sheet) throw new PageError(t.notices.noCanvas);
  Object.assign(sheet.canvas, { width, height });
  sheet.imageSmoothingQuality = 'high';
  const cut = Math.min(bitmap.width / width, bitmap.height / height);
  const [across, down] = [width * cut, height * cut];
  const [left, top] = [(bitmap.width - across) / 2, (bitmap.height - down) / 2];
  sheet.drawImage(bitmap, left, top, across, down, 0, 0, width, height);
  bitmap.close();
  return sheet.getImageData(0, 0, width, height).data;
}

function isGrey(rgba: Uint8Array): boolean {
  for (let i = 0; i < rgba.length; i += 4) {
    if (rgba[i] !== rgba[i + 1] || rgba[i] !== rgba[i + 2]) return false;
  }
  return true;
}

function planes(rgba: Uint8Array, channels: number, plane: number): Uint8Array<ArrayBuffer> {
  const images = new Uint8Array((rgba.length / 4) * channels);
  for (let i = 0; i < images.length; ++i) {
    const [image, inside] = [Math.floor(i / (channels * plane)), i % (channels * plane)];
    const pixel = image * plane + (inside % plane);
    images[i] = rgba[4 * pixel + Math.floor(inside / plane)] ?? 0;
  }
  return images;
}
