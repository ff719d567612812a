// Nothing is lost: a reload, a second tab and a worker that dies.

import { afterEach, expect, test } from 'vitest';
import { openPlayground, Reader, type Playground } from './playground';

let playground: Playground;
afterEach(async () => {
  await playground.close();
  expect(playground.problems).toEqual([]);
});

/** The trainings that the browser keeps: their states and steps. */
const kept = ({ page }: Playground) =>
  page.evaluate(async () => {
    // Whoever opens it first makes it: that is for the page to do.
    if (!(await indexedDB.databases()).some(({ name }) => name === 'espalier')) return [];
    return new Promise<{ state: string; step: number }[]>((resolve) => {
      const open = indexedDB.open('espalier');
      open.onsuccess = () => {
        const range = IDBKeyRange.bound('training:', 'training;');
        const get = open.result.transaction('datasets').objectStore('datasets').getAll(range);
        get.onsuccess = () => resolve((get.result as never[]).map(({ state, step }) => ({ state, step })));
      };
    });
  });
/** A training is kept every few seconds. */
const untilKept = (one: Playground, state: string, count = 1) =>
  expect
    .poll(async () => (await kept(one)).filter((training) => training.state === state).length, {
      timeout: 30_000,
    })
    .toBe(count);

test(
  'a paused training stands where it stood after a reload, and ends with the same weights',
  { timeout: 150_000 },
  async () => {
    const hash = '#epochs=12&threads=1';
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
    const loss = await read.loss();
    await untilKept(playground, 'paused');
    await page.reload();
    await page.getByText('Training goes on where it stood.').waitFor();
    await read.untilState(/Paused/);
    expect(await read.step()).toBe(step);
    expect(await read.loss()).toBe(loss);
    await page.getByRole('button', { name: 'Resume' }).click();
    await read.untilState(/Trained/, 100_000);
    expect(await read.hash()).toBe(expected);
    await untilKept(playground, 'finished');
    await page.reload();
    await read.untilState(/Trained/);
    expect(await read.hash()).toBe(expected);
  },
);

test('a training under way goes on after a reload, not before its last checkpoint', async () => {
  playground = await openPlayground({ hash: '#epochs=900' });
  const { page, read } = playground;
  await untilKept(playground, 'training');
  await page.reload();
  await page.getByText('Training goes on where it stood.').waitFor();
  const [{ step } = { step: NaN }] = await kept(playground);
  expect(step).toBeGreaterThan(0);
  await expect.poll(() => read.step()).toBeGreaterThanOrEqual(step);
  await read.untilState(/Training/);
});

test('two tabs each keep their own training, and a new one takes up that of a closed one', async () => {
  playground = await openPlayground({ hash: '#epochs=900' });
  const { context, url, page, read } = playground;
  await untilKept(playground, 'training');
  await page.getByRole('button', { name: 'Pause' }).click();
  await read.untilState(/Paused/);
  await untilKept(playground, 'paused');
  const step = await read.step();

  const second = await context.newPage();
  await second.goto(url);
  const reader = new Reader(second);
  await untilKept(playground, 'training');
  await second.getByRole('button', { name: 'Pause' }).click();
  await reader.untilState(/Paused/);
  await untilKept(playground, 'paused', 2);
  const secondStep = await reader.step();

  await page.reload();
  await read.untilState(/Paused/);
  expect(await read.step()).toBe(step);
  await second.reload();
  await reader.untilState(/Paused/);
  expect(await reader.step()).toBe(secondStep);

  await second.close();
  const third = await context.newPage();
  await third.goto(url);
  await third.getByText('Training goes on where it stood.').waitFor();
  await new Reader(third).untilState(/Paused/);
  expect(await new Reader(third).step()).toBe(secondStep);
});

test('a worker that dies starts again from the last checkpoint and says so', async () => {
  playground = await openPlayground({ hash: '#epochs=900' });
  const { page, read } = playground;
  await untilKept(playground, 'training');
  const [{ step } = { step: NaN }] = await kept(playground);
  const worker = page.workers().find((one) => one.url().includes('.worker'));
  await worker!.evaluate(
    () =>
      void setTimeout(() => {
        throw new Error('killed by a test');
      }),
  );
  await page.getByText('started again from the last checkpoint').waitFor();
  await read.untilState(/Training/);
  await expect.poll(() => read.step()).toBeGreaterThanOrEqual(step);
  playground.problems.splice(
    0,
    playground.problems.length,
    ...playground.problems.filter((text) => !text.includes('killed by a test')),
  );
});
