// How long "Heal" trains: a few seconds on this device, in whole epochs.

import { usualLearningRate } from '../settings';
import { session } from '../session.svelte';
import type { Options } from './cards';

const wantedSeconds = 3;
const mostEpochs = 10;

/** A network that is trained already takes smaller steps. */
const rateShare = 0.2;

export function healingOptions(): Options {
  const images = session.dataset?.counts.train ?? 0;
  const epochs = images > 0 ? (wantedSeconds * session.run.imagesPerSecond) / images : 1;
  const usual = usualLearningRate({
    optimizer: 'momentum',
    preset: session.run.applied?.preset ?? session.modelName,
  });
  return {
    epochs: Math.max(1, Math.min(mostEpochs, Math.round(epochs))),
    learning_rate: Number((usual * rateShare).toPrecision(2)),
  };
}
