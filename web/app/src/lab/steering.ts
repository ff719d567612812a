// Pauses and stops work that is many runs of the engine, one after the other, and measures the time that it takes.

/** A training or a pass. */
interface Run {
  pause(): Promise<void>;
  resume(): Promise<void>;
}

export class Steering {
  readonly #abort = new AbortController();
  #run: Run | undefined;
  /** Resolves when it goes on. */
  #pause: Promise<void> | undefined;
  #goOn = () => {};
  #began = performance.now();
  #pausedAt = 0;

  get signal(): AbortSignal {
    return this.#abort.signal;
  }

  /** Of work, without the pauses. */
  get seconds(): number {
    const now = this.#pause ? this.#pausedAt : performance.now();
    return (now - this.#began) / 1000;
  }

  /** Waits while there is a pause, then starts a run that can be paused. */
  async start<Started extends Run>(begin: () => Started): Promise<Started> {
    await this.#pause;
    this.signal.throwIfAborted();
    const run = begin();
    this.#run = run;
    return run;
  }

  pause(): void {
    if (this.#pause) return;
    this.#pausedAt = performance.now();
    this.#pause = new Promise((resolve) => (this.#goOn = resolve));
    // One that has just ended has nothing to pause.
    void this.#run?.pause().catch(() => {});
  }

  resume(): void {
    if (!this.#pause) return;
    this.#began += performance.now() - this.#pausedAt;
    this.#pause = undefined;
    this.#goOn();
    void this.#run?.resume().catch(() => {});
  }

  /** The run under way hears it by the signal. */
  stop(): void {
    this.#abort.abort();
    this.#goOn();
  }
}
