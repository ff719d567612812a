// The service worker, built after the playground and before the Race page, whose peers are too large to keep: it
// has the list of all files that are in the folder by then.

import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { defineConfig } from 'vite';

const folder = resolve(import.meta.dirname, '../../build/web');

const builtFiles = () =>
  readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => resolve(entry.parentPath, entry.name))
    .map((path) => ({
      url: path.slice(folder.length + 1).replaceAll('\\', '/'),
      // Names in assets/ have a hash in them.
      revision: path.startsWith(resolve(folder, 'assets')) ? null : hash(readFileSync(path)),
    }))
    .sort((a, b) => (a.url < b.url ? -1 : 1));

const hash = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex').slice(0, 16);

export default defineConfig({
  root: import.meta.dirname,
  publicDir: false,
  define: { builtFiles: JSON.stringify(builtFiles()) },
  build: {
    outDir: folder,
    emptyOutDir: false,
    target: 'es2022',
    reportCompressedSize: false,
    rollupOptions: {
      input: resolve(import.meta.dirname, 'src/offline/service-worker.ts'),
      output: { entryFileNames: 'service-worker.js', format: 'iife' },
    },
  },
});
