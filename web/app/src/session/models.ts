// From settings to the network that they describe, and back from a network that somebody opens.

import type { Catalog, DatasetInfo, Engine, Model, ModelSpec } from 'espalier';
import type { NamedBlob } from '../data/source';
import { t } from '../i18n/index.svelte';
import { isLike, layersOf, specOf } from '../network/layers';
import { fromText, toText } from '../network/text';
import { PageError } from '../page-error';
import { editedEnding, modelNameOf, type Settings } from '../settings';

type Network = Pick<Settings, 'preset' | 'network'>;

/** The spec of an edited network, or a preset's name. */
export function modelOf(settings: Network, data: DatasetInfo): string | ModelSpec {
  const layers = settings.network ? fromText(settings.network) : undefined;
  return layers ? specOf(layers, modelNameOf(settings), data) : settings.preset;
}

/** What starts a model from a file again, with fresh weights. */
export function networkOf(spec: ModelSpec, name: string, catalog: Catalog | undefined): Network {
  const preset = name.replace(editedEnding, '');
  const row = catalog?.presets.find((one) => one.name === preset);
  if (!catalog || (row && isLike(spec, row.spec))) return { preset, network: '' };
  return { preset, network: toText(layersOf(spec, catalog)) };
}

/** The model of a file, if it was made for such images and as many classes. */
export async function loadFitting(
  engine: Engine,
  file: NamedBlob,
  data: DatasetInfo | undefined,
): Promise<Model> {
  const model = await engine.loadModel(file.data);
  const { channels, height, width } = model.spec.input;
  const fits = data && channels === data.channels && height === data.height && width === data.width;
  if (fits && model.spec.classes === data.classNames.length) return model;
  void model.dispose();
  const size = t.units.size(channels, height, width);
  throw new PageError(
    t.notices.otherImages(file.name, size, model.spec.classes, data?.name ?? t.notices.thisDataset),
  );
}
