// What an engine can be asked. Each method is defined here and nowhere else: the dispatcher calls this
// object by name, and the client takes argument, result and event types from it.

import { EspalierError, aborted } from '../error.js';
import type { Call } from '../protocol.js';
import type {
  Bytes,
  Catalog,
  DatasetInfo,
  DatasetSource,
  EngineInfo,
  Evaluation,
  FileFormatName,
  FilePart,
  ImageBatch,
  InferenceTime,
  LayerExecution,
  MemoryInfo,
  ModelInspection,
  ModelNotes,
  ModelSpec,
  PackOptions,
  PassName,
  PassProgress,
  Pipeline,
  PipelineProgress,
  PipelineReport,
  Report,
  SavedFile,
  SplitName,
  SweepDone,
  SweepGrid,
  SweepLine,
  SweepProgress,
  SweepResult,
  Tensor,
  TrainingConfig,
  TrainingDone,
  TrainingEvent,
} from '../types.js';
import { describeFiles, readBytes } from './files.js';
import type { InstanceOptions, NativeTensor } from './instance.js';
import { Loop, type PausedEvent, type Work } from './loop.js';
import type { Session } from './session.js';
import { breathe, sliceMilliseconds } from './slices.js';
import { passWork, sweepWork, timingWork, trainingWork } from './work.js';

export type Methods = ReturnType<typeof createMethods>;

/** Handles; 0: there is none. */
export interface PassInput {
  model: number;
  dataset: number;
  options: object;
  training: TrainingConfig;
  measure: boolean;
  source: number;
  sourceDataset: number;
  early: number;
}

/** All options of a sweep. */
export interface SweepInput {
  grid: SweepGrid;
  lines: readonly SweepLine[];
  shard: string;
  seed: number;
  data: string;
}

export function createMethods(session: Session) {
  /** By the id of the call that runs it. */
  const loops = new Map<number, Loop<unknown>>();
  /** The same; the engine's handles. */
  const trainings = new Map<number, number>();
  const loopOfModel = new Map<number, Loop<unknown>>();

  const modelResult = (id: number) => {
    const text = session.use((native) => native.model_info(id));
    const { pipeline, ...info } = JSON.parse(text) as { spec: ModelSpec; labels: string[]; pipeline: string };
    return { id, ...info, pipeline: pipeline ? (JSON.parse(pipeline) as Pipeline) : undefined };
  };
  const datasetResult = (id: number) => ({
    id,
    info: JSON.parse(session.use((native) => native.dataset_info(id))) as DatasetInfo,
  });

  async function runTraining(
    call: Call<TrainingEvent>,
    model: number,
    start: () => number,
    paused = false,
  ): Promise<TrainingDone> {
    if (loopOfModel.has(model)) {
      throw new EspalierError('argument', 'model', 'is being trained already; abort that training first');
    }
    const training = start();
    const loop = new Loop(trainingWork(session, training, call), call);
    loops.set(call.id, loop);
    trainings.set(call.id, training);
    loopOfModel.set(model, loop);
    if (paused) void loop.pause();
    try {
      return await loop.run();
    } finally {
      loops.delete(call.id);
      trainings.delete(call.id);
      loopOfModel.delete(model);
    }
  }

  async function sha256(model: number): Promise<string> {
    const weights = session.use((native) => native.weights(model).slice());
    if (!globalThis.crypto?.subtle) {
      throw new EspalierError('unsupported', 'weightsSha256', 'browsers hash only on https and localhost');
    }
    const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', weights));
    return Array.from(digest, (byte) => byte.toString(16).padStart(2, '0')).join('');
  }

  /** To the end, as the loop of its call. */
  async function runLoop<Result>(call: Call<PausedEvent>, work: Work<Result>): Promise<Result> {
    const loop = new Loop(work, call);
    loops.set(call.id, loop);
    try {
      return await loop.run();
    } finally {
      loops.delete(call.id);
    }
  }

  return {
    async open(
      _call: Call,
      options: InstanceOptions,
    ): Promise<Omit<EngineInfo, 'worker' | 'fallbackReason'>> {
      await session.start(options);
      return JSON.parse(session.use((native) => native.open_engine(options.threads))) as EngineInfo;
    },

    catalog: (_call: Call) =>
      JSON.parse(
        session.use((native) => native.catalog()),
        (key, value: unknown) => (key === 'choices' && typeof value === 'string' ? value.split(', ') : value),
      ) as Catalog,

    schema: (_call: Call) => JSON.parse(session.use((native) => native.schema())) as object,

    memory: (_call: Call): MemoryInfo => ({ heapBytes: session.use((native) => native.heap_bytes()) }),

    dispose(_call: Call, handle: number): void {
      session.use((native) => native.dispose(handle));
    },

    async loadDataset(call: Call, source: DatasetSource) {
      if (source.kind === 'synthetic') {
        const { train = 6000, test = 1000, seed = 1 } = source;
        const description = JSON.stringify({ kind: 'synthetic', train, test, seed });
        return datasetResult(session.use((native) => native.create_dataset(description)));
      }
      const { description, parts } =
        source.kind === 'files' ? await describeFiles(source.files, source.name) : describeImages(source);
      if (call.signal.aborted) throw aborted('Loading');
      const pointers: number[] = [];
      try {
        const placed = parts.map(({ name, bytes }) => {
          const target = session.use((native) => native.reserve(bytes.byteLength));
          target.set(bytes);
          pointers.push(target.byteOffset);
          return { name, pointer: target.byteOffset, bytes: bytes.byteLength };
        });
        const text = JSON.stringify({ ...description, parts: placed });
        return datasetResult(session.use((native) => native.create_dataset(text)));
      } finally {
        for (const pointer of pointers) session.use((native) => native.release(pointer));
      }
    },

    subset: (_call: Call, dataset: number, classes: string, perClass: number, seed: number) =>
      datasetResult(session.use((native) => native.subset_dataset(dataset, classes, perClass, seed))),

    images: (_call: Call, dataset: number, split: SplitName, indices: Uint32Array): ImageBatch =>
      session.useWith(indices, (native, pointer) => {
        const { pixels, labels } = native.read_images(dataset, split, pointer, indices.length);
        return { pixels: pixels.slice(), labels: labels.slice() };
      }),

    createModel(_call: Call, spec: string | ModelSpec, seed: number, dataset: number) {
      const text = JSON.stringify(spec);
      return modelResult(session.use((native) => native.create_model(text, seed, dataset)));
    },

    async loadModel(_call: Call, file: Bytes) {
      const bytes = await readBytes(file);
      return modelResult(session.useWith(bytes, (native, pointer, size) => native.load_model(pointer, size)));
    },

    inspect: (_call: Call, model: number) =>
      JSON.parse(session.use((native) => native.inspect(model))) as ModelInspection,

    train: (call: Call<TrainingEvent>, model: number, dataset: number, config: TrainingConfig) =>
      runTraining(call, model, () =>
        session.use((native) => native.start_training(model, dataset, JSON.stringify(config))),
      ),

    resumeTraining: (call: Call<TrainingEvent>, model: number, dataset: number, paused: boolean) =>
      runTraining(call, model, () => session.use((native) => native.resume_training(model, dataset)), paused),

    async compress(
      call: Call<PassProgress | PausedEvent>,
      pass: PassName,
      { model, dataset, options, training, measure, source, sourceDataset, early }: PassInput,
    ) {
      const id = session.use((native) =>
        native.start_pass(
          pass,
          model,
          dataset,
          JSON.stringify(options),
          JSON.stringify(training),
          measure,
          source,
          sourceDataset,
          early,
        ),
      );
      const work = passWork<{ report: Report; model: number }>(session, id, call);
      const result = await runLoop(call, work);
      return { report: result.report, model: modelResult(result.model) };
    },

    async runPipeline(
      call: Call<PipelineProgress | PausedEvent>,
      model: number,
      dataset: number,
      pipeline: string | Pipeline,
      seed: number,
      measure: boolean,
    ) {
      const text = JSON.stringify(pipeline);
      const id = session.use((native) => native.start_pipeline(model, dataset, text, seed, measure));
      const work = passWork<{ report: PipelineReport; pipeline: Pipeline; model: number }>(
        session,
        id,
        call as Call<PassProgress | PipelineProgress>,
      );
      const result = await runLoop(call, work);
      return { ...result, model: modelResult(result.model) };
    },

    async sweep(
      call: Call<SweepProgress | SweepResult | PausedEvent>,
      model: number,
      dataset: number,
      { data, ...input }: SweepInput,
    ): Promise<SweepDone> {
      const origin = { source_sha256: await sha256(model), data };
      const text = JSON.stringify({ ...input, origin });
      const id = session.use((native) => native.start_sweep(model, dataset, text));
      return runLoop(call, sweepWork(session, id, call));
    },

    // Steering work that has just ended is not a mistake.
    pause: async (_call: Call, work: number) => loops.get(work)?.pause(),
    continue: async (_call: Call, work: number) => loops.get(work)?.resume(),
    step: async (_call: Call, work: number, count: number) => loops.get(work)?.step(count),

    checkpoint(_call: Call, training: number): Uint8Array {
      const id = trainings.get(training);
      if (!id) throw new EspalierError('argument', 'checkpoint', 'the training has ended; save() the model');
      return session.use((native) => native.checkpoint(id).slice());
    },

    async evaluate(
      call: Call<number>,
      model: number,
      dataset: number,
      split: SplitName,
    ): Promise<Evaluation> {
      const begin = performance.now();
      const release = loopOfModel.get(model)?.hold();
      let id: number | undefined;
      try {
        id = session.use((native) => native.start_evaluation(model, dataset, split));
        for (;;) {
          const evaluation = id;
          const done = session.use((native) => native.run_evaluation(evaluation, sliceMilliseconds));
          call.emit(done);
          if (done >= 1) break;
          await breathe();
          if (call.signal.aborted) throw aborted('The evaluation');
        }
        const evaluation = id;
        return session.use((native) => {
          const { summary, confusion, predictions, confidences } = native.evaluation_result(evaluation);
          return {
            ...(JSON.parse(summary) as Pick<Evaluation, 'count' | 'accuracy' | 'loss'>),
            confusion: confusion.slice(),
            predictions: predictions.slice(),
            confidences: confidences.slice(),
            seconds: (performance.now() - begin) / 1000,
          };
        });
      } finally {
        release?.();
        const evaluation = id;
        if (evaluation !== undefined && !session.failure) session.use((native) => native.dispose(evaluation));
      }
    },

    predict: (_call: Call, model: number, pixels: Uint8Array, count = -1): Float32Array =>
      session.useWith(pixels, (native, pointer, size) => native.predict(model, pointer, size, count).slice()),

    activations: (_call: Call, model: number, pixels: Uint8Array, layer: string): Tensor =>
      session.useWith(pixels, (native, pointer, size) =>
        copyTensor(native.activations(model, pointer, size, layer)),
      ),

    tensor: (_call: Call, model: number, name: string): Tensor =>
      session.use((native) => copyTensor(native.tensor(model, name))),

    weightsSha256: (_call: Call, model: number): Promise<string> => sha256(model),

    saveAs: (_call: Call, model: number, format: FileFormatName, notes: ModelNotes): SavedFile =>
      session.use((native) => {
        const { labels, pipeline } = notes;
        const texts = { labels, pipeline: pipeline && JSON.stringify(pipeline) };
        const { bytes, parts } = native.save_as(model, format, JSON.stringify(texts));
        return { bytes: new Uint8Array(bytes), parts: JSON.parse(parts) as FilePart[] };
      }),

    pack(_call: Call, model: number, { runtime = 'packed', format = '' }: PackOptions) {
      const id = session.use((native) => native.pack_model(model, runtime, format));
      const text = session.use((native) => native.packed_info(id));
      return { id, ...(JSON.parse(text) as { layers: LayerExecution[]; bytes: number }) };
    },

    time(call: Call<PausedEvent>, packed: number, dataset: number): Promise<InferenceTime> {
      const id = session.use((native) => native.start_timing(packed, dataset));
      return runLoop(call, timingWork(session, id));
    },
  };
}

function copyTensor({ shape, data }: NativeTensor): Tensor {
  return { shape: JSON.parse(shape) as number[], data: data.slice() };
}

function describeImages(source: Extract<DatasetSource, { kind: 'images' }>) {
  const { name = 'images', classNames, channels, height, width, images } = source;
  const labels = Uint16Array.from(source.labels);
  return {
    description: { kind: 'images', name, classNames, channels, height, width },
    parts: [
      { name: 'images', bytes: images },
      { name: 'labels', bytes: new Uint8Array(labels.buffer) },
    ],
  };
}
