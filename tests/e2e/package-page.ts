// A page with nothing on it, from a server that has the package as it is published: what runs in it
// is `import('/dist/index.js')`, without a bundler.

import { createReadStream, existsSync, statSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { extname, join, normalize } from 'node:path';
import type { Page } from 'playwright-core';
import { openBrowser } from './browser';
import { repository, type Site } from './server';

const types: Record<string, string> = {
  '.js': 'text/javascript',
  '.mjs': 'text/javascript',
  '.wasm': 'application/wasm',
};
const isolation = {
  'Cross-Origin-Opener-Policy': 'same-origin',
  'Cross-Origin-Embedder-Policy': 'require-corp',
};

const packageFolder = join(repository, 'web/package');

export async function servePackage(root = packageFolder): Promise<Site> {
  const server = createServer((request, response) => {
    const path = normalize(new URL(request.url ?? '/', 'http://localhost').pathname);
    const file = join(root, path);
    if (path === '/') {
      response.writeHead(200, { 'Content-Type': 'text/html', ...isolation }).end('<!doctype html>');
    } else if (existsSync(file) && statSync(file).isFile()) {
      response.writeHead(200, { 'Content-Type': types[extname(file)] ?? 'text/plain', ...isolation });
      createReadStream(file).pipe(response);
    } else {
      response.writeHead(404).end();
    }
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}/`,
    async close() {
      server.closeAllConnections();
      server.close();
    },
  };
}

export async function openPackagePage(
  root = packageFolder,
): Promise<{ page: Page; close: () => Promise<void> }> {
  const site = await servePackage(root);
  const { page, close } = await openBrowser();
  await page.goto(site.url);
  return {
    page,
    async close() {
      await close();
      await site.close();
    },
  };
}
