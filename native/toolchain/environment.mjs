// Finds the tools and answers with the environment in which to run them. Changes nothing on disk.
//
//   import { toolEnvironment, findEmscripten, findChromium } from './environment.mjs';

import { execFileSync, spawnSync } from 'node:child_process';
import { accessSync, constants, existsSync, readFileSync, readdirSync, statSync } from 'node:fs';
import { homedir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const repository = fileURLToPath(new URL('../..', import.meta.url)).replace(/\/$/, '');

/** Something the user has to do or know; printed without a stack. */
export class SetupError extends Error {}

// Older releases cannot emit the final opcodes of relaxed SIMD.
export const minimumEmscripten = '3.1.69';

export function cacheFolder(env = process.env) {
  // The XDG specification: a relative path there is to be ignored.
  const base = env.XDG_CACHE_HOME?.startsWith('/') ? env.XDG_CACHE_HOME : join(homedir(), '.cache');
  return join(base, 'espalier');
}

export const ownEmscripten = (env = process.env) => join(cacheFolder(env), `emscripten-${minimumEmscripten}`);

/** The program's full path, or undefined. */
export function which(program, path = process.env.PATH ?? '') {
  for (const folder of path.split(delimiter).filter(Boolean)) {
    const file = join(folder, program);
    try {
      accessSync(file, constants.X_OK);
      if (statSync(file).isFile()) return file;
    } catch {
      // not here
    }
  }
  return undefined;
}

export function atLeast(version, minimum) {
  const [a, b] = [version, minimum].map((text) => text.split('.').map(Number));
  for (let i = 0; i < 3; ++i) if (a[i] !== b[i]) return a[i] > b[i];
  return true;
}

/** `emcc --version` as "3.1.69", or undefined when it does not run. */
export function emccVersion(emcc, env = process.env) {
  try {
    const text = execFileSync(emcc, ['--version'], {
      env,
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    return /\b(\d+\.\d+\.\d+)\b/.exec(text)?.[1];
  } catch {
    return undefined;
  }
}

/**
 * The Emscripten to use: `emcc` on the PATH, then EMSDK, then the one that setup.mjs keeps in the cache.
 * `rejected` lists those that were found and are too old or broken.
 */
export function findEmscripten(env = process.env) {
  const rejected = [];
  const candidates = [which('emcc', env.PATH), env.EMSDK && join(env.EMSDK, 'upstream/emscripten/emcc')];
  for (const emcc of candidates) {
    if (!emcc || !existsSync(emcc)) continue;
    const version = emccVersion(emcc, env);
    if (version && atLeast(version, minimumEmscripten)) {
      const root = emscriptenRoot(emcc, env);
      if (root) return { emcc, version, root, env: {}, rejected };
    }
    rejected.push(`${emcc} (${version ?? 'does not run'})`);
  }
  const own = describeOwn(ownEmscripten(env));
  return existsSync(own.emcc) ? { ...own, rejected } : { rejected };
}

/** An unpacked Emscripten of ours; setup.mjs uses this before the final rename too. */
export function describeOwn(folder) {
  const root = join(folder, 'usr/share/emscripten');
  return {
    emcc: join(root, 'emcc'),
    version: minimumEmscripten,
    root,
    env: { EM_CONFIG: join(root, '.emscripten') },
  };
}

// Distributions put a wrapper on the PATH, so Emscripten itself is asked where it lives.
function emscriptenRoot(emcc, env) {
  try {
    const options = { env, encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] };
    return execFileSync(join(dirname(emcc), 'em-config'), ['EMSCRIPTEN_ROOT'], options).trim();
  } catch {
    return undefined;
  }
}

export function findChromium(env = process.env) {
  if (env.ESPALIER_CHROMIUM) return env.ESPALIER_CHROMIUM;
  for (const name of ['chromium', 'chromium-browser', 'google-chrome']) {
    const file = which(name, env.PATH);
    if (file) return file;
  }
  return undefined;
}

/** For tests of the page in another engine than Chromium's. */
export function findFirefox(env = process.env) {
  return which('firefox-esr', env.PATH) ?? which('firefox', env.PATH);
}

/** The small browser that comes with WebKitGTK, for tests of the page. */
export function findMiniBrowser() {
  const folders = existsSync('/usr/lib') ? readdirSync('/usr/lib') : [];
  const places = ['/usr/libexec', ...folders.map((folder) => `/usr/lib/${folder}`)];
  return places.map((place) => join(place, 'webkit2gtk-4.1/MiniBrowser')).find((file) => existsSync(file));
}

/** { id: 'debian', VERSION_ID: '12', … } from os-release. */
export function readOsRelease(file = '/etc/os-release') {
  if (!existsSync(file)) return {};
  const lines = readFileSync(file, 'utf8').matchAll(/^([A-Z_]+)="?(.*?)"?$/gm);
  return Object.fromEntries([...lines].map(([, key, value]) => [key, value]));
}

/** process.env with the tools' folders on the PATH and the variables that README.md lists. */
export function toolEnvironment(env = process.env, emscripten = findEmscripten(env)) {
  const path = [join(repository, 'node_modules/.bin')];
  if (emscripten.root) path.push(dirname(emscripten.emcc));
  path.push(dirname(process.execPath), env.PATH ?? '');
  const chromium = findChromium(env);
  return {
    ...env,
    ...emscripten.env,
    PATH: path.join(delimiter),
    ...(emscripten.root && {
      ESPALIER_EMSCRIPTEN_TOOLCHAIN: join(emscripten.root, 'cmake/Modules/Platform/Emscripten.cmake'),
    }),
    // Node 21 and newer have relaxed SIMD by default.
    ...(parseInt(process.versions.node) < 21 && {
      EM_NODE_JS: join(repository, 'native/toolchain/node-relaxed-simd'),
    }),
    ...(chromium && { ESPALIER_CHROMIUM: chromium }),
  };
}

/** Runs a tool at the repository's root; what it prints is printed. */
export function runTool(environment, program, ...args) {
  const { status, error } = spawnSync(program, args, { cwd: repository, env: environment, stdio: 'inherit' });
  if (status !== 0)
    throw new SetupError(`${[program, ...args].join(' ')} failed${error ? `: ${error.message}` : '.'}`);
}
