// The passes of the compress panel: what a card is called, which knobs it has and which pass it stands for.
// To add one, add a row.

import type { Catalog, PassName } from 'espalier';
import { percent } from '../format';
import { t } from '../i18n/index.svelte';
import { fromPassText, toPassText } from './by-layer';

export type CardKind = 'prune' | 'quantize' | 'share' | 'factorize' | 'distil' | 'heal';
export type Value = number | string | boolean;
export type Options = Record<string, Value>;

interface KnobBase {
  field: string;
  /** Its text, where that is not the field's. */
  label?: keyof typeof t.knobs;
}
export type Knob = KnobBase &
  (
    | { control: 'range'; min: number; max: number; step: number; format: (value: number) => string }
    /** Few values in this order, from the mildest to the strongest. */
    | {
        control: 'steps';
        values: (options: Options, catalog?: Catalog) => number[];
        format: (value: number) => string;
      }
    /** `choices`: those of the engine's own table, unless given. */
    | { control: 'choice'; choices?: readonly string[] }
    | { control: 'switch' }
    /** Bits, layer by layer. */
    | { control: 'layers' }
  );

export interface Kind {
  pass: PassName;
  /** It takes seconds, so it waits until a slider is let go. */
  trains: boolean;
  defaults: Options;
  /** The first is the one that matters; the others are behind "More". */
  knobs: readonly Knob[];
  /** Nothing to do: bits are those of a float, nothing is pruned. */
  isIdle?: (options: Options) => boolean;
  /** What the pass takes, where that is not what the knobs say. */
  toPass?: (options: Options) => Record<string, unknown>;
  /** The other way round, for what is not of the same name. */
  fromPass?: (step: Record<string, unknown>) => Options;
  describe: (options: Options) => string;
}

export const floatBits = 32;
const bits = (value: number): string => t.stack.bits(value);
const whole = (value: number): string => String(value);
const isPattern = (granularity: Value | undefined): boolean => /^\d+:\d+$/.test(String(granularity));

/** Pipelines have bits as text, because there may be some for each layer: "4,conv1=8". */
function withTextualBits({ layerBits, ranges, ...options }: Options): Options {
  const general = options.weights === floatBits ? 'float' : String(options.weights);
  const weights = layerBits ? `${general},${toPassText(layerBits)}` : general;
  return { ...options, weights, ...(ranges && { ranges: toPassText(ranges) }) };
}
function fromTextualBits({ weights, ranges }: Record<string, unknown>): Options {
  const text = typeof weights === 'string' ? weights : '';
  const general = text.split(',').find((part) => !part.includes('=')) ?? '';
  return {
    ...(general && { weights: general === 'float' ? floatBits : Number(general) }),
    layerBits: fromPassText(text),
    ranges: fromPassText(typeof ranges === 'string' ? ranges : ''),
  };
}

export function bitsOf({ scheme }: Options, catalog?: Catalog): number[] {
  const row = catalog?.schemes.find(({ name }) => name === scheme);
  const { minBits = 1, maxBits = 8 } = row ?? {};
  const steps = Array.from({ length: maxBits - minBits + 1 }, (_, i) => maxBits - i);
  return [floatBits, ...steps];
}

export const kinds: Record<CardKind, Kind> = {
  prune: {
    pass: 'prune',
    trains: false,
    defaults: { sparsity: 0, criterion: 'magnitude', granularity: 'weight', scope: 'global', slim: false },
    knobs: [
      {
        field: 'sparsity',
        control: 'range',
        min: 0,
        max: 0.99,
        step: 0.01,
        format: (value) => percent(value, 0),
      },
      { field: 'criterion', control: 'choice' },
      { field: 'granularity', control: 'choice', choices: ['weight', 'row', 'channel', '2:4', '1:4'] },
      { field: 'scope', control: 'choice' },
      { field: 'slim', control: 'switch' },
    ],
    isIdle: ({ sparsity, granularity }) => sparsity === 0 && !isPattern(granularity),
    toPass: (options) => {
      if (!isPattern(options.granularity)) return options;
      return Object.fromEntries(Object.entries(options).filter(([name]) => name !== 'sparsity'));
    },
    describe: ({ sparsity, granularity }) =>
      t.stack.pruned(isPattern(granularity) ? String(granularity) : percent(Number(sparsity), 0)),
  },
  quantize: {
    pass: 'quantize',
    trains: false,
    defaults: {
      weights: floatBits,
      scheme: 'affine',
      activations: '8',
      granularity: 'channel',
      calibrate: 'mse',
      layerBits: '',
      /** Of features, set in the view of calibration. */
      ranges: '',
    },
    knobs: [
      { field: 'weights', control: 'steps', values: bitsOf, format: bits },
      { field: 'scheme', control: 'choice' },
      { field: 'activations', control: 'choice' },
      { field: 'granularity', label: 'grid', control: 'choice' },
      { field: 'calibrate', control: 'choice' },
      { field: 'layerBits', control: 'layers' },
    ],
    isIdle: ({ weights, layerBits }) => weights === floatBits && !layerBits,
    toPass: withTextualBits,
    fromPass: fromTextualBits,
    describe: ({ weights, layerBits, scheme }) =>
      `${layerBits ? t.stack.bitsByLayer : bits(Number(weights))}, ${scheme}`,
  },
  share: {
    pass: 'quantize',
    trains: false,
    defaults: { weights: 4, initialization: 'linear', activations: 'float' },
    knobs: [
      {
        field: 'weights',
        label: 'values',
        control: 'steps',
        values: () => [8, 7, 6, 5, 4, 3, 2, 1],
        format: (value) => whole(2 ** value),
      },
      { field: 'initialization', control: 'choice' },
      { field: 'activations', control: 'choice' },
    ],
    toPass: (options) => ({ ...withTextualBits(options), scheme: 'codebook' }),
    describe: ({ weights }) => t.stack.values(2 ** Number(weights)),
  },
  factorize: {
    pass: 'factorize',
    trains: false,
    defaults: { energy: 0.95 },
    knobs: [
      {
        field: 'energy',
        control: 'range',
        min: 0.3,
        max: 0.99,
        step: 0.01,
        format: (value) => percent(value, 0),
      },
    ],
    describe: ({ energy }) => t.stack.rank(percent(Number(energy), 0)),
  },
  distil: {
    pass: 'transfer',
    trains: true,
    defaults: { student: 'small', epochs: 3, temperature: 4, alpha: 0.9 },
    knobs: [
      { field: 'student', control: 'choice' },
      { field: 'epochs', control: 'range', min: 1, max: 20, step: 1, format: whole },
      { field: 'temperature', control: 'range', min: 1, max: 10, step: 0.5, format: whole },
      { field: 'alpha', control: 'range', min: 0, max: 1, step: 0.05, format: (value) => percent(value, 0) },
    ],
    toPass: (options) => ({ ...options, mode: 'distill' }),
    describe: ({ student }) => t.stack.distilled(String(student)),
  },
  heal: {
    pass: 'finetune',
    trains: true,
    defaults: { epochs: 2, learning_rate: 0.01, distillation: 0 },
    knobs: [
      { field: 'epochs', control: 'range', min: 1, max: 20, step: 1, format: whole },
      {
        field: 'learning_rate',
        control: 'steps',
        values: () => [0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1],
        format: whole,
      },
      {
        field: 'distillation',
        control: 'range',
        min: 0,
        max: 1,
        step: 0.05,
        format: (value) => percent(value, 0),
      },
    ],
    toPass: ({ learning_rate, ...options }) => ({ ...options, training: { learning_rate } }),
    describe: ({ epochs }) => t.stack.healed(Number(epochs)),
  },
};

/** What can be chosen for a field: the knob's own list, or the engine's. */
export function choicesOf(kind: Kind, knob: Knob, catalog: Catalog | undefined): readonly string[] {
  if (knob.control !== 'choice') return [];
  if (knob.choices) return knob.choices;
  if (knob.field === 'student') return catalog?.presets.map(({ name }) => name) ?? [];
  const pass = catalog?.passes.find(({ name }) => name === kind.pass);
  return pass?.fields.find(({ name }) => name === knob.field)?.choices ?? [];
}

export const labelOf = ({ label, field }: Knob): string => t.knobs[label ?? (field as keyof typeof t.knobs)];
