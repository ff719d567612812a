// TensorFlow.js on two of its backends. Channels lie innermost, as it wants them.

import '@tensorflow/tfjs-backend-cpu';
import '@tensorflow/tfjs-core/dist/register_all_gradients';
import { setThreadsCount, setWasmPaths } from '@tensorflow/tfjs-backend-wasm';
import * as tf from '@tensorflow/tfjs-core';
import plain from '@tensorflow/tfjs-backend-wasm/dist/tfjs-backend-wasm.wasm?url';
import simd from '@tensorflow/tfjs-backend-wasm/dist/tfjs-backend-wasm-simd.wasm?url';
import threaded from '@tensorflow/tfjs-backend-wasm/dist/tfjs-backend-wasm-threaded-simd.wasm?url';
import { Batches } from '../batches';
import type { Loaded, LoadOptions, Runner, Setup } from '../contestant';
import { channelsLast, layersOf, type Layer } from '../layers';

export async function loadWasm({ threads }: LoadOptions): Promise<Loaded> {
  const absolute = (url: string) => new URL(url, import.meta.url).href;
  setWasmPaths({
    'tfjs-backend-wasm.wasm': absolute(plain),
    'tfjs-backend-wasm-simd.wasm': absolute(simd),
    'tfjs-backend-wasm-threaded-simd.wasm': absolute(threaded),
  });
  tf.env().set('WASM_HAS_MULTITHREAD_SUPPORT', threads > 1);
  setThreadsCount(threads);
  return use('wasm');
}

export const loadCpu = () => use('cpu');

async function use(backend: string): Promise<Loaded> {
  if (!(await tf.setBackend(backend)))
    throw new Error(`TensorFlow.js could not start its ${backend} backend.`);
  return { start };
}

interface Built {
  layer: Layer;
  weight: tf.Variable;
  bias: tf.Variable;
}

async function start(setup: Setup): Promise<Runner> {
  const { batch, learningRate, momentum, network } = setup;
  const { channels, height, width } = network.spec.input;
  const layers = layersOf(network).map(build);
  const optimizer = tf.train.momentum(learningRate, momentum);
  const batches = new Batches(setup);
  // One channel, so [count][channels][height][width] is [count][height][width][channels] as it stands.
  const imagesTensor = (floats: Float32Array, count: number) =>
    tf.tensor4d(floats, [count, height, width, channels]);

  return {
    async train(steps) {
      for (let step = 0; step < steps; ++step) {
        const { floats, labels } = batches.next();
        tf.tidy(() => {
          const images = imagesTensor(floats, batch);
          const targets = tf.oneHot(tf.tensor1d(labels, 'int32'), network.spec.classes);
          optimizer.minimize(() => tf.losses.softmaxCrossEntropy(targets, forward(layers, images)));
        });
      }
      // Operations may be under way until somebody asks for a number.
      await layers.at(-1)?.bias.data();
    },
    async infer({ floats, count }) {
      const result = tf.tidy(() => tf.softmax(forward(layers, imagesTensor(floats, count))));
      const values = (await result.data()) as Float32Array;
      result.dispose();
      return values;
    },
    async dispose() {
      optimizer.dispose();
      for (const { weight, bias } of layers) tf.dispose([weight, bias]);
    },
  };
}

function build(layer: Layer): Built {
  if (layer.type === 'pool') {
    return { layer, weight: tf.variable(tf.scalar(0), false), bias: tf.variable(tf.scalar(0), false) };
  }
  const bias = tf.variable(tf.tensor1d(layer.bias.data.slice()));
  if (layer.type === 'conv') {
    const { kernel, input, output } = layer;
    const outHwc = channelsLast(layer.weight.data, output.channels, {
      ...input,
      height: kernel,
      width: kernel,
    });
    const weight = tf.tidy(() =>
      tf.transpose(tf.tensor4d(outHwc, [output.channels, kernel, kernel, input.channels]), [1, 2, 3, 0]),
    );
    return { layer, weight: tf.variable(weight), bias };
  }
  const outHwc = channelsLast(layer.weight.data, layer.units, layer.input);
  const weight = tf.tidy(() => tf.transpose(tf.tensor2d(outHwc, [layer.units, outHwc.length / layer.units])));
  return { layer, weight: tf.variable(weight), bias };
}

function forward(layers: Built[], images: tf.Tensor4D): tf.Tensor2D {
  let x: tf.Tensor = images;
  for (const { layer, weight, bias } of layers) {
    if (layer.type === 'conv') {
      x = tf.fused.conv2d({
        x: x as tf.Tensor4D,
        filter: weight as tf.Tensor4D,
        strides: 1,
        pad: layer.padding > 0 ? 'same' : 'valid',
        bias,
        activation: layer.relu ? 'relu' : 'linear',
      });
    } else if (layer.type === 'pool') {
      x = tf.maxPool(x as tf.Tensor4D, layer.kernel, layer.kernel, 'valid');
    } else {
      x = tf.fused.matMul({
        a: tf.reshape(x, [x.shape[0] ?? 0, -1]),
        b: weight,
        bias,
        activation: layer.relu ? 'relu' : 'linear',
      });
    }
  }
  return x as tf.Tensor2D;
}
