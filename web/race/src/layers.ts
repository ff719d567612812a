// A model spec of Espalier as what the libraries need to build the same: layers in a row, with their sizes.

import type { ModelSpec } from 'espalier';
import type { Network, Parameter } from './contestant';

export interface Shape {
  channels: number;
  height: number;
  width: number;
}

export type Layer =
  | {
      type: 'conv';
      name: string;
      weight: Parameter;
      bias: Parameter;
      input: Shape;
      output: Shape;
      kernel: number;
      padding: number;
      relu: boolean;
    }
  | { type: 'pool'; name: string; input: Shape; output: Shape; kernel: number }
  | {
      type: 'dense';
      name: string;
      weight: Parameter;
      bias: Parameter;
      input: Shape;
      units: number;
      relu: boolean;
    };

/** Throws for what the race has no use for. */
export function layersOf({ spec, parameters }: Network): Layer[] {
  const layers: Layer[] = [];
  let shape: Shape = { channels: spec.input.channels, height: spec.input.height, width: spec.input.width };
  const parameter = (name: string): Parameter => {
    const found = parameters[name];
    if (!found) throw new Error(`${name} is missing`);
    return found;
  };
  for (const { type, name = '', ...fields } of spec.layers) {
    const last = layers.at(-1);
    if (type === 'relu' && last && last.type !== 'pool') {
      last.relu = true;
    } else if (type === 'conv') {
      const kernel = fields.kernel as number;
      const padding = paddingOf(fields.padding, kernel);
      const output = {
        channels: fields.out_channels as number,
        height: shape.height + 2 * padding - kernel + 1,
        width: shape.width + 2 * padding - kernel + 1,
      };
      const [weight, bias] = [parameter(`${name}.weight`), parameter(`${name}.bias`)];
      layers.push({ type, name, weight, bias, input: shape, output, kernel, padding, relu: false });
      shape = output;
    } else if (type === 'max_pool') {
      const kernel = fields.kernel as number;
      const output = { ...shape, height: shape.height / kernel, width: shape.width / kernel };
      layers.push({ type: 'pool', name, input: shape, output, kernel });
      shape = output;
    } else if (type === 'dense') {
      const [weight, bias] = [parameter(`${name}.weight`), parameter(`${name}.bias`)];
      const units = bias.data.length;
      layers.push({ type, name, weight, bias, input: shape, units, relu: false });
      shape = { channels: units, height: 1, width: 1 };
    } else if (type !== 'flatten') {
      throw new Error(`A layer of type "${type}" has no place in the race.`);
    }
  }
  return layers;
}

function paddingOf(padding: unknown, kernel: number): number {
  if (padding === 'same') return (kernel - 1) / 2;
  if (padding === undefined || padding === 'valid') return 0;
  const [first, ...others] = [padding].flat();
  if (typeof first === 'number' && others.every((other) => other === first)) return first;
  throw new Error(`Padding ${JSON.stringify(padding)} has no place in the race.`);
}

export function imageSize({ input }: ModelSpec): number {
  return input.channels * input.height * input.width;
}

/** What Espalier makes of a byte: (byte / 255 - mean) / deviation. One channel. */
export function floatsOf({ input }: ModelSpec): Float32Array {
  const [mean = 0] = input.mean ?? [];
  const [deviation = 1] = input.standard_deviation ?? [];
  return Float32Array.from({ length: 256 }, (_, byte) => (byte / 255 - mean) / deviation);
}

/** [out][channel][y][x] becomes [out][y][x][channel], for libraries whose channels lie innermost. */
export function channelsLast(
  data: Float32Array,
  outputs: number,
  { channels, height, width }: Shape,
): Float32Array {
  const pixels = height * width;
  const result = new Float32Array(data.length);
  for (let out = 0; out < outputs; ++out) {
    for (let channel = 0; channel < channels; ++channel) {
      for (let pixel = 0; pixel < pixels; ++pixel) {
        result[(out * pixels + pixel) * channels + channel] =
          data[(out * channels + channel) * pixels + pixel] ?? 0;
      }
    }
  }
  return result;
}
