// What this browser or Node can do. Nothing is looked at before somebody asks.

export const isNode = (): boolean =>
  typeof process === 'object' &&
  typeof process.versions?.node === 'string' &&
  (process as { type?: string }).type !== 'renderer';

/** A worker of a page, which may wait for a file while nothing else in it runs. */
export const mayBlock = (): boolean =>
  !isNode() && typeof document === 'undefined' && typeof XMLHttpRequest !== 'undefined';

/** Threads share memory, which a page may only do when it is cross-origin isolated. */
export const canShareMemory = (): boolean =>
  typeof SharedArrayBuffer !== 'undefined' && (isNode() || globalThis.crossOriginIsolated === true);

export function coreCount(): number {
  if (isNode()) return process.getBuiltinModule('node:os').availableParallelism();
  return globalThis.navigator?.hardwareConcurrency ?? 1;
}

// (func (result v128) (f32x4.relaxed_madd (zero) (zero) (zero)))
const zero = [0xfd, 12, ...new Array<number>(16).fill(0)];
const body = [0, ...zero, ...zero, ...zero, 0xfd, 0x85, 0x02, 0x0b];
const relaxedMadd = [
  ...[0, 0x61, 0x73, 0x6d, 1, 0, 0, 0],
  ...[1, 5, 1, 0x60, 0, 1, 0x7b],
  ...[3, 2, 1, 0],
  ...[10, body.length + 2, 1, body.length, ...body],
];

/** Saves the download where it could not even be compiled; known answers decide afterwards. */
export const hasRelaxedSimd = (): boolean => WebAssembly.validate(new Uint8Array(relaxedMadd));
