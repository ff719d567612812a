// Which step of the first minute is on show. Who has closed the guide, or has been through it, does not see it again.

import { goTo } from '../go-to';
import { steps, type Step } from './steps';

const key = 'espalier:guide';
const closed = 'closed';

class Guide {
  isOpen = $state(stored() !== closed);
  #at = $state(0);

  get step(): Step | undefined {
    return this.isOpen ? steps[this.#at] : undefined;
  }
  /** From 1 on. */
  get number(): number {
    return this.#at + 1;
  }

  next(): void {
    if (this.#at + 1 < steps.length) this.#at += 1;
    else this.close();
  }

  close(): void {
    this.isOpen = false;
    try {
      localStorage.setItem(key, closed);
    } catch {
      // It holds for this visit.
    }
  }

  /** To where the step is about. */
  show(): void {
    if (this.step) goTo(this.step.selector);
  }
}

function stored(): string | null {
  try {
    return localStorage.getItem(key);
  } catch {
    return null;
  }
}

export const guide = new Guide();
