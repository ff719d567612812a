// Models made by the command line, the images that they are compared on, and what runs them.

import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';

const repository = join(import.meta.dirname, '../..');
const program = join(repository, 'build/native/espalier');

/** A folder for the models of a test file. */
export const folder = mkdtempSync(join(tmpdir(), 'espalier-onnx-'));
export const removeFolder = () => rmSync(folder, { recursive: true });

export function espalier(...args: string[]): string {
  const { status, stdout, stderr } = spawnSync(program, args, { cwd: folder, encoding: 'utf8' });
  if (status !== 0) throw new Error(`espalier ${args.join(' ')} failed: ${stderr}`);
  return stdout;
}

/** MNIST's folder, or one of generated digits; says which. */
export function findImages(): { data: string; real: boolean } {
  const shelf = process.env['ESPALIER_DATA'] ?? join(repository, '../shared/data');
  const data = join(shelf, 'mnist');
  if (existsSync(data)) return { data, real: true };
  console.warn('SKIPPED: the 10,000 images of MNIST (there is no %s); generated digits instead', data);
  espalier('generate', '--count', '600', '--test', '2000', '--out', 'digits');
  return { data: join(folder, 'digits'), real: false };
}

export function testImages(data: string): Uint8Array {
  const path = join(data, 't10k-images-idx3-ubyte');
  const idx = existsSync(path) ? readFileSync(path) : gunzipSync(readFileSync(`${path}.gz`));
  return idx.subarray(16);
}

/** Of all test images, by the engine's packed runtime. */
export function engineLogits(model: string, data: string): Float32Array {
  espalier('eval', model, '--data', data, '--logits', 'logits.npy');
  const file = readFileSync(join(folder, 'logits.npy'));
  return new Float32Array(file.buffer.slice(file.byteOffset + 128, file.byteOffset + file.length));
}

/** Training that takes a moment; its images are generated. */
const images = 'synthetic:600';
export function trained(model: string, name = model): string {
  espalier('train', '--data', images, '--model', model, '--epochs', '1', '--out', `${name}.safetensors`);
  return `${name}.safetensors`;
}
export function quantized(model: string, name: string, weights = '8'): string {
  const pipeline = { passes: [{ pass: 'fold' }, { pass: 'quantize', weights, activations: '8' }] };
  writeFileSync(join(folder, 'pipeline.json'), JSON.stringify({ name: 'test', ...pipeline }));
  const out = `${name}.espalier`;
  espalier('compress', model, '--data', images, '--pipeline', 'pipeline.json', '--out', out);
  return out;
}
export function exported(model: string): string {
  const out = model.replace(/\.\w+$/, '.onnx');
  espalier('export', model, '--out', out);
  return out;
}

/** A network of layers at random, in residual and concatenated branches, for images of 28 x 28. */
export function randomNetwork(seed: number): object {
  let state = seed * 2654435761;
  const below = (n: number) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * n);
  };
  const layers: Record<string, unknown>[] = [];
  let current = 'input';
  const add = (type: string, fields: object = {}) => {
    current = `${type}${layers.length}`;
    layers.push({ type, name: current, ...fields });
  };
  const simple = () => {
    const types = ['relu', 'relu6', 'leaky_relu', 'tanh', 'sigmoid', 'batch_norm', 'dropout'];
    for (let i = below(3); i > 0; i--) add(types[below(types.length)]!);
  };
  const conv = (channels: number, from: string) =>
    add('conv', {
      inputs: [from],
      out_channels: channels,
      kernel: [1 + below(3), 1 + below(5)],
      dilation: 1 + below(2),
      padding: 'same',
      groups: below(2) ? 1 : 2,
      bias: below(2) === 1,
    });
  add('conv', { out_channels: 4, kernel: 3, stride: [1 + below(2), 1 + below(2)], padding: [1, 0, 2, 1] });
  for (let block = 0; block < 3; block++) {
    simple();
    const start = current;
    conv(4, start);
    simple();
    const one = current;
    conv(4, start);
    const other = current;
    const join = below(3);
    if (join === 0) add('add', { inputs: [one, other] });
    if (join === 1) add('add', { inputs: [one, other, start] });
    if (join === 2) {
      add('concat', { inputs: [other, one] });
      conv(4, current);
    }
    const pool = below(4);
    if (pool < 2) {
      add(pool === 0 ? 'max_pool' : 'avg_pool', { kernel: [2, 3], stride: 2, padding: [1, 1, 0, 1] });
    }
  }
  if (below(2)) add('global_avg_pool');
  if (below(2)) add('flatten');
  add('dense', { units: 10 });
  const input = { channels: 1, height: 28, width: 28 };
  return { name: `random${seed}`, input, classes: 10, layers };
}
export function writeSpec(name: string, spec: object): string {
  writeFileSync(join(folder, name), JSON.stringify(spec));
  return name;
}
