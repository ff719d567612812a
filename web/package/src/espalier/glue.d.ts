// Emscripten describes only the plain binary; the others have the same functions.
declare module '*/espalier-relaxed.mjs' {
  const factory: (options?: unknown) => Promise<import('./instance.js').Native>;
  export default factory;
}
declare module '*/espalier-simd-threads.mjs' {
  const factory: (options?: unknown) => Promise<import('./instance.js').Native>;
  export default factory;
}
declare module '*/espalier-relaxed-threads.mjs' {
  const factory: (options?: unknown) => Promise<import('./instance.js').Native>;
  export default factory;
}
