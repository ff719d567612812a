// How long the rest will take: each kind of work as long as it took last, or as guessed until then.

export interface Work {
  kind: string;
  times: number;
  /** Seconds. */
  guess: number;
}

export class Clock {
  readonly #begin = performance.now();
  readonly #seconds = new Map<string, number>();

  async measure<T>(kind: string, work: () => Promise<T>): Promise<T> {
    const begin = performance.now();
    const result = await work();
    this.#seconds.set(kind, (performance.now() - begin) / 1000);
    return result;
  }

  estimate(rest: readonly Work[]): { secondsLeft: number; share: number } {
    const expected = ({ kind, times, guess }: Work) => times * (this.#seconds.get(kind) ?? guess);
    const secondsLeft = rest.reduce((sum, work) => sum + expected(work), 0);
    const elapsed = (performance.now() - this.#begin) / 1000;
    return { secondsLeft, share: elapsed / (elapsed + secondsLeft) };
  }
}
