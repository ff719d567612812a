// What the figures say: which way learned the target best, and which one kept the source best.

import { wayNames, type WayName } from './ways';

/** On test images, shares of right answers. */
export interface Final {
  target: number;
  /** On the source's own task. From scratch, there was nothing to forget. */
  before?: number;
  after?: number;
}
export type Finals = Partial<Record<WayName, Final>>;

export interface Verdict {
  best: WayName;
  next: WayName;
  /** Between the two, and between the best one and from scratch. */
  points: number;
  scratchPoints: number;
  /** So few points that other test images could turn it. */
  isClose: boolean;
  /** Which forgot least, and how many points. */
  keeper?: { way: WayName; points: number };
}

/** Standard errors of a difference within which nothing is said. */
const certainty = 2;

export function verdictOf(finals: Finals, testImages: number): Verdict | undefined {
  const known = wayNames.flatMap((way) => (finals[way] ? [{ way, ...finals[way] }] : []));
  if (known.length < wayNames.length) return undefined;
  const [best, next] = [...known].sort((a, b) => b.target - a.target);
  const { scratch } = finals;
  if (!best || !next || !scratch) return undefined;
  const variance = (share: number) => (share * (1 - share)) / testImages;
  const error = Math.sqrt(variance(best.target) + variance(next.target));
  const [keeper] = known
    .flatMap(({ way, before, after }) =>
      before === undefined || after === undefined ? [] : [{ way, points: 100 * (before - after) }],
    )
    .sort((a, b) => a.points - b.points);
  return {
    best: best.way,
    next: next.way,
    points: 100 * (best.target - next.target),
    scratchPoints: 100 * (best.target - scratch.target),
    isClose: best.target - next.target <= certainty * error,
    ...(keeper && { keeper }),
  };
}
