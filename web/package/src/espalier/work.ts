// The work that loops run: trainings, passes, pipelines, sweeps and timings of the engine.

import { aborted } from '../error.js';
import type { Call } from '../protocol.js';
import type {
  InferenceTime,
  PassProgress,
  PipelineProgress,
  SweepDone,
  SweepLine,
  SweepProgress,
  SweepResult,
  TrainingDone,
  TrainingEvent,
} from '../types.js';
import type { Slice, Work } from './loop.js';
import type { Session } from './session.js';
import { sliceMilliseconds } from './slices.js';

/** However it ends, the model keeps its weights. */
export function trainingWork(session: Session, id: number, call: Call<TrainingEvent>): Work<TrainingDone> {
  return {
    slice(steps) {
      const text = session.use((native) => native.run_training(id, sliceMilliseconds, steps));
      const slice = JSON.parse(text) as Slice & { events: TrainingEvent[] };
      for (const event of slice.events) call.emit(event);
      return slice;
    },
    finish: (stopped) =>
      JSON.parse(session.use((native) => native.finish_training(id, stopped))) as TrainingDone,
    dispose: () => dispose(session, id),
  };
}

/** At most 15 events a second. */
const progressInterval = 67;

/** Of a pass or a pipeline, whose progress also says which pass is under way. */
export function passWork<Result>(
  session: Session,
  id: number,
  call: Call<PassProgress | PipelineProgress>,
): Work<Result> {
  let key = '';
  let units = 0;
  /** Milliseconds of work on the stage, pauses left out. */
  let worked = 0;
  const emit = throttled(call);
  return slicedWork<Result, { progress: PassProgress | PipelineProgress }>(
    session,
    id,
    ({ progress }, milliseconds) => {
      const stage = `${'index' in progress ? progress.index : 0} ${progress.stage}`;
      if (stage !== key || progress.done < units) worked = 0;
      key = stage;
      units = progress.done;
      worked += milliseconds;
      const left = progress.total - units;
      const eta = units > 0 ? { etaSeconds: ((worked / units) * left) / 1000 } : {};
      emit({ ...progress, ...eta, type: 'progress' });
    },
  );
}

interface SweepSlice {
  progress: { stage: string };
  sweep: Pick<SweepProgress, 'done' | 'skipped' | 'total' | 'choices'>;
  lines: SweepLine[];
}

export function sweepWork(
  session: Session,
  id: number,
  call: Call<SweepProgress | SweepResult>,
): Work<SweepDone> {
  let worked = 0;
  const emit = throttled(call);
  return slicedWork<SweepDone, SweepSlice>(session, id, ({ progress, sweep, lines }, milliseconds) => {
    worked += milliseconds;
    for (const line of lines) call.emit({ type: 'line', line });
    const fresh = sweep.done - sweep.skipped;
    const left = sweep.total - sweep.done;
    const eta = fresh > 0 ? { etaSeconds: ((worked / fresh) * left) / 1000 } : {};
    emit({ type: 'progress', ...sweep, stage: progress.stage, ...eta });
  });
}

export function timingWork(session: Session, id: number): Work<InferenceTime> {
  return slicedWork<InferenceTime, object>(session, id, () => {});
}

function throttled<Event>(call: Call<Event>): (event: Event) => void {
  let emitted = -Infinity;
  return (event) => {
    const now = performance.now();
    if (now - emitted < progressInterval) return;
    call.emit(event);
    emitted = now;
  };
}

/** Its result is what finish_work() says. `told` gets what each slice says, and how long it took. */
function slicedWork<Result, Told extends object>(
  session: Session,
  id: number,
  told: (slice: Told, milliseconds: number) => void,
): Work<Result> {
  return {
    slice() {
      const begin = performance.now();
      const text = session.use((native) => native.run_work(id, sliceMilliseconds));
      const { done, ...rest } = JSON.parse(text) as Slice & Told;
      told(rest as unknown as Told, performance.now() - begin);
      return { done };
    },
    finish(stopped) {
      if (stopped) throw aborted('The work');
      return JSON.parse(session.use((native) => native.finish_work(id))) as Result;
    },
    dispose: () => dispose(session, id),
  };
}

function dispose(session: Session, id: number): void {
  if (!session.failure) session.use((native) => native.dispose(id));
}
