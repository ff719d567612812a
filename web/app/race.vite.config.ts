// The Race page, built after the playground into the same folder: built together, they would share chunks, and the
// playground would wait for more files than it needs.

import { resolve } from 'node:path';
import { defineConfig, mergeConfig } from 'vite';
import playground from './vite.config.ts';

export default mergeConfig(
  playground,
  defineConfig({
    build: {
      emptyOutDir: false,
      reportCompressedSize: false,
      rollupOptions: { input: resolve(import.meta.dirname, 'race.html') },
    },
    worker: {
      rollupOptions: {
        output: {
          // Some hosts do not know that .mjs is JavaScript, and a browser then refuses it.
          assetFileNames: ({ names: [name = ''] }) =>
            name.endsWith('.mjs') ? 'assets/[name]-[hash].js' : 'assets/[name]-[hash][extname]',
        },
      },
    },
  }),
);
