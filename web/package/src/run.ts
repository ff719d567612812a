// `espalier/run`: runs the models of .espalier files, and nothing else. A binary of its own, a tenth of the
// engine's, in this thread: a prediction is an ordinary function call.

import { hasRelaxedSimd } from './environment.js';
import { EspalierError, reasonOf } from './error.js';
import { compile, location } from './espalier/compile.js';
import { readBytes } from './espalier/files.js';
import type { Bytes, ErrorCode, KernelName, Pipeline } from './types.js';

export { EspalierError } from './error.js';
export type { Bytes, ErrorCode, KernelName, Pipeline } from './types.js';

export interface RunOptions {
  /** `'auto'` (default) runs known answers and takes the fastest binary that computes them exactly. */
  kernels?: KernelName | 'auto';
  /** Folder URL with the `.wasm` files, for hosts that serve them elsewhere. Default: beside the package. */
  wasmFolder?: string | URL;
}

/** A model in the form in which it is stored. */
export interface RunModel {
  readonly name: string;
  /** Names of the classes, where the file has them. */
  readonly labels: string[];
  /** What made the model, where the file says it. */
  readonly pipeline: Pipeline | undefined;
  readonly classes: number;
  /** Of its images. */
  readonly channels: number;
  readonly height: number;
  readonly width: number;
  /** Of its packed weights, in memory. */
  readonly bytes: number;
  /** The whole WebAssembly memory that it has for itself. */
  readonly memoryBytes: number;
  readonly kernels: KernelName;
  /** Class probabilities [count][classes] of byte images [count][channels][height][width]. */
  predict(pixels: Uint8Array): Float32Array;
  /** Frees its memory; it cannot be used afterwards. */
  dispose(): void;
}

/** What run.cpp exports. Pointers and sizes are in bytes. */
interface Exports {
  memory: WebAssembly.Memory;
  _initialize(): void;
  malloc(bytes: number): number;
  free(pointer: number): void;
  last_failure(): number;
  load(bytes: number, size: number): number;
  unload(model: number): void;
  number_of(model: number, what: number): number;
  text_of(model: number, what: number): number;
  label_of(model: number, label: number): number;
  predict(model: number, images: number, count: number, probabilities: number): void;
}

// Vite's development server wants such paths: see binaries.ts.
const binaries: readonly { kernels: KernelName; url: () => URL }[] = [
  { kernels: 'relaxed', url: () => new URL('espalier/run-relaxed.wasm', import.meta.url) },
  { kernels: 'plain', url: () => new URL('espalier/run-simd.wasm', import.meta.url) },
];

/** Reads an `.espalier` file. */
export async function loadModel(file: Bytes, options: RunOptions = {}): Promise<RunModel> {
  const { kernels = 'auto' } = options;
  const folder = options.wasmFolder === undefined ? undefined : String(options.wasmFolder);
  const bytes = await readBytes(file);
  const reasons: string[] = [];
  for (const { kernels: name, url } of binaries) {
    if (kernels !== 'auto' && kernels !== name) continue;
    if (name === 'relaxed' && !hasRelaxedSimd()) {
      reasons.push('relaxed kernels: there is no relaxed SIMD here');
      continue;
    }
    try {
      return new Running(await instantiate(url(), folder), bytes, name);
    } catch (error) {
      // What is wrong with the file is wrong with every binary.
      if (error instanceof EspalierError && error.code !== 'unsupported') throw error;
      reasons.push(`${name} kernels: ${reasonOf(error)}`);
    }
  }
  throw new EspalierError('unsupported', 'kernels', reasons.join('; '));
}

async function instantiate(url: URL, folder: string | undefined): Promise<Exports> {
  const name = url.pathname.slice(url.pathname.lastIndexOf('/') + 1);
  const { exports } = await WebAssembly.instantiate(await compile(location({ name, url }, folder)), imports);
  const native = exports as unknown as Exports;
  native._initialize();
  return native;
}

const imports: WebAssembly.Imports = {
  env: { emscripten_notify_memory_growth: () => {} },
  wasi_snapshot_preview1: { clock_time_get: () => 0 },
};

class Running implements RunModel {
  #native: Exports | undefined;
  readonly #model: number;
  readonly name: string;
  readonly labels: string[] = [];
  readonly pipeline: Pipeline | undefined;
  readonly classes: number;
  readonly channels: number;
  readonly height: number;
  readonly width: number;
  readonly bytes: number;
  readonly kernels: KernelName;

  constructor(native: Exports, file: Uint8Array, kernels: KernelName) {
    this.#native = native;
    this.kernels = kernels;
    const model = withBytes(native, file, (pointer) => load(native, pointer, file.length));
    this.#model = model;
    [this.channels, this.height, this.width, this.classes, this.bytes] = [0, 1, 2, 3, 4].map((what) =>
      native.number_of(model, what),
    ) as [number, number, number, number, number];
    this.name = text(native, native.text_of(model, 0));
    const pipeline = text(native, native.text_of(model, 1));
    if (pipeline) this.pipeline = JSON.parse(pipeline) as Pipeline;
    for (let label = 0; native.label_of(model, label) !== 0; ++label) {
      this.labels.push(text(native, native.label_of(model, label)));
    }
  }

  get memoryBytes(): number {
    return this.#native?.memory.buffer.byteLength ?? 0;
  }

  predict(pixels: Uint8Array): Float32Array {
    const native = this.#native;
    if (!native) throw new EspalierError('argument', 'model', 'was disposed of');
    const size = this.channels * this.height * this.width;
    const count = pixels.length / size;
    if (!Number.isInteger(count)) {
      const image = `${this.channels}x${this.height}x${this.width}`;
      throw new EspalierError(
        'argument',
        'pixels',
        `has ${pixels.length} bytes; the model takes images of ${image}, ${size} bytes each`,
      );
    }
    const numbers = count * this.classes;
    const out = reserve(native, 4 * numbers);
    try {
      withBytes(native, pixels, (pointer) => native.predict(this.#model, pointer, count, out));
      return new Float32Array(native.memory.buffer, out, numbers).slice();
    } finally {
      native.free(out);
    }
  }

  dispose(): void {
    this.#native?.unload(this.#model);
    this.#native = undefined;
  }
}

/** A failed one leaves the instance as it was in the middle of its work: nobody keeps it. */
function load(native: Exports, pointer: number, size: number): number {
  try {
    return native.load(pointer, size);
  } catch {
    const failure = text(native, native.last_failure());
    if (!failure)
      throw new EspalierError('unsupported', 'memory', 'there is not enough of it for this model');
    const [code, where, ...sentence] = failure.split('\n');
    throw new EspalierError(code as ErrorCode, where ?? '', sentence.join('\n'));
  }
}

function reserve(native: Exports, bytes: number): number {
  const pointer = native.malloc(Math.max(bytes, 1));
  if (pointer === 0) throw new EspalierError('unsupported', 'memory', 'there is not enough of it');
  return pointer;
}

/** The bytes are in its memory for the time of `work`. */
function withBytes<T>(native: Exports, bytes: Uint8Array, work: (pointer: number) => T): T {
  const pointer = reserve(native, bytes.length);
  try {
    new Uint8Array(native.memory.buffer).set(bytes, pointer);
    return work(pointer);
  } finally {
    native.free(pointer);
  }
}

/** UTF-8 up to a 0. */
function text(native: Exports, pointer: number): string {
  const bytes = new Uint8Array(native.memory.buffer, pointer);
  return new TextDecoder().decode(bytes.slice(0, bytes.indexOf(0)));
}
