import { binary } from './relaxed-threads.js';
import { serveWorker } from './server.js';

serveWorker(binary);
