// What pruning gains in Chromium, one thread: float inference and fine-tuning with surviving weights alone beside
// the dense network, and a network of half of the channels, interleaved in one run
// (native/bench/measure_sparse.h). Natively: espalier bench --sparse.
//
//   npm run bench:sparse
//   ESPALIER_BENCH_MODELS="small resnet" ESPALIER_BENCH_QUANTILE=0.1 npm run bench:sparse

import { expect, it } from 'vitest';
import { measuredLines } from './measured-lines';

interface Result {
  model: string;
  kernels: string;
  batch_size: number;
  dense_microseconds: number;
  dense_single_microseconds: number;
  sparse: {
    sparsity: number;
    microseconds: number;
    speedup: number;
    single_microseconds: number;
    single_speedup: number;
    bytes: number;
    equals_dense: boolean;
    formats: string[];
  }[];
  slimmed: { microseconds: number; speedup: number };
  training: { sparsity: number; microseconds_per_image: number; speedup: number }[];
  kernels_at_90: { kernel: string; layer: string; microseconds_per_image: number }[];
}

const models = process.env['ESPALIER_BENCH_MODELS']?.split(' ') ?? ['lenet5'];
const quantile = process.env['ESPALIER_BENCH_QUANTILE'] ?? '0.5';

const percent = (share: number) => `${(100 * share).toFixed(0)} %`;
const times = (ratio: number) => `${ratio.toFixed(2)}x`.padStart(9);
const microseconds = (value: number) => value.toFixed(2).padStart(10);

function print(result: Result): void {
  const lines = [
    `${result.model}, ${result.kernels}, batch ${result.batch_size}`,
    `${'inference'.padEnd(24)}  us/image            by itself`,
    `${'dense'.padEnd(24)}${microseconds(result.dense_microseconds)}         ${microseconds(result.dense_single_microseconds)}`,
    ...result.sparse.map(
      (row) =>
        `${`${percent(row.sparsity)} zeros`.padEnd(24)}${microseconds(row.microseconds)}${times(row.speedup)}` +
        `${microseconds(row.single_microseconds)}${times(row.single_speedup)}  ${row.bytes} bytes, ${row.formats.join(' ')}`,
    ),
    `${'half of the channels'.padEnd(24)}${microseconds(result.slimmed.microseconds)}${times(result.slimmed.speedup)}`,
    'a step of fine-tuning',
    ...result.training.map(
      (row) =>
        `${`${percent(row.sparsity)} zeros`.padEnd(24)}${microseconds(row.microseconds_per_image)}${times(row.speedup)}`,
    ),
    'its kernels with 90 % zeros',
    ...result.kernels_at_90.map(
      (row) => `  ${`${row.kernel} ${row.layer}`.padEnd(52)}${microseconds(row.microseconds_per_image)}`,
    ),
  ];
  console.log(`${lines.join('\n')}\n`);
}

it.each(['wasm-relaxed', 'wasm-simd'])('pruned networks, %s', async (build) => {
  const results = await measuredLines<Result>(build, 'sparse', quantile, ...models);
  results.forEach(print);
  expect(results.map(({ model }) => model)).toEqual(models);
  for (const { model, sparse } of results) {
    for (const { sparsity, equals_dense } of sparse) expect(equals_dense, `${model}, ${sparsity}`).toBe(true);
  }
});
