import { binary } from './simd-threads.js';
import { serveWorker } from './server.js';

serveWorker(binary);
