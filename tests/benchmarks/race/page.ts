// The race's library in a page of the real Chromium, and calls into it.

import { join } from 'node:path';
import type { Page } from 'playwright-core';
import type { Images, LoadOptions, Material, Network, Remote, Runner, Setup } from '../../../web/race/src';
import type * as Race from '../../../web/race/src';
import { openPackagePage } from '../../e2e/package-page';
import { repository } from '../../e2e/server';

export const raceFolder = join(repository, 'build/race');

/** What lies in the page, under this name; functions that run there know nothing else. */
interface Store {
  race: typeof Race;
  material: Material;
  remotes: Map<string, Remote>;
  runners: Map<string, Runner>;
}
declare global {
  var store: Store;
}

export interface RacePage {
  page: Page;
  browser: string;
  close: () => Promise<void>;
}

export async function openRacePage(): Promise<RacePage> {
  const { page, close } = await openPackagePage({ root: raceFolder });
  // As text: what compiles this file would change the import.
  await page.evaluate(
    `import('/race.js').then((race) => { globalThis.store = { race, remotes: new Map(), runners: new Map() }; })`,
  );
  const agent = await page.evaluate(() => navigator.userAgent);
  const browser = `Chromium ${page.context().browser()?.version() ?? /Chrome\/([\d.]+)/.exec(agent)?.[1] ?? ''}`;
  return { page, browser, close };
}

export async function prepareMaterial({ page }: RacePage, presets: string[], count: number): Promise<void> {
  await page.evaluate(
    async ([presets, count]) => {
      store.material = await store.race.prepare(presets, count);
    },
    [presets, count] as const,
  );
}

/** Numbers and bytes of the material, for those outside the browser. */
export async function fetchMaterial({ page }: RacePage, preset: string) {
  const { file, images, labels, ...rest } = await page.evaluate((preset) => {
    const text = (bytes: Uint8Array) => Array.from(bytes, (byte) => String.fromCharCode(byte)).join('');
    const { networks, images } = store.material;
    const network = networks[preset]!;
    return {
      file: btoa(text(network.file)),
      images: btoa(text(images.pixels)),
      labels: btoa(text(Uint8Array.from(images.labels))),
      mean: network.spec.input.mean?.[0] ?? 0,
      deviation: network.spec.input.standard_deviation?.[0] ?? 1,
      order: Object.keys(network.parameters),
      spec: network.spec,
    };
  }, preset);
  const bytes = (text: string) => Buffer.from(text, 'base64');
  return { file: bytes(file), images: bytes(images), labels: bytes(labels), ...rest };
}

export interface Opening {
  key: string;
  contestant: string;
  options: LoadOptions;
  preset: string;
  /** Of the material's images; default all. */
  images?: number;
  batch: number;
  learningRate: number;
  momentum: number;
}

/** Rejects with what the library says. */
export async function open({ page }: RacePage, opening: Opening): Promise<void> {
  await page.evaluate(async ({ key, contestant, options, preset, images, ...rest }) => {
    const { race, material, remotes } = store;
    const network: Network = material.networks[preset]!;
    const data: Images = images ? race.firstImages(material.images, images) : material.images;
    const setup: Setup = { network, images: data, ...rest };
    remotes.set(key, await new race.Remote().load(contestant, options, setup));
  }, opening);
}

export async function close({ page }: RacePage, key: string): Promise<void> {
  await page.evaluate((key) => {
    store.remotes.get(key)?.close();
    store.remotes.delete(key);
  }, key);
}

export function train({ page }: RacePage, key: string, steps: number): Promise<void> {
  return page.evaluate(([key, steps]) => store.remotes.get(key)!.call('train', steps), [key, steps] as const);
}

/** Loss and probabilities of the first images. */
export function predict({ page }: RacePage, key: string, count: number) {
  return page.evaluate(
    async ([key, count]) => {
      const remote = store.remotes.get(key)!;
      const images = store.race.firstImages(store.material.images, count);
      return {
        loss: await remote.call('loss', images),
        probabilities: [...(await remote.call('infer', images))],
      };
    },
    [key, count] as const,
  );
}

export function timeTraining({ page }: RacePage, key: string, seconds: number) {
  return page.evaluate(([key, seconds]) => store.remotes.get(key)!.call('timeTraining', seconds), [
    key,
    seconds,
  ] as const);
}

export function timeInference({ page }: RacePage, key: string, count: number, seconds: number) {
  return page.evaluate(
    ([key, count, seconds]) => {
      const images = store.race.firstImages(store.material.images, count);
      return store.remotes.get(key)!.call('timeInference', images, seconds);
    },
    [key, count, seconds] as const,
  );
}

/** The same with the calls in the page, so that each goes to the worker and back. */
export function timeInferenceFromPage({ page }: RacePage, key: string, count: number, seconds: number) {
  return page.evaluate(
    async ([key, count, seconds]) => {
      const remote = store.remotes.get(key)!;
      const images = store.race.firstImages(store.material.images, count);
      const begin = performance.now();
      let calls = 0;
      while (performance.now() - begin < 1000 * seconds) {
        await remote.call('infer', images);
        ++calls;
      }
      return { count: calls, seconds: (performance.now() - begin) / 1000 };
    },
    [key, count, seconds] as const,
  );
}

/** Espalier as a page has it: its own worker behind the public calls. */
export async function timeEspalierFromPage(
  { page }: RacePage,
  preset: string,
  count: number,
  seconds: number,
) {
  return page.evaluate(
    async ([preset, count, seconds]) => {
      const { race, material } = store;
      const images = race.firstImages(material.images, count);
      let runner = store.runners.get(preset);
      if (!runner) {
        const load = await race.loaders['espalier']!();
        const loaded = await load({ threads: 1, kernels: 'relaxed', worker: true });
        const setup = {
          network: material.networks[preset]!,
          images,
          batch: 64,
          learningRate: 0,
          momentum: 0,
        };
        runner = await loaded.start(setup);
        store.runners.set(preset, runner);
      }
      const input = { ...images, floats: new Float32Array() };
      const begin = performance.now();
      let calls = 0;
      while (performance.now() - begin < 1000 * seconds) {
        await runner.infer(input);
        ++calls;
      }
      return { count: calls, seconds: (performance.now() - begin) / 1000 };
    },
    [preset, count, seconds] as const,
  );
}
