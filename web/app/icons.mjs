// Makes public/icons from public/logo.svg, for home screens: node web/app/icons.mjs

import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { chromium } from 'playwright-core';
import { findChromium } from '../../native/toolchain/environment.mjs';

const folder = join(import.meta.dirname, 'public');
const logo = readFileSync(join(folder, 'logo.svg'), 'utf8');

/** `inset`: the part of the side that stays free. A maskable icon may lose all but the circle of 80 % in the middle. */
const icons = [
  { name: '192', size: 192, inset: 0.06 },
  { name: '512', size: 512, inset: 0.06 },
  { name: 'maskable', size: 512, inset: 0.2 },
];

mkdirSync(join(folder, 'icons'), { recursive: true });
const browser = await chromium.launch({ executablePath: findChromium(), args: ['--no-sandbox'] });
for (const { name, size, inset } of icons) {
  const page = await browser.newPage({ viewport: { width: size, height: size }, colorScheme: 'light' });
  const side = Math.round(size * (1 - 2 * inset));
  await page.setContent(
    `<style>
      body { display: grid; place-items: center; width: 100vw; height: 100vh; margin: 0; background: #fffdf8; }
      svg { width: ${side}px; height: ${side}px; }
    </style>${logo}`,
  );
  await page.screenshot({ path: join(folder, 'icons', `${name}.png`) });
  await page.close();
}
await browser.close();
