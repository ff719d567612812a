// The files that a side can be taken away as.

import type { FileFormatName } from 'espalier';
import { comparison, type SideName } from '../compress/comparison.svelte';
import { toPipeline } from '../compress/stack';
import { offer } from '../offer';
import { snapshot } from '../plots/snapshot';
import { slug } from '../recognise';
import { session } from '../session.svelte';
import { reportAsCsv, reportAsJson } from './report';

/** In this order; only those that the engine writes are offered. */
export const formats = ['espalier', 'safetensors', 'onnx', 'c'] as const satisfies FileFormatName[];

/** Of a network, without ending. */
export const baseName = (): string => `espalier-${slug(session.modelName)}`;
/** What the recipes start from. */
export const originalName = (): string => `${baseName()}-original.safetensors`;

export async function saveSide(side: SideName, format: FileFormatName): Promise<void> {
  const result = comparison.results[side];
  const row = session.catalog?.fileFormats.find(({ name }) => name === format);
  if (!result || !row) return;
  const notes = {
    labels: session.handles?.dataset.info.classNames ?? [],
    pipeline: toPipeline(comparison.stacks[side], session.pipeline),
  };
  // The very bytes that the footer counts.
  const bytes = format === 'espalier' ? result.file : (await result.model.saveAs(format, notes)).bytes;
  offer(bytes, `${baseName()}${row.extension}`);
}

export async function saveOriginal(): Promise<void> {
  const bytes = await session.handles?.model.save();
  if (bytes) offer(bytes, originalName());
}

/** The network as it stands, with its accuracy in the file's name. */
export async function saveModel(): Promise<void> {
  try {
    const bytes = await session.handles?.model.save();
    if (!bytes) return;
    const accuracy = session.judging.testAccuracy ?? session.run.validationAccuracy;
    const figure = accuracy === undefined ? '' : `-${(100 * accuracy).toFixed(1)}`;
    offer(bytes, `${baseName()}-${slug(session.datasetId)}${figure}.safetensors`);
  } catch (error) {
    session.report(error);
  }
}

export const saveJson = (): void => offer(reportAsJson(), `${baseName()}-report.json`);
export const saveCsv = (): void => offer(reportAsCsv(), `${baseName()}-report.csv`);

/** Of what an element shows; `name` says what that is. */
export async function savePicture(element: HTMLElement, name: string): Promise<void> {
  const blob = await new Promise<Blob | null>((resolve) => snapshot(element).toBlob(resolve));
  if (blob) offer(new Uint8Array(await blob.arrayBuffer()), `${baseName()}-${name}.png`);
}
