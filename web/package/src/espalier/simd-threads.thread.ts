// Starts by itself in a worker that is named "em-pthread".
import '../../wasm/espalier-simd-threads.mjs';
