// What can be asked of an engine whose binary is not there as a whole.

import type { MethodName } from '../protocol.js';

/**
 * What a page calls until a network learns and can be looked at. native/toolchain/split.mjs has all of them run, and what
 * runs is in the binary's first file; the other methods wait for the second. With other data or another network than
 * there, these work, too: the call that needs the second file fetches it.
 */
export const earlyMethods: ReadonlySet<MethodName> = new Set([
  'open',
  'catalog',
  'memory',
  'loadDataset',
  'images',
  'createModel',
  'inspect',
  'train',
  'pause',
  'continue',
  'step',
  'checkpoint',
  'evaluate',
  'predict',
  'activations',
  'tensor',
  'weightsSha256',
]);
