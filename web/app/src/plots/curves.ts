// Loss, accuracy and gradient norm over epochs, drawn by uPlot: what was measured faintly, its running mean on top,
// validation as dots.

import uPlot from 'uplot';
import type { PlotTheme } from '../colors';
import type { History, Quantity } from '../history';

export function curveData(history: History, quantity: Quantity): uPlot.AlignedData {
  const { points, validation } = history;
  const smooth = history.smoothed(quantity);
  const rows: [number, number | null, number | null, number | null][] = points.map((point, i) => [
    point.epoch,
    point[quantity],
    smooth[i] ?? null,
    null,
  ]);
  if (quantity !== 'gradientNorm') {
    for (const point of validation) rows.push([point.epoch, null, null, point[quantity]]);
  }
  rows.sort((a, b) => a[0] - b[0]);
  return [0, 1, 2, 3].map((column) => rows.map((row) => row[column] ?? null)) as uPlot.AlignedData;
}

export interface CurveOptions {
  quantity: Quantity;
  width: number;
  height: number;
  theme: PlotTheme;
  /** The right end of the axis: all epochs that are planned. */
  epochs: () => number;
}

export function createCurves(
  parent: HTMLElement,
  { quantity, width, height, theme, epochs }: CurveOptions,
): uPlot {
  const format = (value: number) =>
    quantity !== 'accuracy' ? String(Number(value.toPrecision(2))) : `${Number((100 * value).toFixed(2))} %`;
  const axis: uPlot.Axis = {
    stroke: theme.muted,
    font: `11px ${theme.font}`,
    grid: { stroke: theme.line, width: 1 },
    filter: (_plot, splits) => splits,
    ticks: { show: false },
    gap: 6,
  };
  return new uPlot(
    {
      width,
      height,
      pxAlign: true,
      legend: { show: false },
      cursor: { sync: { key: 'curves' }, y: false, points: { size: 6 }, drag: { x: false, y: false } },
      padding: [8, 8, 0, 0],
      scales: {
        x: { time: false, range: (_plot, _low, high) => epochRange(epochs(), high ?? 0) },
        y: {
          distr: quantity === 'accuracy' ? 1 : 3,
          range: (plot, low, high) => (quantity === 'accuracy' ? accuracyRange(plot) : powerRange(low, high)),
        },
      },
      axes: [
        { ...axis, size: 26, values: (_plot, ticks) => ticks.map((tick) => String(Number(tick.toFixed(2)))) },
        {
          ...axis,
          size: 48,
          ...(quantity !== 'accuracy' && {
            splits: (_plot: uPlot, _axis: number, low: number, high: number) => powerTicks(low, high),
          }),
          values: (_plot, ticks) => ticks.map((tick) => (tick === null ? '' : format(tick))),
        },
      ],
      series: [
        {},
        { stroke: `${theme.training}55`, width: 1, spanGaps: true, points: { show: false } },
        { stroke: theme.training, width: 2, spanGaps: true, points: { show: false } },
        {
          stroke: theme.validation,
          width: 1.5,
          dash: [4, 3],
          spanGaps: true,
          points: { show: true, size: 5, fill: theme.validation },
        },
      ],
    },
    [[], [], [], []],
    parent,
  );
}

/** Tenfold steps; between them 2 and 5 where there is room. */
function powerTicks(low: number, high: number): number[] {
  const ticks: number[] = [];
  const steps = high / low > 50 ? [1] : high / low > 5 ? [1, 2, 5] : [1, 1.5, 2, 3, 4, 5, 7];
  for (let power = Math.floor(Math.log10(low)); power <= Math.log10(high); ++power) {
    ticks.push(...steps.map((step) => Number((step * 10 ** power).toPrecision(2))));
  }
  return ticks.filter((tick) => tick >= low * 0.999 && tick <= high * 1.001);
}

function powerRange(low: number | null, high: number | null): uPlot.Range.MinMax {
  const bottom = Math.max(low ?? 0.1, 1e-4);
  const top = Math.max(high ?? 3, 1.5 * bottom);
  return [10 ** (Math.floor(6 * Math.log10(bottom)) / 6), 10 ** (Math.ceil(6 * Math.log10(top)) / 6)];
}

/** The plan's end comes into view as the training gets there, so that the first moments are seen too. */
function epochRange(planned: number, done: number): uPlot.Range.MinMax {
  const soon = Math.max(1, Math.ceil(1.25 * done));
  return [0, Math.max(Math.min(planned, soon), done)];
}

/** From the worst mean accuracy, rounded down to a tenth, to all. The very first moments fall out below. */
function accuracyRange({ data: [epochs, , means] }: uPlot): uPlot.Range.MinMax {
  const first = 0.2 * Math.min(1, epochs.at(-1) ?? 0);
  let worst = 0.9;
  means?.forEach((mean, i) => {
    if (typeof mean === 'number' && (epochs[i] ?? 0) >= first) worst = Math.min(worst, mean);
  });
  return [Math.floor(10 * worst) / 10, 1];
}
