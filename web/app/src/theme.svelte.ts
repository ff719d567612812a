// Light or dark: the system's choice until the visitor makes one.

import { darkTheme, lightTheme, type PlotTheme } from './colors';

const key = 'espalier:theme';

class Theme {
  name = $state<'light' | 'dark'>('light');

  constructor() {
    if (typeof document === 'undefined') return;
    this.name = document.documentElement.dataset.theme === 'dark' ? 'dark' : 'light';
    matchMedia('(prefers-color-scheme: dark)').addEventListener('change', ({ matches }) => {
      if (this.#stored() === null) this.#apply(matches ? 'dark' : 'light');
    });
  }

  get plot(): PlotTheme {
    return this.name === 'dark' ? darkTheme : lightTheme;
  }

  toggle(): void {
    this.#apply(this.name === 'dark' ? 'light' : 'dark');
    try {
      localStorage.setItem(key, this.name);
    } catch {
      // It holds for this visit.
    }
  }

  #apply(name: 'light' | 'dark'): void {
    this.name = name;
    document.documentElement.dataset.theme = name;
  }

  #stored(): string | null {
    try {
      return localStorage.getItem(key);
    } catch {
      return null;
    }
  }
}

export const theme = new Theme();
