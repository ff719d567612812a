// Single keys, as the help lists them.

import { session } from './session.svelte';

export const keys = [
  { key: ' ', does: 'pause' },
  { key: 'S', does: 'step' },
  { key: 'R', does: 'reset' },
  { key: '?', does: 'help' },
] as const;

export function shortcuts(event: KeyboardEvent, onHelp: () => void): void {
  if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
  if (document.querySelector('dialog[open]')) return;
  const target = event.target as HTMLElement;
  if (target.closest('input, select, textarea')) return;
  switch (event.key) {
    case ' ':
      // Space presses the button that has the focus.
      if (target.closest('button, summary, a')) return;
      event.preventDefault();
      void session.toggle();
      break;
    case 's':
      void session.stepOnce();
      break;
    case 'r':
      void session.reset();
      break;
    case '?':
      onHelp();
      break;
  }
}
