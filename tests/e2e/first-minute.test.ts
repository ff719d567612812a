// The first minute in engines other than Chromium's: the page opens and trains, a digit is drawn, a model is saved and
// loaded again; then it is pruned and quantized, and the compressed file is loaded again as well.

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
const number = async (browser: Driven, id: string) =>
  parseFloat((await text(browser, id)).replaceAll(',', ''));
/** Moves the first slider of a card, as a pointer would, and lets it go. */
const slide = (browser: Driven, kind: string, value: number) =>
  browser.evaluate(`((slider) => {
    slider.value = ${value};
    slider.dispatchEvent(new Event('input', { bubbles: true }));
    slider.dispatchEvent(new Event('change', { bubbles: true }));
  })(document.querySelector('[data-kind=${kind}] input[type=range]'))`);
/** The right network is measured. */
const measured = (browser: Driven) =>
  browser.evaluate<boolean>(
    `!document.querySelector('section[aria-busy=true]') &&
     document.querySelector('[data-testid=accuracy]').dataset.pending === 'false'`,
  );
const open = (browser: Driven, blob: string, name: string) =>
  browser.evaluate(`(() => {
    const files = new DataTransfer();
    files.items.add(new File([${blob}], ${JSON.stringify(name)}));
    const input = document.querySelector('[data-testid="model-file"]');
    input.files = files.files;
    input.dispatchEvent(new Event('change', { bubbles: true }));
  })()`);
const eventually = { timeout: 60_000, interval: 250 };

/** What each engine offers, so that the loader's ways down are really walked. */
const offers = {
  Firefox: { kernels: 'relaxed', threads: true },
  WebKitGTK: { kernels: 'plain', threads: false },
} as const;

for (const name of ['Firefox', 'WebKitGTK'] as const) {
  describe.skipIf(!available[name])(name, () => {
    test(
      'trains, takes a drawing, saves and loads a model, also a compressed one',
      { timeout: 240_000 },
      async () => {
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
          await open(browser, 'window.savedModel', 'again.safetensors');
          await expect.poll(() => text(browser, 'state'), eventually).toBe('Loaded');
          await expect.poll(() => text(browser, 'weights-hash'), eventually).toBe(hash);
          await expect.poll(() => probabilities(browser), eventually).toEqual(drawn);

          await expect.poll(() => measured(browser), eventually).toBe(true);
          const [bytes, best] = [await number(browser, 'bytes'), await number(browser, 'accuracy')];
          await slide(browser, 'prune', 0.7);
          await slide(browser, 'quantize', 4);
          await expect.poll(() => text(browser, 'right-name'), eventually).toContain('70 % pruned, 5 bits');
          await expect.poll(() => measured(browser), eventually).toBe(true);
          const small = await number(browser, 'bytes');
          const lossy = await number(browser, 'accuracy');
          expect(small).toBeLessThan(bytes / 8);
          expect(lossy).not.toBe(best);
          expect(await number(browser, 'changed')).toBeGreaterThan(0);
          await press(browser, 'Download');
          const compact = `[...document.querySelectorAll('dialog[open] [data-testid=exports] button')]
            .find((button) => button.textContent.includes('Compact file'))`;
          await expect.poll(() => browser.evaluate(`${compact} !== undefined`), eventually).toBe(true);
          await browser.evaluate(`${compact}.click()`);
          await expect.poll(() => browser.evaluate('window.savedModel.size'), eventually).toBe(small);
          await browser.evaluate(`document.querySelector('dialog[open]').close()`);
          await open(browser, 'window.savedModel', 'again.espalier');
          await expect.poll(() => text(browser, 'right-name'), eventually).toContain('Not compressed yet');
          await expect.poll(() => measured(browser), eventually).toBe(true);
          expect(await number(browser, 'bytes')).toBe(small);
          expect(await number(browser, 'accuracy')).toBe(lossy);
        } finally {
          await browser.close();
          await site.close();
        }
      },
    );
  });
}
