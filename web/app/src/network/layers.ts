// The layers of a network that is being edited: plain data, changed by making new lists. Every layer has a name of its own.

import type { Catalog, DatasetInfo, LayerInspection, LayerSpec, ModelSpec } from 'espalier';

export type Layer = LayerSpec & { name: string };
export type Layers = readonly Layer[];

/** How a new layer starts, where its defaults would not do. */
const fresh: Record<string, Record<string, unknown>> = {
  conv: { out_channels: 16, kernel: 3, padding: 'same' },
  dense: { units: 64 },
  max_pool: { kernel: 2 },
  avg_pool: { kernel: 2 },
};

/** Of a type, with the first name that is free. */
export function newLayer(type: string, layers: Layers): Layer {
  let number = 1;
  while (layers.some(({ name }) => name === `${type}${number}`)) number += 1;
  return { type, name: `${type}${number}`, ...fresh[type] };
}

/** After the layer `name`; what is last stays last, because it gives the classes. */
export function added(layers: Layers, layer: Layer, name: string): Layers {
  const at = layers.findIndex((one) => one.name === name) + 1 || layers.length;
  const to = Math.min(at, Math.max(0, layers.length - 1));
  return [...layers.slice(0, to), layer, ...layers.slice(to)];
}

/** Those that took its output take its input. */
export function without(layers: Layers, name: string): Layers {
  const at = layers.findIndex((layer) => layer.name === name);
  const source = layers[at]?.inputs?.[0] ?? before(layers, at);
  return layers
    .filter((layer) => layer.name !== name)
    .map((layer) =>
      layer.inputs?.includes(name)
        ? { ...layer, inputs: layer.inputs.map((input) => (input === name ? source : input)) }
        : layer,
    );
}

/** The name of what a layer without `inputs` takes. */
export const before = (layers: Layers, at: number): string => layers[at - 1]?.name ?? 'input';

export function moved(layers: Layers, name: string, to: number): Layers {
  const layer = layers.find((one) => one.name === name);
  if (!layer) return layers;
  const rest = layers.filter((one) => one !== layer);
  return [...rest.slice(0, to), layer, ...rest.slice(to)];
}

/** A field that is undefined is not given. */
export function changed(layers: Layers, name: string, field: string, value: unknown): Layers {
  return layers.map((layer) => {
    if (layer.name !== name) return layer;
    const fields = Object.entries({ ...layer, [field]: value });
    return Object.fromEntries(fields.filter(([, one]) => one !== undefined)) as Layer;
  });
}

/** For a new sum or concatenation behind `name`: that, and the last layer before it that it fits. */
export function partners(type: string, name: string, known: readonly LayerInspection[]): string[] {
  const at = known.findIndex((layer) => layer.name === name);
  const shape = known[at]?.shape;
  // A concatenation may have any number of channels from each.
  const from = type === 'concat' ? 1 : 0;
  const fits = (other: LayerInspection) =>
    other.shape.slice(from).every((extent, i) => extent === shape?.[i + from]);
  const partner = known.slice(0, Math.max(0, at)).findLast(fits);
  return [name, partner?.name ?? known[at]?.inputs[0] ?? 'input'];
}

/** For images and classes of these data. */
export function specOf(layers: Layers, name: string, data: DatasetInfo): ModelSpec {
  const { channels, height, width, classNames } = data;
  return {
    name,
    input: { channels, height, width },
    classes: classNames.length,
    layers: [...layers],
  };
}

/** The first layers as a network of their own, so that the engine says their shapes. */
export function beginning(layers: Layers, count: number): Layers {
  const head = { type: 'dense', name: newLayer('dense', layers).name, units: 'classes' };
  return [...layers.slice(0, count), head];
}

/** The layer that an error of the engine is about: "conv2.kernel", "layers[3].type" or "fc". */
export function placeOf(where: string, layers: Layers): number | undefined {
  const index = /^layers\[(\d+)\]/.exec(where)?.[1];
  if (index !== undefined) return Number(index);
  const at = layers.findIndex(({ name }) => where === name || where.startsWith(`${name}.`));
  return at < 0 ? undefined : at;
}

/** Whether a model has the layers of a preset: a slimmed one has not. */
export function isLike(model: ModelSpec, preset: ModelSpec): boolean {
  const sameFields = (layer: LayerSpec, like: LayerSpec) =>
    Object.entries(like).every(([field, value]) => typeof value !== 'number' || layer[field] === value);
  return (
    model.layers.length === preset.layers.length &&
    preset.layers.every((like, i) => {
      const layer = model.layers[i];
      return layer?.type === like.type && layer.name === like.name && sameFields(layer, like);
    })
  );
}

/** Of a model that was loaded: names that the address can hold, no defaults, and classes that follow the data. */
export function layersOf({ layers, classes }: ModelSpec, catalog: Catalog): Layers {
  const names = new Map<string, string>();
  return layers.map(({ type, name: given = type, inputs, ...fields }, i) => {
    const plain = given.replace(/[^\w.-]+/g, '_').slice(0, 50);
    const name = [...names.values()].includes(plain) ? `${plain}_${i + 1}` : plain;
    names.set(given, name);
    const known = catalog.layers.find((row) => row.name === type)?.fields ?? [];
    const said = Object.entries(fields).filter(
      ([field, value]) => !known.some((one) => one.name === field && one.default === value),
    );
    const layer = { type, name, ...Object.fromEntries(said) };
    if (i === layers.length - 1 && fields.units === classes) Object.assign(layer, { units: 'classes' });
    return inputs ? { ...layer, inputs: inputs.map((input) => names.get(input) ?? input) } : layer;
  });
}
