// node native/toolchain/early-run.mjs <variant> <instrumented binary> <profile>: does what a page does until its network
// learns and can be looked at, and writes down which functions that took.

import { writeFileSync } from 'node:fs';
import { pathToFileURL } from 'node:url';

const [variant, instrumented, profile] = process.argv.slice(2);
const built = new URL('../../web/package/dist/espalier/', import.meta.url);
const load = (name) => import(new URL(name, built));
const { binary } = await load(`${variant}.js`);
const { earlyMethods } = await load('early.js');
const { createMethods } = await load('methods.js');
const { Session } = await load('session.js');

let exports;
const whole = {
  ...binary,
  factory: (options) =>
    binary.factory({
      ...options,
      instantiateWasm: (imports, receive) =>
        options.instantiateWasm(imports, (instance, module) => {
          exports = instance.exports;
          receive(instance, module);
        }),
    }),
  file: { name: instrumented, url: pathToFileURL(instrumented) },
  deferred: undefined,
};
const session = new Session(whole, (reason) => {
  throw new Error(`the engine has stopped: ${reason}`);
});
const methods = createMethods(session);
const called = new Set();
let calls = 0;
const call = (method, ...args) => {
  called.add(method);
  const signal = new AbortController().signal;
  return methods[method]({ id: ++calls, signal, emit: () => {} }, ...args);
};

await call('open', { threads: binary.threads ? 2 : 1 });
call('catalog');
call('memory');
const data = await call('loadDataset', { kind: 'synthetic', train: 2000, test: 500, seed: 1 });
const { pixels } = call('images', data.id, 'test', Uint32Array.of(0, 1, 2));
const model = call('createModel', 'small', 1, data.id);

const choices = { optimizer: 'momentum', schedule: 'cosine', augment: 'none' };
const numbers = {
  learning_rate: 0.05,
  weight_decay: 0,
  label_smoothing: 0,
  batch_size: 64,
  epochs: 2,
  seed: 1,
};
const training = call('train', model.id, data.id, { ...choices, ...numbers });
const id = calls;
await call('pause', id);
await call('step', id, 1);
const { layers, tensors } = call('inspect', model.id);
for (const { name } of layers) call('activations', model.id, pixels.subarray(0, 784), name);
for (const { name } of tensors) call('tensor', model.id, name);
call('predict', model.id, pixels);
call('predict', model.id, pixels.subarray(0, 784));
for (const split of ['validation', 'test']) await call('evaluate', model.id, data.id, split);
call('checkpoint', id);
await call('weightsSha256', model.id);
await call('continue', id);
await training;

const missed = [...earlyMethods].filter((method) => !called.has(method));
if (missed.length) throw new Error(`early-run.mjs does not call ${missed.join(', ')}, which early.ts lists.`);

const bytes = exports.__write_profile(0, 0);
const room = session.use((native) => native.reserve(bytes));
exports.__write_profile(room.byteOffset, bytes);
writeFileSync(profile, room.slice());
session.close(new Error('done'));
