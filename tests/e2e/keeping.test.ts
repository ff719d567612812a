// Nothing is lost: a reload, a second tab and a worker that dies.

import { afterEach, expect, test } from 'vitest';
import { openPlayground, Reader, type Playground } from './playground';

let playground: Playground;
afterEach(async () => {
  await playground.close();
  expect(playground.problems).toEqual([]);
});

/** A training is kept every few seconds. */
const untilKept = (one: Playground) =>
  expect
    .poll(
      () =>
        one.page.evaluate(
          () =>
            new Promise<boolean>((resolve) => {
              const open = indexedDB.open('espalier');
              open.onsuccess = () => {
                const get = open.result.transaction('datasets').objectStore('datasets').get('training');
                get.onsuccess = () => resolve(get.result !== undefined);
              };
            }),
        ),
      { timeout: 30_000 },
    )
    .toBe(true);

test(
  'a paused training stands where it stood after a reload, and ends with the same weights',
  {
    timeout: 150_000,
  },
  async () => {
    const hash = '#epochs=30&threads=1';
    playground = await openPlayground({ hash });
    await playground.read.untilState(/Trained/, 100_000);
    const expected = await playground.read.hash();
    await playground.close();

    playground = await openPlayground({ hash });
    const { page, read } = playground;
    await expect.poll(() => read.step()).toBeGreaterThan(0);
    await page.getByRole('button', { name: 'Pause' }).click();
    await read.untilState(/Paused/);
    const step = await read.step();
    await untilKept(playground);
    await page.reload();
    await page.getByText('Training goes on where it stood.').waitFor();
    await read.untilState(/Paused/);
    expect(await read.step()).toBeGreaterThanOrEqual(step);
    await page.getByRole('button', { name: 'Resume' }).click();
    await read.untilState(/Trained/, 100_000);
    expect(await read.hash()).toBe(expected);
    await untilKept(playground);
    await page.waitForTimeout(500);
    await page.reload();
    await read.untilState(/Loaded/);
    expect(await read.hash()).toBe(expected);
  },
);

test('a second tab says that the first keeps its training, and trains all the same', async () => {
  playground = await openPlayground({ hash: '#epochs=900' });
  const { context, url, read } = playground;
  await expect.poll(() => read.step()).toBeGreaterThan(0);
  await untilKept(playground);
  const second = await context.newPage();
  await second.goto(url);
  await second.getByText('open in another tab').waitFor();
  const reader = new Reader(second);
  await expect.poll(() => reader.step(), { timeout: 30_000 }).toBeGreaterThan(0);
  await second.close();
  await playground.page.reload();
  await playground.page.getByText('Training goes on where it stood.').waitFor();
});

test('a worker that dies starts again from the last checkpoint and says so', async () => {
  playground = await openPlayground({ hash: '#epochs=900' });
  const { page, read } = playground;
  await expect.poll(() => read.step()).toBeGreaterThan(0);
  await untilKept(playground);
  const step = await read.step();
  const worker = page.workers().find((one) => one.url().includes('.worker'));
  await worker!.evaluate(
    () =>
      void setTimeout(() => {
        throw new Error('killed by a test');
      }),
  );
  await page.getByText('started again from the last checkpoint').waitFor();
  await read.untilState(/Training/);
  await expect.poll(() => read.step(), { timeout: 30_000 }).toBeGreaterThan(step / 2);
  playground.problems.splice(
    0,
    playground.problems.length,
    ...playground.problems.filter((text) => !text.includes('killed by a test')),
  );
});
