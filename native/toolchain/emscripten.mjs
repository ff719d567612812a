// Installs Emscripten for one user: the packages of a newer Debian release, unpacked into a folder of the cache. Nothing on the
// system is touched. apt does the fetching, with private state and the machine's own sources (only the suite is replaced), so
// mirrors, proxies, keys and checksums are those the machine already trusts.

import { spawnSync } from 'node:child_process';
import { chmodSync, cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync } from 'node:fs';
import { renameSync, rmSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import {
  SetupError,
  describeOwn,
  emccVersion,
  minimumEmscripten,
  ownEmscripten,
  repository,
} from './environment.mjs';

const suite = 'trixie'; // Debian 13
const packages = ['emscripten', 'binaryen', 'libc6', 'libstdc++6', 'libgcc-s1'];
// Most of the 1.7 GB is system libraries; those for position-independent code are not used here.
const leaveOut = [
  'cache/sysroot/lib/wasm32-emscripten/pic',
  'cache/sysroot/lib/wasm32-emscripten/lto-pic',
  'test',
  'docs',
];

/** Installs into the cache and returns what findEmscripten would. `say` gets a line for each step. */
export function installEmscripten(codename, say) {
  const final = ownEmscripten();
  mkdirSync(dirname(final), { recursive: true });
  removeLeftovers(dirname(final));
  const work = join(dirname(final), `unpacking-${process.pid}`);
  mkdirSync(work);
  // Ctrl+C stops the program that runs at that moment, which ends up in `finally`.
  process.once('SIGINT', () => {});
  try {
    const archives = download(work, codename, say);
    say('unpacking');
    const tree = join(work, 'tree');
    mkdirSync(tree);
    for (const archive of archives) unpack(archive, tree);
    say('configuring');
    configure(tree);
    say('compiling a test program');
    verify(tree, work);
    // Another checkout may have been faster.
    if (!existsSync(final)) renameSync(tree, final);
    return describeOwn(final);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

// A process that was killed outright could not clean up after itself.
function removeLeftovers(folder) {
  for (const name of readdirSync(folder)) {
    const pid = /^unpacking-(\d+)$/.exec(name)?.[1];
    if (pid && !isRunning(Number(pid))) rmSync(join(folder, name), { recursive: true, force: true });
  }
}

function isRunning(pid) {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error.code === 'EPERM';
  }
}

function download(work, codename, say) {
  for (const folder of ['lists/partial', 'cache/archives/partial', 'archives']) {
    mkdirSync(join(work, folder), { recursive: true });
  }
  const source = sourceForSuite(readAptSources(), codename, suite);
  if (!source) throw new SetupError(`No source for Debian's ${codename} found under /etc/apt.`);
  const sourceFile = join(work, source.file);
  writeFileSync(sourceFile, source.text);
  const options = {
    'Dir::Etc::sourcelist': sourceFile,
    'Dir::Etc::sourceparts': '-',
    'Dir::State::lists': join(work, 'lists'),
    'Dir::Cache': join(work, 'cache'),
    'APT::Get::List-Cleanup': '0',
    'APT::Sandbox::User': 'root', // the cache folder is private to this user
    'Acquire::Retries': '3',
  };
  const flags = Object.entries(options).flatMap(([key, value]) => ['-o', `${key}=${value}`]);
  const apt = (...args) => run('apt-get', ['-q', ...flags, ...args], join(work, 'archives'));
  say(`reading the package lists of Debian ${suite}`);
  apt('update');
  say(`downloading ${packages.join(', ')} (about 245 MB)`);
  apt('download', ...packages);
  return readdirSync(join(work, 'archives')).map((name) => join(work, 'archives', name));
}

function readAptSources() {
  const parts = '/etc/apt/sources.list.d';
  const names = existsSync(parts)
    ? readdirSync(parts)
        .sort()
        .map((name) => join(parts, name))
    : [];
  return ['/etc/apt/sources.list', ...names]
    .filter((name) => /\.(list|sources)$/.test(name) && existsSync(name))
    .map((name) => ({ name, text: readFileSync(name, 'utf8') }));
}

/**
 * The first source of `codename`'s main archive among apt's files, with the suite replaced.
 * Understands both of apt's formats: stanzas (.sources) and lines (.list).
 */
export function sourceForSuite(files, codename, newSuite) {
  for (const { name, text } of files) {
    if (name.endsWith('.sources')) {
      for (const stanza of text.replace(/^#.*\n/gm, '').split(/\n\s*\n/)) {
        const field = (key) =>
          new RegExp(`^${key}:(.*(?:\\n[ \\t].*)*)`, 'im').exec(stanza)?.[1].trim().split(/\s+/) ?? [];
        const wanted =
          field('Types').includes('deb') &&
          field('Suites').includes(codename) &&
          field('Components').includes('main');
        if (!wanted || /^enabled:\s*(no|false|0)/im.test(stanza)) continue;
        const replaced = stanza
          .replace(/^Suites:.*(\n[ \t].*)*/im, `Suites: ${newSuite}`)
          .replace(/^Components:.*(\n[ \t].*)*/im, 'Components: main')
          .replace(/^Types:.*/im, 'Types: deb');
        return { file: `${newSuite}.sources`, text: `${replaced.trim()}\n` };
      }
    } else {
      for (const line of text.split('\n')) {
        const match = /^(deb\s+(?:\[[^\]]*\]\s+)?\S+\s+)(\S+)\s+(.*)$/.exec(line.trim());
        if (!match || match[2] !== codename || !match[3].split(/\s+/).includes('main')) continue;
        return { file: `${newSuite}.list`, text: `${match[1]}${newSuite} main\n` };
      }
    }
  }
  return undefined;
}

function unpack(archive, tree) {
  const exclude = leaveOut.map((path) => `--exclude './usr/share/emscripten/${path}'`).join(' ');
  run('sh', [
    '-c',
    `dpkg-deb --fsys-tarfile "$0" | tar -x -C "$1" --no-same-owner ${exclude}`,
    archive,
    tree,
  ]);
}

function configure(tree) {
  const libraries = join(
    tree,
    'usr/lib',
    readdirSync(join(tree, 'usr/lib')).find((name) => name.endsWith('-linux-gnu')),
  );
  const loader = readdirSync(libraries).find((name) => /^ld-linux.*\.so/.test(name));

  // binaryen needs a newer C library than the system's, so each of its programs starts through that library's own loader.
  const programs = join(tree, 'binaryen/bin');
  mkdirSync(programs, { recursive: true });
  for (const name of readdirSync(join(tree, 'usr/bin')).filter((name) => name.startsWith('wasm'))) {
    const folder = `usr/lib/${basename(libraries)}`;
    const script = `#!/bin/sh
here=$(dirname "$(readlink -f "$0")")/../..
exec "$here/${folder}/${loader}" --library-path "$here/${folder}" "$here/usr/bin/${name}" "$@"
`;
    writeFileSync(join(programs, name), script);
    chmodSync(join(programs, name), 0o755);
  }

  // This file is Python. EM_CONFIG is its own path (Emscripten sets it), which keeps the folder movable.
  const { root } = describeOwn(tree);
  writeFileSync(
    join(root, '.emscripten'),
    `import os
import shutil

here = os.path.realpath(os.path.join(os.path.dirname(os.environ['EM_CONFIG']), '../../..'))
LLVM_ROOT = '/usr/bin'
LLVM_ADD_VERSION = '19'
CLANG_ADD_VERSION = '19'
BINARYEN_ROOT = os.path.join(here, 'binaryen')
NODE_JS = shutil.which('node')
CACHE = os.path.join(here, 'usr/share/emscripten/cache')
FROZEN_CACHE = True
`,
  );
  // The one npm package that Emscripten's tools import; its version is pinned in package-lock.json.
  cpSync(join(repository, 'node_modules/acorn'), join(root, 'node_modules/acorn'), {
    recursive: true,
    dereference: true,
  });
}

// The optimizer, the JavaScript tools, exceptions, threads and Embind have to work, not just start.
function verify(tree, work) {
  const { emcc, env } = describeOwn(tree);
  const environment = { ...process.env, ...env };
  const version = emccVersion(emcc, environment);
  if (version !== minimumEmscripten)
    throw new SetupError(`emcc --version of the new Emscripten says ${version}.`);
  const folder = mkdtempSync(join(work, 'verify-'));
  writeFileSync(
    join(folder, 'probe.cpp'),
    `#include <emscripten/bind.h>
#include <stdexcept>
int answer() { try { throw std::runtime_error("x"); } catch (const std::exception&) { return 42; } }
EMSCRIPTEN_BINDINGS(probe) { emscripten::function("answer", &answer); }
`,
  );
  const flags =
    '-O2 -std=c++20 -msimd128 -pthread -fwasm-exceptions -lembind -sMODULARIZE -sEXPORT_ES6 -sENVIRONMENT=node,worker';
  run(
    `${emcc.replace(/emcc$/, 'em++')}`,
    ['probe.cpp', ...flags.split(' '), '-o', 'probe.mjs'],
    folder,
    environment,
  );
  const script =
    "const m = await (await import('./probe.mjs')).default(); process.exit(m.answer() === 42 ? 0 : 1)";
  run(process.execPath, ['--input-type=module', '-e', script], folder);
}

function run(program, args, cwd, env = process.env) {
  const { status, signal, error, stdout, stderr } = spawnSync(program, args, { cwd, env, encoding: 'utf8' });
  if (status === 0) return;
  const output = `${stdout ?? ''}${stderr ?? ''}`.trim().split('\n').slice(-15).join('\n');
  throw new SetupError(`${program} failed: ${error?.message ?? signal ?? `status ${status}`}\n${output}`);
}
