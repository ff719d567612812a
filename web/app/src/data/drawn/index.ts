// Datasets that the page draws itself: ready without files.

import { letters } from './letters';
import { shapes } from './shapes';
import { drawDataset } from './strokes';

const seed = 1;

/** Their classes are letters, or named in i18n. */
export const drawnDatasets = {
  letters: () => drawDataset(Object.values(letters), 240, seed),
  shapes: () => drawDataset(shapes, 480, seed),
} as const;

export type DrawnId = keyof typeof drawnDatasets;
export const drawnIds = Object.keys(drawnDatasets) as DrawnId[];
export const isDrawn = (id: string): id is DrawnId => Object.hasOwn(drawnDatasets, id);

export const letterNames: string[] = Object.keys(letters);
