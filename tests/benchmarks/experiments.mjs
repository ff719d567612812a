// Runs commands of the native program for the tables of the documentation, each once: results are kept below
// build/experiments by the words of the command, so that a stopped run goes on where it was.

import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const repository = fileURLToPath(new URL('../..', import.meta.url));
const program = join(repository, 'build/native/espalier');
const shelf = join(repository, 'build/experiments');

/** The folder with mnist/ in it; ends the program when there is none. */
export function dataFolder(given) {
  const data = given ?? process.env.ESPALIER_DATA ?? join(repository, '../shared/data');
  if (existsSync(join(data, 'mnist'))) return data;
  console.error(`There is no folder mnist in ${data}; give the folder that has it.`);
  process.exit(2);
}

export class Experiments {
  /** @param {string} data the folder with mnist/ in it */
  constructor(data) {
    this.environment = { ...process.env, ESPALIER_DATA: data };
    this.commands = [];
    mkdirSync(shelf, { recursive: true });
  }

  /**
   * The JSON of `espalier COMMAND --json --out FILE`, and the file. A file among the words is the one that
   * another run gave, so words tell all about a result, with what `more` says (the contents of a pipeline, the
   * program where a result is its).
   */
  run(words, { more = [], ending = '.safetensors' } = {}) {
    const key = createHash('sha256')
      .update([...words, ...more].join('\n'))
      .digest('hex')
      .slice(0, 16);
    const file = join(shelf, `${key}${ending}`);
    const result = join(shelf, `${key}.json`);
    this.commands.push(`espalier ${words.join(' ')}`);
    const saves = words[0] !== 'eval' && words[0] !== 'inspect';
    if (!existsSync(result)) {
      const output = execFileSync(program, [...words, ...(saves ? ['--out', file] : []), '--json'], {
        encoding: 'utf8',
        env: this.environment,
        maxBuffer: 1 << 28,
        stdio: ['ignore', 'pipe', 'inherit'],
      });
      writeFileSync(`${result}.part`, output);
      renameSync(`${result}.part`, result);
    }
    return { ...JSON.parse(readFileSync(result, 'utf8')), ...(saves ? { file } : {}) };
  }
}

/** Stands for the program in `more`. */
export const programKey = () => createHash('sha256').update(readFileSync(program)).digest('hex').slice(0, 16);

export const mean = (numbers) => numbers.reduce((sum, x) => sum + x, 0) / numbers.length;
export const percent = (share, digits = 2) => `${(100 * share).toFixed(digits)} %`;
/** A difference of shares in percentage points, with its sign. */
export const points = (difference, digits = 2) =>
  `${difference >= 0 ? '+' : ''}${(100 * difference).toFixed(digits)}`;

/** A Markdown table. */
export function table(header, rows) {
  const line = (cells) => `| ${cells.join(' | ')} |`;
  return [line(header), line(header.map(() => '---')), ...rows.map(line)].join('\n');
}
