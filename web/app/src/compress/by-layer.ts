// What an option says of single layers: "conv1:8,fc:float". Text, so that options are compared, kept in addresses and
// given to pipelines as all others are.

import type { Value } from './cards';

export type ByLayer = ReadonlyMap<string, string>;

export function readByLayer(option: Value | undefined): ByLayer {
  const parts = String(option ?? '')
    .split(',')
    .filter((part) => part.includes(':'));
  return new Map(
    parts.map((part) => {
      const colon = part.indexOf(':');
      return [decodeURIComponent(part.slice(0, colon)), part.slice(colon + 1)];
    }),
  );
}

/** Names of layers may have any letters. */
export const writeByLayer = (values: ByLayer): string =>
  [...values].map(([layer, value]) => `${encodeURIComponent(layer)}:${value}`).join(',');

/** The option with one layer's value; undefined: that layer is as all others. */
export function withLayer(option: Value | undefined, layer: string, value: string | undefined): string {
  const values = new Map(readByLayer(option));
  if (value === undefined) values.delete(layer);
  else values.set(layer, value);
  return writeByLayer(values);
}

/** As pipelines have it: "conv1=8,fc=float". */
export const toPassText = (option: Value | undefined): string =>
  [...readByLayer(option)].map(([layer, value]) => `${layer}=${value}`).join(',');

export function fromPassText(text: string): string {
  const parts = text.split(',').filter((part) => part.includes('='));
  return writeByLayer(new Map(parts.map((part) => part.split('=') as [string, string])));
}
