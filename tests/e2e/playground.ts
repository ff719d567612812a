// The page as its visitors use it: what can be read, and what can be done.

import type { BrowserContext, Page } from 'playwright-core';
import { openBrowser, type Opened, type Options } from './browser';
import { serve, type Site } from './server';

export interface Playground extends Opened {
  url: string;
  read: Reader;
}

export interface OpenOptions extends Options {
  isolated?: boolean;
  /** Of the page, in the folder; default: the playground. */
  path?: string;
  hash?: string;
  /** Before the page is opened. */
  prepare?: (context: BrowserContext) => Promise<unknown>;
}

/** Opens the built page with a new browser profile. */
export async function openPlayground({
  isolated,
  path = '',
  hash = '',
  prepare,
  ...options
}: OpenOptions = {}): Promise<Playground> {
  const site: Site = await serve({ isolated: isolated ?? true });
  const opened = await openBrowser(options);
  const url = `${site.url}${path}${hash}`;
  await prepare?.(opened.context);
  await opened.page.goto(url);
  return {
    ...opened,
    url,
    read: new Reader(opened.page),
    async close() {
      await opened.close();
      await site.close();
    },
  };
}

export class Reader {
  constructor(readonly page: Page) {}

  async text(id: string): Promise<string> {
    return (await this.page.getByTestId(id).innerText()).replace(/\s+/g, ' ').trim();
  }
  /** The first number in a text, whatever surrounds it. */
  async number(id: string): Promise<number> {
    const text = (await this.text(id)).replaceAll(',', '');
    return Number(/-?\d+(\.\d+)?(e-?\d+)?/.exec(text)?.[0] ?? NaN);
  }
  state = (): Promise<string> => this.text('state');
  step = (): Promise<number> => this.number('step');
  loss = (): Promise<number> => this.number('loss');

  async probabilities(): Promise<number[]> {
    const rows = await this.page.getByTestId('probabilities').locator('li .value').allInnerTexts();
    return rows.map((text) => parseFloat(text));
  }
  async untilState(wanted: RegExp, timeout = 30_000): Promise<void> {
    await this.page.getByTestId('state').filter({ hasText: wanted }).waitFor({ timeout });
  }
  async notice(): Promise<string> {
    const notice = this.page.getByTestId('notice').last();
    await notice.waitFor();
    return (await notice.locator('p').innerText()).trim();
  }
  async hash(): Promise<string> {
    const hash = this.page.getByTestId('weights-hash').filter({ hasText: /^[0-9a-f]{64}$/ });
    await hash.waitFor({ timeout: 30_000 });
    return hash.innerText();
  }
}

/** Both networks are measured, and nothing is under way. */
export async function settled(page: Page): Promise<void> {
  await page.waitForTimeout(100);
  await page
    .locator('[data-testid=accuracy][data-pending=false]')
    .filter({ hasText: '%' })
    .waitFor({ timeout: 30_000 });
  await page.locator('section[aria-busy=false]').first().waitFor({ timeout: 30_000 });
}

/** Draws a line through points of the pad, given as shares of its side. */
export async function draw(page: Page, points: [number, number][]): Promise<void> {
  const pad = page.getByTestId('pad');
  // Header and footer cover the edges of the window.
  await pad.evaluate((element) => element.scrollIntoView({ block: 'center' }));
  const box = await pad.boundingBox();
  if (!box) throw new Error('The pad is not on the page.');
  const place = ([x, y]: [number, number]): [number, number] => [
    box.x + box.width * x,
    box.y + box.height * y,
  ];
  const [first, ...rest] = points;
  if (!first) return;
  await page.mouse.move(...place(first));
  await page.mouse.down();
  for (const point of rest) await page.mouse.move(...place(point), { steps: 5 });
  await page.mouse.up();
}

export interface TestFile {
  name: string;
  bytes: Uint8Array | string;
}

/** Drops files on the middle of the page, as a file manager does. */
export async function drop(page: Page, files: TestFile[]): Promise<void> {
  const plain = files.map(({ name, bytes }) => ({
    name,
    base64: Buffer.from(bytes as Uint8Array).toString('base64'),
  }));
  const transfer = await page.evaluateHandle((list) => {
    const data = new DataTransfer();
    for (const { name, base64 } of list) {
      const bytes = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
      data.items.add(new File([bytes], name));
    }
    return data;
  }, plain);
  for (const type of ['dragenter', 'dragover', 'drop']) {
    await page.dispatchEvent('main', type, { dataTransfer: transfer });
  }
}
