// The binary for inference alone with relaxed kernels, which Node does not have everywhere (tests/wasm/run.test.ts).

import type { createEngine } from 'espalier';
import type { loadModel } from 'espalier/run';
import { expect, test } from 'vitest';
import { openPackagePage } from './package-page';

interface Modules {
  createEngine: typeof createEngine;
  loadModel: typeof loadModel;
}

/** Runs in the page, as text: it must not use anything around it. */
async function answers({ createEngine, loadModel }: Modules) {
  const engine = await createEngine({ threads: 1 });
  const dataset = await engine.loadDataset({ kind: 'synthetic', train: 300, test: 50 });
  const { pixels } = await dataset.images(
    'test',
    Uint32Array.from({ length: 50 }, (_, i) => i),
  );
  const results: { name: string; kernels: [string, string]; same: boolean }[] = [];
  for (const preset of ['small', 'mobile', 'resnet']) {
    const float = await engine.createModel(preset, { dataset });
    const eight = (await float.compress(dataset, 'int8', { measure: false }).done).model;
    for (const model of [float, eight]) {
      const running = await loadModel((await model.saveAs('espalier')).bytes);
      const expected = await (await model.pack()).predict(pixels);
      const found = running.predict(pixels);
      results.push({
        name: `${preset}, ${model === float ? 'floats' : '8 bits'}`,
        kernels: [engine.info.kernels, running.kernels],
        same: found.length === 500 && found.every((probability, i) => probability === expected[i]),
      });
    }
  }
  return results;
}

test("in Chromium its predictions are the engine's, bit for bit, with the same kernels", async () => {
  const { page, close } = await openPackagePage();
  try {
    const results = await page.evaluate<Awaited<ReturnType<typeof answers>>>(
      `Promise.all(['index', 'run'].map((name) => import('/dist/' + name + '.js')))
        .then(([index, run]) => (${answers.toString()})({ ...index, ...run }))`,
    );
    expect(results.length).toBe(6);
    for (const { name, kernels, same } of results) {
      expect(kernels[1], name).toBe(kernels[0]);
      expect(same, name).toBe(true);
    }
  } finally {
    await close();
  }
});
