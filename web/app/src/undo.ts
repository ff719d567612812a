// States that can be gone back to. A slider that moves makes one step, not a hundred.
// The steps of all parts of the page have one order, so that Ctrl+Z takes back the last one, wherever it was made.

const most = 200;
let steps = 0;

interface Step<State> {
  state: State;
  /** Its place among all steps of the page. */
  number: number;
}

export class Undo<State> {
  #past: Step<State>[] = [];
  #future: Step<State>[] = [];
  /** What the last step was about, as long as it goes on. */
  #open: string | undefined;

  get canUndo(): boolean {
    return this.#past.length > 0;
  }
  get canRedo(): boolean {
    return this.#future.length > 0;
  }
  /** The number of the step that `undo` takes back; 0: there is none. */
  get last(): number {
    return this.#past.at(-1)?.number ?? 0;
  }
  /** The number of the step that `redo` does again; Infinity: there is none. */
  get next(): number {
    return this.#future.at(-1)?.number ?? Infinity;
  }

  /** Before a change of `before`. Changes about the same thing are one step until `close()`. */
  remember(before: State, about?: string): void {
    if (about !== undefined && about === this.#open) return;
    this.#open = about;
    steps += 1;
    this.#past = [...this.#past, { state: before, number: steps }].slice(-most);
    this.#future = [];
  }

  close(): void {
    this.#open = undefined;
  }

  undo(now: State): State | undefined {
    return this.#step(this.#past, this.#future, now);
  }
  redo(now: State): State | undefined {
    return this.#step(this.#future, this.#past, now);
  }

  #step(from: Step<State>[], to: Step<State>[], now: State): State | undefined {
    this.#open = undefined;
    const step = from.pop();
    if (step !== undefined) to.push({ state: now, number: step.number });
    return step?.state;
  }
}
