// ConvNetJS, from 2014: plain JavaScript, an image at a time. Its volumes are [y][x][channel].

import convnetjs, { type Layer as BuiltLayer, type Net, type Vol } from 'convnetjs';
import { Batches } from '../batches';
import type { Loaded, Runner, Setup } from '../contestant';
import { channelsLast, layersOf, type Layer, type Shape } from '../layers';

export async function load(): Promise<Loaded> {
  return { start };
}

async function start(setup: Setup): Promise<Runner> {
  const { batch, learningRate, momentum, network } = setup;
  const { channels, height, width } = network.spec.input;
  const { classes } = network.spec;
  const layers = layersOf(network);
  const net = build(layers, { channels, height, width });
  const trainer = new convnetjs.Trainer(net, {
    method: 'sgd',
    batch_size: batch,
    learning_rate: learningRate,
    momentum,
  });
  const batches = new Batches(setup);
  const size = channels * height * width;
  const volume: Vol = new convnetjs.Vol(width, height, channels, 0);
  const show = (floats: Float32Array, image: number) => {
    for (let k = 0; k < size; ++k) volume.w[k] = floats[image * size + k]!;
    return volume;
  };
  return {
    async train(steps) {
      for (let step = 0; step < steps; ++step) {
        const { floats, labels } = batches.next();
        for (let i = 0; i < batch; ++i) trainer.train(show(floats, i), labels[i]!);
      }
    },
    async infer({ floats, count }) {
      const result = new Float32Array(count * classes);
      for (let i = 0; i < count; ++i) result.set(net.forward(show(floats, i)).w, i * classes);
      return result;
    },
    dispose: async () => {},
  };
}

function build(layers: Layer[], input: Shape): Net {
  const net = new convnetjs.Net();
  const rows = layers.map((layer, index) => {
    const activation = (layer.type !== 'pool' && layer.relu && 'relu') || undefined;
    switch (layer.type) {
      case 'conv':
        return {
          type: 'conv',
          sx: layer.kernel,
          filters: layer.output.channels,
          stride: 1,
          pad: layer.padding,
          activation,
        };
      case 'pool':
        return { type: 'pool', sx: layer.kernel, stride: layer.kernel };
      case 'dense':
        // A softmax layer brings its dense layer along.
        return index === layers.length - 1
          ? { type: 'softmax', num_classes: layer.units }
          : { type: 'fc', num_neurons: layer.units, activation };
    }
  });
  net.makeLayers([
    { type: 'input', out_sx: input.width, out_sy: input.height, out_depth: input.channels },
    ...rows,
  ]);
  const weighted = net.layers.filter((layer): layer is Required<BuiltLayer> => layer.filters !== undefined);
  layers
    .filter((layer) => layer.type !== 'pool')
    .forEach((layer, index) => {
      const target = weighted[index];
      if (!target) throw new Error('ConvNetJS built other layers than it was asked for.');
      const window =
        layer.type === 'conv' ? { ...layer.input, height: layer.kernel, width: layer.kernel } : layer.input;
      const outputs = layer.bias.data.length;
      const values = channelsLast(layer.weight.data, outputs, window);
      const each = values.length / outputs;
      target.filters.forEach((filter, out) => fill(filter, values.subarray(out * each, (out + 1) * each)));
      fill(target.biases, layer.bias.data);
    });
  return net;
}

function fill(volume: Vol, values: Float32Array): void {
  values.forEach((value, index) => (volume.w[index] = value));
}
