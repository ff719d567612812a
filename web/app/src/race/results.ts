// What the turns say: speeds beside each other in words, and everything as JSON.

import { integer } from '../format';
import { t } from '../i18n/race';
import { champion, championWithThreads, type Lane } from './lanes.svelte';
import { check, training, type Task, type Track } from './tasks';

export const speed = (value: number): string => (value < 100 ? value.toFixed(1) : integer(value));
export const times = (ratio: number): string => `${ratio < 10 ? ratio.toFixed(2) : integer(ratio)} ×`;

const isPeer = ({ contestant }: Lane) => contestant.id !== champion;
const find = (lanes: readonly Lane[], id: string) => lanes.find((lane) => lane.id === id);

function fastestPeer(lanes: readonly Lane[]): Lane | undefined {
  return lanes.filter(isPeer).reduce<Lane | undefined>((best, lane) => {
    return (lane.median ?? 0) > (best?.median ?? 0) ? lane : best;
  }, undefined);
}

/** Beside a lane's speed: how it compares with Espalier on one thread, and that with the fastest peer. */
export function comparison(lane: Lane, lanes: readonly Lane[]): string {
  const own = find(lanes, champion)?.median;
  if (own === undefined || lane.median === undefined) return '';
  if (lane.id === championWithThreads) return t.oneThread(times(lane.median / own));
  if (isPeer(lane)) return t.asFast(times(own / lane.median));
  const peer = fastestPeer(lanes)?.median;
  return peer === undefined ? '' : t.theFastest(times(own / peer));
}

export function headline(lanes: readonly Lane[], { kind }: Task, { preset }: Track): string {
  const own = find(lanes, champion)?.median;
  const peer = fastestPeer(lanes);
  if (own === undefined || peer?.median === undefined) return '';
  const ratio = own / peer.median;
  const { name } = t.tracks[preset];
  return ratio >= 1
    ? t.wins(kind, name, times(ratio), peer.name)
    : t.loses(kind, name, times(1 / ratio), peer.name);
}

export interface Run {
  lanes: readonly Lane[];
  task: Task;
  track: Track;
  date: string;
  complete: boolean;
}

export function asJson({ lanes, task, track, date, complete }: Run): string {
  const report = {
    date,
    complete,
    browser: navigator.userAgent,
    cores: navigator.hardwareConcurrency,
    isolated: crossOriginIsolated,
    network: track.preset,
    task: task.id,
    batch: task.batch,
    unit: 'images/s',
    check: { images: check.images, losses: check.losses },
    ...(task.kind === 'training' && { training }),
    contestants: lanes.map((lane) => ({
      id: lane.id,
      name: lane.name,
      version: lane.contestant.version,
      how: lane.contestant.how,
      ...(lane.using && { using: lane.using }),
      threads: lane.options.threads,
      losses: lane.losses,
      ...(lane.median === undefined
        ? { missing: lane.absence(task) }
        : { median: lane.median, low: lane.low, high: lane.high, samples: lane.samples }),
    })),
  };
  return JSON.stringify(report, null, 2);
}
