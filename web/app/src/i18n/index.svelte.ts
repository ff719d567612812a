// The language of the pages: what the address says (lang=zh, behind the ? or the #), what was chosen before, what the
// browser prefers. `t` is the catalogue of the present language; whoever reads it in a component follows the choice.

import { withParameter } from '../address';
import { en, type Messages } from './en';
import { zh } from './zh';

export const catalogues = { en, zh } satisfies Record<string, Messages>;
export type LanguageName = keyof typeof catalogues;

const key = 'espalier:language';
/** For `lang` attributes and Intl. */
const tags: Record<LanguageName, string> = { en: 'en', zh: 'zh-Hans' };

class Language {
  name = $state<LanguageName>('en');

  constructor() {
    if (typeof document === 'undefined') return;
    this.#apply(this.#asked() ?? known(stored()) ?? this.#preferred());
  }

  get tag(): string {
    return tags[this.name];
  }

  /** Remembered in the browser and in the address, which can be passed on. */
  choose(name: LanguageName): void {
    this.#apply(name);
    try {
      localStorage.setItem(key, name);
    } catch {
      // It holds for this visit.
    }
    history.replaceState(null, '', `#${withParameter(location.hash, 'lang', name)}`);
  }

  /** Somebody changed the address by hand. */
  readAddress(): void {
    const asked = this.#asked();
    if (asked) this.#apply(asked);
  }

  #apply(name: LanguageName): void {
    this.name = name;
    document.documentElement.lang = tags[name];
  }

  #asked(): LanguageName | undefined {
    const [hash, search] = [location.hash, location.search].map((text) => new URLSearchParams(text.slice(1)));
    return known(hash?.get('lang')) ?? known(search?.get('lang'));
  }

  #preferred(): LanguageName {
    for (const tag of navigator.languages) {
      const name = known(tag.split('-')[0]);
      if (name) return name;
    }
    return 'en';
  }
}

const known = (name: string | null | undefined): LanguageName | undefined =>
  name && Object.hasOwn(catalogues, name) ? (name as LanguageName) : undefined;

function stored(): string | null {
  try {
    return localStorage.getItem(key);
  } catch {
    return null;
  }
}

export const language = new Language();

/** The texts of the present language, entry by entry. */
export function inLanguage<Texts extends object>(texts: Record<LanguageName, Texts>): Texts {
  const entries = Object.keys(texts.en) as (keyof Texts)[];
  return Object.defineProperties(
    {} as Texts,
    Object.fromEntries(
      entries.map((entry) => [entry, { get: () => texts[language.name][entry], enumerable: true }]),
    ),
  );
}

export const t: Messages = inLanguage(catalogues);
