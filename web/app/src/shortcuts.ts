// Single keys, as the help lists them.

import { comparison } from './compress/comparison.svelte';
import { draft } from './network/draft.svelte';
import { session } from './session.svelte';

export const keys = [
  { key: ' ', does: 'pause' },
  { key: 'S', does: 'step' },
  { key: 'E', does: 'epoch' },
  { key: 'R', does: 'reset' },
  { key: 'Ctrl+Z', does: 'undo' },
  { key: 'Ctrl+Shift+Z', does: 'redo' },
  { key: '?', does: 'help' },
] as const;

export function shortcuts(event: KeyboardEvent, onHelp: () => void): void {
  if (undoes(event)) return;
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
      void session.run.stepOnce();
      break;
    case 'e':
      void session.run.epochOnce();
      break;
    case 'r':
      void session.reset();
      break;
    case '?':
      onHelp();
      break;
  }
}

/** The last change of the network or of the compression. Everywhere but in texts, which have an undo of their own. */
function undoes(event: KeyboardEvent): boolean {
  const isUndo = (event.ctrlKey || event.metaKey) && !event.altKey && event.key.toLowerCase() === 'z';
  const isText = (event.target as HTMLElement).closest('input:not([type=range], [type=checkbox]), textarea');
  if (!isUndo || isText || document.querySelector('dialog[open]')) return false;
  event.preventDefault();
  if (event.shiftKey) (draft.nextStep < comparison.nextStep ? draft : comparison).redo();
  else (draft.lastStep > comparison.lastStep ? draft : comparison).undo();
  return true;
}
