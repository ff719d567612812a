import { afterEach, expect, test } from 'vitest';
import { openPlayground, type OpenOptions, type Playground } from './playground';

let playground: Playground | undefined;
async function open(options?: OpenOptions): Promise<Playground> {
  return (playground = await openPlayground(options));
}
afterEach(async () => {
  const problems = playground?.problems ?? [];
  await playground?.close();
  playground = undefined;
  expect(problems).toEqual([]);
});

test('learning shows without a click', async () => {
  const { page, read } = await open();
  await page.getByTestId('step').filter({ hasText: /[1-9]/ }).waitFor();
  const marks = await page.evaluate(() =>
    performance.getEntriesByType('mark').map(({ name, startTime }) => `${name} ${Math.round(startTime)} ms`),
  );
  console.log(`from opening the page, cold: ${marks.join(', ')}`);
  expect(await read.loss()).toBeLessThan(3);
});

test('the loss falls and validation accuracy rises', async () => {
  const { page, read } = await open();
  await page.getByTestId('step').filter({ hasText: /[1-9]/ }).waitFor();
  const early = await read.loss();
  await page.getByTestId('validation').filter({ hasText: /\d/ }).waitFor();
  await expect.poll(() => read.loss(), { timeout: 20_000 }).toBeLessThan(early / 2);
  await expect.poll(() => read.number('validation'), { timeout: 20_000 }).toBeGreaterThan(80);
  expect(await read.number('speed')).toBeGreaterThan(100);
});

test('pause stands still, step does one step, resume goes on, reset starts at nothing', async () => {
  const { page, read } = await open({ hash: '#epochs=500' });
  await page.getByTestId('step').filter({ hasText: /[1-9]/ }).waitFor();
  await page.getByRole('button', { name: 'Pause' }).click();
  await read.untilState(/Paused/);
  const before = await read.step();
  await page.waitForTimeout(400);
  expect(await read.step()).toBe(before);

  await page.getByRole('button', { name: 'Step' }).click();
  await expect.poll(() => read.step()).toBe(before + 1);
  await page.keyboard.press('s');
  await expect.poll(() => read.step()).toBe(before + 2);

  await page.getByRole('button', { name: 'Resume' }).click();
  await expect.poll(() => read.step(), { timeout: 10_000 }).toBeGreaterThan(before + 10);

  await page.getByRole('button', { name: 'Pause' }).click();
  await read.untilState(/Paused/);
  const late = await read.step();
  await page.getByRole('button', { name: 'Reset' }).click();
  await read.untilState(/Training/);
  await expect.poll(() => read.step()).toBeGreaterThan(0);
  await page.getByRole('button', { name: 'Pause' }).click();
  await read.untilState(/Paused/);
  expect(await read.step()).toBeLessThan(Math.max(late, before) + 2000);
});

test('space pauses and goes on, and ? opens the help', async () => {
  const { page, read } = await open({ hash: '#epochs=500' });
  await read.untilState(/Training/);
  await page.keyboard.press('Space');
  await read.untilState(/Paused/);
  await page.keyboard.press('Space');
  await read.untilState(/Training/);
  await page.keyboard.press('?');
  await page.getByRole('heading', { name: 'Help' }).waitFor();
  await page.keyboard.press('Escape');
  await page.getByRole('heading', { name: 'Help' }).waitFor({ state: 'hidden' });
});

test('settings live in the address and survive a reload', async () => {
  const { page, read } = await open();
  await read.untilState(/Training/);
  await page.getByRole('combobox', { name: 'Model' }).selectOption('lenet-300-100');
  await page.getByLabel('Optimizer').selectOption('adam');
  await page.getByRole('textbox', { name: 'Epochs' }).fill('77');
  await expect.poll(() => page.url()).toContain('preset=lenet-300-100');
  expect(page.url()).toContain('optimizer=adam');
  expect(await page.getByLabel('Learning rate').inputValue()).toBe('0.001');
  await expect.poll(() => page.url()).toContain('epochs=77');
  await page.reload();
  await read.untilState(/Training/);
  expect(await page.getByLabel('Optimizer').inputValue()).toBe('adam');
  await expect.poll(() => read.text('epoch')).toContain('of 77');
  await expect.poll(() => page.locator('header dl').first().innerText()).toContain('lenet-300-100');
});

test('another address is followed without a reload', async () => {
  const { page, read } = await open();
  await read.untilState(/Training/);
  await page.evaluate(() => (location.hash = '#preset=lenet5&epochs=55'));
  await expect.poll(() => read.text('epoch')).toContain('of 55');
  await expect.poll(() => page.locator('header').first().innerText()).toContain('lenet5');
  expect(await page.getByRole('combobox', { name: 'Model' }).inputValue()).toBe('lenet5');
});

test('an address that asks for the impossible opens the page all the same, with a sentence', async () => {
  const { read } = await open({ hash: '#preset=nonsense' });
  expect(await read.notice()).toContain('nonsense');
  await read.untilState(/Training/);
});

test('a setting that makes no sense is named beside its field and is not used', async () => {
  const { page, read } = await open({ hash: '#epochs=500&batchSize=-3&learningRate=abc' });
  await read.untilState(/Training/);
  expect(await page.getByLabel('Batch size').inputValue()).toBe('64');
  await page.getByLabel('Batch size').fill('0');
  await page.getByText('A whole number from 1 to 4096.').waitFor();
  await read.untilState(/Training/);
});

test('it works without cross-origin isolation, with one thread', async () => {
  const { page, read } = await open({ isolated: false });
  await page.getByTestId('step').filter({ hasText: /[1-9]/ }).waitFor();
  expect(await page.evaluate(() => crossOriginIsolated)).toBe(false);
  expect(await read.text('engine')).toContain('1 thread');
  expect(await read.text('fallback')).toContain('the page is not cross-origin isolated');
});

test('the address chooses kernels and threads, behind the ? as behind the #', async () => {
  for (const hash of ['?kernels=plain&threads=1', '#kernels=plain&threads=1&epochs=50']) {
    const { page, read } = await open({ hash });
    await page.getByTestId('step').filter({ hasText: /[1-9]/ }).waitFor();
    expect(await read.text('engine')).toBe('plain SIMD, 1 thread');
    expect(await page.getByTestId('fallback').count()).toBe(0);
    expect(page.url()).toContain('kernels=plain&threads=1');
    if (hash.startsWith('?')) await playground?.close();
  }
});

test('isolated pages train with threads', async () => {
  const { page, read } = await open();
  await page.getByTestId('step').filter({ hasText: /[1-9]/ }).waitFor();
  const cores = await page.evaluate(() => navigator.hardwareConcurrency);
  expect(await read.text('engine')).toContain(cores > 1 ? `${Math.min(cores, 4)} threads` : '1 thread');
});

test('the same seed gives the same weights with any number of threads', async () => {
  const hashes: string[] = [];
  for (const threads of [1, 3]) {
    const { read } = await open({ hash: `#epochs=1&threads=${threads}` });
    await read.untilState(/Trained/);
    hashes.push(await read.hash());
    if (threads === 1) await playground?.close();
  }
  expect(hashes[0]).toBe(hashes[1]);
});

test('the page leaves nothing global behind', async () => {
  const { page, read } = await open();
  await read.untilState(/Training/);
  const added = await page.evaluate(() => {
    const frame = document.createElement('iframe');
    document.body.append(frame);
    const own = new Set(Object.getOwnPropertyNames(frame.contentWindow));
    frame.remove();
    return Object.getOwnPropertyNames(window).filter(
      (name) => !own.has(name) && !/^(\d+|__pw|__playwright)/.test(name),
    );
  });
  expect(added.filter((name) => !name.startsWith('__svelte'))).toEqual([]);
});
