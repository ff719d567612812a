// What moving a slider costs: printed, because how long it takes is the machine's, too.

import type { Page } from 'playwright-core';
import { afterEach, expect, test } from 'vitest';
import { longestTask } from './main-thread';
import { hasMnist, mnist } from './mnist';
import { openPlayground, settled, type Playground } from './playground';

let playground: Playground;
afterEach(async () => {
  await playground.close();
  expect(playground.problems).toEqual([]);
});

test('a slider that is dragged moves file, accuracy and wall along, and says how long it takes', async () => {
  playground = await openPlayground({ hash: '#epochs=3&threads=1' });
  const { page, read } = playground;
  await read.untilState(/Trained/);
  await settled(page);
  const slider = page.getByRole('slider', { name: 'Bits' });
  const box = await slider.boundingBox();
  if (!box) throw new Error('The slider is not on the page.');
  const y = box.y + box.height / 2;
  const before = await read.number('accuracy');

  // Every value that the footer shows while the slider moves.
  await page.evaluate(() => {
    const seen: string[] = ((globalThis as unknown as { seen: string[] }).seen = []);
    const footer = document.querySelector('[data-testid=bytes]');
    if (footer)
      new MutationObserver(() => seen.push(footer.textContent)).observe(footer, {
        characterData: true,
        subtree: true,
        childList: true,
      });
  });
  const { cpuMs, wallMs } = await longestTask(page, async () => {
    await page.mouse.move(box.x + 6, y);
    await page.mouse.down();
    await page.mouse.move(box.x + box.width - 6, y, { steps: 40 });
    await page.mouse.up();
    await settled(page);
  });
  const seen = await page.evaluate(() => (globalThis as unknown as { seen: string[] }).seen);
  expect(seen.length).toBeGreaterThan(1);
  expect(await read.text('right-name')).toContain('1 bit');
  expect(await read.number('accuracy')).toBeLessThan(before);

  const times = await timesToAllImages(page);
  console.log(
    `slider drag: longest task ${cpuMs.toFixed(1)} ms of work, ${wallMs.toFixed(1)} ms from begin to end; ` +
      `file sizes shown on the way: ${seen.length}; slider to all test images of the built-in digits: ` +
      `${times} (one thread)`,
  );
});

test.skipIf(!hasMnist)(
  'a slider moves the accuracy on all 10,000 test images of MNIST along (needs the MNIST files)',
  { timeout: 180_000 },
  async () => {
    playground = await openPlayground({ hash: '#epochs=1&threads=1' });
    const { page, read } = playground;
    await read.untilState(/Training|Trained/);
    await page.getByTestId('data-files').setInputFiles(mnist);
    await page.getByTestId('data').filter({ hasText: 'MNIST' }).waitFor({ timeout: 60_000 });
    await read.untilState(/Trained/, 120_000);
    await settled(page);
    console.log(
      `slider to all 10,000 test images of MNIST, small: ${await timesToAllImages(page)} (one thread)`,
    );
    expect(await page.getByRole('heading', { name: 'Compress' }).isVisible()).toBe(true);
  },
);

/** From the event that moves the slider to the accuracy on all test images: a share of the weights more each time. */
async function timesToAllImages(page: Page): Promise<string> {
  const times: number[] = [];
  for (let step = 0; step < 5; ++step) {
    times.push(
      await page.evaluate(async () => {
        const input = document.querySelector<HTMLInputElement>('[data-kind=prune] input[type=range]');
        const figure = document.querySelector<HTMLElement>('[data-testid=accuracy]');
        if (!input || !figure) return NaN;
        input.value = String(Number(input.value) + 0.15);
        const began = performance.now();
        // It is pending from the new wall on until the new accuracy is there.
        await new Promise<void>((resolve) => {
          new MutationObserver((_, observer) => {
            if (figure.dataset.pending === 'true') return;
            observer.disconnect();
            resolve();
          }).observe(figure, { attributeFilter: ['data-pending'] });
          input.dispatchEvent(new Event('input', { bubbles: true }));
        });
        return performance.now() - began;
      }),
    );
  }
  times.sort((a, b) => a - b);
  expect(times.every((time) => time > 0)).toBe(true);
  const [least, median, most] = [times[0], times[2], times[4]].map((time) => time?.toFixed(0));
  return `median ${median} ms, ${least} to ${most} ms`;
}
