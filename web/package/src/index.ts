export { createEngine } from './engine.js';
export { EspalierError } from './error.js';
export type * from './types.js';
