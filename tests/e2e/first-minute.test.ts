// The first minute in engines other than Chromium's: the page opens and trains, a digit is drawn, a model is saved and
// loaded again.

import { describe, expect, test } from 'vitest';
import { available, browsers, type Driven } from './other-browsers';
import { serve } from './server';

const text = (browser: Driven, id: string) =>
  browser.evaluate<string>(`document.querySelector('[data-testid="${id}"]')?.innerText.trim() ?? ''`);
const press = (browser: Driven, label: string) =>
  browser.evaluate(`[...document.querySelectorAll('button')]
    .find((button) => button.innerText.trim() === ${JSON.stringify(label)}).click()`);
const probabilities = (browser: Driven) =>
  browser.evaluate<number[]>(
    `[...document.querySelectorAll('[data-testid="probabilities"] .value')].map((value) => parseFloat(value.innerText))`,
  );
const eventually = { timeout: 60_000, interval: 250 };

/** What each engine offers, so that the loader's ways down are really walked. */
const offers = {
  Firefox: { kernels: 'relaxed', threads: true },
  WebKitGTK: { kernels: 'plain', threads: false },
} as const;

for (const name of ['Firefox', 'WebKitGTK'] as const) {
  describe.skipIf(!available[name])(name, () => {
    test('trains, takes a drawing, saves a model and loads it', { timeout: 180_000 }, async () => {
      const site = await serve();
      const browser = await browsers[name]();
      try {
        await browser.goto(`${site.url}#epochs=4&lang=en`);
        await expect.poll(() => text(browser, 'state'), eventually).toMatch(/Training|Trained/);
        await expect.poll(() => text(browser, 'state'), eventually).toMatch(/^Trained · \d/);
        const accuracy = parseFloat(/([\d.]+) %/.exec(await text(browser, 'state'))?.[1] ?? '');
        expect(accuracy).toBeGreaterThan(85);
        const engine = await text(browser, 'engine');
        expect(engine).toContain(`${offers[name].kernels} SIMD`);
        const cores = await browser.evaluate<number>('navigator.hardwareConcurrency');
        if (!offers[name].threads) expect(await text(browser, 'fallback')).not.toBe('');
        expect(engine).toMatch(offers[name].threads && cores > 1 ? /[2-4] threads/ : /1 thread$/);

        await browser.evaluate(
          `document.querySelector('[data-testid="pad"]').scrollIntoView({ block: 'center' })`,
        );
        const { x, y, width, height } = await browser.evaluate<DOMRect>(
          `document.querySelector('[data-testid="pad"]').getBoundingClientRect()`,
        );
        await browser.drag([
          [x + 0.52 * width, y + 0.15 * height],
          [x + 0.5 * width, y + 0.5 * height],
          [x + 0.5 * width, y + 0.85 * height],
        ]);
        await expect
          .poll(
            () =>
              browser.evaluate(
                `document.querySelector('[data-testid="probabilities"] .best .name').innerText`,
              ),
            eventually,
          )
          .toBe('1');
        await expect.poll(() => text(browser, 'weights-hash'), eventually).toMatch(/^[0-9a-f]{64}$/);
        // Of the whole stroke: the answer to its last points may still be on the way.
        let drawn = await probabilities(browser);
        await expect
          .poll(async () => {
            const before = drawn;
            await new Promise((resolve) => setTimeout(resolve, 500));
            drawn = await probabilities(browser);
            return String(drawn) === String(before);
          }, eventually)
          .toBe(true);
        const hash = await text(browser, 'weights-hash');

        // What the page offers to save, without a dialog of the browser's.
        await browser.evaluate(`((make) => {
          URL.createObjectURL = (blob) => ((window.savedModel = blob), make(blob));
        })(URL.createObjectURL.bind(URL))`);
        await press(browser, 'Save model');
        await expect
          .poll(() => browser.evaluate('window.savedModel?.size ?? 0'), eventually)
          .toBeGreaterThan(30_000);
        await press(browser, 'Reset');
        await expect.poll(() => text(browser, 'state'), eventually).toBe('Training');
        await browser.evaluate(`(() => {
          const files = new DataTransfer();
          files.items.add(new File([window.savedModel], 'again.safetensors'));
          const input = document.querySelector('[data-testid="model-file"]');
          input.files = files.files;
          input.dispatchEvent(new Event('change', { bubbles: true }));
        })()`);
        await expect.poll(() => text(browser, 'state'), eventually).toBe('Loaded');
        await expect.poll(() => text(browser, 'weights-hash'), eventually).toBe(hash);
        await expect.poll(() => probabilities(browser), eventually).toEqual(drawn);
      } finally {
        await browser.close();
        await site.close();
      }
    });
  });
}
