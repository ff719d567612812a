// onnxruntime-web as it is today: inference of a float model.

import * as ort from 'onnxruntime-web/wasm';
import wasm from 'onnxruntime-web/ort-wasm-simd-threaded.wasm?url';
import type { Loaded, LoadOptions } from '../contestant';
import { layersOf } from '../layers';
import { encode } from '../onnx/model';
import { inferenceModel, probabilities } from '../onnx/networks';

export async function load({ threads }: LoadOptions): Promise<Loaded> {
  ort.env.wasm.numThreads = threads;
  ort.env.wasm.wasmPaths = { wasm: new URL(wasm, import.meta.url).href };
  return {
    async start({ network }) {
      const layers = layersOf(network);
      const { channels, height, width } = network.spec.input;
      // A session for each batch size, which then plans its memory once.
      const sessions = new Map<number, Promise<ort.InferenceSession>>();
      const sessionFor = (batch: number) => {
        let session = sessions.get(batch);
        if (!session) {
          session = ort.InferenceSession.create(encode(inferenceModel(layers, batch, true)), {
            executionProviders: ['wasm'],
            graphOptimizationLevel: 'all',
          });
          sessions.set(batch, session);
        }
        return session;
      };
      return {
        async infer({ floats, count }) {
          const session = await sessionFor(count);
          const images = new ort.Tensor('float32', floats, [count, channels, height, width]);
          const result = await session.run({ images });
          return result[probabilities]?.data as Float32Array;
        },
        async dispose() {
          for (const session of sessions.values()) await (await session).release();
        },
      };
    },
  };
}
