// A contestant at work, with a stopwatch: what runs inside the worker.

import type { Images, Input, LoadOptions, Runner, Setup } from './contestant';
import { loaders } from './contestants/loaders';
import { floatsOf, imageSize } from './layers';
import type { Material } from './material';

export interface Timing {
  /** Steps of a training, calls of an inference. */
  count: number;
  seconds: number;
}

export class Racer {
  #runner: Runner | undefined;
  #setup: Setup | undefined;
  #input: Input | undefined;
  /** Seconds of a step, of a call; the last measured. */
  #pace = new Map<string, number>();

  /** Networks and images for everybody; nothing has to be loaded before. */
  async prepare(presets: readonly string[], count: number): Promise<Material> {
    const { prepare } = await import('./material');
    return prepare(presets, count);
  }

  /** Gives what the library says it uses. */
  async load(id: string, options: LoadOptions, setup: Setup): Promise<string | undefined> {
    const loader = loaders[id];
    if (!loader) throw new Error(`There is no contestant "${id}".`);
    // Some libraries take as many threads as there are cores and cannot be told otherwise.
    Object.defineProperty(navigator, 'hardwareConcurrency', { value: options.threads });
    const load = await loader();
    const loaded = await load(options);
    this.#runner = await loaded.start(setup);
    this.#setup = setup;
    return loaded.using;
  }

  async train(steps: number): Promise<void> {
    const runner = this.#running();
    if (!runner.train) throw new Error('It cannot train.');
    await runner.train(steps);
  }

  /** Mean cross-entropy with the present weights, from the probabilities that it gives. */
  async loss(images: Images): Promise<number> {
    const probabilities = await this.#running().infer(this.#inputOf(images));
    const classes = probabilities.length / images.count;
    let sum = 0;
    for (let i = 0; i < images.count; ++i) {
      sum -= Math.log(probabilities[i * classes + (images.labels[i] ?? 0)] ?? 0);
    }
    return sum / images.count;
  }

  /** The share that it gets right, a batch of 250 after the other. */
  async accuracy(images: Images): Promise<number> {
    const size = images.pixels.length / images.count;
    let correct = 0;
    for (let at = 0; at < images.count; at += 250) {
      const count = Math.min(250, images.count - at);
      const pixels = images.pixels.slice(at * size, (at + count) * size);
      const labels = images.labels.slice(at, at + count);
      const probabilities = await this.#running().infer(this.#inputOf({ count, pixels, labels }));
      const classes = probabilities.length / count;
      for (let i = 0; i < count; ++i) {
        const row = probabilities.subarray(i * classes, (i + 1) * classes);
        if (row.indexOf(Math.max(...row)) === labels[i]) ++correct;
      }
    }
    return correct / images.count;
  }

  infer(images: Images): Promise<Float32Array> {
    return this.#running().infer(this.#inputOf(images));
  }

  /** About so many seconds of training in one call; at least a step. */
  async timeTraining(seconds: number): Promise<Timing> {
    const steps = this.#pace.get('training');
    const count = steps === undefined ? 1 : Math.max(1, Math.round(seconds / steps));
    const begin = performance.now();
    await this.train(count);
    const timing = { count, seconds: (performance.now() - begin) / 1000 };
    this.#pace.set('training', timing.seconds / count);
    return timing;
  }

  /** Calls one after the other, each awaited, for about so many seconds. */
  async timeInference(images: Images, seconds: number): Promise<Timing> {
    const runner = this.#running();
    if (this.#input?.count !== images.count) this.#input = this.#inputOf(images);
    const input = this.#input;
    const begin = performance.now();
    let count = 0;
    let now: number;
    do {
      await runner.infer(input);
      ++count;
      now = performance.now();
    } while (now - begin < 1000 * seconds);
    return { count, seconds: (now - begin) / 1000 };
  }

  async dispose(): Promise<void> {
    await this.#runner?.dispose();
    this.#runner = undefined;
  }

  #running(): Runner {
    if (!this.#runner) throw new Error('Nothing was started.');
    return this.#runner;
  }

  #inputOf({ count, pixels }: Images): Input {
    const { spec } = this.#setup!.network;
    const floatOf = floatsOf(spec);
    if (pixels.length !== count * imageSize(spec)) throw new Error('The images have another size.');
    const floats = new Float32Array(pixels.length);
    for (let k = 0; k < pixels.length; ++k) floats[k] = floatOf[pixels[k] ?? 0] ?? 0;
    return { count, pixels, floats };
  }
}
