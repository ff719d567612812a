// A network's layers as a short text, for the address: "conv1:conv,out_channels=8,kernel=3;relu1:relu;fc:dense,units=classes".
// Layers in order with a ; between them; of each its name, a colon, its type, and its fields as in the engine's JSON. A list
// has colons between its values: kernel=3:5, or inputs=relu1:relu2. Whether the network is possible is for the engine to say.

import type { Layer, Layers } from './layers';

const mostLayers = 200;
const mostLetters = 12_000;
const word = /^[\w.-]{1,60}$/;
const number = /^-?\d+(\.\d+)?(e-?\d+)?$/;

export type FieldValue = string | number | boolean;

/** Fields by name, so that equal networks have one text. What has no place in it, such as the grids of quantized weights, is left out. */
export function toText(layers: Layers): string {
  return layers
    .map(({ type, name, ...fields }) => {
      const items = Object.entries(fields)
        .sort(([a], [b]) => (a < b ? -1 : 1))
        .map(([field, value]) => `${field}=${fieldText(value)}`);
      return [`${name}:${type}`, ...items.filter((item) => !item.endsWith('='))].join(',');
    })
    .join(';');
}

/** Undefined: this is no network, or one with two layers of one name. */
export function fromText(text: string): Layers | undefined {
  if (text.length > mostLetters) return undefined;
  const layers = text.split(';').map(layerOf);
  const names = new Set(layers.map((layer) => layer?.name));
  if (names.size < layers.length || layers.length > mostLayers) return undefined;
  return layers.every((layer) => layer !== undefined) ? layers : undefined;
}

function layerOf(text: string): Layer | undefined {
  const [head = '', ...items] = text.split(',');
  const [name = '', type = '', ...rest] = head.split(':');
  if (!word.test(name) || !word.test(type) || rest.length > 0) return undefined;
  const fields: [string, unknown][] = [];
  for (const item of items) {
    const [field = '', value = '', ...more] = item.split('=');
    const isOwn = field !== 'type' && field !== 'name' && word.test(field);
    const read = readField(field, value);
    if (!isOwn || read === undefined || more.length > 0) return undefined;
    fields.push([field, read]);
  }
  return { type, name, ...Object.fromEntries(fields) };
}

/** As it is written and typed. */
export function fieldText(value: unknown): string {
  if (Array.isArray(value)) return value.map(String).join(':');
  return isValue(value) ? String(value) : '';
}

const isValue = (value: unknown): value is FieldValue =>
  ['string', 'number', 'boolean'].includes(typeof value);

export function readField(field: string, text: string): FieldValue | FieldValue[] | undefined {
  const values = text.split(':').map((part) => (field === 'inputs' ? name(part) : valueOf(part)));
  if (!values.every((value) => value !== undefined)) return undefined;
  return values.length === 1 && field !== 'inputs' ? values[0] : values;
}

const name = (text: string): string | undefined => (word.test(text) ? text : undefined);

function valueOf(text: string): FieldValue | undefined {
  if (text === 'true' || text === 'false') return text === 'true';
  if (number.test(text)) return Number.isFinite(Number(text)) ? Number(text) : undefined;
  return name(text);
}
