// Pictures of the built page, to look at: npm run screenshots, or node tests/e2e/screenshots.mjs [name …]
// They go to build/screenshots; those that the README shows to web/app/screenshots.

import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { chromium } from 'playwright-core';
import { preview } from 'vite';
import { findChromium, repository } from '../../native/toolchain/environment.mjs';

const folder = join(repository, 'build/screenshots');
const picture = (name) => join(folder, `${name}.png`);
const shown = (name) => join(repository, `web/app/screenshots/${name}.png`);

const shots = {
  light: { width: 1440, height: 900, colorScheme: 'light', fullPage: true },
  dark: { width: 1440, height: 900, colorScheme: 'dark', fullPage: true },
  phone: { width: 390, height: 844, colorScheme: 'light', fullPage: true },
  'phone-dark': { width: 390, height: 844, colorScheme: 'dark', fullPage: true },
  tablet: { width: 900, height: 1100, colorScheme: 'light', fullPage: true },
  wide: { width: 1920, height: 1080, colorScheme: 'light', fullPage: false },
  data: { width: 1440, height: 900, colorScheme: 'light', act: (page) => page.click('text=Change data') },
  resnet: { width: 1440, height: 900, colorScheme: 'dark', hash: '#preset=resnet&epochs=3', fullPage: true },
  chinese: { width: 1440, height: 900, colorScheme: 'light', hash: '#lang=zh', fullPage: true },
  'chinese-phone': { width: 390, height: 844, colorScheme: 'dark', hash: '#lang=zh' },
  'race-light': { width: 1440, height: 900, colorScheme: 'light', race: /^Here/, fullPage: true },
  'race-dark': { width: 1440, height: 900, colorScheme: 'dark', race: /^Racing/, fullPage: true },
  'race-phone': { width: 390, height: 844, colorScheme: 'light', race: /^Here/, fullPage: true },
  'first-light': { width: 1440, height: 900, colorScheme: 'light', fullPage: false },
  'readme-learning': { width: 1440, height: 880, colorScheme: 'light', file: shown('learning') },
};

/** A compressed network, and every view of it. */
const compressed = '#epochs=6&right=prune,sparsity=0.7;quantize,weights=3';
const looks = {
  light: { width: 1440, height: 900, colorScheme: 'light' },
  dark: { width: 1440, height: 900, colorScheme: 'dark' },
  phone: { width: 390, height: 844, colorScheme: 'light' },
};
const views = {
  filters: 'Filters',
  weights: 'Weights',
  masks: 'Masks',
  layers: 'Layers',
  confusion: 'Confusion',
  sensitivity: 'Sensitivity',
  pareto: 'Trade-offs',
  calibration: 'Calibration',
};
const measured = { layers: 'Measure sensitivity', sensitivity: 'Measure', pareto: 'Explore' };

async function untilTrained(page) {
  await page.getByTestId('state').filter({ hasText: 'Trained' }).waitFor({ timeout: 60_000 });
  await page.locator('[data-testid=time]').filter({ hasText: /\d/ }).waitFor({ timeout: 60_000 });
}

async function openView(page, view) {
  await page.getByRole('tab', { name: views[view] }).click();
  if (!measured[view]) return;
  const begin = page.getByTestId('view').getByRole('button', { name: measured[view] });
  await begin.click();
  await begin.waitFor({ state: 'detached' });
  await begin.waitFor({ timeout: 120_000 });
}

shots['readme-compressed'] = {
  ...looks.dark,
  hash: compressed,
  act: untilTrained,
  file: shown('compressed'),
};
shots['readme-trade-offs'] = {
  ...looks.light,
  height: 700,
  hash: compressed,
  element: '[data-testid=view]',
  file: shown('trade-offs'),
  act: async (page) => {
    await untilTrained(page);
    await openView(page, 'pareto');
  },
};
/** What opens only when it is asked for. */
const opened = {
  image: async (page) => {
    await page.getByTestId('wall').getByRole('button').first().focus();
    await page.keyboard.press('Enter');
    await page.getByTestId('image-right').waitFor();
  },
  learn: async (page) => {
    for (const summary of await page.getByRole('region', { name: 'Learn' }).locator('summary').all())
      await summary.click();
  },
  lab: async (page) => {
    const lab = page.getByRole('region', { name: 'Transfer lab' });
    await lab.locator('summary').click();
    await lab.getByRole('button', { name: 'Run', exact: true }).click();
    await lab.getByTestId('lab-verdict').waitFor({ timeout: 120_000 });
  },
};
const elements = { learn: 'role=region[name="Learn"]', lab: 'role=region[name="Transfer lab"]' };
for (const [look, options] of Object.entries(looks)) {
  for (const [name, open] of Object.entries(opened)) {
    shots[`${name}-${look}`] = {
      ...options,
      hash: compressed,
      element: elements[name],
      act: async (page) => {
        await untilTrained(page);
        await open(page);
      },
    };
  }
  shots[`wall-${look}`] = { ...options, hash: compressed, act: untilTrained };
  shots[`export-${look}`] = {
    ...options,
    hash: compressed,
    act: async (page) => {
      await untilTrained(page);
      await page.getByRole('button', { name: 'Download' }).click();
    },
  };
  for (const view of Object.keys(views)) {
    shots[`${view}-${look}`] = {
      ...options,
      hash: compressed,
      element: '[data-testid=view]',
      act: async (page) => {
        await untilTrained(page);
        await openView(page, view);
      },
    };
  }
}

/** Races until the page says so, and a little longer. */
async function watchRace(page, until) {
  await page.getByRole('button', { name: 'Start the race' }).click();
  await page.getByTestId('state').filter({ hasText: until }).waitFor({ timeout: 180_000 });
  await page.waitForTimeout(4000);
}

async function draw(page) {
  const pad = page.getByTestId('pad');
  await pad.evaluate((element) => element.scrollIntoView({ block: 'center' }));
  const box = await pad.boundingBox();
  const at = (x, y) => [box.x + box.width * x, box.y + box.height * y];
  await page.mouse.move(...at(0.3, 0.3));
  await page.mouse.down();
  for (const [x, y] of [
    [0.42, 0.2],
    [0.6, 0.2],
    [0.66, 0.32],
    [0.58, 0.45],
    [0.45, 0.5],
    [0.6, 0.53],
    [0.69, 0.65],
    [0.62, 0.79],
    [0.45, 0.83],
    [0.3, 0.75],
  ])
    // prettier-ignore
    await page.mouse.move(...at(x, y), { steps: 4 });
  await page.mouse.up();
}

const names = process.argv.length > 2 ? process.argv.slice(2) : Object.keys(shots);
mkdirSync(folder, { recursive: true });
const server = await preview({ root: join(repository, 'web/app'), preview: { port: 0 }, logLevel: 'error' });
const url = server.resolvedUrls.local[0];
const browser = await chromium.launch({
  executablePath: findChromium(),
  args: ['--headless=new', '--no-sandbox', '--disable-gpu', '--disable-quic'],
});
for (const name of names) {
  const { width, height, colorScheme, act, race, fullPage, file, element, hash = '' } = shots[name];
  const page = await browser.newPage({ viewport: { width, height }, colorScheme, locale: 'en' });
  page.on('pageerror', (error) => console.error(name, error.message));
  page.on('console', (message) => message.type() === 'error' && console.error(name, message.text()));
  await page.goto(url + (race ? 'race.html' : hash));
  if (race) {
    await watchRace(page, race);
  } else {
    if (hash !== compressed) {
      await page.waitForTimeout(name === 'readme-learning' ? 4000 : 2500);
      await draw(page);
    }
    await act?.(page);
  }
  await page.mouse.move(4, 4);
  await page.waitForTimeout(700);
  const path = file ?? picture(name);
  if (element) {
    // Header and footer would lie over it.
    await page
      .locator('header, footer')
      .evaluateAll((bars) => bars.forEach((bar) => (bar.style.position = 'static')));
    await page.locator(element).screenshot({ path });
  } else {
    await page.evaluate('scrollTo(0, 0)');
    await page.screenshot({ path, fullPage: fullPage ?? false });
  }
  await page.close();
  console.log(file ?? picture(name));
}
await browser.close();
await new Promise((resolve) => server.httpServer.close(resolve) && server.httpServer.closeAllConnections());
