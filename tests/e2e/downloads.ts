// What the export dialog gives.

import { readFileSync } from 'node:fs';
import type { Page } from 'playwright-core';

export interface Saved {
  name: string;
  bytes: Buffer;
}

/** With the dialog open: the file that a button gives. */
export async function save(page: Page, title: string): Promise<Saved> {
  const button = page.getByRole('button', { name: `Download ${title}` });
  const [download] = await Promise.all([page.waitForEvent('download'), button.click()]);
  return { name: download.suggestedFilename(), bytes: readFileSync(await download.path()) };
}

/** Opens the dialog for it, and closes it again. */
export async function exportSide(page: Page, title: string, side?: string): Promise<Saved> {
  await page.getByRole('button', { name: 'Download', exact: true }).click();
  if (side) await page.getByRole('radio', { name: side }).check();
  const saved = await save(page, title);
  await page.keyboard.press('Escape');
  return saved;
}
