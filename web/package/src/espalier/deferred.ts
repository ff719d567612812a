// The second of a binary's two files: what nobody needs until a network learns.

import { reasonOf } from '../error.js';
import { compile, compileNow } from './compile.js';

/** For one instance of the first file, whose exports it is linked to. */
export class DeferredFile {
  readonly #url: URL;
  #module: WebAssembly.Module | undefined;
  #linked = false;

  constructor(url: URL) {
    this.#url = url;
  }

  get linked(): boolean {
    return this.#linked;
  }

  async fetch(exports: WebAssembly.Exports): Promise<void> {
    this.#module ??= await compile(this.#url);
    this.link(exports);
  }

  /** For a function of it that is called before the file is there: it is fetched while everything waits. */
  link(exports: WebAssembly.Exports): void {
    if (this.#linked) return;
    this.#module ??= this.#compileNow();
    new WebAssembly.Instance(this.#module, { primary: exports });
    this.#linked = true;
  }

  #compileNow(): WebAssembly.Module {
    try {
      return compileNow(this.#url);
    } catch (error) {
      // Functions are left in the middle: as bad as a trap, and treated as one.
      throw new WebAssembly.RuntimeError(`${this.#url.href} cannot be fetched (${reasonOf(error)})`);
    }
  }
}
