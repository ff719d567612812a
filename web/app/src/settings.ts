// What the visitor can choose, and how it travels in the URL: #preset=lenet5&epochs=10
// Values equal to the defaults are left out, so that links stay short.

import type { TrainingConfig } from 'espalier';

import { hashOf, parametersOf } from './address';
import { fromText, toText } from './network/text';

export interface Settings {
  dataset: string;
  preset: string;
  /** The layers, where they are not the preset's own (network/text.ts); else empty. */
  network: string;
  optimizer: string;
  learningRate: number;
  schedule: string;
  batchSize: number;
  epochs: number;
  weightDecay: number;
  labelSmoothing: number;
  /** As the engine takes it: "shift:2,rotation:10" or "none". */
  augment: string;
  seed: number;
}

export const defaults: Settings = {
  dataset: 'digits',
  preset: 'small',
  network: '',
  optimizer: 'momentum',
  learningRate: 0.05,
  schedule: 'cosine',
  batchSize: 64,
  epochs: 40,
  weightDecay: 0,
  labelSmoothing: 0,
  augment: 'none',
  seed: 1,
};

interface NumberRange {
  min: number;
  max: number;
  whole: boolean;
}
export const ranges = {
  learningRate: { min: 1e-6, max: 10, whole: false },
  batchSize: { min: 1, max: 4096, whole: true },
  epochs: { min: 1, max: 1000, whole: true },
  weightDecay: { min: 0, max: 1, whole: false },
  labelSmoothing: { min: 0, max: 0.9, whole: false },
  seed: { min: 0, max: 2 ** 31 - 1, whole: true },
} satisfies Partial<Record<keyof Settings, NumberRange>>;

const usualRates: Record<string, number> = {
  sgd: 0.1,
  momentum: 0.05,
  nesterov: 0.05,
  adam: 0.001,
  adamw: 0.001,
};

/** A rate that suits optimizer and model; for what is unknown, that of the default optimizer. */
export function usualLearningRate({ optimizer, preset }: Pick<Settings, 'optimizer' | 'preset'>): number {
  const rate = usualRates[optimizer] ?? defaults.learningRate;
  // No activation tames LeNet-5's convolutions: above this it diverges (Caffe trains it with 0.01, too).
  return preset === 'lenet5' ? Math.min(rate, 0.01) : rate;
}

const names = Object.keys(defaults) as (keyof Settings)[];

export function fromHash(hash: string): Settings {
  const given = parametersOf(hash);
  const settings: Record<string, string | number> = { ...defaults };
  for (const name of names) {
    const text = given.get(name);
    if (text === null) continue;
    if (name in ranges) {
      const value = Number(text);
      if (isInRange(value, ranges[name as keyof typeof ranges])) settings[name] = value;
    } else if (name === 'network') {
      settings[name] = toText(fromText(text) ?? []);
    } else if (/^[\w.:,+ -]{1,200}$/.test(text)) {
      settings[name] = text;
    }
  }
  const result = settings as unknown as Settings;
  if (!given.has('learningRate')) result.learningRate = usualLearningRate(result);
  return result;
}

/** Where a training was paused, from 1 on; 0: nowhere. */
export function stepOf(hash: string): number {
  const step = Number(parametersOf(hash).get('step'));
  return Number.isInteger(step) && step > 0 ? step : 0;
}

/** `others` are written as they are, or left out where they are empty; whatever else there is stays. */
export function toHash(settings: Settings, others: Record<string, string>, hash: string): string {
  const parameters = parametersOf(hash);
  const usual = { ...defaults, learningRate: usualLearningRate(settings) };
  for (const name of names) {
    if (settings[name] === usual[name]) parameters.delete(name);
    else parameters.set(name, String(settings[name]));
  }
  for (const [name, text] of Object.entries(others)) {
    if (text) parameters.set(name, text);
    else parameters.delete(name);
  }
  return hashOf(parameters);
}

export function isInRange(value: number, { min, max, whole }: NumberRange): boolean {
  return Number.isFinite(value) && value >= min && value <= max && (!whole || Number.isInteger(value));
}

/** What a model with these settings is called. */
export const modelNameOf = ({ preset, network }: Pick<Settings, 'preset' | 'network'>): string =>
  network ? `${preset}${editedEnding}` : preset;
export const editedEnding = '-edited';

export const sameSettings = (a: Settings, b: Settings): boolean => names.every((name) => a[name] === b[name]);

export function toConfig(settings: Settings): TrainingConfig {
  return {
    epochs: settings.epochs,
    batch_size: settings.batchSize,
    learning_rate: settings.learningRate,
    optimizer: settings.optimizer,
    schedule: settings.schedule,
    weight_decay: settings.weightDecay,
    label_smoothing: settings.labelSmoothing,
    augment: settings.augment,
    seed: settings.seed,
  };
}

/** "shift:2,rotation" → amounts by name; undefined is the usual amount. */
export function parseAugment(text: string): Map<string, number | undefined> {
  const amounts = new Map<string, number | undefined>();
  for (const part of text.split(',')) {
    const [name, amount] = part.trim().split(':');
    if (name && name !== 'none') amounts.set(name, amount === undefined ? undefined : Number(amount));
  }
  return amounts;
}
/** The same list with one amount changed, or taken out. */
export function withAugment(text: string, name: string, amount: number | undefined): string {
  const amounts = parseAugment(text);
  if (amount === undefined) amounts.delete(name);
  else amounts.set(name, amount);
  const parts = [...amounts].map(([key, value]) => (value === undefined ? key : `${key}:${value}`));
  return parts.join(',') || 'none';
}
