// The curves' numbers. Old points are merged in pairs, so that a long training stays quick to draw.

import type { TrainingEpoch, TrainingProgress } from 'espalier';

export interface Point {
  epoch: number;
  loss: number;
  accuracy: number;
  gradientNorm: number;
  /** Training steps that this point is the mean of. */
  weight: number;
}
/** What is measured at every step. */
export type Quantity = 'loss' | 'accuracy' | 'gradientNorm';

export interface EpochPoint {
  epoch: number;
  loss: number;
  accuracy: number;
}

/** All that is known, to be kept and taken up again. */
export interface HistoryState {
  points: Point[];
  validation: EpochPoint[];
  start: number;
  step: number;
}

const maxPoints = 1200;
/** Of the smoothed curve: how many epochs it looks back. */
const memory = 0.15;

export class History {
  points: Point[] = [];
  validation: EpochPoint[] = [];
  #start = 0;
  #step = 0;

  clear(): void {
    this.points = [];
    this.validation = [];
    this.#start = 0;
    this.#step = 0;
  }

  state(): HistoryState {
    return {
      points: [...this.points],
      validation: [...this.validation],
      start: this.#start,
      step: this.#step,
    };
  }

  /** The training that was under way goes on. */
  restore({ points, validation, start, step }: HistoryState): void {
    this.points = [...points];
    this.validation = [...validation];
    this.#start = start;
    this.#step = step;
  }

  /** The next training counts its epochs from zero; here they follow the last one. */
  continueFrom(): void {
    this.#start = this.points.at(-1)?.epoch ?? 0;
    this.#step = 0;
  }

  addProgress({ epoch, loss, accuracy, gradientNorm, step }: TrainingProgress): void {
    const weight = Math.max(1, step - this.#step);
    const point = { epoch: this.#start + epoch, loss, accuracy, gradientNorm, weight };
    this.#step = step;
    const last = this.points.at(-1);
    // The few steps before an epoch's end would be a spike of noise beside their neighbours.
    if (last && 3 * point.weight < last.weight) this.points[this.points.length - 1] = mean(last, point);
    else this.points.push(point);
    if (this.points.length > maxPoints) this.points = mergePairs(this.points);
  }

  addEpoch({ epoch, validationLoss, validationAccuracy }: TrainingEpoch): void {
    if (validationLoss === undefined || validationAccuracy === undefined) return;
    this.validation.push({ epoch: this.#start + epoch, loss: validationLoss, accuracy: validationAccuracy });
  }

  /** Exponential moving average over epochs, with the bias of its start taken out. */
  smoothed(field: Quantity): number[] {
    let mean = 0;
    let mass = 0;
    let before = 0;
    return this.points.map((point) => {
      const keep = Math.exp(-Math.max(point.epoch - before, 1e-6) / memory);
      before = point.epoch;
      mean = keep * mean + (1 - keep) * point[field];
      mass = keep * mass + (1 - keep);
      return mean / mass;
    });
  }
}

/** At most `most` epochs: the running mean at their ends, and validation. */
export function atEpochs(history: History, field: Quantity, most: number): EpochRow[] {
  const { points, validation } = history;
  const means = history.smoothed(field);
  const epochs = Math.floor(points.at(-1)?.epoch ?? 0);
  const every = Math.ceil(epochs / most) || 1;
  const rows: EpochRow[] = [];
  for (let epoch = every; epoch <= epochs; epoch += every) {
    const mean = means[points.findLastIndex((point) => point.epoch <= epoch)];
    const seen = validation.find((point) => point.epoch === epoch);
    rows.push({ epoch, mean, validation: field === 'gradientNorm' ? undefined : seen?.[field] });
  }
  return rows;
}
export interface EpochRow {
  epoch: number;
  mean: number | undefined;
  validation: number | undefined;
}

function mergePairs(points: Point[]): Point[] {
  const merged: Point[] = [];
  for (let i = 0; i < points.length; i += 2) {
    const a = points[i];
    const b = points[i + 1];
    if (!a) break;
    merged.push(b ? mean(a, b) : a);
  }
  return merged;
}

function mean(a: Point, b: Point): Point {
  const weight = a.weight + b.weight;
  const blend = (x: number, y: number) => (x * a.weight + y * b.weight) / weight;
  return {
    epoch: b.epoch,
    loss: blend(a.loss, b.loss),
    accuracy: blend(a.accuracy, b.accuracy),
    gradientNorm: blend(a.gradientNorm, b.gradientNorm),
    weight,
  };
}
