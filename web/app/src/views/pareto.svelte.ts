// A sweep over sparsity and bits in the background: each pipeline is run and measured, its figures appear as they come.

import { EspalierError, type Sweep, type SweepGrid, type SweepLine } from 'espalier';
import { newCard, toStep } from '../compress/stack';
import { session } from '../session.svelte';
import { untilStanding } from './standing';

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
  progress = $state.raw<{ done: number; total: number; seconds: number | undefined }>();
  error = $state('');
  #sweep: Sweep | undefined;
  #measured = $state.raw<Point[]>([]);
  /** What they were measured of. */
  #version = $state(-1);

  /** Those of these weights. */
  get points(): Point[] {
    return this.#version === session.weightsVersion ? this.#measured : [];
  }

  async start(): Promise<void> {
    const { handles } = session;
    if (!handles || this.progress) return;
    this.error = '';
    this.progress = { done: 0, total: 1, seconds: undefined };
    await untilStanding();
    if (this.#version !== session.weightsVersion) this.#measured = [];
    this.#version = session.weightsVersion;
    try {
      const sweep = (this.#sweep = handles.model.sweep(handles.dataset, gridOf(), { lines: this.#measured }));
      for await (const event of sweep) {
        if (event.type === 'line') this.#add(event.line);
        else this.progress = { done: event.done, total: event.total, seconds: event.etaSeconds };
      }
    } catch (error) {
      if (!(error instanceof EspalierError && error.code === 'aborted')) {
        this.error = error instanceof Error ? error.message : String(error);
      }
    } finally {
      this.progress = undefined;
    }
  }

  /** What was measured is kept, and not measured again. */
  stop(): void {
    void this.#sweep?.abort().catch(() => {});
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
