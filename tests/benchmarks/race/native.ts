// Espalier natively and, if it is installed, PyTorch, in turn: training, one thread, batch 64.

import { execFileSync, spawn, spawnSync, type ChildProcessWithoutNullStreams } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface, type Interface } from 'node:readline';
import { networks } from '../../../web/race/src';
import { repository } from '../../e2e/server';
import { check, training, type Effort } from './plan';
import type { Check, Measurement, Results } from './results';

const program = join(repository, 'build/native/espalier');
const benchmark = join(repository, 'build/native/tests/benchmarks/training_benchmark');

/** What the browser was given, as bytes. */
export interface NativeMaterial {
  file: Buffer;
  images: Buffer;
  labels: Buffer;
  mean: number;
  deviation: number;
  order: string[];
  spec: object;
}

interface Racer {
  id: string;
  /** Loss with the first weights, then after some steps. */
  losses(): Promise<[before: number, after: number]>;
  /** Images a second over about so many seconds. */
  time(seconds: number): Promise<number>;
  close(): void;
}

export async function raceNatively(
  materials: Record<string, NativeMaterial>,
  wanted: (id: string) => boolean,
  effort: Effort,
  results: Results,
  say: (line: string) => void,
): Promise<void> {
  const kernels = fastestKernels();
  results.entries.push(
    entryOf('espalier-native', `Espalier, native (${kernels})`, espalierVersion(), 'Its training loop.'),
  );
  const torch = wanted('pytorch') ? findPyTorch(say) : undefined;
  if (torch) {
    const how = `torch.nn with its SGD, ${torch.blas}`;
    results.entries.push(entryOf('pytorch', 'PyTorch, native', torch.version, `${how}, NCHW.`));
    results.entries.push(
      entryOf(
        'pytorch-channels-last',
        'PyTorch, native, channels last',
        torch.version,
        `${how}, channels last.`,
      ),
    );
  }
  for (const { name, preset } of networks) {
    const material = materials[preset]!;
    const folder = mkdtempSync(join(tmpdir(), 'espalier-race-'));
    const racers: Racer[] = [];
    try {
      writeMaterial(folder, material);
      racers.push(espalier(folder, preset, kernels));
      if (torch) {
        for (const channelsLast of [false, true])
          racers.push(await pytorch(folder, preset, material, channelsLast, torch));
      }
      const expected = results.checks.find(
        ({ network, entry }) => network === name && entry === 'espalier-plain',
      );
      const rows: (Measurement & { racer: Racer })[] = [];
      for (const racer of racers) {
        const result: Check = { network: name, entry: racer.id };
        results.checks.push(result);
        [result.before, result.after] = await racer.losses();
        if (expected?.before !== undefined && !(Math.abs(result.before - expected.before) <= 1e-4)) {
          result.failure = `its loss is ${result.before}, not ${expected.before}`;
        } else if (expected?.after !== undefined && !(Math.abs(result.after - expected.after) <= 1e-3)) {
          result.failure = `its loss after ${check.steps} steps is ${result.after}, not ${expected.after}`;
        }
        const { before, after, failure } = result;
        say(
          `${name}: ${racer.id}: ${failure ?? `loss ${before.toFixed(6)}, ${after.toFixed(6)} after ${check.steps} steps`}`,
        );
        if (!failure) rows.push({ network: name, task: 'training', entry: racer.id, samples: [], racer });
      }
      for (const { racer } of rows) await racer.time(effort.seconds.warmUp);
      for (let window = 0; window < effort.windows; ++window) {
        for (const { racer, samples } of rows) samples.push(await racer.time(effort.seconds.training));
        say(`${name}, native: window ${window + 1} of ${effort.windows}`);
      }
      results.measurements.push(
        ...rows.map(({ network, task, entry, samples }) => ({ network, task, entry, samples })),
      );
    } finally {
      for (const racer of racers) racer.close();
      rmSync(folder, { recursive: true, force: true });
    }
  }
}

function entryOf(id: string, label: string, version: string, how: string) {
  return { id, label, version, how, where: 'native' as const, threads: 1 };
}

function writeMaterial(folder: string, { file, images, labels, spec }: NativeMaterial): void {
  writeFileSync(join(folder, 'weights.safetensors'), file);
  writeFileSync(join(folder, 'images'), images);
  writeFileSync(join(folder, 'labels'), labels);
  writeFileSync(join(folder, 'spec.json'), JSON.stringify(spec));
  // The check's images as an IDX dataset, with as many behind them as are put aside for validation.
  const number = (value: number) => {
    const bytes = Buffer.alloc(4);
    bytes.writeUInt32BE(value);
    return bytes;
  };
  const count = check.images + Math.floor(check.images / 11);
  const write = (name: string, images28: Buffer, labels10: Buffer) => {
    const total = labels10.length;
    const head = [Buffer.from([0, 0, 8, 3]), number(total), number(28), number(28)];
    writeFileSync(join(folder, `${name}-images-idx3-ubyte`), Buffer.concat([...head, images28]));
    writeFileSync(
      join(folder, `${name}-labels-idx1-ubyte`),
      Buffer.concat([Buffer.from([0, 0, 8, 1]), number(total), labels10]),
    );
  };
  write('train', images.subarray(0, count * 784), labels.subarray(0, count));
  write('t10k', images.subarray(0, 784), labels.subarray(0, 1));
}

function espalierVersion(): string {
  return execFileSync(program, ['--version'], { encoding: 'utf8' }).trim().split(' ').at(-1) ?? '';
}

/** The last that the benchmark lists is the widest that runs here. */
function fastestKernels(): string {
  const names = execFileSync(benchmark, ['--benchmark_list_tests'], { encoding: 'utf8' }).split('\n');
  return names.findLast((name) => name.startsWith('small/'))!.split('/')[1]!;
}

function espalier(folder: string, preset: string, kernels: string): Racer {
  // A step an epoch: the loss of the last epoch is that of the weights before its step.
  const loss = (epochs: number) => {
    const rate = String(check.learningRate);
    const options = [
      '--optimizer',
      'momentum',
      '--momentum',
      String(training.momentum),
      '--schedule',
      'constant',
    ];
    const args = [
      'train',
      '--data',
      folder,
      '--model',
      join(folder, 'spec.json'),
      '--epochs',
      String(epochs),
    ];
    const output = execFileSync(
      program,
      [...args, ...options, '--lr', rate, '--batch', String(training.batch), '--kernels', kernels, '--json'],
      { encoding: 'utf8' },
    );
    return (JSON.parse(output) as { loss: number }).loss;
  };
  return {
    id: 'espalier-native',
    losses: async () => [loss(1), loss(1 + check.steps)],
    time: async (seconds) => {
      const filter = `--benchmark_filter=^${preset}/${kernels}$`;
      const args = [filter, `--benchmark_min_time=${seconds}`, '--benchmark_format=json'];
      const output = execFileSync(benchmark, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] });
      // Its own counter divides by the time of the processor, which is not what a busy machine takes.
      const { benchmarks } = JSON.parse(output) as { benchmarks: [{ real_time: number }] };
      return (1000 * training.batch) / benchmarks[0].real_time;
    },
    close: () => {},
  };
}

interface PyTorch {
  python: string;
  version: string;
  blas: string;
  environment: NodeJS.ProcessEnv;
}

const openBlas = ['x86_64', 'aarch64'].map((machine) => `/usr/lib/${machine}-linux-gnu/openblas-pthread`);

function findPyTorch(say: (line: string) => void): PyTorch | undefined {
  const python = '/usr/bin/python3';
  const asked = spawnSync(python, ['-c', 'import torch; print(torch.__version__)'], { encoding: 'utf8' });
  if (asked.status !== 0) {
    say(
      'PyTorch is not installed (Debian: apt-get install python3-torch libopenblas0-pthread); it is left out.',
    );
    return undefined;
  }
  const folder = openBlas.find((each) => existsSync(join(each, 'libblas.so.3')));
  if (!folder)
    say('OpenBLAS is not installed (Debian: libopenblas0-pthread); PyTorch may be slower than it could be.');
  const wide = execFileSync('cat', ['/proc/cpuinfo'], { encoding: 'utf8' }).includes('avx512f');
  const environment = {
    ...process.env,
    OMP_NUM_THREADS: '1',
    OPENBLAS_NUM_THREADS: '1',
    ...(folder && { LD_LIBRARY_PATH: folder }),
    ...(folder && wide && { OPENBLAS_CORETYPE: 'SKYLAKEX' }),
  };
  return {
    python,
    version: asked.stdout.trim(),
    blas: folder ? 'OpenBLAS' : 'the installed BLAS',
    environment,
  };
}

async function pytorch(
  folder: string,
  preset: string,
  { mean, deviation, order }: NativeMaterial,
  channelsLast: boolean,
  { python, environment }: PyTorch,
): Promise<Racer> {
  const script = join(repository, 'tests/benchmarks/pytorch_peer.py');
  const peer = new Peer(spawn(python, [script], { env: environment }));
  const open = (learningRate: number) =>
    peer.ask({
      open: preset,
      weights: join(folder, 'weights.safetensors'),
      images: join(folder, 'images'),
      labels: join(folder, 'labels'),
      mean,
      deviation,
      order,
      learning_rate: learningRate,
      momentum: training.momentum,
      batch: training.batch,
      channels_last: channelsLast,
    });
  let pace: number | undefined;
  return {
    id: channelsLast ? 'pytorch-channels-last' : 'pytorch',
    async losses() {
      await open(check.learningRate);
      const before = (await peer.ask({ loss: check.images })).loss!;
      await peer.ask({ train_again: check.steps });
      const after = (await peer.ask({ loss: check.images })).loss!;
      await open(training.learningRate);
      return [before, after];
    },
    async time(seconds) {
      const steps = pace === undefined ? 10 : Math.max(1, Math.round(seconds / pace));
      const answer = await peer.ask({ train: steps });
      pace = answer.seconds! / steps;
      return training.batch / pace;
    },
    close: () => peer.close(),
  };
}

interface Answer {
  loss?: number;
  seconds?: number;
}

/** A line there, a line back. */
class Peer {
  readonly #child: ChildProcessWithoutNullStreams;
  readonly #lines: AsyncIterator<string>;
  readonly #reader: Interface;

  constructor(child: ChildProcessWithoutNullStreams) {
    this.#child = child;
    child.stderr.pipe(process.stderr);
    this.#reader = createInterface({ input: child.stdout });
    this.#lines = this.#reader[Symbol.asyncIterator]();
  }

  async ask(request: object): Promise<Answer> {
    this.#child.stdin.write(`${JSON.stringify(request)}\n`);
    const { value, done } = await this.#lines.next();
    if (done) throw new Error('PyTorch ended before it answered.');
    return JSON.parse(value) as Answer;
  }

  close(): void {
    this.#reader.close();
    this.#child.stdin.end();
  }
}
