// What native/wasm/bench_main.cpp prints in Chromium: a JSON text a line.

import { join } from 'node:path';
import { openPackagePage } from '../e2e/package-page';
import { repository } from '../e2e/server';

export async function measuredLines<Line>(build: string, ...args: string[]): Promise<Line[]> {
  const { page, close } = await openPackagePage({ root: join(repository, 'build', build, 'native/wasm') });
  try {
    // In a worker, as the engine runs in the page.
    const script = `new Promise((resolve, reject) => {
      const code = "import create from '" + location.origin + "/bench.mjs'; const lines = [];" +
        "await create({ arguments: ${JSON.stringify(args).replaceAll('"', "'")}, print: (line) => lines.push(line) });" +
        "postMessage(lines.map((line) => JSON.parse(line)));";
      const worker = new Worker(URL.createObjectURL(new Blob([code], { type: 'text/javascript' })), { type: 'module' });
      worker.onmessage = (event) => resolve(event.data);
      worker.onerror = (event) => reject(new Error(event.message));
    })`;
    return await page.evaluate<Line[]>(script);
  } finally {
    await close();
  }
}
