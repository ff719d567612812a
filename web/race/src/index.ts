// The race as a library: who takes part, what they are given, and a worker for each.

export type * from './contestant';
export type { Timing } from './racer';
export { contestants } from './contestants';
export { loaders } from './contestants/loaders';
export { firstImages, makeNetwork, networks, prepare, type Material, type NetworkName } from './material';
export { Remote } from './remote';
