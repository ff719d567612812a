import { binary } from './simd.js';
import { serveWorker } from './server.js';

serveWorker(binary);
