// The set-up script against pretended machines: stub programs on the PATH, a cache folder of its own.

import { spawn, spawnSync } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { sourceForSuite } from '../../native/toolchain/emscripten.mjs';
import { findEmscripten, readOsRelease, repository } from '../../native/toolchain/environment.mjs';

const debian = readOsRelease().ID === 'debian';
let folder, env;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'espalier-setup-'));
  env = { PATH: `${join(folder, 'bin')}:/usr/bin:/bin`, HOME: folder, XDG_CACHE_HOME: join(folder, 'cache') };
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

function stub(file, script) {
  mkdirSync(join(folder, file, '..'), { recursive: true });
  writeFileSync(join(folder, file), `#!/bin/sh\n${script}\n`);
  chmodSync(join(folder, file), 0o755);
}

function stubEmscripten(place, version) {
  stub(`${place}/emcc`, `echo 'emcc (Emscripten gcc/clang-like replacement) ${version} (abc)'`);
  stub(`${place}/em-config`, `echo /opt/emscripten-${version}`);
}

describe('which Emscripten', () => {
  test('an emcc on the PATH is used when it is new enough', () => {
    stubEmscripten('bin', '3.1.69');
    expect(findEmscripten(env)).toMatchObject({
      version: '3.1.69',
      root: '/opt/emscripten-3.1.69',
      rejected: [],
    });
  });

  test('an old emcc on the PATH is passed over for the one in EMSDK', () => {
    stubEmscripten('bin', '3.1.6');
    stubEmscripten('sdk/upstream/emscripten', '4.0.1');
    const found = findEmscripten({ ...env, EMSDK: join(folder, 'sdk') });
    expect(found.version).toBe('4.0.1');
    expect(found.rejected).toEqual([`${join(folder, 'bin/emcc')} (3.1.6)`]);
  });

  test('an old or broken emcc leaves nothing to use', () => {
    stub('bin/emcc', 'exit 1');
    const found = findEmscripten(env);
    expect(found.root).toBeUndefined();
    expect(found.rejected).toEqual([`${join(folder, 'bin/emcc')} (does not run)`]);
  });
});

describe("apt's sources", () => {
  const stanza = `# comment
Types: deb deb-src
URIs: mirror+file:/m
Suites: bookworm bookworm-updates
Components: main contrib
Signed-By: /k.gpg

Types: deb
URIs: mirror+file:/s
Suites: bookworm-security
Components: main
`;

  test('the main stanza is taken, with its suite replaced', () => {
    const source = sourceForSuite([{ name: 'debian.sources', text: stanza }], 'bookworm', 'trixie');
    expect(source).toEqual({
      file: 'trixie.sources',
      text: 'Types: deb\nURIs: mirror+file:/m\nSuites: trixie\nComponents: main\nSigned-By: /k.gpg\n',
    });
  });

  test('the main line is taken, with its options', () => {
    const text =
      'deb-src a bookworm main\ndeb b bookworm-updates main\ndeb [signed-by=/k.gpg] copy:/m bookworm main contrib\n';
    const source = sourceForSuite([{ name: 'sources.list', text }], 'bookworm', 'trixie');
    expect(source).toEqual({ file: 'trixie.list', text: 'deb [signed-by=/k.gpg] copy:/m trixie main\n' });
  });

  test('a disabled stanza and a foreign archive are passed over', () => {
    const files = [
      { name: 'a.sources', text: `Enabled: no\n${stanza}` },
      { name: 'b.list', text: 'deb b bookworm stable\n' },
    ];
    expect(sourceForSuite(files, 'bookworm', 'trixie')).toBeUndefined();
  });
});

describe.runIf(debian)('on Debian', () => {
  test('without root and sudo the missing packages are named in one line to copy', () => {
    stub('bin/dpkg-query', "echo 'git installed'; echo 'cmake config-files'; exit 1");
    const anyone = 'data:text/javascript,process.getuid = () => 1000';
    const bare = { ...env, PATH: join(folder, 'bin') };
    const run = spawnSync(
      process.execPath,
      ['--import', anyone, join(repository, 'native/toolchain/setup.mjs')],
      {
        env: bare,
        encoding: 'utf8',
      },
    );
    expect(run.status).toBe(1);
    expect(run.stderr).toMatch(
      /^ +apt-get install --yes --no-install-recommends --no-remove cmake ninja-build clang-19 .*python3/m,
    );
    expect(run.stderr).not.toMatch(/ git /);
  });

  const install = `
    import { installEmscripten } from '${join(repository, 'native/toolchain/emscripten.mjs')}';
    installEmscripten('${readOsRelease().VERSION_CODENAME}', console.log);`;
  const args = ['--input-type=module', '-e', install];
  const cache = () => readdirSync(join(folder, 'cache/espalier'));

  test('a download that breaks leaves nothing behind', () => {
    stub('bin/apt-get', 'touch half.deb; echo connection lost >&2; exit 100');
    const run = spawnSync(process.execPath, args, { env, encoding: 'utf8' });
    expect(run.status).not.toBe(0);
    expect(run.stderr).toContain('connection lost');
    expect(cache()).toEqual([]);
  });

  test('what a killed installation left is removed by the next one, and never used', async () => {
    stub('bin/apt-get', `touch ${join(folder, 'started')}; exec sleep 60`);
    const child = spawn(process.execPath, args, { env, detached: true, stdio: 'ignore' });
    const ended = new Promise((resolve) => child.on('exit', resolve));
    while (!existsSync(join(folder, 'started'))) await new Promise((resolve) => setTimeout(resolve, 20));
    process.kill(-child.pid, 'SIGKILL');
    await ended;
    expect(cache()).toEqual([`unpacking-${child.pid}`]);
    expect(findEmscripten({ ...env, PATH: join(folder, 'bin') }).root).toBeUndefined();

    stub('bin/apt-get', 'exit 100');
    spawnSync(process.execPath, args, { env });
    expect(cache()).toEqual([]);
  });
});
