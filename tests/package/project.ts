// An empty project with the package installed from its tarball, as its users have it.

import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const packageFolder = fileURLToPath(new URL('../../web/package', import.meta.url));

export interface Project {
  folder: string;
  write(file: string, text: string): void;
  remove(): void;
}

/** Installs offline: the package has no dependencies. */
export function createProject(): Project {
  const folder = mkdtempSync(join(tmpdir(), 'espalier-project-'));
  const write = (file: string, text: string) => {
    mkdirSync(dirname(join(folder, file)), { recursive: true });
    writeFileSync(join(folder, file), text);
  };
  write('package.json', JSON.stringify({ name: 'project', private: true, type: 'module' }));
  const npm = (cwd: string, ...args: string[]) =>
    execFileSync('npm', [...args, '--silent', '--offline', '--no-audit', '--no-fund'], {
      cwd,
      encoding: 'utf8',
    });
  const tarball = npm(packageFolder, 'pack', '--pack-destination', folder).trim();
  npm(folder, 'install', `./${tarball}`);
  return { folder, write, remove: () => rmSync(folder, { recursive: true, force: true, maxRetries: 5 }) };
}
