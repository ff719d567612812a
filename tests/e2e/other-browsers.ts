// Firefox through WebDriver BiDi and WebKitGTK through plain WebDriver, behind one small interface: what the walk through
// the first minute needs, and no more.

import { spawn, type ChildProcess } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import puppeteer from 'puppeteer-core';
import { findFirefox, findMiniBrowser, which } from '../../native/toolchain/environment.mjs';

export interface Driven {
  goto(url: string): Promise<void>;
  /** The value of an expression in the page; a promise is waited for. What it gives must be JSON. */
  evaluate<Value>(expression: string): Promise<Value>;
  /** A real pointer, from point to point of the window, pressed. */
  drag(points: [x: number, y: number][]): Promise<void>;
  close(): Promise<void>;
}

export const browsers = { Firefox: openFirefox, WebKitGTK: openWebKit } as const;

/** Whether this machine can run it; tests of others are skipped by name. */
export const available = {
  Firefox: findFirefox() !== undefined,
  WebKitGTK: Boolean(findMiniBrowser() && which('WebKitWebDriver') && which('Xvfb')),
} as const;

async function openFirefox(): Promise<Driven> {
  const browser = await puppeteer.launch({
    browser: 'firefox',
    executablePath: findFirefox() ?? '',
    headless: true,
    protocolTimeout: 300_000,
    defaultViewport: { width: 1280, height: 900 },
  });
  const page = (await browser.pages())[0] ?? (await browser.newPage());
  return {
    goto: async (url) => void (await page.goto(url)),
    evaluate: async <Value>(expression: string) =>
      JSON.parse((await page.evaluate(asJson(expression))) as string) as Value,
    async drag([first, ...rest]) {
      if (!first) return;
      await page.mouse.move(...first);
      await page.mouse.down();
      for (const point of rest) await page.mouse.move(...point, { steps: 5 });
      await page.mouse.up();
    },
    close: () => browser.close(),
  };
}

const asJson = (expression: string) =>
  `Promise.resolve(${expression}).then((value) => JSON.stringify(value ?? null))`;

async function openWebKit(): Promise<Driven> {
  const home = mkdtempSync(join(tmpdir(), 'espalier-webkit-'));
  const port = await freePort();
  const display = freeDisplay();
  const env = {
    ...process.env,
    DISPLAY: display,
    HOME: home,
    XDG_CACHE_HOME: join(home, 'cache'),
    XDG_DATA_HOME: join(home, 'data'),
    // Its sandbox needs user namespaces, which containers and root do not have.
    WEBKIT_DISABLE_SANDBOX_THIS_IS_DANGEROUS: '1',
    GDK_BACKEND: 'x11',
    LIBGL_ALWAYS_SOFTWARE: '1',
  };
  const children: ChildProcess[] = [
    spawn('Xvfb', [display, '-screen', '0', '1280x960x24', '-nolisten', 'tcp'], { stdio: 'ignore' }),
    spawn('WebKitWebDriver', [`--port=${port}`, '--host=127.0.0.1'], { env, stdio: 'ignore' }),
  ];
  const end = async () => {
    const ended = children.map((child) => new Promise((resolve) => child.once('exit', resolve)));
    for (const child of children.reverse()) child.kill();
    await Promise.race([Promise.all(ended), new Promise((resolve) => setTimeout(resolve, 5000))]);
    // The browser's own processes end a little after the driver and write until then.
    rmSync(home, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 });
  };
  const call = async <Value>(method: string, path: string, body?: unknown): Promise<Value> => {
    const response = await fetch(`http://127.0.0.1:${port}${path}`, {
      method,
      ...(body !== undefined && { body: JSON.stringify(body) }),
    });
    const { value } = (await response.json()) as { value: Value & { error?: string; message?: string } };
    if (!response.ok) throw new Error(`WebKitGTK, ${path}: ${value.error} ${value.message}`);
    return value;
  };
  try {
    await until(async () => (await call<{ ready: boolean }>('GET', '/status')).ready, 30_000);
    const { sessionId } = await call<{ sessionId: string }>('POST', '/session', {
      capabilities: {
        alwaysMatch: {
          'webkitgtk:browserOptions': { binary: findMiniBrowser(), args: ['--automation'] },
          timeouts: { script: 300_000, pageLoad: 120_000 },
        },
      },
    });
    const session = `/session/${sessionId}`;
    return {
      goto: (url) => call('POST', `${session}/url`, { url }),
      async evaluate<Value>(expression: string) {
        const script = `const done = arguments[0];
          ${asJson(expression)}.then((json) => done({ json }), (error) => done({ error: String(error) }));`;
        const { json, error } = await call<{ json?: string; error?: string }>(
          'POST',
          `${session}/execute/async`,
          { script, args: [] },
        );
        if (json === undefined) throw new Error(error);
        return JSON.parse(json) as Value;
      },
      async drag(points) {
        const move = ([x, y]: [number, number], duration: number) => ({
          type: 'pointerMove',
          duration,
          x: Math.round(x),
          y: Math.round(y),
        });
        const [first, ...rest] = points;
        if (!first) return;
        const actions = [
          move(first, 0),
          { type: 'pointerDown', button: 0 },
          ...rest.map((point) => move(point, 40)),
          { type: 'pointerUp', button: 0 },
        ];
        const pointer = { type: 'pointer', id: 'mouse', parameters: { pointerType: 'mouse' }, actions };
        await call('POST', `${session}/actions`, { actions: [pointer] });
      },
      async close() {
        await call('DELETE', session).catch(() => {});
        await end();
      },
    };
  } catch (error) {
    await end();
    throw error;
  }
}

async function until(condition: () => Promise<boolean>, timeout: number): Promise<void> {
  const begin = Date.now();
  while (!(await condition().catch(() => false))) {
    if (Date.now() - begin > timeout) throw new Error(`Not within ${timeout} ms.`);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

function freeDisplay(): string {
  const folder = '/tmp/.X11-unix';
  const taken = existsSync(folder) ? readdirSync(folder) : [];
  let number = 90 + (process.pid % 100);
  while (taken.includes(`X${number}`)) number += 1;
  return `:${number}`;
}
