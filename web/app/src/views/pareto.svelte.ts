// A sweep over sparsity and bits in the background: each pipeline is run and measured, its figures appear as they come.

import type { SweepGrid, SweepLine } from 'espalier';
import { newCard, toStep } from '../compress/stack';
import { session } from '../session.svelte';
import { Measurement } from './measurement.svelte';

/** A line with all of its figures. */
export type Point = SweepLine & { file_bytes: number; validation_accuracy: number };

const sparsities = [0.5, 0.7, 0.8, 0.9];
const bits = ['2', '3', '4', '6', '8'];

/** Bits, with and without pruning before. */
function gridOf(): SweepGrid {
  return {
    passes: [
      [{ ...toStep(newCard('prune')), sparsity: sparsities }, null],
      { ...toStep(newCard('quantize')), weights: bits },
    ],
  };
}

class Pareto {
  /** What was measured before a stop is kept, and not measured again. */
  readonly measurement = new Measurement();
  #measured = $state.raw<Point[]>([]);
  /** What they were measured of. */
  #version = $state(-1);

  /** Those of these weights. */
  get points(): Point[] {
    return this.#version === session.weightsVersion ? this.#measured : [];
  }

  start(): Promise<void> {
    return this.measurement.run(async (model, dataset, signal, show) => {
      if (this.#version !== session.weightsVersion) this.#measured = [];
      this.#version = session.weightsVersion;
      const sweep = model.sweep(dataset, gridOf(), { lines: this.#measured, signal });
      for await (const event of sweep) {
        if (event.type === 'line') this.#add(event.line);
        else show({ done: event.done, total: event.total, seconds: event.etaSeconds });
      }
    });
  }

  #add(line: SweepLine): void {
    const { file_bytes, validation_accuracy } = line;
    if (file_bytes === undefined || validation_accuracy === undefined) return;
    this.#measured = [...this.#measured, { ...line, file_bytes, validation_accuracy }];
  }

  /** Those that no other beats in both bytes and accuracy, the smallest first. */
  get front(): Point[] {
    const sorted = [...this.points].sort(
      (a, b) => a.file_bytes - b.file_bytes || b.validation_accuracy - a.validation_accuracy,
    );
    let best = -1;
    return sorted.filter(({ validation_accuracy }) => {
      const isBetter = validation_accuracy > best;
      best = Math.max(best, validation_accuracy);
      return isBetter;
    });
  }
}

export const pareto = new Pareto();
