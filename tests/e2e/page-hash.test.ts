// The weights' hash that the page shows is that of the native program for the same settings.
// Fused multiply-add makes two families: plain SIMD with native without it, relaxed SIMD with native AVX2.

import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { openPlayground } from './playground';
import { repository } from './server';

const nativeProgram = join(repository, 'build/native/espalier');

/** Of a first visit, and of a second one, which finds the digits kept. */
async function onPage(kernels: 'plain' | 'relaxed'): Promise<string[]> {
  const playground = await openPlayground({ hash: `#epochs=1&threads=2&kernels=${kernels}` });
  try {
    await playground.read.untilState(/Trained/);
    expect(await playground.read.text('engine')).toContain(`${kernels} SIMD`);
    const drawn = await playground.read.hash();
    await playground.page.waitForFunction(keptDigits);
    await playground.page.reload();
    await playground.read.untilState(/Trained/);
    return [drawn, await playground.read.hash()];
  } finally {
    await playground.close();
  }
}

/** Runs in the page. */
function keptDigits(): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const opening = indexedDB.open('espalier');
    opening.onerror = () => reject(new Error('no storage'));
    opening.onsuccess = () => {
      const keys = opening.result.transaction('datasets').objectStore('datasets').getAllKeys();
      keys.onsuccess = () =>
        resolve(keys.result.some((key) => typeof key === 'string' && key.startsWith('digits:')));
    };
  });
}

function native(kernels: 'plain' | 'avx2'): string {
  // What the page trains when it opens; its built-in digits are 6,000 of seed 1.
  const options = `--data synthetic:6000 --model small --epochs 1 --lr 0.05 --seed 1 --kernels ${kernels} --json`;
  const text = execFileSync(nativeProgram, ['train', ...options.split(' ')], { encoding: 'utf8' });
  return (JSON.parse(text) as { weights_sha256: string }).weights_sha256;
}

describe.skipIf(!existsSync(nativeProgram))('the hash on the page is that of the native program', () => {
  test('plain SIMD', async () => {
    const expected = native('plain');
    expect(await onPage('plain')).toEqual([expected, expected]);
  });

  test('fused multiply-add', async ({ skip }) => {
    let expected = '';
    try {
      expected = native('avx2');
    } catch {
      skip('this processor has no AVX2');
    }
    expect(await onPage('relaxed')).toEqual([expected, expected]);
  });
});
