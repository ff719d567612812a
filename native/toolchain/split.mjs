// node native/toolchain/split.mjs: cuts each engine in two files, web/package/wasm/espalier-<variant>.wasm and
// .deferred.wasm. In the first one is what ran when early-run.mjs did what a page does until its network learns; that
// is two fifths. The rest arrives while it learns.

import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, renameSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { SetupError, repository, runTool } from './environment.mjs';

const published = join(repository, 'web/package/wasm');
const built = join(repository, 'web/package/dist/espalier');
const variants = ['simd', 'simd-threads', 'relaxed', 'relaxed-threads'];
const features = ['simd', 'relaxed-simd', 'threads', 'exception-handling', 'bulk-memory', 'sign-ext'];
const moreFeatures = ['nontrapping-float-to-int', 'mutable-globals', 'multivalue'];
const flags = [...features, ...moreFeatures].map((name) => `--enable-${name}`);

/** Of those whose binary or whose early methods changed. */
export function splitEngines(environment) {
  const tool = join(binaryen(environment), 'bin/wasm-split');
  const run = (...command) => runTool(environment, ...command);
  mkdirSync(published, { recursive: true });
  for (const variant of variants) {
    const name = `espalier-${variant}`;
    const folder = join(repository, `build/wasm-${variant}`);
    const whole = join(folder, `${name}.wasm`);
    const files = ['.wasm', '.deferred.wasm'].map((ending) => join(published, name + ending));
    const causes = [whole, join(built, 'early.js'), join(import.meta.dirname, 'early-run.mjs')];
    if (files.every(existsSync) && oldest(files) > newest(causes)) continue;
    const instrumented = join(folder, 'early-run.wasm');
    const profile = join(folder, 'early-run.profile');
    run(tool, '--instrument', '--in-memory', ...flags, whole, '-o', instrumented);
    const node = environment.EM_NODE_JS ?? process.execPath;
    run(node, join(import.meta.dirname, 'early-run.mjs'), variant, instrumented, profile);
    const cut = files.map((file) => `${file}.new`);
    run(tool, ...flags, whole, `--profile=${profile}`, '-o1', cut[0], '-o2', cut[1]);
    cut.forEach((file, i) => renameSync(file, files[i]));
  }
}

const newest = (files) => Math.max(...files.map((file) => statSync(file).mtimeMs));
const oldest = (files) => Math.min(...files.map((file) => statSync(file).mtimeMs));

function binaryen(environment) {
  const { stdout } = spawnSync('em-config', ['BINARYEN_ROOT'], { env: environment, encoding: 'utf8' });
  if (!stdout?.trim()) throw new SetupError('em-config does not say where Binaryen is (BINARYEN_ROOT).');
  return stdout.trim();
}
