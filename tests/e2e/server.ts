// Serves the built page as a strict host would: no script but its own, with or without isolation.

import { createReadStream, existsSync, readFileSync, statSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { extname, join, normalize } from 'node:path';
import { fileURLToPath } from 'node:url';

export const repository = fileURLToPath(new URL('../..', import.meta.url));
export const built = join(repository, 'build/web');

const types: Record<string, string> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript',
  '.css': 'text/css',
  '.svg': 'image/svg+xml',
  '.png': 'image/png',
  '.webmanifest': 'application/manifest+json',
  '.wasm': 'application/wasm',
};

const policy =
  "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'; manifest-src 'self'; style-src 'self'; " +
  "img-src 'self' data: blob:; connect-src 'self' https:; base-uri 'none'; form-action 'none'";

export interface Site {
  url: string;
  /** The files that were asked for, in that order. */
  asked: string[];
  /** Answers those who wait for a file that is held. */
  release: () => void;
  close: () => Promise<void>;
}

export interface SiteOptions {
  isolated?: boolean;
  cached?: boolean;
  folder?: string;
  /** Files that are made when asked for, by name, from what was posted. */
  made?: Record<string, (body: string) => string>;
  /** A script that the page gets besides its own. */
  pageScript?: string;
  /** Files that are not answered before `release`. */
  held?: RegExp;
}

/** The page lives in a subfolder, because it must not expect to be at a host's root. */
export async function serve({
  isolated = true,
  cached = false,
  folder = built,
  made = {},
  pageScript = '',
  held,
}: SiteOptions = {}): Promise<Site> {
  if (!existsSync(join(folder, 'index.html'))) throw new Error('Build the page first: npm run build:web');
  const asked: string[] = [];
  let release!: () => void;
  const released = new Promise<void>((resolve) => (release = resolve));
  const answer = async (request: IncomingMessage, response: ServerResponse) => {
    const path = new URL(request.url ?? '/', 'http://localhost').pathname;
    const inside = path.startsWith('/app/') ? normalize(path.slice('/app/'.length)) || 'index.html' : '..';
    const name = inside === '.' ? 'index.html' : inside;
    const file = join(folder, name);
    const make = made[name];
    if (!make && (inside.startsWith('..') || !existsSync(file) || !statSync(file).isFile())) {
      response.writeHead(404).end();
      return;
    }
    asked.push(name);
    if (held?.test(name)) await released;
    response.writeHead(200, {
      'Content-Type': types[extname(name)] ?? 'application/octet-stream',
      'Content-Security-Policy': policy,
      // What a browser may keep: nothing, so that tests see the last build, or what has a hash in its name.
      'Cache-Control': !cached
        ? 'no-store'
        : inside.startsWith('assets/')
          ? 'public, max-age=31536000, immutable'
          : 'no-cache',
      ...(isolated && {
        'Cross-Origin-Opener-Policy': 'same-origin',
        'Cross-Origin-Embedder-Policy': 'require-corp',
      }),
    });
    if (make) {
      let body = '';
      request.on('data', (part) => (body += String(part)));
      request.on('end', () => response.end(make(body)));
    } else if (pageScript && name === 'index.html') {
      const script = `<script src="${pageScript}" defer></script></head>`;
      response.end(readFileSync(file, 'utf8').replace('</head>', script));
    } else {
      createReadStream(file).pipe(response);
    }
  };
  const server: Server = createServer((request, response) => void answer(request, response));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}/app/`,
    asked,
    release,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}
