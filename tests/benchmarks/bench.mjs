// npm run bench: Espalier against its peers, on the same weights and images, in one interleaved run.

import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { repository, toolEnvironment } from '../../native/toolchain/environment.mjs';

const help = `npm run bench [-- OPTIONS]

Checks that Espalier, onnxruntime-web, TensorFlow.js, ConvNetJS and jax-js compute the same loss on the same
weights, then times training (batch 64) and inference (batch 1 and 64) on LeNet-5 (L5) and a small network (S)
in Chromium, in turn; then Espalier natively and, if it is installed, PyTorch.

  --quick          fewer and shorter windows: under three minutes
  --only NAMES     some of: espalier, onnxruntime-web, onnxruntime-web-training, tensorflow, convnetjs, jax-js,
                   pytorch; with commas
  --json FILE      writes the results
  --accuracy       instead: MNIST from ESPALIER_DATA to 98 % and 99 %, Espalier against onnxruntime-web
  --recipe FILE    with --accuracy: how Espalier trains for both targets; default tests/benchmarks/recipes
  --readme         puts the table and the chart into README.md and keeps the results in the tree
  --from FILE      measures nothing: prints (or --readme) these results
  --no-build       takes what is built
  --help`;

const { values } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    only: { type: 'string', default: '' },
    json: { type: 'string' },
    accuracy: { type: 'boolean', default: false },
    recipe: { type: 'string' },
    readme: { type: 'boolean', default: false },
    from: { type: 'string' },
    'no-build': { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
});

if (values.help) {
  console.log(help);
} else {
  if (!values.from && !values['no-build']) buildParts();
  // Not above: setting up installs it.
  const { build, runnerImport } = await import('vite');
  if (!values.from && !values['no-build']) {
    await build({ configFile: join(repository, 'web/race/vite.config.ts'), logLevel: 'warn' });
  }
  Object.assign(process.env, toolEnvironment());
  const { module } = await runnerImport(join(import.meta.dirname, 'race/run.ts'));
  await module.run({ ...values, only: values.only.split(',').filter(Boolean) });
}

function buildParts() {
  const script = join(repository, 'native/toolchain/build.mjs');
  const { status } = spawnSync(process.execPath, [script, 'native', 'wasm', 'package'], { stdio: 'inherit' });
  if (status !== 0) process.exit(1);
}
