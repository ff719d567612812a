// One walk on real data: MNIST uploaded, lenet5 trained, pruned, quantized and healed, taken away as a file, and brought
// back after a reload.

import { afterEach, expect, test } from 'vitest';
import { exportSide } from './downloads';
import { hasMnist, mnist } from './mnist';
import { drop, openPlayground, settled, type Playground } from './playground';

let playground: Playground;
afterEach(async () => {
  await playground?.close();
  expect(playground?.problems ?? []).toEqual([]);
});

const figures = async () => ({
  bytes: await playground.read.number('bytes'),
  accuracy: await playground.read.number('accuracy'),
  changed: await playground.read.number('changed'),
});

/** What the right network says of the wall's first images, and how sure it is. */
async function answers(count: number): Promise<(string | undefined)[]> {
  const { page } = playground;
  const chooser = page.getByTestId('wall').getByRole('button');
  await chooser.focus();
  const said = [];
  for (let i = 0; i < count; ++i) {
    said.push(/Right: (.*?)\. Open it/.exec((await chooser.getAttribute('aria-label')) ?? '')?.[1]);
    await page.keyboard.press('ArrowRight');
  }
  return said;
}

test.skipIf(!hasMnist)(
  'real MNIST from the upload to a pruned, quantized and healed file and back (needs the MNIST files)',
  async () => {
    playground = await openPlayground({ hash: '#preset=lenet5&epochs=1&schedule=one-cycle' });
    const { page, read } = playground;
    await read.untilState(/Training/);
    await page.getByRole('button', { name: 'Change data' }).click();
    await page.getByTestId('data-files').setInputFiles(mnist);
    await page.getByTestId('data').filter({ hasText: 'MNIST' }).waitFor();
    await read.untilState(/Trained · [\d.]+ % on test/, 200_000);
    await settled(page);
    const original = await figures();
    expect(original.accuracy).toBeGreaterThan(96);

    await page.locator('[data-kind=prune]').getByRole('slider', { name: 'Sparsity' }).fill('0.9');
    await page.locator('[data-kind=quantize]').getByRole('slider', { name: 'Bits' }).press('ArrowRight');
    await settled(page);
    expect(await read.text('right-name')).toBe('Right: 90 % pruned, 8 bits, affine');
    const hurt = await figures();
    expect(hurt.bytes).toBeLessThan(original.bytes / 15);
    expect(hurt.changed).toBeGreaterThan(0);

    await page.getByRole('button', { name: 'Heal', exact: true }).click();
    await page.getByTestId('heal-curve').waitFor({ timeout: 60_000 });
    await page.getByTestId('heal-curve').waitFor({ state: 'detached', timeout: 200_000 });
    await settled(page);
    const healed = await figures();
    expect(healed.accuracy).toBeGreaterThan(Math.max(hurt.accuracy, 95));

    await page.getByRole('button', { name: 'Undo' }).click();
    await expect.poll(figures).toEqual(hurt);
    await page.getByRole('button', { name: 'Redo' }).click();
    await expect.poll(figures).toEqual(healed);
    const said = await answers(40);
    expect(said).not.toContain(undefined);

    const file = await exportSide(page, 'Compact file, .espalier');
    expect(file.name).toBe('espalier-lenet5.espalier');
    expect(file.bytes.length).toBe(healed.bytes);
    console.log(
      `MNIST: ${original.accuracy} % in ${original.bytes} bytes, then ${healed.accuracy} % in ${healed.bytes}`,
    );

    await page.reload();
    await read.untilState(/Trained/, 60_000);
    await drop(page, [{ name: 'again.espalier', bytes: file.bytes }]);
    await read.untilState(/Loaded/, 60_000);
    await settled(page);
    expect(await read.text('right-name')).toBe('Right: Not compressed yet');
    expect(await figures()).toEqual({ ...healed, changed: 0 });
    expect(await answers(40)).toEqual(said);
    const again = await exportSide(page, 'Compact file, .espalier');
    expect(again.bytes.equals(file.bytes)).toBe(true);
  },
  600_000,
);
