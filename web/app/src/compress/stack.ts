// A stack of passes: plain data that is compared, undone, written into the address and into a pipeline.

import type { Pipeline, PipelinePass } from 'espalier';
import { kinds, type CardKind, type Options, type Value } from './cards';

export interface Card {
  /** Of this visit; the same card keeps it when it is moved or changed. */
  readonly id: number;
  readonly kind: CardKind;
  readonly on: boolean;
  readonly options: Options;
}
export type Stack = readonly Card[];

/** A pass as pipelines have it. */
export type PassStep = PipelinePass;

let lastId = 0;

export function newCard(kind: CardKind, options: Options = {}, on = true): Card {
  return { id: ++lastId, kind, on, options: { ...kinds[kind].defaults, ...options } };
}

/** Nothing is compressed yet, but the two sliders of the first minute are there. */
export const freshStack = (): Stack => [newCard('prune'), newCard('quantize')];

export const isActive = ({ on, kind, options }: Card): boolean => on && !kinds[kind].isIdle?.(options);

export const activeCards = (stack: Stack): Card[] => stack.filter(isActive);

export function toStep({ kind, options }: Card): PassStep {
  const { pass, toPass } = kinds[kind];
  return { pass, ...(toPass?.(options) ?? options) };
}

/** `before`: what made the model that the stack starts from. */
export const toPipeline = (stack: Stack, before: Pipeline = { passes: [] }): Pipeline => ({
  ...before,
  passes: [...before.passes, ...activeCards(stack).map(toStep)],
});

/** Passes that no card stands for are left out. */
export function fromPipeline({ passes }: Pipeline): Stack {
  return passes.flatMap((step) => {
    const kind = (Object.keys(kinds) as CardKind[]).find((one) => kinds[one].pass === step.pass);
    if (!kind) return [];
    const options: Options = {};
    for (const [name, like] of Object.entries(kinds[kind].defaults)) {
      const given = step[name];
      const isValue = typeof given === 'string' || typeof given === 'number' || typeof given === 'boolean';
      const read = isValue ? readAs(like, String(given)) : undefined;
      if (read !== undefined) options[name] = read;
    }
    return [newCard(kind, { ...options, ...kinds[kind].fromPass?.(step) })];
  });
}

export const describe = (stack: Stack): string =>
  activeCards(stack)
    .map(({ kind, options }) => kinds[kind].describe(options))
    .join(', ');

export const changed = (stack: Stack, id: number, change: Partial<Pick<Card, 'on' | 'options'>>): Stack =>
  stack.map((card) => (card.id === id ? { ...card, ...change } : card));

export const without = (stack: Stack, id: number): Stack => stack.filter((card) => card.id !== id);

export function moved(stack: Stack, id: number, to: number): Stack {
  const card = stack.find((one) => one.id === id);
  if (!card) return stack;
  const rest = without(stack, id);
  return [...rest.slice(0, to), card, ...rest.slice(to)];
}

// prune,sparsity=0.8;-quantize,weights=3,layerBits=conv1:8,fc:4: cards in order, a minus before those that are switched
// off, and only what differs from the defaults.

export function toText(stack: Stack): string {
  return stack
    .map(({ kind, on, options }) => {
      const differing = Object.entries(options).filter(
        ([name, value]) => kinds[kind].defaults[name] !== value,
      );
      return [`${on ? '' : '-'}${kind}`, ...differing.map(([name, value]) => `${name}=${value}`)].join(',');
    })
    .join(';');
}

/** What is not a card, or not an option of it, is left out. */
export function fromText(text: string): Stack {
  return text
    .split(';')
    .slice(0, 20)
    .flatMap((part) => {
      const [, minus, kind, rest = ''] = /^(-?)(\w+)(?:,(.*))?$/.exec(part) ?? [];
      if (kind === undefined || !Object.hasOwn(kinds, kind)) return [];
      const { defaults } = kinds[kind as CardKind];
      const options: Options = {};
      // What has no name goes on with the value before it.
      for (const item of rest.split(/,(?=\w+=)/)) {
        const [name = '', value = ''] = item.split('=');
        const known = Object.hasOwn(defaults, name) ? defaults[name] : undefined;
        const read = known === undefined ? undefined : readAs(known, value);
        if (read !== undefined) options[name] = read;
      }
      return [newCard(kind as CardKind, options, minus !== '-')];
    });
}

function readAs(like: Value, text: string): Value | undefined {
  if (typeof like === 'boolean') return text === 'true';
  if (typeof like === 'string') return /^[\w:.,%!~*'()-]{1,2000}$/.test(text) ? text : undefined;
  const value = Number(text);
  return text !== '' && Number.isFinite(value) ? value : undefined;
}
