// The page's text form of a network, and what editing makes of its layers.

import { createEngine, type Catalog, type DatasetInfo, type Engine } from 'espalier';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  added,
  beginning,
  changed,
  isLike,
  layersOf,
  moved,
  newLayer,
  partners,
  placeOf,
  specOf,
  without,
  type Layers,
} from '../../web/app/src/network/layers';
import { fromText, toText } from '../../web/app/src/network/text';
import { defaults, fromHash, modelNameOf, toHash } from '../../web/app/src/settings';
import { errorOf } from './data.js';

let engine: Engine;
let catalog: Catalog;
beforeAll(async () => {
  engine = await createEngine({ kernels: 'plain', threads: 1 });
  catalog = await engine.catalog();
});
afterAll(() => engine.dispose());

const data: DatasetInfo = {
  name: 'images',
  channels: 1,
  height: 28,
  width: 28,
  classNames: Array.from({ length: 10 }, (_, i) => String(i)),
  counts: { train: 0, validation: 0, test: 0 },
};
const layersOfPreset = (wanted: string) =>
  catalog.presets.find(({ name }) => name === wanted)?.spec.layers as Layers;
const names = (layers: Layers) => layers.map(({ name }) => name);
const small = fromText(
  'conv1:conv,kernel=3,out_channels=8,padding=same;relu1:relu;pool1:max_pool,kernel=2;fc:dense,units=classes',
) as Layers;

describe('the text of a network', () => {
  test('round-trips every preset, sums of branches included', () => {
    expect(catalog.presets.length).toBeGreaterThan(3);
    for (const { name } of catalog.presets) {
      const layers = layersOfPreset(name);
      expect(fromText(toText(layers))).toEqual(layers);
    }
  });

  test('keeps lists, switches and fractions', () => {
    const text = 'a:conv,bias=false,kernel=3:5,padding=1:2:3:4;b:dropout,rate=0.25;c:add,inputs=a:b';
    const layers = fromText(text)!;
    expect(layers[0]).toEqual({
      type: 'conv',
      name: 'a',
      bias: false,
      kernel: [3, 5],
      padding: [1, 2, 3, 4],
    });
    expect(layers[2]!.inputs).toEqual(['a', 'b']);
    expect(toText(layers)).toBe(text);
  });

  test('is one for equal networks, whatever the order of their fields', () => {
    const [first, ...rest] = small;
    const { kernel, ...others } = first!;
    expect(toText([{ ...others, kernel }, ...rest])).toBe(toText(small));
  });

  test.each([
    '',
    ';',
    'conv',
    'conv1:',
    ':conv',
    'a:relu;a:relu',
    'a:relu;',
    'a:relu,slope',
    'a:relu,slope=',
    'a:relu,slope=1=2',
    'a:relu,name=b',
    'a:relu,type=conv',
    'a:relu:b',
    'a:relu,x=<b>',
    'a:conv,kernel=1e999',
    'a:conv,kernel=3::5',
    'a b:relu',
    `${'a'.repeat(61)}:relu`,
  ])('refuses %j', (text) => {
    expect(fromText(text)).toBeUndefined();
  });

  test('has at most 200 layers, and an end', () => {
    const chain = (count: number) => Array.from({ length: count }, (_, i) => `r${i}:relu`).join(';');
    expect(fromText(chain(200))).toHaveLength(200);
    expect(fromText(chain(201))).toBeUndefined();
    expect(fromText('a:relu,x='.padEnd(20_000, '1'))).toBeUndefined();
  });

  test('is part of the settings, and garbage is not', () => {
    const network = toText(small);
    const hash = toHash({ ...defaults, network }, {}, '');
    expect(hash).toContain('network=conv1:conv,kernel=3,out_channels=8,padding=same;relu1:relu');
    expect(fromHash(`#${hash}`)).toEqual({ ...defaults, network });
    expect(fromHash('#network=a:relu;a:relu').network).toBe('');
    expect(modelNameOf({ preset: 'small', network })).toBe('small-edited');
    expect(modelNameOf({ preset: 'small', network: '' })).toBe('small');
  });
});

describe('editing', () => {
  test('a new layer gets a free name and stands behind the chosen one, but never behind the last', () => {
    const conv = newLayer('conv', small);
    expect(conv.name).toBe('conv2');
    expect(names(added(small, conv, 'conv1'))).toEqual(['conv1', 'conv2', 'relu1', 'pool1', 'fc']);
    expect(names(added(small, conv, 'fc'))).toEqual(['conv1', 'relu1', 'pool1', 'conv2', 'fc']);
  });

  test('every new layer can be part of a network as it is', async () => {
    const { layers: known } = await inspect(small);
    for (const { name: type } of catalog.layers) {
      const layer = newLayer(type, small);
      const joins = type === 'add' || type === 'concat';
      if (joins) layer.inputs = partners(type, 'relu1', known);
      // Where it fits: a dense layer leaves nothing to pool.
      const { layers } = await inspect(added(small, layer, joins ? 'relu1' : 'pool1'));
      expect(layers.map(({ name }) => name)).toContain(layer.name);
    }
  });

  test('layers are moved, changed and left out', () => {
    expect(names(moved(small, 'pool1', 0))).toEqual(['pool1', 'conv1', 'relu1', 'fc']);
    expect(changed(small, 'conv1', 'kernel', 5)[0]).toMatchObject({ kernel: 5, out_channels: 8 });
    expect('padding' in changed(small, 'conv1', 'padding', undefined)[0]!).toBe(false);
    expect(names(without(small, 'relu1'))).toEqual(['conv1', 'pool1', 'fc']);
  });

  test('what took the output of a removed layer takes its input', async () => {
    const layers = without(without(layersOfPreset('resnet'), 'stem_relu'), 'stem_bn');
    expect(layers.find(({ name }) => name === 'stage1_add')?.inputs).toEqual(['stage1_bn2', 'stem']);
    expect((await inspect(layers)).layers).toHaveLength(layers.length);
  });

  test('an error of the engine is at its layer, and what stands before it still has shapes', async () => {
    const broken = changed(changed(small, 'pool1', 'kernel', 99), 'pool1', 'padding', 'valid');
    const error = await errorOf(engine.createModel(specOf(broken, 'broken', data)));
    const at = placeOf(error.where, broken);
    expect(at).toBe(2);
    const { layers } = await inspect(beginning(broken, at!));
    expect(layers[1]!.shape).toEqual([8, 28, 28]);
    const unknown = [small[0]!, { type: 'nonsense', name: 'x' }, ...small.slice(1)];
    const other = await errorOf(engine.createModel(specOf(unknown, 'unknown', data)));
    expect(placeOf(other.where, unknown)).toBe(1);
    expect(placeOf('memory', small)).toBeUndefined();
  });
});

describe('a loaded model', () => {
  test('has the layers of its preset, or others', async () => {
    for (const { name, spec } of catalog.presets) {
      const model = await engine.createModel(name);
      expect(isLike(model.spec, spec)).toBe(true);
      const slim = {
        ...model.spec,
        layers: model.spec.layers.map((layer) => ({ ...layer, units: 7, out_channels: 7 })),
      };
      expect(isLike(slim, spec)).toBe(false);
      // Its layers as a text make the same network again.
      const layers = layersOf(model.spec, catalog);
      expect(layers.at(-1)).toMatchObject({ units: 'classes' });
      const again = await engine.createModel(specOf(fromText(toText(layers))!, model.spec.name!, data));
      expect(again.spec).toEqual(model.spec);
    }
  });

  test('gets names that an address can hold', () => {
    const spec = {
      ...specOf(small, 'x', data),
      layers: [
        { type: 'relu', name: '/a b' },
        { type: 'relu', name: '/a+b' },
      ],
    };
    expect(names(layersOf(spec, catalog))).toEqual(['_a_b', '_a_b_2']);
  });
});

async function inspect(layers: Layers) {
  const model = await engine.createModel(specOf(layers, 'test', data));
  return model.inspect();
}
