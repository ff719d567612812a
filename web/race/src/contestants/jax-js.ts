// jax-js on its wasm backend. Whoever passes an array on gives it away; `ref` keeps one more hold on it.

import './no-pool';
import { defaultDevice, init, jit, lax, nn, numpy as np, valueAndGrad } from '@jax-js/jax';
import { Batches } from '../batches';
import type { Loaded, Runner, Setup } from '../contestant';
import { layersOf, type Layer } from '../layers';

type Weights = np.Array[];

export async function load(): Promise<Loaded> {
  const found = await init('wasm');
  if (!found.includes('wasm')) throw new Error('jax-js could not start its wasm backend.');
  defaultDevice('wasm');
  return { start };
}

async function start(setup: Setup): Promise<Runner> {
  const { batch, learningRate, momentum, network } = setup;
  const { channels, height, width } = network.spec.input;
  const layers = layersOf(network);
  let weights: Weights = layers.flatMap((layer) =>
    layer.type === 'pool'
      ? []
      : [arrayOf(layer.weight.data, layer.weight.shape), arrayOf(layer.bias.data, layer.bias.shape)],
  );
  let velocities: Weights = weights.map((weight) => np.zeros(weight.shape));
  const batches = new Batches(setup);

  const loss = (parameters: Weights, images: np.Array, targets: np.Array) =>
    nn
      .logSoftmax(forward(layers, parameters, images))
      .mul(targets)
      .sum()
      .mul(-1 / batch);
  const step = jit((parameters: Weights, speeds: Weights, images: np.Array, targets: np.Array) => {
    const [value, gradients] = valueAndGrad(loss)(
      parameters.map((each) => each.ref),
      images,
      targets,
    );
    value.dispose();
    const newSpeeds = speeds.map((speed, i) => speed.mul(momentum).add(gradients[i]!));
    const newParameters = parameters.map((each, i) => each.sub(newSpeeds[i]!.ref.mul(learningRate)));
    return [newParameters, newSpeeds] as [Weights, Weights];
  });
  const predict = jit((parameters: Weights, images: np.Array) =>
    nn.softmax(forward(layers, parameters, images)),
  );

  return {
    async train(steps) {
      for (let i = 0; i < steps; ++i) {
        const { floats, labels } = batches.next();
        const images = arrayOf(floats, [batch, channels, height, width]);
        const targets = arrayOf(oneHot(labels, network.spec.classes), [batch, network.spec.classes]);
        [weights, velocities] = step(weights, velocities, images, targets);
      }
      // Work may be under way until somebody asks for a number.
      await weights.at(-1)?.ref.data();
    },
    async infer({ floats, count }) {
      const images = arrayOf(floats, [count, channels, height, width]);
      return (await predict(
        weights.map((weight) => weight.ref),
        images,
      ).data()) as Float32Array;
    },
    async dispose() {
      for (const array of [...weights, ...velocities]) array.dispose();
    },
  };
}

function arrayOf(data: Float32Array, shape: number[]): np.Array {
  return np.array(data.slice()).reshape(shape);
}

function oneHot(labels: Int32Array, classes: number): Float32Array {
  const result = new Float32Array(labels.length * classes);
  labels.forEach((label, i) => (result[i * classes + label] = 1));
  return result;
}

function forward(layers: Layer[], parameters: Weights, images: np.Array): np.Array {
  let x = images;
  let next = 0;
  for (const layer of layers) {
    if (layer.type === 'pool') {
      const { channels, height, width } = layer.output;
      const { kernel } = layer;
      // Windows that do not overlap are two axes of the reshaped array.
      x = x.reshape([-1, channels, height, kernel, width, kernel]).max([3, 5]);
      continue;
    }
    const weight = parameters[next++]!;
    const bias = parameters[next++]!;
    if (layer.type === 'conv') {
      const padding: [number, number] = [layer.padding, layer.padding];
      x = lax.convGeneralDilated(x, weight, [1, 1], [padding, padding]).add(bias.reshape([1, -1, 1, 1]));
    } else {
      x = np.matmul(x.reshape([-1, weight.shape[1]!]), weight.transpose()).add(bias);
    }
    if (layer.relu) x = nn.relu(x);
  }
  return x;
}
