import factory from '../../wasm/espalier-relaxed-threads.mjs';
import { serveThread } from './thread.js';

serveThread(factory);
