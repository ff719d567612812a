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
  passes: (CatalogRow & { name: PassName; fields: PassField[] })[];
  schemes: (CatalogRow & {
    name: QuantizationScheme;
    minBits: number;
    maxBits: number;
    /** Quantization-aware training can learn its scales. */
    learnable: boolean;
    /** 0 stays 0. */
    exactZero: boolean;
  })[];
  /** What is pruned first. */
  criteria: CatalogRow[];
  /** The built-in pipelines, for `Model.compress`. */
  pipelines: (CatalogRow & { pipeline: Pipeline })[];
  fileFormats: (CatalogRow & { name: FileFormatName; extension: string; readable: boolean })[];
  /** How a packed model keeps a layer's weights. */
  weightFormats: CatalogRow[];
}
/** An option of a pass. */
export interface PassField {
  name: string;
  kind: 'integer' | 'number' | 'boolean' | 'text' | 'list';
  default: unknown;
  minimum?: number;
  maximum?: number;
  /** What a text may be. Absent: anything. */
  choices?: string[];
  description: string;
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

export interface SubsetOptions {
  /** Numbers of classes, which become 0, 1, … in this order, or a list like "0-4,7". Default: all. */
  classes?: readonly number[] | string;
  /** So many random training images of each class. Default: all. */
  perClass?: number;
  seed?: number; // 1
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
  /** Any model file that the engine reads, recognised by its bytes (`Catalog.fileFormats`). */
  loadModel(file: Bytes): Promise<Model>;
  dispose(): Promise<void>;
}

export interface Dataset {
  readonly info: DatasetInfo;
  /** A new dataset of some of its classes, or with fewer training images; this one stays as it is. */
  subset(options: SubsetOptions): Promise<Dataset>;
  images(split: SplitName, indices: ArrayLike<number>): Promise<ImageBatch>;
  dispose(): Promise<void>;
}

export interface Model {
  readonly spec: ModelSpec;
  /** Of the classes, where its file or the pipeline's data named them. */
  readonly labels: string[];
  /** What made it, in full, where that is known. */
  readonly pipeline: Pipeline | undefined;
  inspect(): Promise<ModelInspection>;
  /** Starts at once. A model trains once at a time; predictions between steps see the current weights. */
  train(dataset: Dataset, config?: TrainingConfig, options?: { signal?: AbortSignal }): Training;
  /**
   * Continues a training saved by `Training.checkpoint()` (the file given to `loadModel`). `paused`: it does no step
   * before `Training.resume()` or `step()`.
   */
  resume(dataset: Dataset, options?: { paused?: boolean; signal?: AbortSignal }): Training;
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
  /** As `.safetensors`, for training and for Python. */
  save(): Promise<Uint8Array>;
  /** The complete file, as the command line writes it. `notes` replace the model's own. */
  saveAs(format: FileFormatName, notes?: ModelNotes): Promise<SavedFile>;
  /** The model in the form in which it is stored, to run it. Later changes of this one do not reach it. */
  pack(options?: PackOptions): Promise<PackedModel>;
  /** Several passes, one after the other: a name from `Catalog.pipelines`, or a pipeline. */
  compress(dataset: Dataset, pipeline: string | Pipeline, run?: PipelineRunOptions): PipelineRun;
  /** Many pipelines, each on this model. */
  sweep(dataset: Dataset, grid: SweepGrid, run?: SweepRunOptions): Sweep;
  /** Numbers of fewer bits: after training, or during it. */
  quantize(dataset: Dataset, options?: QuantizeOptions, run?: PassRunOptions): Compression;
  /** Weights, or whole channels, that matter least become 0. `early`: whose weights `rewind` goes back to. */
  prune(dataset: Dataset, options?: PruneOptions, run?: PassRunOptions & { early?: Model }): Compression;
  /** Layers as products of two thin ones. */
  factorize(dataset: Dataset, options?: FactorizeOptions, run?: PassRunOptions): Compression;
  /** What this model knows becomes the start, or the teacher, of one for `dataset`. */
  transfer(dataset: Dataset, options?: TransferOptions, run?: TransferRunOptions): Compression;
  /** Trains on; what is pruned and quantized stays so. */
  finetune(dataset: Dataset, options?: FineTuneOptions, run?: PassRunOptions): Compression;
  /** Batch norm becomes part of the layer before it. */
  fold(dataset: Dataset, run?: PassRunOptions): Compression;
  /** Channels and neurons that are pruned or constant are removed. */
  slim(dataset: Dataset, run?: PassRunOptions): Compression;
  /** Biases and scales keep few significant bits, so that files shrink. */
  round(dataset: Dataset, options?: RoundOptions, run?: PassRunOptions): Compression;
  dispose(): Promise<void>;
}

export type FileFormatName = 'safetensors' | 'espalier' | 'onnx' | 'c';

/** What a file may say besides the model. */
export interface ModelNotes {
  labels?: string[];
  pipeline?: Pipeline;
}
export interface SavedFile {
  bytes: Uint8Array<ArrayBuffer>;
  /** "header", "spec", a tensor, …: what each takes of an `.espalier` file; empty for other formats. */
  parts: FilePart[];
}
export interface FilePart {
  name: string;
  bytes: number;
  /** The least that its symbols would take under the coder's own probabilities. */
  entropyBytes: number;
}

export interface PackOptions {
  /** 'reference': plain loops over the graph, which define what 'packed' (default) must compute. */
  runtime?: 'packed' | 'reference';
  /** A weight format (`Catalog.weightFormats`) for every layer that it can hold. Default: the best one. */
  format?: string;
}

/** What runs a layer that has weights. */
export interface LayerExecution {
  layer: string;
  type: string;
  format: string;
  /** Of its packed weights, in memory. */
  bytes: number;
  /** For one image, zeros included. */
  macs: number;
  /** Share of the weights that are not 0. */
  density: number;
  /** Why this format; empty: there was nothing to choose. */
  why: string;
}

/** A model in the form in which it is stored: integers where weights and features are, zeros left out where that pays. */
export interface PackedModel {
  readonly layers: LayerExecution[];
  /** Of all packed weights, in memory. The file is smaller: `saveAs('espalier')`. */
  readonly bytes: number;
  /** Class probabilities [count][classes] of byte images [count][channels][height][width]. */
  predict(pixels: Uint8Array, count?: number): Promise<Float32Array>;
  evaluate(
    dataset: Dataset,
    split: SplitName,
    options?: { signal?: AbortSignal; onProgress?: (fraction: number) => void },
  ): Promise<Evaluation>;
  /** Measured now, on one thread: about half a second of work. */
  time(dataset: Dataset, options?: { signal?: AbortSignal }): Promise<InferenceTime>;
  dispose(): Promise<void>;
}

export interface InferenceTime {
  /** The median of batches of 64 images of the dataset. */
  microsecondsPerImage: number;
  /** The same by layer, in the order in which they run; "input" is the conversion of pixels. None of 'reference'. */
  layers: { layer: string; microseconds: number }[];
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

export type PassName =
  'quantize' | 'prune' | 'factorize' | 'transfer' | 'finetune' | 'fold' | 'slim' | 'round';

export interface PassRunOptions {
  signal?: AbortSignal;
  /** `false` leaves the accuracies out of the report, and saves the time that they take. */
  measure?: boolean;
  /** How to fine-tune; the pass itself says for how many epochs. */
  training?: TrainingConfig;
}

export interface TransferRunOptions extends PassRunOptions {
  /** The data that this model was trained on: to rehearse, and to measure what was forgotten. */
  sourceDataset?: Dataset;
  /** The student, or where parameters go. Default: a new model. */
  target?: Model;
}

export interface PassProgress {
  type: 'progress';
  /** "calibrate", "fine-tune", "control": a pass has several, one after the other. */
  stage: string;
  /** Of `total` units of the stage. */
  done: number;
  total: number;
  /** Of the last training steps, where the stage trains. */
  loss?: number;
  accuracy?: number;
  /** Until the end of the stage; absent while nothing is done yet. */
  etaSeconds?: number;
}

export interface CompressionDone {
  /** A new one; the model that the pass was given is as it was. */
  model: Model;
  report: Report;
}

/**
 * A running pass: iterate it for its progress, at most 15 times a second. Stopping the iteration early aborts it.
 * The model that it was given may be used and trained meanwhile: the pass works on a copy.
 */
export interface Compression<Event = PassProgress, Done = CompressionDone> extends AsyncIterable<Event> {
  /** An aborted one has failed. */
  readonly state: Training['state'];
  pause(): Promise<void>;
  resume(): Promise<void>;
  /** Stops within 100 ms; `done` rejects with code 'aborted'. */
  abort(): Promise<void>;
  readonly done: Promise<Done>;
}

/** Passes in order, as the JSON that travels inside an `.espalier` file. */
export interface Pipeline {
  name?: string;
  summary?: string;
  /** How its passes fine-tune; `epochs` are the passes' own. */
  training?: Omit<TrainingConfig, 'epochs'>;
  passes: PipelinePass[];
}
/** `training` is what this pass does differently; everything else is an option of the pass. */
export interface PipelinePass {
  pass: PassName;
  training?: Omit<TrainingConfig, 'epochs'>;
  [option: string]: unknown;
}

export interface PipelineRunOptions {
  signal?: AbortSignal;
  /** Of everything random, where the pipeline has none of its own. Default: 1. */
  seed?: number;
  measure?: boolean;
}
export interface PipelineProgress extends PassProgress {
  /** The pass under way: number `index` of `passes`. */
  pass: PassName;
  index: number;
  passes: number;
}
export interface PipelineReport {
  pipeline: string;
  before: ModelSize;
  after: ModelSize;
  /** Absent with `measure: false`. */
  accuracy_before?: Accuracy;
  accuracy_after?: Accuracy;
  passes: {
    pass: PassName;
    bytes: number;
    macs: number;
    nonzeros: number;
    accuracy?: Accuracy;
    notes: Record<string, string>;
  }[];
}
export interface PipelineDone {
  /** A new one, which carries the pipeline and the names of the classes into its files. */
  model: Model;
  report: PipelineReport;
  /** With all defaults written out. */
  pipeline: Pipeline;
}
export type PipelineRun = Compression<PipelineProgress, PipelineDone>;

/**
 * A pipeline with lists in place of values, every combination of which is run; where `passes` has a list, it is a
 * choice of passes, and `null` leaves the pass out. With `halving`, successive halving over random draws.
 */
export interface SweepGrid {
  name?: string;
  summary?: string;
  training?: Record<string, unknown>;
  passes: (Record<string, unknown> | (Record<string, unknown> | null)[])[];
  halving?: { budget?: number; rungs?: number; keep?: number; least_accuracy?: number; seed?: number };
}
export interface SweepRunOptions {
  signal?: AbortSignal;
  seed?: number;
  /** Results of an earlier run: what they say is not run again. */
  lines?: readonly SweepLine[];
  /** "0/4": every fourth pipeline, from the first one on. */
  shard?: string;
  /** What lines call the data; lines of other data are not of this sweep. Default: the dataset's name. */
  data?: string;
}
/** A result: what a line of the command line's result file says. */
export interface SweepLine {
  source_sha256: string;
  data: string;
  /** What the grid left open: {"passes[0].sparsity": 0.9}. */
  choices: Record<string, unknown>;
  pipeline: Pipeline;
  seed: number;
  validation_accuracy?: number;
  test_accuracy?: number;
  macs?: number;
  nonzeros?: number;
  /** Of the complete `.espalier` file. */
  file_bytes?: number;
  /** Measured on one thread. */
  microseconds_per_image?: number;
  /** Why there are no numbers: the pipeline does not fit the model, or diverged. */
  error?: string;
  /** No other line is as good in bytes, validation accuracy and microseconds, and better in one. */
  pareto?: boolean;
}
export interface SweepProgress {
  type: 'progress';
  /** Pipelines: finished, of them found among `lines`, and all that are known so far. */
  done: number;
  skipped: number;
  total: number;
  /** Of the pipeline under way. */
  choices: Record<string, unknown>;
  /** What that pipeline is doing. */
  stage: string;
  /** Until the end of the sweep; absent before the first new result. */
  etaSeconds?: number;
}
export interface SweepResult {
  type: 'line';
  line: SweepLine;
}
export interface SweepDone {
  /** All of them, the given ones too, with `pareto` marked. */
  lines: SweepLine[];
}
/** Lines come as events; those of an aborted sweep are given to the next one as `lines`. */
export type Sweep = Compression<SweepProgress | SweepResult, SweepDone>;

export type QuantizationScheme =
  'article' | 'affine' | 'symmetric' | 'ternary' | 'binary' | 'power-of-two' | 'codebook';

/** Defaults and what each option means: `Catalog.passes`, which is what the engine itself reads. */
export interface QuantizeOptions {
  /** Bits of the weights, 1 to 8; "4,conv1=8,fc*=6" by layer; "float". */
  weights?: number | string;
  activations?: 'float' | '8' | '4';
  scheme?: QuantizationScheme;
  granularity?: 'tensor' | 'channel' | 'group';
  /** Weights that share a grid, for granularity 'group'. */
  group_size?: number;
  /** How ranges are chosen from the numbers. */
  calibrate?: 'min-max' | 'percentile' | 'mse' | 'entropy';
  /** Ranges of features that are given instead of measured: "conv1=0:6.5,fc*=-2:2". */
  ranges?: string;
  /** Training images to calibrate on. */
  images?: number;
  /** Epochs of quantization-aware training. */
  qat?: number;
  /** Whether that training learns the scales. */
  learned?: boolean;
  /** Share of the teacher's term in the loss of the training; the original teaches. 0: none. */
  distillation?: number;
  /** Chooses the bits by layer such that the model takes at most so many bytes. */
  bytes?: number;
  /** Of a codebook. */
  initialization?: 'linear' | 'density' | 'random';
  /** Batch norm becomes part of the layer before it. */
  fold?: boolean;
  /** Train the original equally long, to compare with. */
  control?: boolean;
}

export interface PruneOptions {
  criterion?:
    | 'magnitude'
    | 'magnitude-l2'
    | 'gradient'
    | 'taylor'
    | 'fisher'
    | 'activity'
    | 'activity-zeros'
    | 'batch-norm-scale'
    | 'random';
  /** The share that becomes 0. */
  sparsity?: number;
  /** Or: everything whose score is below. */
  threshold?: number;
  /** Or: as little as makes the model so small. */
  bytes?: number;
  /** What becomes 0 together; "2:4": 2 of any 4 neighbours. */
  granularity?: 'weight' | 'row' | 'channel' | `${number}:${number}`;
  /** Where scores are compared. */
  scope?: 'global' | 'layer';
  schedule?: 'auto' | 'one-shot' | 'iterative' | 'cubic' | 'splicing';
  /** Of the iterative schedule. */
  rounds?: number;
  /** Training images to score on. */
  samples?: number;
  /** Epochs. */
  finetune?: number;
  /** Share of the teacher's term in the loss of the training; the original teaches. 0: none. */
  distillation?: number;
  /** Survivors start again from their values in `early`. */
  rewind?: boolean;
  /** Physically remove pruned channels. */
  slim?: boolean;
  /** Only these: names, or beginnings of names ("conv*"). */
  layers?: string[];
  control?: boolean;
}

export interface FactorizeOptions {
  /** Below 1: the share of the full rank. */
  rank?: number;
  /** The share of the squared singular values that is kept. */
  energy?: number;
  layers?: string[];
  /** Epochs. */
  finetune?: number;
  control?: boolean;
}

export interface TransferOptions {
  /** Copy what fits, or the source's spec with fresh weights, or teach. */
  mode?: 'parameters' | 'structure' | 'distill';
  /** Layers, by name or beginning ("conv*"), that stay as they are. */
  freeze?: string[];
  /** Factors on the learning rate: "conv1=0.1". */
  layer_rates?: string[];
  /** The weight of the source's loss on rehearsed source images. */
  lambda?: number;
  /** The weight of the distance to the source's weights. */
  l2sp?: number;
  /** The share of source images that is rehearsed. */
  rehearsal?: number;
  /** Softens the teacher's outputs. */
  temperature?: number;
  /** The teacher's share in the loss. */
  alpha?: number;
  /** Layers that are compared beforehand: "student's layer=teacher's layer". */
  hint?: string;
  hint_epochs?: number;
  /** A preset's name or a spec, for distilling. */
  student?: string | ModelSpec;
  /** 0: copy only. */
  epochs?: number;
  /** Fresh weights for the last layer even if there are as many classes. */
  new_head?: boolean;
  /** Also train from scratch, equally long. */
  control?: boolean;
}

export interface FineTuneOptions {
  epochs?: number; // 1
  /** The share of this model, as a teacher, in the loss. */
  distillation?: number;
  /** Softens the teacher's outputs. */
  temperature?: number;
  /** Also fine-tune the original, equally long. */
  control?: boolean;
}

/** Significant bits; 0 leaves the numbers as they are. */
export interface RoundOptions {
  /** Of biases and batch norm. */
  biases?: number; // 8
  /** Of scales and codebooks. */
  grids?: number; // 8
  /** Of weights that are not quantized. */
  weights?: number; // 0
}

/** Of one layer with parameters; in bits and bytes as stored, without entropy coding. */
export interface LayerSize {
  name: string;
  type: string;
  parameters: number;
  nonzeros: number;
  /** Of a weight. */
  bits: number;
  bytes: number;
  macs: number;
}
export interface ModelSize {
  layers: LayerSize[];
  total: LayerSize;
}
/** On the validation and on the test images; choices are made on the former only. */
export interface Accuracy {
  validation: number;
  test: number;
}
/** What a pass did to a model. */
export interface Report {
  pass: PassName;
  model: string;
  seed: number;
  before: ModelSize;
  after: ModelSize;
  accuracy_before?: Accuracy;
  /** Of the pass alone, before any fine-tuning. */
  accuracy_after?: Accuracy;
  accuracy_finetuned?: Accuracy;
  /** The original, trained equally long without the pass. */
  accuracy_control?: Accuracy;
  /** Transfer: on the source's own task, before and after. */
  source_before?: Accuracy;
  source_after?: Accuracy;
  finetune_epochs: number;
  /** Pruned weights that are not 0: 0, or a pass is broken. */
  revived: number;
  /** What else there is to say: chosen bits, copied layers, forgetting. */
  notes: Record<string, string>;
}
