import { binary } from './relaxed.js';
import { serveWorker } from './server.js';

serveWorker(binary);
