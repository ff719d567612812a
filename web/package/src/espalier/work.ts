// The work that loops run: trainings and passes of the engine.

import { aborted } from '../error.js';
import type { Call } from '../protocol.js';
import type { PassProgress, TrainingDone, TrainingEvent } from '../types.js';
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

/** Its result is what finish_pass() says. */
export function passWork(session: Session, id: number, call: Call<PassProgress>): Work<string> {
  let stage = '';
  let units = 0;
  /** Milliseconds of work on the stage, pauses left out. */
  let worked = 0;
  let emitted = -Infinity;
  return {
    slice() {
      const begin = performance.now();
      const text = session.use((native) => native.run_pass(id, sliceMilliseconds));
      const now = performance.now();
      const { done, progress } = JSON.parse(text) as Slice & { progress: Omit<PassProgress, 'type'> };
      if (progress.stage !== stage || progress.done < units) worked = 0;
      ({ stage, done: units } = progress);
      worked += now - begin;
      if (now - emitted >= progressInterval) {
        const left = progress.total - units;
        const eta = units > 0 ? { etaSeconds: ((worked / units) * left) / 1000 } : {};
        call.emit({ type: 'progress', ...progress, ...eta });
        emitted = now;
      }
      return { done };
    },
    finish(stopped) {
      if (stopped) throw aborted('The pass');
      return session.use((native) => native.finish_pass(id));
    },
    dispose: () => dispose(session, id),
  };
}

function dispose(session: Session, id: number): void {
  if (!session.failure) session.use((native) => native.dispose(id));
}
