// Measurements that take a while are of weights that stand still.

import { session } from '../session.svelte';

const lookEveryMs = 20;

/** Resolves when no training runs any more. */
export async function untilStanding(): Promise<void> {
  if (session.phase === 'training') await session.pause();
  while (session.phase === 'training') await new Promise((resolve) => setTimeout(resolve, lookEveryMs));
}
