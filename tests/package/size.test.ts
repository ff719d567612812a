import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { transformWithEsbuild } from 'vite';
import { describe, expect, test } from 'vitest';
import { packageFolder } from './project.js';

const gzipped = (bytes: Uint8Array) => gzipSync(bytes, { level: 9 }).length;
const show = (name: string, bytes: number) =>
  console.log(`${(bytes / 1024).toFixed(1).padStart(7)} KB gzipped  ${name}`);

describe('sizes', () => {
  const wasm = join(packageFolder, 'wasm');
  const variants = ['relaxed-threads', 'relaxed', 'simd-threads', 'simd'];

  test('there are four engines, each in two files', () => {
    const files = variants.flatMap((name) => [`espalier-${name}.deferred.wasm`, `espalier-${name}.wasm`]);
    expect(readdirSync(wasm).filter((name) => name.endsWith('.wasm'))).toEqual(files);
  });

  // What a page waits for until its network learns (native/toolchain/split.mjs).
  test.each(variants)('the first file of %s is at most 150 KB gzipped', (variant) => {
    const name = `espalier-${variant}`;
    const size = gzipped(readFileSync(join(wasm, `${name}.wasm`)));
    show(`${name}.wasm`, size);
    show(`${name}.mjs, Emscripten's own`, gzipped(readFileSync(join(wasm, `${name}.mjs`))));
    expect(size).toBeLessThanOrEqual(150 * 1024);
  });

  // 150 KB was enough for training alone; quantization, pruning, slimming, low rank and transfer came on top
  // (65 KB), then loops of their own for depthwise layers, for rows of three and five taps and for one image, then
  // fine-tuning, folding, slimming and rounding as passes (3 KB), then the packed runtime with its integer kernels,
  // .espalier and C files, pipelines and sweeps; the text that pipelines are coded with (1.5 KB); then ONNX, five
  // more weight formats and sparse training (54 KB). To be cut in two costs 13 KB.
  test.each(variants)('both files of %s are at most 376 KB gzipped', (variant) => {
    const files = ['wasm', 'deferred.wasm'].map((ending) =>
      readFileSync(join(wasm, `espalier-${variant}.${ending}`)),
    );
    const size = files.reduce((sum, bytes) => sum + gzipped(bytes), 0);
    show(`both files of espalier-${variant}`, size);
    expect(size).toBeLessThanOrEqual(376 * 1024);
  });

  test.each(['run-relaxed.wasm', 'run-simd.wasm'])(
    '%s, for inference alone, is at most 60 KB gzipped',
    (name) => {
      const size = gzipped(readFileSync(join(packageFolder, 'dist/espalier', name)));
      show(name, size);
      expect(size).toBeLessThanOrEqual(60 * 1024);
    },
  );

  test("the package's own JavaScript is at most 15 KB gzipped", async () => {
    // Who trains does not load run.js. Bundled, as pages load it: all four engines' together, without comments.
    const names = readdirSync(join(packageFolder, 'dist'), { recursive: true, encoding: 'utf8' }).filter(
      (name) => name.endsWith('.js') && name !== 'run.js',
    );
    const files = names.map(async (name) => {
      const code = readFileSync(join(packageFolder, 'dist', name), 'utf8');
      return (await transformWithEsbuild(code, name, { minify: true })).code;
    });
    const total = gzipped(Buffer.from((await Promise.all(files)).join('')));
    show(`${names.length} files of JavaScript together`, total);
    expect(total).toBeLessThanOrEqual(15 * 1024);
  });

  test('the generated code makes no code from strings', () => {
    for (const name of readdirSync(wasm).filter((file) => file.endsWith('.mjs'))) {
      expect(readFileSync(join(wasm, name), 'utf8')).not.toMatch(/\beval\s*\(|new Function|\bFunction\(/);
    }
  });
});
