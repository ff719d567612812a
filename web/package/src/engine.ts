// The public objects: handles whose methods are calls to the engine, wherever it runs.

import { candidatesFor } from './binaries.js';
import { Connection } from './connection.js';
import { canShareMemory, coreCount, hasRelaxedSimd, isNode } from './environment.js';
import { EspalierError, aborted, reasonOf } from './error.js';
import { localHost, workerHost } from './hosts.js';
import type { PassInput } from './espalier/methods.js';
import type { Arguments, Result } from './protocol.js';
import { RunningCompression, RunningTraining } from './running.js';
import type * as types from './types.js';

const maxAutomaticThreads = 4;
const maxThreads = 16;

/** Starts the fastest engine that computes the known answers here. */
export async function createEngine(options: types.EngineOptions = {}): Promise<types.Engine> {
  const { kernels = 'auto', worker = !isNode() } = options;
  const { threads, reason } = chooseThreads(options.threads ?? 'auto', worker);
  const wasmFolder = options.wasmFolder === undefined ? undefined : String(options.wasmFolder);
  const reasons = reason ? [reason] : [];
  for (const candidate of candidatesFor(kernels, threads > 1)) {
    const name = `${candidate.kernels} kernels${candidate.threads ? ' with threads' : ''}`;
    if (candidate.kernels === 'relaxed' && !hasRelaxedSimd()) {
      reasons.push(`${name}: there is no relaxed SIMD here`);
      continue;
    }
    let connection: Connection | undefined;
    try {
      connection = await Connection.open(worker ? workerHost(candidate) : localHost(candidate));
      const info = await connection.call('open', { threads: candidate.threads ? threads : 1, wasmFolder });
      return new EngineHandle(connection, { ...info, worker, fallbackReason: reasons.join('; ') });
    } catch (error) {
      connection?.close(aborted('The engine'));
      reasons.push(`${name}: ${reasonOf(error)}`);
    }
  }
  throw new EspalierError('unsupported', 'engine', `no engine runs here. ${reasons.join('; ')}`);
}

function chooseThreads(wanted: number | 'auto', worker: boolean): { threads: number; reason: string } {
  if (wanted !== 'auto' && !(Number.isInteger(wanted) && wanted >= 1 && wanted <= maxThreads)) {
    throw new EspalierError(
      'argument',
      'threads',
      `must be "auto" or a whole number from 1 to ${maxThreads}`,
    );
  }
  if (wanted === 1) return { threads: 1, reason: '' };
  if (!canShareMemory()) {
    return { threads: 1, reason: 'one thread: the page is not cross-origin isolated' };
  }
  // A page's own thread may not wait for others, only spin.
  if (wanted === 'auto' && !worker && !isNode()) {
    return { threads: 1, reason: 'one thread: the engine runs in the page itself' };
  }
  return { threads: wanted === 'auto' ? Math.min(coreCount(), maxAutomaticThreads) : wanted, reason: '' };
}

class EngineHandle implements types.Engine {
  readonly #connection: Connection;
  readonly info: types.EngineInfo;

  constructor(connection: Connection, info: types.EngineInfo) {
    this.#connection = connection;
    this.info = info;
  }

  catalog(): Promise<types.Catalog> {
    return this.#connection.call('catalog');
  }

  schema(): Promise<object> {
    return this.#connection.call('schema');
  }

  memory(): Promise<types.MemoryInfo> {
    return this.#connection.call('memory');
  }

  async loadDataset(
    source: types.DatasetSource,
    options: { signal?: AbortSignal } = {},
  ): Promise<types.Dataset> {
    const { id, info } = await this.#connection.start('loadDataset', [compactSource(source)], options).result;
    return new DatasetHandle(this.#connection, id, info);
  }

  async createModel(
    spec: string | types.ModelSpec,
    { seed = 1, dataset }: { seed?: number; dataset?: types.Dataset } = {},
  ): Promise<types.Model> {
    const data = dataset && idOf(dataset);
    return new ModelHandle(
      this.#connection,
      await this.#connection.call('createModel', spec, seed, data ?? 0),
    );
  }

  async loadModel(file: types.Bytes): Promise<types.Model> {
    return new ModelHandle(this.#connection, await this.#connection.call('loadModel', compact(file)));
  }

  async dispose(): Promise<void> {
    this.#connection.close(new EspalierError('aborted', '', 'The engine was disposed.'));
  }
}

class DatasetHandle implements types.Dataset {
  readonly #connection: Connection;
  readonly id: number;
  readonly info: types.DatasetInfo;

  constructor(connection: Connection, id: number, info: types.DatasetInfo) {
    this.#connection = connection;
    this.id = id;
    this.info = info;
  }

  async subset({ classes = [], perClass = 0, seed = 1 }: types.SubsetOptions): Promise<types.Dataset> {
    const dataset = await this.#connection.call('subset', this.id, String(classes), perClass, seed);
    return new DatasetHandle(this.#connection, dataset.id, dataset.info);
  }

  images(split: types.SplitName, indices: ArrayLike<number>): Promise<types.ImageBatch> {
    return this.#connection.call('images', this.id, split, Uint32Array.from(indices));
  }

  dispose(): Promise<void> {
    return this.#connection.call('dispose', this.id);
  }
}

class ModelHandle implements types.Model {
  readonly #connection: Connection;
  readonly id: number;
  readonly spec: types.ModelSpec;
  readonly labels: string[];
  readonly pipeline: types.Pipeline | undefined;

  constructor(connection: Connection, { id, spec, labels, pipeline }: Result<'createModel'>) {
    this.#connection = connection;
    this.id = id;
    this.spec = spec;
    this.labels = labels;
    this.pipeline = pipeline;
  }

  inspect(): Promise<types.ModelInspection> {
    return this.#connection.call('inspect', this.id);
  }

  train(
    dataset: types.Dataset,
    config: types.TrainingConfig = {},
    { signal }: { signal?: AbortSignal } = {},
  ): types.Training {
    return new RunningTraining(this.#connection, 'train', [this.id, idOf(dataset), config], signal);
  }

  resume(
    dataset: types.Dataset,
    { paused = false, signal }: { paused?: boolean; signal?: AbortSignal } = {},
  ): types.Training {
    return new RunningTraining(this.#connection, 'resumeTraining', [this.id, idOf(dataset), paused], signal);
  }

  quantize(dataset: types.Dataset, options: types.QuantizeOptions = {}, run: types.PassRunOptions = {}) {
    const { weights } = options;
    const words = weights === undefined ? options : { ...options, weights: String(weights) };
    return this.#compress('quantize', dataset, words, run);
  }

  prune(
    dataset: types.Dataset,
    options: types.PruneOptions = {},
    { early, ...run }: types.PassRunOptions & { early?: types.Model } = {},
  ) {
    return this.#compress('prune', dataset, options, run, { early: early ? modelId(early) : 0 });
  }

  factorize(dataset: types.Dataset, options: types.FactorizeOptions = {}, run: types.PassRunOptions = {}) {
    return this.#compress('factorize', dataset, options, run);
  }

  transfer(
    dataset: types.Dataset,
    options: types.TransferOptions = {},
    { sourceDataset, target, ...run }: types.TransferRunOptions = {},
  ) {
    const { student } = options;
    const words = typeof student === 'object' ? { ...options, student: JSON.stringify(student) } : options;
    return this.#compress('transfer', dataset, words, run, {
      model: target ? modelId(target) : 0,
      source: this.id,
      sourceDataset: sourceDataset ? idOf(sourceDataset) : 0,
    });
  }

  finetune(dataset: types.Dataset, options: types.FineTuneOptions = {}, run: types.PassRunOptions = {}) {
    return this.#compress('finetune', dataset, options, run);
  }

  fold(dataset: types.Dataset, run: types.PassRunOptions = {}) {
    return this.#compress('fold', dataset, {}, run);
  }

  slim(dataset: types.Dataset, run: types.PassRunOptions = {}) {
    return this.#compress('slim', dataset, {}, run);
  }

  round(dataset: types.Dataset, options: types.RoundOptions = {}, run: types.PassRunOptions = {}) {
    return this.#compress('round', dataset, options, run);
  }

  #compress(
    pass: types.PassName,
    dataset: types.Dataset,
    options: object,
    { signal, measure = true, training = {} }: types.PassRunOptions,
    more: Partial<PassInput> = {},
  ): types.Compression {
    const connection = this.#connection;
    const input: PassInput = {
      model: this.id,
      dataset: idOf(dataset),
      options,
      training,
      measure,
      source: 0,
      sourceDataset: 0,
      early: 0,
      ...more,
    };
    return new RunningCompression(
      connection,
      (onEvent) => {
        const { id, result } = connection.start('compress', [pass, input], { onEvent });
        return { id, result: result.then((done) => this.#withModel(done)) };
      },
      signal,
    );
  }

  compress(
    dataset: types.Dataset,
    pipeline: string | types.Pipeline,
    { signal, seed = 1, measure = true }: types.PipelineRunOptions = {},
  ): types.PipelineRun {
    const connection = this.#connection;
    return new RunningCompression(
      connection,
      (onEvent) => {
        const args: Arguments<'runPipeline'> = [this.id, idOf(dataset), pipeline, seed, measure];
        const { id, result } = connection.start('runPipeline', args, { onEvent });
        return { id, result: result.then((done) => this.#withModel(done)) };
      },
      signal,
    );
  }

  sweep(
    dataset: types.Dataset,
    grid: types.SweepGrid,
    { signal, seed = 1, lines = [], shard = '0/1', data = dataset.info.name }: types.SweepRunOptions = {},
  ): types.Sweep {
    const connection = this.#connection;
    const input = { grid, lines, shard, seed, data };
    return new RunningCompression(
      connection,
      (onEvent) => connection.start('sweep', [this.id, idOf(dataset), input], { onEvent }),
      signal,
    );
  }

  /** What a pass gave, with its model as an object. */
  #withModel<Done extends { model: Result<'createModel'> }>(done: Done) {
    return { ...done, model: new ModelHandle(this.#connection, done.model) };
  }

  evaluate(
    dataset: types.Dataset,
    split: types.SplitName,
    options?: EvaluateOptions,
  ): Promise<types.Evaluation> {
    return evaluate(this.#connection, this.id, dataset, split, options);
  }

  predict(pixels: Uint8Array, count?: number): Promise<Float32Array> {
    return this.#connection.call('predict', this.id, compact(pixels), count);
  }

  activations(pixels: Uint8Array, layer: string): Promise<types.Tensor> {
    return this.#connection.call('activations', this.id, compact(pixels), layer);
  }

  tensor(name: string): Promise<types.Tensor> {
    return this.#connection.call('tensor', this.id, name);
  }

  weightsSha256(): Promise<string> {
    return this.#connection.call('weightsSha256', this.id);
  }

  async save(): Promise<Uint8Array> {
    return (await this.saveAs('safetensors')).bytes;
  }

  saveAs(format: types.FileFormatName, notes: types.ModelNotes = {}): Promise<types.SavedFile> {
    return this.#connection.call('saveAs', this.id, format, notes);
  }

  async pack(options: types.PackOptions = {}): Promise<types.PackedModel> {
    return new PackedHandle(this.#connection, await this.#connection.call('pack', this.id, options));
  }

  dispose(): Promise<void> {
    return this.#connection.call('dispose', this.id);
  }
}

class PackedHandle implements types.PackedModel {
  readonly #connection: Connection;
  readonly #id: number;
  readonly layers: types.LayerExecution[];
  readonly bytes: number;

  constructor(connection: Connection, { id, layers, bytes }: Result<'pack'>) {
    this.#connection = connection;
    this.#id = id;
    this.layers = layers;
    this.bytes = bytes;
  }

  predict(pixels: Uint8Array, count?: number): Promise<Float32Array> {
    return this.#connection.call('predict', this.#id, compact(pixels), count);
  }

  evaluate(
    dataset: types.Dataset,
    split: types.SplitName,
    options?: EvaluateOptions,
  ): Promise<types.Evaluation> {
    return evaluate(this.#connection, this.#id, dataset, split, options);
  }

  time(dataset: types.Dataset, { signal }: { signal?: AbortSignal } = {}): Promise<types.InferenceTime> {
    return this.#connection.start('time', [this.#id, idOf(dataset)], { signal }).result;
  }

  dispose(): Promise<void> {
    return this.#connection.call('dispose', this.#id);
  }
}

interface EvaluateOptions {
  signal?: AbortSignal;
  onProgress?: (fraction: number) => void;
}

/** Of a model or a packed one. */
function evaluate(
  connection: Connection,
  id: number,
  dataset: types.Dataset,
  split: types.SplitName,
  { signal, onProgress }: EvaluateOptions = {},
): Promise<types.Evaluation> {
  return connection.start('evaluate', [id, idOf(dataset), split], { signal, onEvent: onProgress }).result;
}

function idOf(dataset: types.Dataset): number {
  if (dataset instanceof DatasetHandle) return dataset.id;
  throw new EspalierError('argument', 'dataset', 'must come from loadDataset()');
}

function modelId(model: types.Model): number {
  if (model instanceof ModelHandle) return model.id;
  throw new EspalierError('argument', 'model', 'must come from createModel() or loadModel()');
}

/** postMessage copies a view's whole buffer; this copies the view alone. */
function compact<T extends types.Bytes | Uint16Array | number[]>(data: T): T {
  if (!ArrayBuffer.isView(data) || data.byteLength === data.buffer.byteLength) return data;
  return data.slice() as T;
}

function compactSource(source: types.DatasetSource): types.DatasetSource {
  switch (source.kind) {
    case 'synthetic':
      return source;
    case 'files':
      return { ...source, files: source.files.map(({ name, data }) => ({ name, data: compact(data) })) };
    case 'images':
      return { ...source, images: compact(source.images), labels: compact(source.labels) };
  }
}
