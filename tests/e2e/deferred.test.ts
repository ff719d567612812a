// An engine whose second file comes late, or never.

import { expect, test } from 'vitest';
import { openPackagePage } from './package-page';

const isSecondFile = (path: string) => path.endsWith('.deferred.wasm');

/** Evaluates an async function's body in a page where the package is, with `threads`. */
const inPage = (body: string, threads: number) => `(async () => {
  const { createEngine } = await import('/dist/index.js');
  const engine = await createEngine({ threads: ${threads} });
  const dataset = await engine.loadDataset({ kind: 'synthetic', train: 600, test: 50 });
  ${body}
})()`;

for (const threads of [1, 2]) {
  const title = threads === 1 ? 'one thread' : 'two threads';

  test(`what needs the second file waits for it while a network learns, ${title}`, async () => {
    let release!: () => void;
    const released = new Promise<boolean>((resolve) => (release = () => resolve(true)));
    const { page, close } = await openPackagePage({ ready: (path) => !isSecondFile(path) || released });
    try {
      const early = page.evaluate<{ kernels: string; threads: number; step: number; packed: boolean }>(
        inPage(
          `const model = await engine.createModel('small', { dataset });
          let packed = false;
          window.packing = model.pack().then((pack) => ((packed = true), pack.evaluate(dataset, 'test')));
          const { step } = await model.train(dataset, { epochs: 3 }).done;
          return { ...engine.info, step, packed };`,
          threads,
        ),
      );
      const { step, packed, ...info } = await early;
      expect(step).toBeGreaterThan(0);
      expect(packed).toBe(false);
      expect(info.threads).toBe(threads);
      release();
      expect(await page.evaluate<number>('window.packing.then(({ count }) => count)')).toBe(50);
    } finally {
      await close();
    }
  });

  test(`a call that runs into what is missing fetches it, with the same result, ${title}`, async () => {
    const weights = inPage(
      `const model = await engine.createModel('resnet', { dataset });
      await model.train(dataset, { epochs: 1, limit: 100 }).done;
      return model.weightsSha256();`,
      threads,
    );
    const hash = async (delayMs: number) => {
      let late = 0;
      const { page, close } = await openPackagePage({
        ready: async (path) => {
          if (!isSecondFile(path) || delayMs === 0) return true;
          late += 1;
          await new Promise((resolve) => setTimeout(resolve, delayMs));
          return true;
        },
      });
      try {
        const sha = await page.evaluate<string>(weights);
        return { sha, late };
      } finally {
        await close();
      }
    };
    const whole = await hash(0);
    const late = await hash(1000);
    expect(late.sha).toBe(whole.sha);
    // Once for whoever waits, and once for the call itself.
    expect(late.late).toBeGreaterThan(1);
  });
}

test('without the second file a network learns, and what needs it says which file is missing', async () => {
  const { page, close } = await openPackagePage({ ready: (path) => !isSecondFile(path) });
  try {
    const errorOf = '.then(() => undefined, ({ code, message }) => ({ code, message }))';
    const result = await page.evaluate<{ step: number } & Record<string, { code: string; message: string }>>(
      inPage(
        `const model = await engine.createModel('small', { dataset });
        const pack = await model.pack()${errorOf};
        const { step } = await model.train(dataset, { epochs: 1 }).done;
        const resnet = await engine.createModel('resnet', { dataset })${errorOf};
        return { pack, step, resnet };`,
        1,
      ),
    );
    expect(result.step).toBeGreaterThan(0);
    expect(result.pack).toMatchObject({ code: 'io' });
    expect(result.pack?.message).toMatch(/espalier-relaxed\.deferred\.wasm: .*status 404/);
    expect(result.resnet).toMatchObject({ code: 'crashed' });
    expect(result.resnet?.message).toMatch(/espalier-relaxed\.deferred\.wasm cannot be fetched/);
  } finally {
    await close();
  }
});
