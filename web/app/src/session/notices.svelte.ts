// What the page has to say to its visitor, in the corner until it is dismissed.

import { t } from '../i18n/index.svelte';
import { PageError } from '../page-error';

export interface Notice {
  id: number;
  kind: 'error' | 'info';
  text: string;
  /** What the engine said, which speaks English whatever the language of the page. */
  english?: string;
  /** What the text speaks of, to go there. */
  address?: string;
}

const most = 3;
const goneAfterMs = 8000;

class Notices {
  list = $state.raw<Notice[]>([]);
  #id = 0;

  say(kind: Notice['kind'], text: string, english = '', address = ''): void {
    const notice = { id: ++this.#id, kind, text, english, address };
    const others = this.list.filter((old) => old.text !== text || old.english !== english);
    this.list = [...others, notice].slice(-most);
    if (kind === 'info') setTimeout(() => this.dismiss(notice.id), goneAfterMs);
  }

  sayError(error: unknown): void {
    if (error instanceof PageError) return this.say('error', error.message, '', error.address);
    const text = error instanceof Error ? error.message : String(error);
    this.say('error', t.page.engineSays, /[.!?]$/.test(text) ? text : `${text}.`);
  }

  dismiss(id: number): void {
    this.list = this.list.filter((notice) => notice.id !== id);
  }
}

export const notices = new Notices();
