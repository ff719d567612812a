// Compressed inference in Chromium, one thread: 8 bits beside floats on whole networks, interleaved in one run,
// and every instruction by itself (native/bench/measure_inference.h). Natively: espalier bench --inference.
//
//   npm run bench:runtime
//   ESPALIER_BENCH_MODELS="small resnet" ESPALIER_BENCH_QUANTILE=0.1 npm run bench:runtime

import { join } from 'node:path';
import { expect, it } from 'vitest';
import { openPackagePage } from '../e2e/package-page';
import { repository } from '../e2e/server';

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

const models = process.env['ESPALIER_BENCH_MODELS']?.split(' ') ?? [
  'lenet5',
  'small',
  'lenet-300-100',
  'resnet',
  'mobile',
];
const quantile = process.env['ESPALIER_BENCH_QUANTILE'] ?? '0.5';

async function measure(build: string): Promise<Result[]> {
  const { page, close } = await openPackagePage(join(repository, 'build', build, 'native/wasm'));
  try {
    // In a worker, as the engine runs in the page.
    const script = `new Promise((resolve, reject) => {
      const code = "import create from '" + location.origin + "/bench.mjs'; const lines = [];" +
        "await create({ arguments: ${JSON.stringify(['inference', quantile, ...models]).replaceAll('"', "'")}, print: (line) => lines.push(line) });" +
        "postMessage(lines.map((line) => JSON.parse(line)));";
      const worker = new Worker(URL.createObjectURL(new Blob([code], { type: 'text/javascript' })), { type: 'module' });
      worker.onmessage = (event) => resolve(event.data);
      worker.onerror = (event) => reject(new Error(event.message));
    })`;
    return await page.evaluate<Result[]>(script);
  } finally {
    await close();
  }
}

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
  const relaxed = await measure('wasm-relaxed');
  relaxed.forEach(print);
  const plain = await measure('wasm-simd');
  plain.forEach(print);
  for (const results of [relaxed, plain]) {
    expect(results.map(({ model }) => model)).toEqual(models);
    for (const { model, equals_reference } of results) expect(equals_reference, model).toBe(true);
  }
  expect(plain.map(({ checksum }) => checksum)).toEqual(relaxed.map(({ checksum }) => checksum));
});
