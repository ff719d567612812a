// onnxruntime-web 1.19.2, the last release whose training build has gradient kernels.
//
// Its own TrainingSession offers no momentum, and its artifacts are made in Python. The kernels themselves run in any
// graph: here one graph computes loss and gradients of a batch, with the weights as inputs. The momentum update is a
// loop in JavaScript; in the graph it took as long, and so did every other setting of memory and optimization that
// was tried (22 ms a step of S and 67 ms of L5 in Node 20 on a busy machine, within 11 % of each other, none faster than the noise).

import * as ort from 'onnxruntime-web-training/training';
import glue from '../../../../node_modules/onnxruntime-web-training/dist/ort-training-wasm-simd-threaded.mjs?url';
import wasm from '../../../../node_modules/onnxruntime-web-training/dist/ort-training-wasm-simd-threaded.wasm?url';
import { Batches } from '../batches';
import type { Loaded, LoadOptions, Runner, Setup } from '../contestant';
import { layersOf } from '../layers';
import { encode } from '../onnx/model';
import { gradientOf, inferenceModel, parametersOf, probabilities, trainingModel } from '../onnx/networks';

export async function load({ threads }: LoadOptions): Promise<Loaded> {
  ort.env.wasm.numThreads = threads;
  ort.env.wasm.wasmPaths = {
    mjs: new URL(glue, import.meta.url).href,
    wasm: new URL(wasm, import.meta.url).href,
  };
  return { start };
}

async function start(setup: Setup): Promise<Runner> {
  const { network, batch, learningRate, momentum } = setup;
  const layers = layersOf(network);
  const { channels, height, width } = network.spec.input;
  const imagesTensor = (floats: Float32Array, count: number) =>
    new ort.Tensor('float32', floats, [count, channels, height, width]);
  // The tensors are views of these weights, so an update is seen by the next run.
  const parameters = parametersOf(layers).map(([name, { shape, data }]) => {
    const weights = data.slice();
    const tensor = new ort.Tensor('float32', weights, shape);
    return { name, weights, tensor, velocity: new Float32Array(data.length) };
  });
  const weights = Object.fromEntries(parameters.map(({ name, tensor }) => [name, tensor]));
  const options: ort.InferenceSession.SessionOptions = {
    executionProviders: ['wasm'],
    graphOptimizationLevel: 'all',
  };
  const batches = new Batches(setup);
  let training: ort.InferenceSession | undefined;
  let inference: ort.InferenceSession | undefined;

  return {
    async train(steps) {
      training ??= await ort.InferenceSession.create(encode(trainingModel(layers, batch)), options);
      for (let step = 0; step < steps; ++step) {
        const { floats, labels } = batches.next();
        const gradients = await training.run({
          images: imagesTensor(floats, batch),
          labels: new ort.Tensor('int64', BigInt64Array.from(labels, BigInt), [batch]),
          ...weights,
        });
        for (const { name, weights: weight, velocity } of parameters) {
          update(weight, velocity, gradients[gradientOf(name)]?.data as Float32Array, learningRate, momentum);
        }
      }
    },
    async infer({ floats, count }) {
      inference ??= await ort.InferenceSession.create(
        encode(inferenceModel(layers, 'batch', false)),
        options,
      );
      const result = await inference.run({ images: imagesTensor(floats, count), ...weights });
      return result[probabilities]?.data as Float32Array;
    },
    async dispose() {
      await training?.release();
      await inference?.release();
    },
  };
}

function update(
  weight: Float32Array,
  velocity: Float32Array,
  gradient: Float32Array,
  learningRate: number,
  momentum: number,
): void {
  for (let i = 0; i < weight.length; ++i) {
    const speed = momentum * velocity[i]! + gradient[i]!;
    velocity[i] = speed;
    weight[i]! -= learningRate * speed;
  }
}
