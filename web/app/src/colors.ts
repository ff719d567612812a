// One colour scale for the whole page: brown for negative, green for positive, the page itself for zero.
// Brown and blue-green differ for every common kind of colour blindness (ColorBrewer's BrBG). What cannot
// be negative uses the green half.

export interface PlotTheme {
  dark: boolean;
  text: string;
  muted: string;
  line: string;
  surface: string;
  training: string;
  validation: string;
  font: string;
  /** 511 colours, RGB: index 255 is zero. */
  scale: Uint8Array;
  /** 256 colours, RGB: bare paper to full ink. */
  ink: Uint8Array;
}

type Stop = readonly [position: number, color: string];

const lightStops: Stop[] = [
  [-1, '#4f2c05'],
  [-0.7, '#8c510a'],
  [-0.4, '#bf812d'],
  [-0.15, '#e6cf9d'],
  [0, '#f6f4ed'],
  [0.15, '#bfe0d9'],
  [0.4, '#5eafa2'],
  [0.7, '#1f7a70'],
  [1, '#00403a'],
];
const darkStops: Stop[] = [
  [-1, '#ffdca0'],
  [-0.7, '#d99b45'],
  [-0.4, '#96601c'],
  [-0.15, '#4a3418'],
  [0, '#1b2320'],
  [0.15, '#1c443d'],
  [0.4, '#23786b'],
  [0.7, '#45b7a5'],
  [1, '#c4f7eb'],
];

const font = 'system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif';

export const lightTheme: PlotTheme = {
  dark: false,
  text: '#23302b',
  muted: '#5d6a64',
  line: '#e2ded2',
  surface: '#fffdf8',
  training: '#1f7a70',
  validation: '#a8620f',
  font,
  scale: ramp(lightStops, 511, -1),
  ink: ramp([[0, '#f6f4ed'], [1, '#1c2925']], 256, 0), // prettier-ignore
};

export const darkTheme: PlotTheme = {
  dark: true,
  text: '#e6ebe7',
  muted: '#9aa8a1',
  line: '#303b36',
  surface: '#1b2320',
  training: '#56c2b1',
  validation: '#e0a04c',
  font,
  scale: ramp(darkStops, 511, -1),
  ink: ramp([[0, '#131a17'], [1, '#f1f5f1']], 256, 0), // prettier-ignore
};

function ramp(stops: readonly Stop[], count: number, from: number): Uint8Array {
  const table = new Uint8Array(3 * count);
  for (let i = 0; i < count; ++i) table.set(colorAt(stops, from + ((1 - from) * i) / (count - 1)), 3 * i);
  return table;
}

function colorAt(stops: readonly Stop[], position: number): number[] {
  const next = Math.max(
    1,
    stops.findIndex(([at]) => at >= position),
  );
  const [low, lowColor] = stops[next - 1] ?? [0, '#000000'];
  const [high, highColor] = stops[next] ?? [1, '#ffffff'];
  const blend = (position - low) / (high - low);
  const a = channels(lowColor);
  const b = channels(highColor);
  return a.map((value, i) => Math.round(value + ((b[i] ?? 0) - value) * blend));
}

function channels(color: string): number[] {
  return [1, 3, 5].map((at) => parseInt(color.slice(at, at + 2), 16));
}

/** Where a value of -1 … 1 lies in `scale`. */
export function scaleIndex(value: number): number {
  return 255 + Math.round(255 * Math.max(-1, Math.min(1, value)));
}

export function scaleColor({ scale }: PlotTheme, value: number): string {
  const at = 3 * scaleIndex(value);
  return `rgb(${scale[at]} ${scale[at + 1]} ${scale[at + 2]})`;
}

/** Black or white, whichever reads better on `scaleColor(value)`. */
export function textOn({ scale }: PlotTheme, value: number): string {
  const at = 3 * scaleIndex(value);
  const [r = 0, g = 0, b = 0] = [scale[at], scale[at + 1], scale[at + 2]];
  return 0.299 * r + 0.587 * g + 0.114 * b > 140 ? '#14201b' : '#ffffff';
}
