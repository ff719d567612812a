// Compressed inference in Chromium, one thread: 8 bits beside floats on whole networks, interleaved in one run,
// and every instruction by itself; every weight format; from which share of weights on a sparse layer is faster
// (native/bench/measure_inference.h). Natively: espalier bench --inference, --formats, --break-even.
//
//   npm run bench:runtime
//   ESPALIER_BENCH_MODELS="small resnet" ESPALIER_BENCH_QUANTILE=0.1 npm run bench:runtime -- -t formats

import { expect, it } from 'vitest';
import { measuredLines } from './measured-lines';

interface Result {
  model: string;
  kernels: string;
  integer_kernels: string;
  batch_size: number;
  float_microseconds: number;
  int8_microseconds: number;
  speedup: number;
  single_float_microseconds: number;
  single_int8_microseconds: number;
  equals_reference: boolean;
  checksum: number;
  layers: { layer: string; microseconds_per_image: number }[];
}

interface Formats {
  model: string;
  kernels: string;
  integer_kernels: string;
  batch_size: number;
  float_microseconds: number;
  rows: { name: string; formats: string; bytes: number; microseconds: number; speedup: number }[];
}
interface BreakEven {
  model: string;
  kernels: string;
  integer_kernels: string;
  layers: BreakEvenLayer[];
  /** Of an image by itself. */
  single_layers: BreakEvenLayer[];
}
interface BreakEvenLayer {
  layer: string;
  rows: { density: number; share: number; dense_microseconds: number; sparse_microseconds: number }[];
}
interface Requantizations {
  integer_kernels: string;
  count: number;
  hash: number;
  definition: number;
}

const models = process.env['ESPALIER_BENCH_MODELS']?.split(' ') ?? [
  'lenet5',
  'small',
  'lenet-300-100',
  'resnet',
  'mobile',
];
const quantile = process.env['ESPALIER_BENCH_QUANTILE'] ?? '0.5';

function print(result: Result): void {
  const row = (name: string, microseconds: number) =>
    `${name.padEnd(34)}${microseconds.toFixed(2).padStart(10)}`;
  const lines = [
    `${result.model}, ${result.kernels}, ${result.integer_kernels}: int8 runs ${result.speedup.toFixed(2)} times as fast as float ` +
      `at batch ${result.batch_size}`,
    `${''.padEnd(34)}  us/image`,
    row('float', result.float_microseconds),
    row('int8', result.int8_microseconds),
    row('float, an image by itself', result.single_float_microseconds),
    row('int8, an image by itself', result.single_int8_microseconds),
    ...result.layers.map(({ layer, microseconds_per_image }) =>
      row(`  int8 ${layer}`, microseconds_per_image),
    ),
  ];
  console.log(`${lines.join('\n')}\n`);
}

it('inference, the same bits in relaxed and plain SIMD', async () => {
  const relaxed = await measuredLines<Result>('wasm-relaxed', 'inference', quantile, ...models);
  relaxed.forEach(print);
  const plain = await measuredLines<Result>('wasm-simd', 'inference', quantile, ...models);
  plain.forEach(print);
  for (const results of [relaxed, plain]) {
    expect(results.map(({ model }) => model)).toEqual(models);
    for (const { model, equals_reference } of results) expect(equals_reference, model).toBe(true);
  }
  expect(plain.map(({ checksum }) => checksum)).toEqual(relaxed.map(({ checksum }) => checksum));
});

it.each(['wasm-relaxed', 'wasm-simd'])('formats of weights, %s', async (build) => {
  for (const result of await measuredLines<Formats>(build, 'formats', quantile, ...models)) {
    const row = (name: string, microseconds: number, more = '') =>
      `${name.padEnd(30)}${microseconds.toFixed(2).padStart(10)}${more}`;
    const lines = result.rows.map(({ name, formats, bytes, microseconds, speedup }) =>
      row(
        name,
        microseconds,
        `${speedup.toFixed(2).padStart(8)}x${(bytes / 1024).toFixed(1).padStart(10)}   ${formats}`,
      ),
    );
    console.log(
      `${result.model}, ${result.kernels}, ${result.integer_kernels}, batch ${String(result.batch_size)}\n` +
        `${''.padEnd(30)}  us/image  speedup        KB   formats\n` +
        `${[row('float', result.float_microseconds), ...lines].join('\n')}\n`,
    );
    for (const { microseconds } of result.rows) expect(microseconds).toBeGreaterThan(0);
  }
});

function printBreakEven({ layer, rows }: BreakEvenLayer): void {
  const ratios = rows.map(
    ({ share, dense_microseconds, sparse_microseconds }) =>
      `${(100 * share).toFixed(0)} %: ${(dense_microseconds / sparse_microseconds).toFixed(2)}`,
  );
  console.log(`  ${layer.padEnd(14)} ${ratios.join('   ')}`);
}

it.each(['wasm-relaxed', 'wasm-simd'])('break-even of sparse layers, %s', async (build) => {
  for (const result of await measuredLines<BreakEven>(build, 'break-even', quantile, ...models)) {
    console.log(
      `${result.model}, ${result.kernels}, ${result.integer_kernels}: share of quads left, how many times as fast as int8`,
    );
    result.layers.forEach(printBreakEven);
    console.log('An image by itself:');
    result.single_layers.forEach(printBreakEven);
    expect(result.model).not.toBe('');
  }
});

// The number that tests/native/runtime_test.cpp has for native kernels.
const hashOfRequantizations = 3445957723;

it.each(['wasm-relaxed', 'wasm-simd'])('ten million sums become the same codes, %s', async (build) => {
  const results = await measuredLines<Requantizations>(build, 'requantizations');
  expect(results.length).toBe(build === 'wasm-relaxed' ? 2 : 1);
  for (const { count, hash, definition } of results) {
    expect(count).toBeGreaterThan(10_000_000);
    expect([hash, definition]).toEqual([hashOfRequantizations, hashOfRequantizations]);
  }
});
