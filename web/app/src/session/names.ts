// What datasets and their classes are called, in the visitor's language where it has a name for them.

import type { DatasetInfo } from 'espalier';
import { isDrawn, letterNames } from '../data/drawn';
import { builtInDigits, catalogue } from '../datasets';
import { t } from '../i18n/index.svelte';
import { library } from './library.svelte';

export function datasetNameOf(id: string, dataset: DatasetInfo | undefined): string {
  if (id === builtInDigits.id && dataset) return t.data.digits;
  if (isDrawn(id)) return t.data.drawn[id];
  return catalogue.find((one) => one.id === id)?.name ?? dataset?.name ?? '';
}

export function classNamesOf(id: string, dataset: DatasetInfo | undefined): string[] {
  const stored = library.stored.find((one) => one.id === id)?.classNames;
  const known = t.data.classNames[id] ?? sameEverywhere(id) ?? stored;
  const own = dataset?.classNames ?? [];
  return known?.length === own.length ? known : own;
}

/** Of classes that every language calls the same. */
function sameEverywhere(id: string): string[] | undefined {
  if (id === 'letters') return letterNames;
  return catalogue.find((dataset) => dataset.id === id)?.classNames;
}
