// Chromium with a new profile, and a page that remembers everything that went wrong in it.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { chromium, type BrowserContext, type Page } from 'playwright-core';
import { findChromium } from '../../native/toolchain/environment.mjs';

export const browserArguments = [
  '--headless=new',
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];

export interface Options {
  width?: number;
  height?: number;
  colorScheme?: 'light' | 'dark';
  reducedMotion?: 'reduce' | 'no-preference';
  hasTouch?: boolean;
  deviceScaleFactor?: number;
  locale?: string;
}
export interface Opened {
  context: BrowserContext;
  page: Page;
  /** Uncaught errors, console errors and violations of the content security policy. */
  problems: string[];
  close: () => Promise<void>;
}

export async function openBrowser(options: Options = {}): Promise<Opened> {
  const executablePath = findChromium();
  if (!executablePath) throw new Error('No Chromium was found; set ESPALIER_CHROMIUM to one.');
  const profile = mkdtempSync(join(tmpdir(), 'espalier-chromium-'));
  const { width = 1440, height = 1000, ...rest } = options;
  const context = await chromium.launchPersistentContext(profile, {
    executablePath,
    headless: true,
    args: browserArguments,
    viewport: { width, height },
    ...rest,
  });
  const page = context.pages()[0] ?? (await context.newPage());
  const problems: string[] = [];
  page.on('pageerror', (error) => problems.push(`uncaught: ${error.message}`));
  page.on('console', (message) => {
    if (message.type() === 'error') problems.push(`console: ${message.text()}`);
  });
  return {
    context,
    page,
    problems,
    async close() {
      await context.close();
      rmSync(profile, { recursive: true, force: true, maxRetries: 5 });
    },
  };
}
