// Files out of the page.

import { offer } from '../offer';
import { slug } from '../recognise';
import { session } from '../session.svelte';
import { comparison } from './comparison.svelte';

/** The right network, in the bytes that the footer counts. */
export function download(): void {
  const right = comparison.results.right;
  if (right) offer(right.file, `espalier-${slug(session.modelName)}.espalier`);
}
