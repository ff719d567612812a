import { defineConfig } from 'vitest/config';

// One file at a time: some tests measure time.
export default defineConfig({
  test: {
    root: import.meta.dirname,
    include: [
      'toolchain/*.test.mjs',
      'wasm/*.test.ts',
      'package/*.test.ts',
      'onnx/*.test.ts',
      'benchmarks/*.test.ts',
    ],
    fileParallelism: false,
    testTimeout: 60_000,
    hookTimeout: 120_000,
  },
});
