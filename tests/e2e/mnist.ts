// MNIST's own files, where they are: ESPALIER_DATA, or beside the project.

import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { repository } from './server';

const folder = join(process.env.ESPALIER_DATA ?? join(repository, '../shared/data'), 'mnist');

export const mnist = [
  'train-images-idx3-ubyte.gz',
  'train-labels-idx1-ubyte.gz',
  't10k-images-idx3-ubyte.gz',
  't10k-labels-idx1-ubyte.gz',
].map((name) => join(folder, name));

export const hasMnist = mnist.every((file) => existsSync(file));
