import { svelte } from '@sveltejs/vite-plugin-svelte';
import { defineConfig, type Plugin } from 'vite';
import { mirrorOrigins } from './src/datasets.ts';

// Threads share memory, which browsers allow only to isolated pages. Without these headers the page
// works too, with one thread.
const isolation = {
  'Cross-Origin-Opener-Policy': 'same-origin',
  'Cross-Origin-Embedder-Policy': 'require-corp',
};

const policy = [
  "default-src 'none'",
  "script-src 'self' 'wasm-unsafe-eval'",
  "worker-src 'self'",
  "manifest-src 'self'",
  "style-src 'self'",
  "img-src 'self' data: blob:",
  `connect-src 'self' ${mirrorOrigins().join(' ')}`,
  "base-uri 'none'",
  "form-action 'none'",
].join('; ');

// The development server injects styles and scripts of its own, so only the built page is this strict.
function contentSecurityPolicy(): Plugin {
  return {
    name: 'content-security-policy',
    apply: 'build',
    transformIndexHtml: () => [
      {
        tag: 'meta',
        attrs: { 'http-equiv': 'Content-Security-Policy', content: policy },
        injectTo: 'head-prepend',
      },
    ],
  };
}

export default defineConfig({
  root: import.meta.dirname,
  base: './',
  plugins: [svelte(), contentSecurityPolicy()],
  build: { outDir: '../../build/web', emptyOutDir: true, target: 'es2022', assetsInlineLimit: 0 },
  worker: { format: 'es' },
  // Its workers and binaries are found relative to its own files.
  optimizeDeps: { exclude: ['espalier'] },
  server: { headers: isolation, fs: { allow: ['../..'] } },
  preview: { headers: isolation },
});
