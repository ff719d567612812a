// A binary becomes a running instance. What C++ offers is listed here, as bindings.cpp exports it.

import { isNode, mayBlock } from '../environment.js';
import { EspalierError, reasonOf } from '../error.js';
import { compile, location, type WasmFile } from './compile.js';
import { DeferredFile } from './deferred.js';
import type { ThreadStart } from './thread.js';

/** Pointers and sizes are in bytes of the heap. Views are of the heap: copy them before the next call. */
export interface Native {
  open_engine(threads: number): string;
  close_engine(): void;
  heap_bytes(): number;
  catalog(): string;
  schema(): string;
  reserve(bytes: number): Uint8Array;
  release(pointer: number): void;
  dispose(handle: number): void;

  create_dataset(description: string): number;
  dataset_info(dataset: number): string;
  subset_dataset(dataset: number, classes: string, perClass: number, seed: number): number;
  read_images(dataset: number, split: string, indices: number, count: number): NativeImages;

  create_model(spec: string, seed: number, dataset: number): number;
  load_model(pointer: number, bytes: number): number;
  /** {"spec", "labels", "pipeline": JSON text} */
  model_info(model: number): string;
  inspect(model: number): string;
  /** Of a model or a packed one; `count` -1: as many images as there are. */
  predict(model: number, pixels: number, bytes: number, count: number): Float32Array;
  activations(model: number, pixels: number, bytes: number, layer: string): NativeTensor;
  tensor(model: number, name: string): NativeTensor;
  weights(model: number): Uint8Array;
  /** `notes` is JSON: {"labels", "pipeline": JSON text} in place of the model's own. */
  save_as(model: number, format: string, notes: string): NativeFile;

  pack_model(model: number, runtime: string, format: string): number;
  /** {"layers": LayerExecution[], "bytes"} */
  packed_info(packed: number): string;
  start_timing(packed: number, dataset: number): number;

  start_training(model: number, dataset: number, config: string): number;
  resume_training(model: number, dataset: number): number;
  run_training(training: number, milliseconds: number, steps: number): string;
  finish_training(training: number, aborted: boolean): string;
  checkpoint(training: number): Uint8Array;
  /** Of a model or a packed one. */
  start_evaluation(model: number, dataset: number, split: string): number;
  run_evaluation(evaluation: number, milliseconds: number): number;
  evaluation_result(evaluation: number): NativeEvaluation;

  /** 0: there is none. Without a model there is a source. */
  start_pass(
    name: string,
    model: number,
    dataset: number,
    options: string,
    training: string,
    measure: boolean,
    source: number,
    sourceDataset: number,
    early: number,
  ): number;
  /** `pipeline` is one, or a name, as JSON. */
  start_pipeline(model: number, dataset: number, pipeline: string, seed: number, measure: boolean): number;
  /** {"grid", "lines", "origin", "shard", "seed"} */
  start_sweep(model: number, dataset: number, sweep: string): number;
  /** Of a pass, a pipeline, a sweep or a timing. */
  run_work(work: number, milliseconds: number): string;
  finish_work(work: number): string;
}

export interface NativeFile {
  bytes: Uint8Array;
  parts: string;
}

export interface NativeImages {
  pixels: Uint8Array;
  labels: Uint16Array;
}
export interface NativeTensor {
  shape: string;
  data: Float32Array;
}
export interface NativeEvaluation {
  summary: string;
  confusion: Uint32Array;
  predictions: Uint16Array;
  confidences: Float32Array;
}

export type Factory = (options: object) => Promise<Native>;

/** What Emscripten's code needs of the worker behind a thread. */
export interface ThreadWorker {
  onmessage: ((event: MessageEvent) => void) | null;
  onerror: unknown;
  postMessage(message: unknown, transfer?: Transferable[]): void;
  terminate(): void;
}

export interface Binary {
  factory: Factory;
  file: WasmFile;
  /** What native/toolchain/split.mjs took out of it. */
  deferred?: WasmFile;
  threads?: {
    /** Beside this file; what Node runs in a thread. */
    script: string;
    start(): Worker;
  };
}

export interface InstanceOptions {
  threads: number;
  wasmFolder?: string | undefined;
}

export interface Instance {
  native: Native;
  /** Undefined when the whole binary is there; otherwise who waits for it has it, or learns why not. */
  complete(): Promise<void> | undefined;
  /** Ends its threads. */
  close(): void;
}

export async function instantiate(
  binary: Binary,
  { threads, wasmFolder }: InstanceOptions,
  crash: (reason: string) => void,
): Promise<Instance> {
  const module = await compile(location(binary.file, wasmFolder));
  const url = binary.deferred && location(binary.deferred, wasmFolder);
  const deferred = url && new DeferredFile(url);
  const workers: ThreadWorker[] = [];
  let exports!: WebAssembly.Exports;
  let fail!: (error: unknown) => void;
  const failure = new Promise<never>((_, reject) => (fail = reject));
  failure.catch(() => {});
  const created = binary.factory({
    poolSize: threads - 1,
    startThread: () => {
      const worker = thread(binary, (reason) => {
        fail(new EspalierError('unsupported', 'threads', reason));
        crash(reason);
      });
      worker.postMessage({ deferred: url?.href } satisfies ThreadStart);
      workers.push(worker);
      return worker;
    },
    instantiateWasm: (
      imports: WebAssembly.Imports,
      receive: (instance: WebAssembly.Instance, module: WebAssembly.Module) => void,
    ) => {
      WebAssembly.instantiate(module, imports).then((instance) => {
        exports = instance.exports;
        receive(instance, module);
      }, fail);
      return {};
    },
    linkDeferred: () => deferred?.link(exports),
  });
  const native = await Promise.race([created, failure]);
  let fetching: Promise<void> | undefined;
  const complete = () => {
    if (!deferred || deferred.linked) return undefined;
    fetching ??= deferred.fetch(exports).finally(() => (fetching = undefined));
    return fetching;
  };
  // Only a worker begins without it: a file beside comes at once, and a page's own thread may never wait for one.
  if (mayBlock()) complete()?.catch(() => {});
  else await complete();
  return { native, complete, close: () => workers.forEach((worker) => worker.terminate()) };
}

function thread(binary: Binary, failed: (reason: string) => void): ThreadWorker {
  if (!binary.threads) throw new EspalierError('unsupported', 'threads', 'this binary has none');
  if (isNode()) return nodeThread(binary.threads.script, failed);
  const worker = binary.threads.start();
  worker.addEventListener('error', (event) => failed(event.message || 'a thread could not be started'));
  return worker;
}

/** A thread of Node in the shape of a Web Worker. */
function nodeThread(script: string, failed: (reason: string) => void): ThreadWorker {
  const { Worker: NodeWorker } = process.getBuiltinModule('node:worker_threads');
  // Not a literal, so that bundlers do not take it for a file of the page.
  const entry = './node-thread.js';
  // Not the process's own arguments, some of which (--input-type) no thread takes.
  const thread = new NodeWorker(new URL(entry, import.meta.url), { workerData: script, execArgv: [] });
  const worker: ThreadWorker = {
    onmessage: null,
    onerror: null,
    postMessage: (message, transfer) => thread.postMessage(message, transfer as []),
    terminate: () => void thread.terminate(),
  };
  thread.on('message', (data: unknown) => {
    worker.onmessage?.({ data } as MessageEvent);
    // From the first message on (it has loaded), it keeps no process alive.
    thread.unref();
  });
  thread.on('error', (error) => failed(reasonOf(error)));
  return worker;
}
