// What was measured of both sides, as data. What has not been measured yet is absent.

import { comparison, type SideName } from '../compress/comparison.svelte';
import { toPipeline } from '../compress/stack';
import { session } from '../session.svelte';

interface LayerRow {
  layer: string;
  type: string;
  format: string;
  /** Packed, in memory. */
  bytes: number;
  macs: number;
  density: number;
  microseconds?: number | undefined;
}

function layersOf(side: SideName): LayerRow[] {
  const result = comparison.results[side];
  if (!result) return [];
  return result.packed.layers.map(({ layer, type, format, bytes, macs, density }) => ({
    layer,
    type,
    format,
    bytes,
    macs,
    density,
    microseconds: result.time?.layers.find((one) => one.layer === layer)?.microseconds,
  }));
}

function reportOf(side: SideName) {
  const result = comparison.results[side];
  return {
    pipeline: toPipeline(comparison.stacks[side]),
    file_bytes: result?.file.length,
    test_accuracy: result?.evaluation?.accuracy,
    test_loss: result?.evaluation?.loss,
    microseconds_per_image: result?.time?.microsecondsPerImage,
    layers: layersOf(side),
  };
}

export function reportAsJson(): string {
  const { engine, dataset } = session;
  const report = {
    engine: engine && { version: engine.version, kernels: engine.kernels, threads_of_times: 1 },
    data: dataset && { name: dataset.name, test_images: dataset.counts.test },
    model: session.modelName,
    training: session.run.applied && { ...session.run.applied, steps: session.run.step },
    left: reportOf('left'),
    right: reportOf('right'),
    changed_answers: comparison.changedCount,
  };
  return `${JSON.stringify(report, undefined, 2)}\n`;
}

/** A row for each side's file, and one for each of its layers. */
export function reportAsCsv(): string {
  const rows: (string | number | undefined)[][] = [
    ['side', 'part', 'format', 'bytes', 'macs', 'density', 'microseconds', 'test_accuracy'],
  ];
  for (const side of ['left', 'right'] as const) {
    const { file_bytes, test_accuracy, microseconds_per_image, layers } = reportOf(side);
    rows.push([side, 'file', 'espalier', file_bytes, '', '', microseconds_per_image, test_accuracy]);
    for (const { layer, format, bytes, macs, density, microseconds } of layers) {
      rows.push([side, layer, format, bytes, macs, density, microseconds, '']);
    }
  }
  return `${rows.map((row) => row.join()).join('\n')}\n`;
}
