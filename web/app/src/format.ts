// Numbers as people read them.

const whole = new Intl.NumberFormat('en', { maximumFractionDigits: 0 });

export const integer = (value: number): string => whole.format(value);

export const percent = (fraction: number, digits = 1): string => `${(100 * fraction).toFixed(digits)} %`;

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
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  if (seconds < 90) return `${Math.round(seconds)} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min ${String(Math.round(seconds % 60)).padStart(2, '0')} s`;
  return `${Math.floor(minutes / 60)} h ${String(minutes % 60).padStart(2, '0')} min`;
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
