// What both networks, as their files run, say of the image in the pad.

import { session } from '../session.svelte';
import { comparison, type Sides } from './comparison.svelte';
import { Latest } from './latest';

/** Probabilities; undefined where both are the same network. For the start of a component. */
export function bothOfPad(): { readonly now: Sides<Float32Array> | undefined } {
  let now = $state.raw<Sides<Float32Array>>();
  const latest = new Latest();
  const left = $derived(comparison.results.left?.packed);
  const right = $derived(comparison.results.right?.packed);
  $effect(() => {
    const pixels = session.inside.input?.pixels;
    const [first, second] = [left, right];
    const differ = pixels && first && second && !comparison.isSame;
    latest.request(async () => {
      if (!differ) {
        now = undefined;
        return;
      }
      const both = Promise.all([first.predict(pixels, 1), second.predict(pixels, 1)]);
      // A network that went meanwhile has a successor.
      const answers = await both.catch(() => undefined);
      if (answers) now = { left: answers[0], right: answers[1] };
    });
  });
  return {
    get now() {
      return now;
    },
  };
}
