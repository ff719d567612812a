// The public types of the package. Everything here is plain data that survives postMessage.

/** Which compiled engine runs: plain 128-bit SIMD, or relaxed SIMD with fused multiply-add. */
export type KernelName = 'plain' | 'relaxed';

export interface EngineOptions {
  /** Threads for training. `'auto'` (default) is all cores up to 4 where the page is cross-origin isolated, else 1. */
  threads?: number | 'auto';
  /** `'auto'` (default) runs known answers and takes the fastest binary that computes them exactly. */
  kernels?: KernelName | 'auto';
  /** Run in a Web Worker. Default: true where `Worker` exists (browsers), false in Node. */
  worker?: boolean;
  /** Folder URL with the `.wasm` files, for hosts that serve them elsewhere. Default: beside the package. */
  wasmFolder?: string | URL;
}

export interface EngineInfo {
  version: string;
  kernels: KernelName;
  threads: number;
  worker: boolean;
  /** Images that share a SIMD register. */
  lanes: number;
  /** Why a faster binary was not taken, for people to read; empty when the fastest runs. */
  fallbackReason: string;
}

export interface MemoryInfo {
  /** The whole WebAssembly memory. It grows when needed and never shrinks. */
  heapBytes: number;
}

export interface FieldDoc {
  name: string;
  kind: string;
  required: boolean;
  default?: unknown;
  description: string;
}
export interface CatalogRow {
  name: string;
  summary: string;
}
/** The engine's own tables: what menus, validation and documentation are made of. */
export interface Catalog {
  presets: (CatalogRow & { spec: ModelSpec })[];
  layers: (CatalogRow & { fields: FieldDoc[] })[];
  optimizers: CatalogRow[];
  schedules: CatalogRow[];
  losses: CatalogRow[];
  augmentations: (CatalogRow & { unit: string; defaultAmount: number; maxAmount: number })[];
}

/** A layer of a model spec; the fields beside `type` depend on it (see `Catalog.layers`). */
export interface LayerSpec {
  type: string;
  name?: string;
  inputs?: string[];
  [field: string]: unknown;
}
/** A model as JSON; its JSON Schema is `Engine.schema()`. */
export interface ModelSpec {
  name?: string;
  description?: string;
  input: {
    channels: number;
    height: number;
    width: number;
    mean?: number[];
    standard_deviation?: number[];
  };
  classes: number;
  layers: LayerSpec[];
}

export type Bytes = ArrayBuffer | Uint8Array | Blob;
export interface NamedFile {
  name: string;
  data: Bytes;
}

export type DatasetSource =
  /** Built-in handwritten-looking digits, drawn by the engine. */
  | { kind: 'synthetic'; train?: number; test?: number; seed?: number }
  /** IDX or CIFAR-10 files, raw or gzipped, recognised by name and content; in any order. */
  | { kind: 'files'; files: NamedFile[]; name?: string }
  /** Images that are already decoded: bytes, one image after the other. */
  | {
      kind: 'images';
      name?: string;
      classNames: string[];
      channels: number;
      height: number;
      width: number;
      images: Uint8Array;
      labels: Uint16Array | number[];
    };

export type SplitName = 'train' | 'validation' | 'test';

export interface DatasetInfo {
  name: string;
  channels: number;
  height: number;
  width: number;
  classNames: string[];
  counts: Record<SplitName, number>;
}

export interface ImageBatch {
  /** Bytes, [count][channels][height][width]. */
  pixels: Uint8Array;
  labels: Uint16Array;
}

export interface TrainingConfig {
  epochs?: number; // 5
  batch_size?: number; // 64
  learning_rate?: number; // the optimizer's own: momentum 0.02, adam 0.001
  optimizer?: string; // 'momentum'
  momentum?: number; // 0.9
  beta2?: number; // 0.999 (adam, adamw)
  weight_decay?: number; // 0
  clip_norm?: number; // 0 is off
  schedule?: string; // 'cosine'
  warmup_steps?: number; // 0
  loss?: string; // 'softmax_cross_entropy'
  label_smoothing?: number; // 0
  /** As on the command line: "shift:2,rotation:10" or "none". */
  augment?: string;
  seed?: number; // 1
  /** Use only the first so many training images; 0 is all. */
  limit?: number;
  /** Evaluate on the validation split after each epoch (default true). */
  validate?: boolean;
}

export interface TrainingProgress {
  type: 'progress';
  step: number; // steps done
  totalSteps: number;
  epoch: number; // epochs done, with the fraction
  /** Means over the steps since the last progress event. */
  loss: number;
  accuracy: number;
  gradientNorm: number;
  learningRate: number;
  imagesPerSecond: number;
  etaSeconds: number;
}
export interface TrainingEpoch {
  type: 'epoch';
  epoch: number;
  trainLoss: number;
  trainAccuracy: number;
  /** Absent when `validate` is false or the split is empty. */
  validationLoss?: number;
  validationAccuracy?: number;
  seconds: number;
}
export interface TrainingPaused {
  type: 'paused';
  step: number;
}
export interface TrainingDone {
  type: 'done';
  step: number;
  epochs: number;
  seconds: number;
  imagesPerSecond: number;
  aborted: boolean;
}
export type TrainingEvent = TrainingProgress | TrainingEpoch | TrainingPaused | TrainingDone;

export interface Evaluation {
  count: number;
  accuracy: number;
  loss: number;
  /** [true class][predicted class], row-major. */
  confusion: Uint32Array;
  /** Predicted class of every image. */
  predictions: Uint16Array;
  /** Probability of the predicted class, for every image. */
  confidences: Float32Array;
  seconds: number;
}

export interface LayerInspection {
  name: string;
  type: string;
  inputs: string[];
  /** [channels, height, width] */
  shape: [number, number, number];
  parameters: number;
  macs: number;
  /** "5x5, stride 1, valid": a short text for people. */
  detail: string;
}
export interface ModelInspection {
  name: string;
  spec: ModelSpec;
  parameters: number;
  macs: number;
  /** Bytes of the training plan at batch 64, and of inference. */
  trainingBytes: number;
  inferenceBytes: number;
  layers: LayerInspection[];
  /** Names of all parameter tensors with their shapes, in file order. */
  tensors: { name: string; shape: number[] }[];
}

export interface Tensor {
  shape: number[];
  data: Float32Array;
}

/** Error codes of the engine (C++ `ErrorCode`), and two of the package itself. */
export type ErrorCode =
  | 'argument'
  | 'spec'
  | 'data'
  | 'model'
  | 'io'
  | 'diverged'
  | 'unsupported'
  /** The worker or the WebAssembly instance died; a new engine is needed. */
  | 'crashed'
  /** An AbortSignal fired or the object was disposed. */
  | 'aborted';

/** The engine with models and datasets inside. All calls may be made at any time; they are answered in order. */
export interface Engine {
  readonly info: EngineInfo;
  catalog(): Promise<Catalog>;
  schema(): Promise<object>;
  memory(): Promise<MemoryInfo>;
  loadDataset(source: DatasetSource, options?: { signal?: AbortSignal }): Promise<Dataset>;
  /** A preset's name (fitted to the dataset when one is given) or a spec; fresh weights from the seed. */
  createModel(spec: string | ModelSpec, options?: { seed?: number; dataset?: Dataset }): Promise<Model>;
  /** A `.safetensors` file written by any Espalier. */
  loadModel(file: Bytes): Promise<Model>;
  dispose(): Promise<void>;
}

export interface Dataset {
  readonly info: DatasetInfo;
  images(split: SplitName, indices: ArrayLike<number>): Promise<ImageBatch>;
  dispose(): Promise<void>;
}

export interface Model {
  readonly spec: ModelSpec;
  inspect(): Promise<ModelInspection>;
  /** Starts at once. A model trains once at a time; predictions between steps see the current weights. */
  train(dataset: Dataset, config?: TrainingConfig, options?: { signal?: AbortSignal }): Training;
  /** Continues a training saved by `Training.checkpoint()` (the file given to `loadModel`). */
  resume(dataset: Dataset, options?: { signal?: AbortSignal }): Training;
  evaluate(
    dataset: Dataset,
    split: SplitName,
    options?: { signal?: AbortSignal; onProgress?: (fraction: number) => void },
  ): Promise<Evaluation>;
  /** Class probabilities [count][classes] of byte images [count][channels][height][width]. */
  predict(pixels: Uint8Array, count?: number): Promise<Float32Array>;
  /** The output of one layer for one byte image: [channels, height, width]. */
  activations(pixels: Uint8Array, layer: string): Promise<Tensor>;
  tensor(name: string): Promise<Tensor>;
  weightsSha256(): Promise<string>;
  save(): Promise<Uint8Array>;
  dispose(): Promise<void>;
}

/** A running training: iterate it for events. Stopping the iteration early aborts the training. */
export interface Training extends AsyncIterable<TrainingEvent> {
  readonly state: 'running' | 'paused' | 'done' | 'failed';
  pause(): Promise<void>;
  resume(): Promise<void>;
  /** Runs exactly `count` steps (default 1) of a paused training, then pauses again. */
  step(count?: number): Promise<void>;
  /** Stops within 100 ms; the model keeps its current weights. */
  abort(): Promise<void>;
  /** Weights, optimizer state and position: the same training continues from it bit for bit. */
  checkpoint(): Promise<Uint8Array>;
  /** Resolves with the last event; rejects with EspalierError (for instance code 'diverged'). */
  readonly done: Promise<TrainingDone>;
}
