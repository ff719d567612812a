// From which data to which: the choices of the lab, and how they are opened.

import type { Dataset, DatasetInfo, DatasetSource, Engine, SubsetOptions } from 'espalier';
import { drawnIds } from '../data/drawn';
import { ownDrawings } from '../data/own-drawings.svelte';
import { builtInDigits } from '../datasets';
import { t } from '../i18n/index.svelte';
import { PageError } from '../page-error';
import { session } from '../session.svelte';
import { library } from '../session/library.svelte';

/** One half of the classes of the data in use, then the other; else the target's dataset. */
export const halves = 'halves';

export interface Task {
  id: string;
  /** In the present language. */
  name: () => string;
  /** Why it cannot be run now. */
  missing?: string;
}

const mnist = 'mnist';
const own = 'own-drawings';
const fewestClasses = 4;

const halfOf = (classes: number): number => Math.floor(classes / 2);

/** "0–4" */
function span(names: string[]): string {
  const [first = '', last = ''] = [names[0], names.at(-1)];
  return `${first}–${last}`;
}

function halvesTask(): Task {
  const { classNames, datasetName } = session;
  const half = halfOf(classNames.length);
  const [from, to] = [span(classNames.slice(0, half)), span(classNames.slice(half))];
  const isDigits = session.datasetId === builtInDigits.id;
  return {
    id: halves,
    name: () => t.lab.fromTo(t.lab.classesOf(isDigits ? t.data.digits : datasetName, from), to),
    ...(classNames.length < fewestClasses && { missing: t.lab.fewClasses }),
  };
}

export function allTasks(): Task[] {
  const { stored } = library;
  const toOther = (id: string, to: () => string, missing?: string): Task => ({
    id,
    name: () => t.lab.fromTo(t.data.digits, to()),
    ...(missing !== undefined && { missing }),
  });
  const isStored = stored.some(({ id }) => id === mnist);
  return [
    halvesTask(),
    toOther(mnist, () => 'MNIST', isStored ? undefined : t.lab.fetchMnist),
    ...drawnIds.map((id) => toOther(id, () => t.data.drawn[id])),
    toOther(own, () => t.data.ownDrawings, ownDrawings.isEnough ? undefined : t.lab.drawFirst),
    ...stored.filter(({ id }) => id !== mnist && id !== own).map(({ id, name }) => toOther(id, () => name)),
  ];
}

export interface OpenedTask {
  source: Dataset;
  target: Dataset;
  /** The target's classes are others than the source's. */
  newHead: boolean;
  /** The network of the page was trained on the source. */
  isKnown: boolean;
}

/** `perClass`: training images of the target. Whoever opens it disposes of both datasets. */
export async function openTask(
  id: string,
  { engine, dataset }: { engine: Engine; dataset: Dataset },
  { perClass, seed }: { perClass: number; seed: number },
): Promise<OpenedTask> {
  if (id === halves) {
    const classes = dataset.info.classNames.map((_, i) => i);
    const half = halfOf(classes.length);
    const target = await dataset.subset({ classes: classes.slice(half), perClass, seed });
    const source = await dataset.subset({ classes: classes.slice(0, half) });
    return { source, target, newHead: true, isKnown: false };
  }
  const target = await someOf(await engine.loadDataset(await needed(id)), { perClass, seed });
  const isKnown = session.datasetId === builtInDigits.id;
  const source = isKnown
    ? await dataset.subset({})
    : await engine.loadDataset(await needed(builtInDigits.id));
  const [from, to] = [sizeOf(source.info), sizeOf(target.info)];
  if (from !== to) {
    for (const unused of [source, target]) void unused.dispose().catch(() => {});
    throw new PageError(t.lab.otherSize(from, to));
  }
  return { source, target, newHead: id !== mnist, isKnown };
}

/** In place of the whole dataset. */
async function someOf(whole: Dataset, options: SubsetOptions): Promise<Dataset> {
  try {
    return await whole.subset(options);
  } finally {
    void whole.dispose().catch(() => {});
  }
}

const sizeOf = ({ channels, height, width }: DatasetInfo): string => t.units.size(channels, height, width);

async function needed(id: string): Promise<DatasetSource> {
  if (id === own && ownDrawings.isEnough) {
    const { files, name } = ownDrawings.dataset();
    return { kind: 'files', files, name };
  }
  const source = await library.sourceOf(id);
  if (!source) throw new PageError(t.notices.loadAgain(id));
  return source;
}
