// The package in a page: installed from its tarball, bundled by Vite without any configuration, run in
// Chromium under a strict content security policy.

import { chromium, type Browser } from 'playwright-core';
import { build, createServer, preview } from 'vite';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { EngineInfo, EngineOptions } from 'espalier';
import { findChromium } from '../../native/toolchain/environment.mjs';
import { createProject, type Project } from './project.js';

const isolation = {
  'Cross-Origin-Opener-Policy': 'same-origin',
  'Cross-Origin-Embedder-Policy': 'require-corp',
};
const policy = { 'Content-Security-Policy': "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'" };
const browserArguments = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];

interface PageResult {
  info: EngineInfo;
  accuracy: number;
  sha: string;
  aborted: number;
  longestGap: number;
  compressed: { bits: number; sha: string; untouched: boolean; aborted: number; code: string };
  packed: { formats: string[]; probabilities: number[]; accuracy: number; fileBytes: number; lines: number };
  error: { code: string; where: string; isEspalierError: boolean };
}

const page = `
import { createEngine, EspalierError } from 'espalier';
window.run = async (options) => {
  const engine = await createEngine(options);
  const data = await engine.loadDataset({ kind: 'synthetic', train: 1200, test: 200 });
  const model = await engine.createModel('small', { dataset: data });

  // How long the page itself was kept from answering.
  let longestGap = 0, last = performance.now(), watching = true;
  (function tick() {
    const now = performance.now();
    longestGap = Math.max(longestGap, now - last);
    last = now;
    if (watching) setTimeout(tick, 4);
  })();
  await model.train(data, { epochs: 2 }).done;
  const sha = await model.weightsSha256();
  const { model: small, report } = await model.quantize(data, { weights: 4, qat: 1, control: false }).done;
  const pass = model.prune(data, { sparsity: 0.5, finetune: 1000, control: false });
  await new Promise((resolve) => setTimeout(resolve, 100));
  const passBegin = performance.now();
  await pass.abort();
  const compressed = {
    aborted: performance.now() - passBegin,
    code: await pass.done.catch((e) => e.code),
    bits: report.after.total.bits,
    sha: await small.weightsSha256(),
    untouched: (await model.weightsSha256()) === sha,
  };
  const { model: int8, report: passes } = await model.compress(data, 'int8').done;
  const runtime = await int8.pack();
  const { pixels } = await data.images('test', [0]);
  const grid = { passes: [{ pass: 'prune', sparsity: [0.5, 0.9] }] };
  let lines = 0;
  for await (const event of model.sweep(data, grid)) lines += event.type === 'line' ? 1 : 0;
  const packed = {
    formats: runtime.layers.map(({ format }) => format),
    probabilities: Array.from(await runtime.predict(pixels)),
    accuracy: (await runtime.evaluate(data, 'test')).accuracy - passes.accuracy_after.test,
    fileBytes: (await int8.saveAs('espalier')).bytes.length,
    lines,
  };
  watching = false;
  const { accuracy } = await model.evaluate(data, 'test');

  const endless = model.train(data, { epochs: 1000 });
  await new Promise((resolve) => setTimeout(resolve, 50));
  const begin = performance.now();
  await endless.abort();
  const aborted = performance.now() - begin;

  const error = await engine.createModel('nothing').catch(({ code, where }) => ({ code, where }));
  const isEspalierError = await engine.createModel('nothing').catch((e) => e instanceof EspalierError);
  await engine.dispose();
  return { info: engine.info, accuracy, sha, aborted, longestGap, compressed, packed, error: { ...error, isEspalierError } };
};
`;

let project: Project;
let browser: Browser;
beforeAll(async () => {
  project = createProject();
  project.write(
    'index.html',
    '<!doctype html><link rel="icon" href="data:,"><script type="module" src="/page.js"></script>',
  );
  project.write('page.js', page);
  browser = await chromium.launch({ executablePath: findChromium() ?? '', args: browserArguments });
});
afterAll(async () => {
  await browser?.close();
  project?.remove();
});

async function visit(url: string, options: EngineOptions): Promise<PageResult> {
  const tab = await browser.newPage();
  const problems: string[] = [];
  tab.on('pageerror', (error) => problems.push(error.message));
  tab.on('console', (message) => message.type() === 'error' && problems.push(message.text()));
  await tab.goto(url);
  await tab.waitForFunction('window.run');
  const result = await tab.evaluate<PageResult, EngineOptions>(
    (given) => (window as unknown as { run(o: EngineOptions): Promise<PageResult> }).run(given),
    options,
  );
  await tab.close();
  expect(problems.filter((text) => !text.includes("'data:,'"))).toEqual([]);
  return result;
}

function expectTrained(result: PageResult): void {
  expect(result.accuracy).toBeGreaterThan(0.5);
  expect(result.error).toEqual({ code: 'argument', where: 'nothing', isEspalierError: true });
  expect(result.aborted).toBeLessThan(100);
  expect(result.longestGap).toBeLessThan(100);
  expect(result.compressed).toMatchObject({ bits: 4, untouched: true, code: 'aborted' });
  expect(result.compressed.aborted).toBeLessThan(100);
  expect(result.packed).toMatchObject({ formats: ['int8', 'int8', 'int8'], lines: 2 });
  expect(Math.abs(result.packed.accuracy)).toBeLessThan(0.05);
}

describe('bundled', () => {
  const hashes = new Map<string, string>();
  beforeAll(() => build({ root: project.folder, logLevel: 'warn' }));

  const serve = async (headers: Record<string, string>, options: EngineOptions): Promise<PageResult> => {
    const server = await preview({ root: project.folder, preview: { port: 0, headers }, logLevel: 'warn' });
    const result = await visit(server.resolvedUrls?.local[0] ?? '', options);
    await server.close();
    return result;
  };

  test('an isolated page under a strict policy trains with threads', async () => {
    const result = await serve({ ...isolation, ...policy }, { threads: 2 });
    expectTrained(result);
    expect(result.info).toMatchObject({ threads: 2, worker: true });
    hashes.set(result.info.kernels, result.sha);
  });

  test('a page that is not isolated trains with one thread, with the reason and the same weights', async () => {
    const result = await serve(policy, {});
    expectTrained(result);
    expect(result.info).toMatchObject({ threads: 1, worker: true });
    expect(result.info.fallbackReason).toContain('not cross-origin isolated');
    expect(result.sha).toBe(hashes.get(result.info.kernels));
  });

  test('plain kernels give the weights that they give in Node', async () => {
    const { createEngine } = await import('espalier');
    const engine = await createEngine({ kernels: 'plain', threads: 1 });
    const data = await engine.loadDataset({ kind: 'synthetic', train: 1200, test: 200 });
    const model = await engine.createModel('small', { dataset: data });
    await model.train(data, { epochs: 2 }).done;
    const result = await serve({ ...isolation, ...policy }, { kernels: 'plain', threads: 2 });
    expect(result.info.kernels).toBe('plain');
    expect(result.sha).toBe(await model.weightsSha256());
    const small = await model.quantize(data, { weights: 4, qat: 1, control: false }).done;
    expect(result.compressed.sha).toBe(await small.model.weightsSha256());
    const { model: int8 } = await model.compress(data, 'int8').done;
    expect(result.packed.fileBytes).toBe((await int8.saveAs('espalier')).bytes.length);
    const { pixels } = await data.images('test', [0]);
    expect(result.packed.probabilities).toEqual(Array.from(await (await int8.pack()).predict(pixels)));
    await engine.dispose();
  });

  test('it also runs in the page itself', async () => {
    const result = await serve(policy, { worker: false });
    expect(result.info).toMatchObject({ threads: 1, worker: false });
    expect(result.accuracy).toBeGreaterThan(0.5);
  });
});

describe("in Vite's development server", () => {
  test.each([
    ['isolated, with threads', isolation, 2],
    ['not isolated', {}, 1],
  ])('%s, it trains', async (_, headers, threads) => {
    const server = await createServer({
      root: project.folder,
      server: { port: 0, headers },
      logLevel: 'error',
    });
    await server.listen();
    const result = await visit(server.resolvedUrls?.local[0] ?? '', {});
    await server.close();
    expectTrained(result);
    expect(result.info.worker).toBe(true);
    expect(result.info.threads).toBeGreaterThanOrEqual(threads);
  });
});
