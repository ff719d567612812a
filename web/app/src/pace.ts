// Long work in short tasks: the page stays quick.

const workMs = 8;

export class Pace {
  #began = performance.now();

  /** Resolves at once, or after a rest when it is time for one. */
  async rest(): Promise<void> {
    if (performance.now() - this.#began < workMs) return;
    await new Promise((resolve) => setTimeout(resolve));
    this.#began = performance.now();
  }
}
