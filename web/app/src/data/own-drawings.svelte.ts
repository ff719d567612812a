// Drawings of the visitor's own classes: kept in this browser, and made a dataset.

import { t } from '../i18n/index.svelte';
import { keepValue, readKept } from '../storage';
import { vary } from './drawn/vary';
import { idxFiles, pick, splitPlaces, type Batch } from './idx';
import type { ReadDataset } from './source';

interface Drawing {
  className: string;
  pixels: Uint8Array;
}

const key = 'drawings';
export const drawingSide = 28;
/** Of a class: one is for the test. */
export const fewestDrawings = 3;
/** Of each drawing that is trained on. */
const variants = 40;

class OwnDrawings {
  drawings = $state.raw<Drawing[]>([]);

  constructor() {
    void readKept<Drawing[]>(key).then(
      (kept) => (this.drawings = [...(kept ?? []), ...this.drawings]),
      () => {},
    );
  }

  get classes(): { name: string; count: number }[] {
    const names = [...new Set(this.drawings.map(({ className }) => className))];
    return names.map((name) => ({
      name,
      count: this.drawings.filter(({ className }) => className === name).length,
    }));
  }

  get isEnough(): boolean {
    return this.classes.length > 1 && this.classes.every(({ count }) => count >= fewestDrawings);
  }

  add(className: string, pixels: Uint8Array): void {
    this.#set([...this.drawings, { className, pixels: pixels.slice() }]);
  }

  remove(name: string): void {
    this.#set(this.drawings.filter(({ className }) => className !== name));
  }

  /** The test split is of drawings that no image of the training was made from. */
  dataset(): ReadDataset & { id: string; name: string } {
    const classNames = this.classes.map(({ name }) => name);
    const plane = drawingSide * drawingSide;
    const batch: Batch = {
      channels: 1,
      height: drawingSide,
      width: drawingSide,
      pixels: new Uint8Array(this.drawings.length * plane),
      labels: this.drawings.map(({ className }) => classNames.indexOf(className)),
    };
    this.drawings.forEach(({ pixels }, i) => batch.pixels.set(pixels, i * plane));
    const { train, test } = splitPlaces(batch.labels);
    return {
      id: 'own-drawings',
      name: t.data.ownDrawings,
      files: [
        ...idxFiles('train', [vary(pick(batch, train), variants)]),
        ...idxFiles('t10k', [pick(batch, test)]),
      ],
      classNames,
    };
  }

  #set(drawings: Drawing[]): void {
    this.drawings = drawings;
    // A browser without storage has them for this visit.
    void keepValue(key, drawings).catch(() => {});
  }
}

export const ownDrawings = new OwnDrawings();
