// The race: everybody starts, shows its losses, and is then timed in turns. Never do two compute at once, and a turn of
// one is followed by a turn of the next, so that whatever else the machine does meanwhile meets them all.

import { Remote, firstImages, type Images, type LoadOptions, type Material } from 'espalier-race';
import { t } from '../i18n/race';
import { Clock } from './clock';
import { champion, makeLanes, type Lane } from './lanes.svelte';
import { sentence } from './sentence';
import { check, effort, patienceSeconds, tasks, tracks, training } from './tasks';

export type Phase = 'idle' | 'checking' | 'racing' | 'done' | 'stopped' | 'failed';

class Race {
  task = $state.raw(tasks[0]);
  track = $state.raw(tracks[0]);
  phase = $state<Phase>('idle');
  /** What happens now, or what went wrong. */
  status = $state('');
  secondsLeft = $state<number>();
  share = $state(0);
  date = $state('');
  readonly lanes = makeLanes({ isolated: crossOriginIsolated, cores: navigator.hardwareConcurrency });

  #abort = new AbortController();
  #clock = new Clock();
  #materials = new Map<string, Material>();
  #remotes = new Map<Lane, Remote>();

  get isRunning(): boolean {
    return this.phase === 'checking' || this.phase === 'racing';
  }

  /** By id and preset. What was measured belongs to the last race and goes. */
  choose(change: { task?: string; track?: string }): void {
    this.task = tasks.find(({ id }) => id === change.task) ?? this.task;
    this.track = tracks.find(({ preset }) => preset === change.track) ?? this.track;
    for (const lane of this.lanes) lane.reset('idle');
    this.phase = 'idle';
  }

  /** Ends by itself or with `stop`; never rejects. */
  async start(): Promise<void> {
    if (this.isRunning) return;
    const abort = (this.#abort = new AbortController());
    this.#clock = new Clock();
    this.#remotes = new Map();
    this.date = new Date().toISOString();
    this.share = 0;
    this.secondsLeft = undefined;
    this.phase = 'checking';
    for (const lane of this.lanes) {
      lane.reset(lane.takesPart && !lane.barred(this.task) ? 'waiting' : 'idle');
    }
    try {
      await this.#checkAll(abort.signal);
      this.phase = 'racing';
      await this.#raceAll(abort.signal);
      this.#end('done');
    } catch (error) {
      if (!abort.signal.aborted) this.#end('failed', sentence(error));
    } finally {
      // Closes all who are still there.
      abort.abort();
    }
  }

  /** At once: whoever computes is ended in the middle of it. */
  stop(): void {
    if (!this.isRunning) return;
    this.#end('stopped');
    this.#abort.abort();
  }

  #end(phase: Phase, status = ''): void {
    this.phase = phase;
    this.status = status;
    for (const lane of this.lanes) if (lane.state !== 'out') lane.state = 'idle';
  }

  async #checkAll(signal: AbortSignal): Promise<void> {
    this.status = t.preparing;
    const material = await this.#material(signal);
    const expected = await this.#expectation(material, signal);
    const lanes = this.#inState('waiting');
    for (const [index, lane] of lanes.entries()) {
      this.#tell(t.checkingOne(index + 1, lanes.length, lane.name));
      await this.#try(lane, signal, async () => {
        lane.state = 'starting';
        await this.#clock.measure(checkOf(lane), () => this.#check(lane, material, expected, signal));
        lane.state = 'ready';
      });
    }
    if (!this.#inState('ready').length) throw new Error(t.nobody);
  }

  async #raceAll(signal: AbortSignal): Promise<void> {
    const images = firstImages((await this.#material(signal)).images, this.task.batch);
    for (let turn = 0; turn < effort.turns; ++turn) {
      for (const lane of this.#inState('ready').filter((lane) => turn < turnsOf(lane))) {
        this.#tell(t.turn(turn + 1, effort.turns, lane.name));
        await this.#try(lane, signal, async () => {
          lane.state = 'running';
          const speed = await this.#clock.measure(lane.id, () => this.#turn(lane, images, effort.seconds));
          lane.samples = [...lane.samples, speed];
          lane.state = 'ready';
        });
      }
    }
    this.share = 1;
  }

  /** Whoever fails is out, and the others go on. */
  async #try(lane: Lane, signal: AbortSignal, work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      signal.throwIfAborted();
      this.#remotes.get(lane)?.close();
      lane.leave(sentence(error));
    }
  }

  async #material(signal: AbortSignal): Promise<Material> {
    const { preset } = this.track;
    const material = this.#materials.get(preset) ?? (await Remote.prepare([preset], 1024, signal));
    this.#materials.set(preset, material);
    return material;
  }

  /** What the plain engine gives: tests compare that one with another library and with numeric gradients. */
  async #expectation(material: Material, signal: AbortSignal): Promise<number[]> {
    const remote = await this.#open(champion, { threads: 1, kernels: 'plain' }, material, 'check', signal);
    const losses = await this.#losses(remote, material);
    remote.close();
    return losses;
  }

  async #check(lane: Lane, material: Material, expected: number[], signal: AbortSignal): Promise<void> {
    const { contestant, options } = lane;
    let remote = await this.#open(contestant.id, options, material, 'check', signal);
    this.#remotes.set(lane, remote);
    lane.using = remote.using ?? '';
    lane.losses = await this.#losses(remote, material);
    for (const [index, { when, tolerance }] of check.losses.entries()) {
      const [loss, wanted] = [lane.losses[index], expected[index]];
      if (wanted === undefined || Math.abs(loss! - wanted) <= tolerance) continue;
      throw new Error(t.otherLoss(when, loss?.toFixed(4) ?? '–', wanted.toFixed(4)));
    }
    // The slow are warm now, and go on with these few images.
    if (contestant.slow) return;
    if (this.task.kind === 'training') {
      remote.close();
      remote = await this.#open(contestant.id, options, material, 'race', signal);
      this.#remotes.set(lane, remote);
    }
    const images = firstImages(material.images, this.task.batch);
    await this.#turn(lane, images, 0);
    await this.#turn(lane, images, effort.warmUpSeconds);
  }

  async #open(
    id: string,
    options: LoadOptions,
    { networks, images }: Material,
    purpose: 'check' | 'race',
    signal: AbortSignal,
  ): Promise<Remote> {
    const network = networks[this.track.preset]!;
    const setup =
      purpose === 'check'
        ? {
            ...training,
            network,
            images: firstImages(images, check.images),
            learningRate: check.learningRate,
          }
        : { ...training, network, images };
    const remote = new Remote(signal);
    return inTime(remote.load(id, options, setup), () => remote.close());
  }

  #losses(remote: Remote, material: Material): Promise<number[]> {
    const images = firstImages(material.images, check.images);
    const measure = async () => {
      const before = await remote.call('loss', images);
      if (this.task.kind === 'inference') return [before];
      await remote.call('train', 1);
      return [before, await remote.call('loss', images)];
    };
    return inTime(measure(), () => remote.close());
  }

  /** Images a second. */
  async #turn(lane: Lane, images: Images, wanted: number): Promise<number> {
    const remote = this.#remotes.get(lane)!;
    const time = lane.contestant.slow ? 0 : wanted;
    const timing =
      this.task.kind === 'training'
        ? remote.call('timeTraining', time)
        : remote.call('timeInference', images, time);
    const { count, seconds } = await inTime(timing, () => remote.close());
    return (count * this.task.batch) / seconds;
  }

  #inState(...states: Lane['state'][]): Lane[] {
    return this.lanes.filter(({ state }) => states.includes(state));
  }

  #tell(status: string): void {
    const checks = this.#inState('waiting').map((lane) => ({
      kind: checkOf(lane),
      times: 1,
      guess: lane.contestant.slow ? 4 : 2,
    }));
    const turns = this.#inState('waiting', 'ready').map((lane) => ({
      kind: lane.id,
      times: turnsOf(lane) - lane.samples.length,
      guess: lane.contestant.slow ? 2 : effort.seconds,
    }));
    const { secondsLeft, share } = this.#clock.estimate([...checks, ...turns]);
    this.status = status;
    this.secondsLeft = secondsLeft;
    this.share = Math.max(this.share, share);
  }
}

const checkOf = ({ contestant }: Lane) => (contestant.slow ? 'check of the slow' : 'check');
const turnsOf = ({ contestant }: Lane) => (contestant.slow ? effort.slowTurns : effort.turns);

/** Libraries have been seen to wait for ever; `end` ends whoever is late. */
async function inTime<T>(work: Promise<T>, end: () => void): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      reject(new Error(t.late(patienceSeconds)));
      end();
    }, 1000 * patienceSeconds);
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}

export const race = new Race();
