// States that can be gone back to. A slider that moves makes one step, not a hundred.

const most = 200;

export class Undo<State> {
  #past: State[] = [];
  #future: State[] = [];
  /** What the last step was about, as long as it goes on. */
  #open: string | undefined;

  get canUndo(): boolean {
    return this.#past.length > 0;
  }
  get canRedo(): boolean {
    return this.#future.length > 0;
  }

  /** Before a change of `before`. Changes about the same thing are one step until `close()`. */
  remember(before: State, about?: string): void {
    if (about !== undefined && about === this.#open) return;
    this.#open = about;
    this.#past = [...this.#past, before].slice(-most);
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

  #step(from: State[], to: State[], now: State): State | undefined {
    this.#open = undefined;
    const state = from.pop();
    if (state !== undefined) to.push(now);
    return state;
  }
}
