import factory from '../../wasm/espalier-simd-threads.mjs';
import { serveThread } from './thread.js';

serveThread(factory);
