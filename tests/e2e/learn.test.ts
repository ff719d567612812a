// The texts to learn from: formulas, drawings and what their buttons set.

import { afterAll, beforeAll, expect, test } from 'vitest';
import { violations } from './axe';
import { openPlayground, settled, type Playground } from './playground';

const names = ['quantizer', 'zero', 'gradient', 'straightThrough', 'sharing', 'transfer'] as const;
type Name = (typeof names)[number];

// One page for all, with every text open.
let playground: Playground;
beforeAll(async () => {
  playground = await openPlayground({ hash: '#epochs=2' });
  await playground.read.untilState(/Trained/, 90_000);
  for (const name of names) await card(name).locator('summary').press('Enter');
}, 120_000);
afterAll(async () => {
  await playground.close();
  expect(playground.problems).toEqual([]);
});

const card = (name: Name) => playground.page.getByTestId(`learn-${name}`);
const tryIt = (name: Name) => card(name).getByRole('button', { name: /^Try it/ });
const stacks = () => {
  const given = new URLSearchParams(new URL(playground.page.url()).hash.slice(1));
  return { left: given.get('left') ?? '', right: given.get('right') ?? '' };
};
const view = () => playground.page.getByRole('tab', { selected: true }).innerText();
const kindInFocus = () =>
  playground.page.evaluate(
    () => document.activeElement?.closest<HTMLElement>('[data-kind]')?.dataset.kind ?? '',
  );
/** Numbers of both sides as a card says them. */
async function figures(name: Name) {
  const text = await card(name).getByTestId('both-now').innerText();
  const [left, right] = [...text.matchAll(/: ([\d.]+) % of the test images, ([\d,]+) B/g)].map(
    ([, accuracy, bytes]) => ({ accuracy: Number(accuracy), bytes: Number(bytes?.replaceAll(',', '')) }),
  );
  if (!left || !right) throw new Error(text);
  return { left, right };
}
async function tried(name: Name) {
  await tryIt(name).press('Enter');
  await settled(playground.page);
  await expect.poll(() => card(name).getByTestId('both-now').count()).toBe(1);
  return figures(name);
}

test('what is closed is not there', async () => {
  const { page } = playground;
  await card('zero').locator('summary').press('Enter');
  await expect.poll(() => card('zero').locator('math').count()).toBe(0);
  await card('zero').locator('summary').press('Enter');
  await card('zero').locator('math').waitFor();
  expect(await page.locator('[data-testid^=learn-] h3').count()).toBe(names.length);
});

test('every text has a formula that the browser sets as one, a source and something to try', async () => {
  for (const name of names) {
    const formula = await card(name)
      .locator('math')
      .evaluate((math) => ({
        namespace: math.namespaceURI,
        display: getComputedStyle(math).display,
        width: math.getBoundingClientRect().width,
        parts: math.querySelectorAll('mi, mo').length,
      }));
    expect(formula).toMatchObject({
      namespace: 'http://www.w3.org/1998/Math/MathML',
      display: 'block math',
    });
    expect(formula.width).toBeGreaterThan(50);
    expect(formula.parts).toBeGreaterThan(5);
    expect(await card(name).innerText()).toMatch(/(19|20)\d\d/);
  }
  expect(await violations(playground.page)).toEqual([]);
});

/** The article's formula and rounding, at many numbers between both ends; errors in steps. */
function errorsOf(low: number, high: number, bits: number) {
  const most = 2 ** bits - 1;
  const step = (high - low) / most;
  const floor = (x: number) => high - Math.floor(((high - x) / (high - low)) * most) * step;
  const round = (x: number) => low + Math.round(((x - low) / (high - low)) * most) * step;
  const count = 100_003;
  return [floor, round].map((quantize) => {
    const errors = Array.from({ length: count }, (_, i) => {
      const x = low + ((high - low) * (i + 0.5)) / count;
      return (quantize(x) - x) / step;
    });
    return {
      worst: Math.max(...errors.map(Math.abs)),
      mean: errors.reduce((sum, error) => sum + error, 0) / count,
      meanSquare: errors.reduce((sum, error) => sum + error * error, 0) / count,
    };
  });
}

test('the errors under the staircases are those of the formulas, at the present number of bits', async () => {
  const { page } = playground;
  for (const [keys, bits] of [
    [[], 3],
    [['End', 'ArrowLeft'], 2],
    [['ArrowLeft', 'ArrowLeft', 'ArrowLeft'], 5],
  ] as const) {
    const slider = page.locator('[data-kind=quantize]').getByRole('slider', { name: 'Bits' });
    for (const key of keys) await slider.press(key);
    await settled(page);
    const said = card('quantizer').getByTestId('range-now');
    await said.filter({ hasText: `; ${bits} bits` }).waitFor();
    const [, low, high] = /xmin = (-?[\d.]+), xmax = (-?[\d.]+)/.exec(await said.innerText()) ?? [];
    const rows = await card('quantizer')
      .getByTestId('errors')
      .locator('tbody tr')
      .evaluateAll((all) =>
        all.map((row) => [...row.children].slice(1).map((cell) => parseFloat(cell.textContent))),
      );
    const wanted = errorsOf(Number(low), Number(high), bits);
    wanted.forEach(({ worst, mean, meanSquare }, i) => {
      expect(rows[i]?.[0]).toBeCloseTo(worst, 2);
      expect(rows[i]?.[1]).toBeCloseTo(mean, 2);
      expect(rows[i]?.[2]).toBeCloseTo(meanSquare, 2);
    });
    const [floor, round] = wanted;
    expect(rows[2]?.[0]).toBeCloseTo(floor!.worst / round!.worst, 1);
    expect(rows[2]?.[2]).toBeCloseTo(floor!.meanSquare / round!.meanSquare, 1);
  }
});

test('two staircases are drawn, and not the same', async () => {
  const pictures = await card('quantizer')
    .locator('canvas')
    .evaluateAll((all) =>
      (all as HTMLCanvasElement[]).map((canvas) => {
        const { data } = canvas.getContext('2d')!.getImageData(0, 0, canvas.width, canvas.height);
        return { painted: data.some((value) => value > 0), url: canvas.toDataURL() };
      }),
    );
  expect(pictures.map(({ painted }) => painted)).toEqual([true, true]);
  expect(pictures[0]?.url).not.toBe(pictures[1]?.url);
});

test('floor against round: the article’s scheme left, affine right, which the card reports', async () => {
  const { left, right } = await tried('quantizer');
  const both = stacks();
  expect(both.left).toMatch(/^quantize,weights=4,scheme=article,/);
  expect(both.right).toMatch(/^quantize,weights=4,granularity=tensor,calibrate=min-max$/);
  expect(await view()).toBe('Weights');
  expect(await kindInFocus()).toBe('quantize');
  expect(right.accuracy).toBeGreaterThan(left.accuracy);
  expect(right.bytes).toBe(await playground.read.number('bytes'));
  expect(right.accuracy).toBeCloseTo(await playground.read.number('accuracy'), 1);
});

test('an exact zero: both sides pruned and of 4 bits, and what the article makes of 0', async () => {
  const { left, right } = await tried('zero');
  expect(stacks().left).toMatch(/^prune,sparsity=0.6;quantize,weights=4,scheme=article,/);
  expect(stacks().right).toMatch(/^prune,sparsity=0.6;quantize,weights=4,(?!scheme)/);
  expect(right.accuracy).toBeGreaterThan(left.accuracy);
  const range = await card('quantizer').getByTestId('range-now').innerText();
  const [, low, high] = (/xmin = (-?[\d.]+), xmax = (-?[\d.]+)/.exec(range) ?? []).map(Number);
  const step = (high! - low!) / 15;
  const zero = high! - Math.floor(high! / step) * step;
  const said = Number(
    /into (-?[\d.e-]+)\.$/.exec(await card('zero').getByTestId('zero-now').innerText())?.[1],
  );
  // The range is said with three digits.
  expect(Math.abs(said - zero)).toBeLessThan(0.02 * step + 0.005 * Math.abs(zero));
});

test('criteria: gradient left, magnitude right', async () => {
  const { left, right } = await tried('gradient');
  expect(stacks().left).toBe('prune,sparsity=0.5,criterion=gradient,scope=layer');
  expect(stacks().right).toBe('prune,sparsity=0.5,scope=layer');
  expect(await view()).toBe('Masks');
  expect(await kindInFocus()).toBe('prune');
  expect(right.accuracy).toBeGreaterThan(left.accuracy);
});

test('straight-through: two bits on both sides, healed on the right', async () => {
  const { page } = playground;
  await tryIt('straightThrough').press('Enter');
  await page.getByTestId('heal-curve').waitFor({ timeout: 20_000 });
  await page.getByTestId('heal-curve').waitFor({ state: 'detached', timeout: 60_000 });
  await settled(page);
  expect(stacks().left).toBe('quantize,weights=2');
  expect(stacks().right).toMatch(/^quantize,weights=2;heal/);
  const { left, right } = await figures('straightThrough');
  expect(right.accuracy).toBeGreaterThan(left.accuracy + 3);
});

test('sharing: 16 values on both sides, and pruning on the right makes the file smaller', async () => {
  const { left, right } = await tried('sharing');
  expect(stacks().left).toBe('share');
  expect(stacks().right).toBe('prune,sparsity=0.7;share');
  expect(right.bytes).toBeLessThan(left.bytes);
  const [packed, file] = (
    (await card('sharing').getByTestId('file-now').innerText()).match(/[\d,]+(?= B)/g) ?? []
  ).map((text) => Number(text.replaceAll(',', '')));
  expect(file).toBe(right.bytes);
  expect(packed).toBeGreaterThan(file!);
});

test('one undo takes back what a text has set', async () => {
  const { page } = playground;
  const before = stacks();
  await tryIt('gradient').press('Enter');
  await expect.poll(stacks).not.toEqual(before);
  await page.keyboard.press('Control+z');
  await expect.poll(stacks).toEqual(before);
});

test('the source term opens the lab, ready to run', async () => {
  const { page } = playground;
  await tryIt('transfer').press('Enter');
  await expect.poll(() => page.evaluate(() => document.activeElement?.id)).toBe('run-lab');
  expect(await page.getByRole('combobox', { name: 'Source term' }).inputValue()).toBe('rehearsal');
  await page.getByRole('button', { name: 'Run', exact: true }).waitFor();
});

test('on a phone in the dark everything fits, and axe finds nothing', async () => {
  const { page } = playground;
  await page.emulateMedia({ colorScheme: 'dark' });
  await page.setViewportSize({ width: 390, height: 844 });
  await page.waitForTimeout(300);
  expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBe(390);
  for (const name of names) {
    const { inner, formula } = await card(name).evaluate((element) => ({
      inner: element.getBoundingClientRect().right,
      formula: element.querySelector('math')!.getBoundingClientRect().right,
    }));
    expect(formula).toBeLessThanOrEqual(inner);
  }
  expect(await violations(page)).toEqual([]);
});
