// Every kernel by layer in Chromium, one thread: microseconds, GFLOP/s and the share of the peak that the same
// run measured (native/bench/measure.h). Natively: espalier bench.
//
//   npm run bench:kernels
//   ESPALIER_BENCH_MODELS="small resnet" ESPALIER_BENCH_QUANTILE=0.1 npm run bench:kernels

import { expect, it } from 'vitest';
import { measuredLines } from './measured-lines';

interface Speed {
  microseconds_per_image: number;
  gflops: number;
  share_of_peak: number;
}
interface Result {
  model: string;
  kernels: string;
  batch_size: number;
  peak_gflops: number;
  images_per_second: number;
  gflops: number;
  share_of_peak: number;
  layers: (Speed & { layer: string; directions: (Speed & { kernel: string })[] })[];
  others: { kernel: string; microseconds_per_image: number }[];
}

const models = process.env['ESPALIER_BENCH_MODELS']?.split(' ') ?? ['lenet5', 'small', 'resnet', 'mobile'];
const quantile = process.env['ESPALIER_BENCH_QUANTILE'] ?? '0.5';

const percent = (share: number) => `${(100 * share).toFixed(1)} %`;
function row(name: string, { microseconds_per_image, gflops, share_of_peak }: Speed): string {
  return `${name.padEnd(34)}${microseconds_per_image.toFixed(2).padStart(10)}${gflops.toFixed(1).padStart(9)}${percent(share_of_peak).padStart(9)}`;
}

function print(result: Result): void {
  const lines = [
    `${result.model}, ${result.kernels}: ${Math.round(result.images_per_second)} images/s, ${result.gflops.toFixed(1)} GFLOP/s, ` +
      `${percent(result.share_of_peak)} of ${result.peak_gflops.toFixed(1)}`,
    `${''.padEnd(34)}  us/image  GFLOP/s  of peak`,
    ...result.layers.flatMap((layer) => [
      row(layer.layer, layer),
      ...layer.directions.map((direction) => row(`  ${direction.kernel}`, direction)),
    ]),
    ...result.others.map(
      ({ kernel, microseconds_per_image }) =>
        `${kernel.padEnd(34)}${microseconds_per_image.toFixed(2).padStart(10)}`,
    ),
  ];
  console.log(`${lines.join('\n')}\n`);
}

it.each(['wasm-relaxed', 'wasm-simd'])('kernels by layer, %s', async (build) => {
  const results = await measuredLines<Result>(build, 'training', quantile, ...models);
  results.forEach(print);
  expect(results.map(({ model }) => model)).toEqual(models);
});
