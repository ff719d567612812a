import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import { packageFolder } from './project.js';

const gzipped = (bytes: Uint8Array) => gzipSync(bytes, { level: 9 }).length;
const show = (name: string, bytes: number) =>
  console.log(`${(bytes / 1024).toFixed(1).padStart(7)} KB gzipped  ${name}`);

describe('sizes', () => {
  const wasm = join(packageFolder, 'wasm');
  const binaries = readdirSync(wasm).filter((name) => name.endsWith('.wasm'));

  test('there are four binaries', () => {
    expect(binaries).toEqual(
      ['relaxed-threads', 'relaxed', 'simd-threads', 'simd'].map((name) => `espalier-${name}.wasm`),
    );
  });

  // 150 KB was enough for training alone; quantization, pruning, slimming, low rank and transfer came on top
  // (65 KB), then loops of their own for depthwise layers, for rows of three and five taps and for one image, then
  // fine-tuning, folding, slimming and rounding as passes (3 KB), then the packed runtime with its integer kernels,
  // .espalier and C files, pipelines and sweeps; the text that pipelines are coded with (1.5 KB); then ONNX, five
  // more weight formats and sparse training (54 KB).
  test.each(binaries)('%s is at most 360 KB gzipped', (name) => {
    const size = gzipped(readFileSync(join(wasm, name)));
    show(name, size);
    const glue = name.replace('.wasm', '.mjs');
    show(`${glue}, Emscripten's own`, gzipped(readFileSync(join(wasm, glue))));
    expect(size).toBeLessThanOrEqual(360 * 1024);
  });

  test.each(['run-relaxed.wasm', 'run-simd.wasm'])(
    '%s, for inference alone, is at most 60 KB gzipped',
    (name) => {
      const size = gzipped(readFileSync(join(packageFolder, 'dist/espalier', name)));
      show(name, size);
      expect(size).toBeLessThanOrEqual(60 * 1024);
    },
  );

  test("the package's own JavaScript is at most 15 KB gzipped", () => {
    // Who trains does not load run.js.
    const files = readdirSync(join(packageFolder, 'dist'), { recursive: true, encoding: 'utf8' })
      .filter((name) => name.endsWith('.js') && name !== 'run.js')
      .map((name) => readFileSync(join(packageFolder, 'dist', name)));
    // Together, as a bundle is, but with all comments.
    const total = gzipped(Buffer.concat(files));
    show(`${files.length} files of JavaScript together`, total);
    expect(total).toBeLessThanOrEqual(15 * 1024);
  });

  test('the generated code makes no code from strings', () => {
    for (const name of readdirSync(wasm).filter((file) => file.endsWith('.mjs'))) {
      expect(readFileSync(join(wasm, name), 'utf8')).not.toMatch(/\beval\s*\(|new Function|\bFunction\(/);
    }
  });
});
