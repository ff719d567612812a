// Numbers as people read them, in the language of the page.

import { language, t } from './i18n/index.svelte';

const wholes = new Map<string, Intl.NumberFormat>();

export function integer(value: number): string {
  let whole = wholes.get(language.tag);
  if (!whole)
    wholes.set(language.tag, (whole = new Intl.NumberFormat(language.tag, { maximumFractionDigits: 0 })));
  return whole.format(value);
}

export const percent = (fraction: number, digits = 1): string => `${(100 * fraction).toFixed(digits)} %`;

/** With its sign: 0.52 → "+0.5". */
export function signed(value: number, digits = 1): string {
  const text = Math.abs(value).toFixed(digits);
  return Number(text) === 0 ? text : `${value > 0 ? '+' : '−'}${text}`;
}

/** 9098 → "9.1 k": two significant digits below ten of a unit, otherwise three. */
export function compact(value: number): string {
  for (const [size, unit] of [
    [1e9, 'G'],
    [1e6, 'M'],
    [1e3, 'k'],
  ] as const) {
    if (value >= size) {
      const scaled = value / size;
      return `${scaled.toFixed(scaled < 10 ? 1 : 0)} ${unit}`;
    }
  }
  return integer(value);
}

export function bytes(value: number): string {
  return value < 1000 ? `${value} B` : `${compact(value)}B`;
}

export function duration(seconds: number): string {
  if (!Number.isFinite(seconds)) return '–';
  if (seconds < 10) return t.units.seconds(seconds.toFixed(1));
  if (seconds < 90) return t.units.seconds(String(Math.round(seconds)));
  const minutes = Math.floor(seconds / 60);
  const two = (value: number) => String(Math.floor(value)).padStart(2, '0');
  if (minutes < 60) return t.units.minutes(String(minutes), two(seconds % 60));
  return t.units.hours(String(Math.floor(minutes / 60)), two(minutes % 60));
}

/** 0.00012 → "1.2e-4", 0.05 → "0.05" */
export function rate(value: number): string {
  if (value === 0) return '0';
  return Math.abs(value) < 1e-3 ? value.toExponential(1) : String(Number(value.toPrecision(3)));
}

/** A loss: three decimals, and more where it is small. */
export const loss = (value: number): string =>
  value >= 0.01 ? value.toFixed(3) : value === 0 ? '0' : value.toPrecision(2);

export const shape = ([channels, height, width]: readonly [number, number, number]): string =>
  height === 1 && width === 1 ? `${channels}` : `${channels} × ${height} × ${width}`;
