// Time to accuracy on MNIST: a new browser, the data in hand, until the test images are told apart so well.
//
// The clock runs while the library is loaded and started and while it trains. It stands still during evaluations,
// for everybody: all 10,000 test images every 100 steps, every 25 once 0.4 points are missing.

import { existsSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import type { ModelSpec, TrainingConfig } from 'espalier';
import { repository } from '../../e2e/server';
import { openRacePage, raceFolder } from './page';
import { champion } from './plan';
import type { Accuracy } from './results';

const files = ['train-images-idx3', 'train-labels-idx1', 't10k-images-idx3', 't10k-labels-idx1'] as const;
const batch = 64;

/** A file in recipes/: what Espalier trains, and how, to reach the goal. */
interface Recipe {
  goal: number;
  model: string | ModelSpec;
  training: TrainingConfig;
}

interface Racer {
  entry: string;
  contestant: string;
  target: number;
  recipe: string;
  model: string | ModelSpec;
  training?: TrainingConfig;
  /** More than anybody needs. */
  maxSteps: number;
}

/**
 * What all libraries can train. The rate is the best for both networks of a few that Espalier tried with the same
 * steps (images seen until the target): S, means of two seeds, 0.005: 85,000, 0.01: 84,000, 0.02: 173,000,
 * 0.03: 282,000; L5, one seed, 0.003: 422,000, 0.005: 240,000, 0.01: 154,000, 0.02: 315,000.
 */
const plain = [
  { target: 0.98, name: 'S', model: 'small' },
  { target: 0.99, name: 'L5', model: 'lenet5' },
];
const learningRate = 0.01;
const momentum = 0.9;

function racers(recipeFile: string | undefined, wanted: (id: string) => boolean): Racer[] {
  const steps = (epochs: number) => epochs * Math.ceil(60_000 / batch);
  const recipes = readRecipes(recipeFile);
  return plain
    .flatMap(({ target, name, model }): Racer[] => {
      const own = recipes.filter(({ goal }) => goal === target);
      const how = `${name}, momentum, rate ${learningRate}`;
      const common = { target, recipe: how, model, maxSteps: steps(10) };
      return [
        ...own.map(({ model, training }) => ({
          entry: champion,
          contestant: 'espalier',
          target,
          recipe: `its recipe${typeof model === 'string' ? '' : ` "${model.name}"`}`,
          model,
          training,
          maxSteps: steps(training.epochs ?? 5),
        })),
        { ...common, entry: champion, contestant: 'espalier' },
        { ...common, entry: 'onnxruntime-web-training', contestant: 'onnxruntime-web-training' },
      ];
    })
    .filter(({ contestant }) => wanted(contestant));
}

function readRecipes(file: string | undefined): Recipe[] {
  const folder = join(repository, 'tests/benchmarks/recipes');
  const names = file
    ? [file]
    : existsSync(folder)
      ? readdirSync(folder).map((name) => join(folder, name))
      : [];
  return names
    .filter((name) => name.endsWith('.json'))
    .map((name) => JSON.parse(readFileSync(name, 'utf8')) as Recipe);
}

export async function raceToAccuracy(
  seeds: readonly number[],
  wanted: (id: string) => boolean,
  recipe: string | undefined,
  say: (line: string) => void,
): Promise<Accuracy[]> {
  serveMnist();
  const rows = racers(recipe, wanted).map((racer) => ({ racer, runs: [] as Accuracy['runs'] }));
  for (const seed of seeds) {
    for (const { racer, runs } of rows) {
      const run = await race(racer, seed);
      runs.push({ seed, ...run });
      const { entry, recipe, target } = racer;
      const end = run.accuracy >= target ? 'reached' : 'NOT reached';
      say(
        `${100 * target} % ${end} by ${entry} (${recipe}, seed ${seed}): ${run.seconds.toFixed(2)} s, ` +
          `${run.images} images, ${(100 * run.accuracy).toFixed(2)} %`,
      );
    }
  }
  return rows.map(({ racer: { entry, recipe, target }, runs }) => ({ entry, recipe, target, runs }));
}

/** Beside the page, unpacked. */
function serveMnist(): void {
  const root = process.env['ESPALIER_DATA'];
  if (!root) throw new Error('Set ESPALIER_DATA to a folder with MNIST in its subfolder "mnist".');
  mkdirSync(join(raceFolder, 'mnist'), { recursive: true });
  for (const name of files.map((name) => `${name}-ubyte`)) {
    const file = join(root, 'mnist', name);
    const bytes = existsSync(file) ? readFileSync(file) : gunzipSync(readFileSync(`${file}.gz`));
    writeFileSync(join(raceFolder, 'mnist', name), bytes);
  }
}

/** In a new browser with an empty profile. */
async function race({ contestant, target, model, training, maxSteps }: Racer, seed: number) {
  const { page, close } = await openRacePage();
  try {
    return await page.evaluate(
      async ({
        contestant,
        target,
        model,
        training,
        maxSteps,
        seed,
        files,
        batch,
        learningRate,
        momentum,
      }) => {
        const bytesOf = async (name: string) =>
          new Uint8Array(await (await fetch(`/mnist/${name}-ubyte`)).arrayBuffer());
        const [pixels, labels, testPixels, testLabels] = await Promise.all(files.map(bytesOf));
        const imagesOf = (pixels: Uint8Array, labels: Uint8Array) => ({
          count: labels.length - 8,
          pixels: pixels.slice(16),
          labels: Uint16Array.from(labels.subarray(8)),
        });
        const images = imagesOf(pixels!, labels!);
        const test = imagesOf(testPixels!, testLabels!);
        const network = await store.race.makeNetwork(model, seed);

        let milliseconds = 0;
        const timed = async <T>(work: Promise<T>): Promise<T> => {
          const begin = performance.now();
          const result = await work;
          milliseconds += performance.now() - begin;
          return result;
        };
        const options = { threads: 1, kernels: 'relaxed' as const };
        const setup = { network, images, batch, learningRate, momentum, seed, recipe: training };
        const remote = await timed(new store.race.Remote().load(contestant, options, setup));
        let steps = 0;
        let accuracy = 0;
        while (accuracy < target && steps < maxSteps) {
          const next = Math.min(target - accuracy > 0.004 ? 100 : 25, maxSteps - steps);
          await timed(remote.call('train', next));
          steps += next;
          accuracy = await remote.call('accuracy', test);
        }
        remote.close();
        return { seconds: milliseconds / 1000, images: steps * batch, accuracy };
      },
      { contestant, target, model, training, maxSteps, seed, files, batch, learningRate, momentum },
    );
  } finally {
    await close();
  }
}
