// Prepares a machine for building and testing Espalier; does nothing the second time. Needs only Node.

import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { installEmscripten } from './emscripten.mjs';
import {
  cacheFolder,
  findChromium,
  findEmscripten,
  minimumEmscripten,
  readOsRelease,
} from './environment.mjs';
import { SetupError, repository, which } from './environment.mjs';
import { debianPackages, debianWithEmscripten } from './packages.mjs';

const help = `Usage: node native/toolchain/setup.mjs [--help]

Prepares this machine for building and testing Espalier. What is there already is left alone:
  1. Debian packages (the list with reasons is in native/toolchain/packages.mjs); needs root or sudo if any is missing
  2. npm packages, by npm ci
  3. Emscripten ${minimumEmscripten} or newer: emcc on the PATH, or in EMSDK, or installed into ${cacheFolder()}
`;

/** With `quiet`, says only what it changes. */
export function setup({ quiet = false } = {}) {
  const begin = performance.now();
  const system = readOsRelease();
  const steps = {
    'Debian packages': () => (system.ID === 'debian' ? debian(system) : otherSystem(system)),
    'npm packages': npmPackages,
    Emscripten: () => emscripten(system),
  };
  for (const [name, action] of Object.entries(steps)) {
    const start = performance.now();
    const { changed, text } = action();
    if (changed || !quiet) console.log(`${name.padEnd(16)} ${text} (${seconds(start)})`);
  }
  if (!quiet) console.log(`Set up in ${seconds(begin)}.`);
}

export const seconds = (begin) => `${((performance.now() - begin) / 1000).toFixed(1)} s`;
const say = (text) => console.log(`  ${text} …`);

function debian(system) {
  const names = debianPackages.map(({ name }) => name);
  // Testing and unstable carry no VERSION_ID; both are newer.
  if (Number(system.VERSION_ID ?? Infinity) >= debianWithEmscripten && !findEmscripten().root)
    names.push('emscripten');
  const missing = missingPackages(names);
  if (missing.length === 0) return { text: 'all installed' };

  const command = `apt-get install --yes --no-install-recommends --no-remove ${missing.join(' ')}`;
  const root = process.getuid() === 0;
  const explain = `These Debian packages are missing, and it takes root (or sudo) to install them. Run this as root, then start again:\n\n  ${command}\n`;
  if (!root && !which('sudo')) throw new SetupError(explain);
  say(`installing ${missing.join(' ')}`);
  for (const line of ['apt-get update', command]) {
    // Another apt may be at work; wait for it.
    const words = line.replace('apt-get', 'apt-get -q -o DPkg::Lock::Timeout=300').split(' ');
    const all = [...(root ? [] : ['sudo']), 'env', 'DEBIAN_FRONTEND=noninteractive', ...words];
    if (spawnSync(all[0], all.slice(1), { stdio: 'inherit' }).status !== 0)
      throw new SetupError(`${line} failed.\n\n${explain}`);
  }
  return { changed: true, text: `installed ${missing.length}` };
}

function missingPackages(names) {
  // dpkg-query fails when it does not know one of them, and still lists the others.
  const query = spawnSync('dpkg-query', ['-W', '-f=${Package} ${db:Status-Status}\\n', ...names], {
    encoding: 'utf8',
  });
  const installed = new Set(
    query.stdout
      .split('\n')
      .filter((line) => line.endsWith(' installed'))
      .map((line) => line.split(' ')[0]),
  );
  return names.filter((name) => !installed.has(name));
}

function otherSystem(system) {
  const found = { chromium: findChromium() };
  const lacking = debianPackages.filter(({ name, tool }) => tool && !(found[name] ?? which(tool)));
  const name = system.PRETTY_NAME ?? process.platform;
  say(`this is ${name}, not Debian; what is needed, by the names Debian gives it`);
  for (const entry of debianPackages) console.log(`    ${entry.name.padEnd(20)} ${entry.reason}`);
  if (lacking.length)
    throw new SetupError(
      `Not found on the PATH: ${lacking.map(({ tool }) => tool).join(' ')}. Install them and start again.`,
    );
  return { text: 'not checked, all tools found' };
}

function npmPackages() {
  // The stamp names the lock file that node_modules was made from.
  const stamp = join(repository, 'node_modules/.espalier-lock');
  const lock = createHash('sha256')
    .update(readFileSync(join(repository, 'package-lock.json')))
    .digest('hex');
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === lock) return { text: 'up to date' };
  say('npm ci');
  // Of onnxruntime-node the parity tests need what is in its package, not the GPU libraries that its script fetches
  // (package.json says so too; npm before 11 does not read that).
  const env = { ...process.env, ONNXRUNTIME_NODE_INSTALL: 'skip' };
  const npm = spawnSync('npm', ['ci', '--no-audit', '--no-fund'], { cwd: repository, stdio: 'inherit', env });
  if (npm.status !== 0) throw new SetupError('npm ci failed.');
  writeFileSync(stamp, lock);
  return { changed: true, text: 'installed' };
}

function emscripten(system) {
  const found = findEmscripten();
  for (const old of found.rejected)
    say(`passing over ${old}; ${minimumEmscripten} is the oldest that will do`);
  if (found.root) return { text: `${found.version} at ${found.emcc}` };
  if (system.ID !== 'debian') {
    throw new SetupError(
      `Emscripten ${minimumEmscripten} or newer is needed: put emcc on the PATH, or set EMSDK to an emsdk folder.`,
    );
  }
  const { version, emcc } = installEmscripten(system.VERSION_CODENAME, say);
  return { changed: true, text: `${version} installed at ${emcc}` };
}

/** Runs `action` and turns what it throws into a message and exit status 1. */
export function main(action) {
  try {
    action();
  } catch (error) {
    console.error(`\n${error instanceof SetupError ? error.message : error.stack}`);
    process.exit(1);
  }
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) {
  const args = process.argv.slice(2);
  if (args.includes('--help')) console.log(help);
  else if (args.length) {
    console.error(`Unknown argument ${args[0]}.\n\n${help}`);
    process.exit(1);
  } else main(setup);
}
