// node native/toolchain/run.mjs <command …>: sets up, then runs the command where emcc, cmake and Chromium are found.

import { spawn } from 'node:child_process';
import { toolEnvironment } from './environment.mjs';
import { main, setup } from './setup.mjs';

const [program, ...args] = process.argv.slice(2);
if (!program) {
  console.error('Usage: node native/toolchain/run.mjs <command …>');
  process.exit(1);
}
main(() => setup({ quiet: true }));
const child = spawn(program, args, { env: toolEnvironment(), stdio: 'inherit' });
// A terminal's Ctrl+C reaches the child too; wait for it to finish in its own way.
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => child.kill(signal));
child.on('error', (error) => {
  console.error(error.message);
  process.exit(1);
});
child.on('exit', (status, signal) => process.exit(status ?? (signal ? 1 : 0)));
