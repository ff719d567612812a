// Requests that overtake each other: one runs, and of those that wait only the newest stays.

export type Job = (signal: AbortSignal) => Promise<void>;

export class Latest {
  #running: AbortController | undefined;
  #waiting: Job | undefined;

  get isBusy(): boolean {
    return this.#running !== undefined;
  }

  /** `signal` tells the running job that a newer one waits: it may finish what is quick. */
  request(job: Job): void {
    if (this.#running) {
      this.#waiting = job;
      this.#running.abort();
      return;
    }
    void this.#run(job);
  }

  async #run(job: Job): Promise<void> {
    let next: Job | undefined = job;
    while (next) {
      const running = (this.#running = new AbortController());
      await next(running.signal);
      next = this.#waiting;
      this.#waiting = undefined;
    }
    this.#running = undefined;
  }
}
