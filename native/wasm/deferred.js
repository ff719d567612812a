/* global addToLibrary */

// A binary comes in two files (native/toolchain/split.mjs). What is in the second one, the first imports by its place in the
// table. Whoever calls it before the second file is linked has the package link it there and then.
addToLibrary({
  $deferredFunctions__deps: ['$wasmTable'],
  $deferredFunctions__postset: `
    var importsOfFirstFile = getWasmImports;
    getWasmImports = () => ({ ...importsOfFirstFile(), placeholder: deferredFunctions });`,
  $deferredFunctions: `new Proxy({}, {
    get: (_, place) => (...args) => {
      Module['linkDeferred'](wasmExports);
      return wasmTable.get(Number(place))(...args);
    },
  })`,
});
