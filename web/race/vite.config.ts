// The race as one module that a page imports; libraries, workers and binaries are files beside it.

import { resolve } from 'node:path';
import { defineConfig } from 'vite';

export default defineConfig({
  root: import.meta.dirname,
  base: './',
  build: {
    outDir: '../../build/race',
    emptyOutDir: true,
    target: 'es2022',
    assetsInlineLimit: 0,
    chunkSizeWarningLimit: 2000,
    reportCompressedSize: false,
    rollupOptions: {
      input: resolve(import.meta.dirname, 'src/index.ts'),
      preserveEntrySignatures: 'strict',
      output: { entryFileNames: 'race.js' },
    },
  },
  worker: { format: 'es' },
});
