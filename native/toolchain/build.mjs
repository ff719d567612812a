// Sets up, then builds what changed: node native/toolchain/build.mjs <part …>

import { existsSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { SetupError, repository, runTool, toolEnvironment } from './environment.mjs';
import { main, seconds, setup } from './setup.mjs';
import { splitEngines } from './split.mjs';

const parts = {
  native: () => cmake('native'),
  'native-gcc': () => cmake('native-gcc'),
  'native-debug': () => cmake('native-debug'),
  wasm: () =>
    ['wasm-simd', 'wasm-simd-threads', 'wasm-relaxed', 'wasm-relaxed-threads'].forEach((preset) =>
      cmake(preset),
    ),
  'wasm-bench': () => ['wasm-simd', 'wasm-relaxed'].forEach((preset) => cmake(preset, 'espalier_bench')),
  package: () => {
    run('package', 'tsc', '-p', 'web/package');
    timed('package: engines in two files', () => splitEngines(environment));
  },
  web: () => {
    run('web', 'vite', 'build', 'web/app', '--logLevel', 'warn');
    for (const part of ['offline', 'race']) {
      const config = `web/app/${part}.vite.config.ts`;
      run(`web: ${part}`, 'vite', 'build', 'web/app', '--config', config, '--logLevel', 'warn');
    }
  },
};

let environment;

function cmake(preset, target = 'all') {
  if (mustConfigure(preset)) run(`${preset}: configure`, 'cmake', '--preset', preset, '--fresh');
  run(preset, 'cmake', '--build', join('build', preset), '--target', target);
}

// Ninja notices changed CMakeLists.txt by itself, but neither changed presets nor another Emscripten.
function mustConfigure(preset) {
  const cache = join(repository, 'build', preset, 'CMakeCache.txt');
  if (!existsSync(cache) || !existsSync(join(repository, 'build', preset, 'build.ninja'))) return true;
  if (statSync(cache).mtimeMs < statSync(join(repository, 'CMakePresets.json')).mtimeMs) return true;
  const toolchain = /^CMAKE_TOOLCHAIN_FILE:\w+=(.*)$/m.exec(readFileSync(cache, 'utf8'))?.[1];
  return preset.startsWith('wasm') && toolchain !== environment.ESPALIER_EMSCRIPTEN_TOOLCHAIN;
}

function run(name, program, ...args) {
  timed(name, () => runTool(environment, program, ...args));
}

function timed(name, work) {
  const begin = performance.now();
  console.log(`${name} …`);
  work();
  console.log(`${name}: ${seconds(begin)}`);
}

main(() => {
  const names = process.argv.slice(2);
  const unknown = names.filter((name) => !(name in parts));
  if (!names.length || unknown.length) {
    throw new SetupError(
      `Usage: node native/toolchain/build.mjs <part …>\nParts: ${Object.keys(parts).join(' ')}`,
    );
  }
  setup({ quiet: true });
  environment = toolEnvironment();
  for (const name of names) parts[name]();
});
