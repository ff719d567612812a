// A page with nothing on it, from a server that has the package as it is published: what runs in it
// is `import('/dist/index.js')`, without a bundler.

import { createReadStream, existsSync, statSync } from 'node:fs';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
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

interface PackageOptions {
  root?: string;
  /** Before a file is sent; false: it is missing. */
  ready?: (path: string) => Promise<boolean> | boolean;
}

export async function servePackage({
  root = packageFolder,
  ready = () => true,
}: PackageOptions = {}): Promise<Pick<Site, 'url' | 'close'>> {
  const answer = async (request: IncomingMessage, response: ServerResponse) => {
    const path = normalize(new URL(request.url ?? '/', 'http://localhost').pathname);
    const file = join(root, path);
    if (path === '/') {
      response.writeHead(200, { 'Content-Type': 'text/html', ...isolation }).end('<!doctype html>');
    } else if (existsSync(file) && statSync(file).isFile() && (await ready(path))) {
      response.writeHead(200, { 'Content-Type': types[extname(file)] ?? 'text/plain', ...isolation });
      createReadStream(file).pipe(response);
    } else {
      response.writeHead(404).end();
    }
  };
  const server = createServer((request, response) => void answer(request, response));
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
  options: PackageOptions = {},
): Promise<{ page: Page; close: () => Promise<void> }> {
  const site = await servePackage(options);
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
