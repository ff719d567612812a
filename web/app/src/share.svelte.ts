// A link to what is on the page: the settings, how far they were trained, and both stacks are in the address.

import { t } from './i18n/index.svelte';
import { session } from './session.svelte';
import { notices } from './session/notices.svelte';

class Share {
  /** Somebody has done it in this visit. */
  isDone = $state(false);

  async copy(): Promise<void> {
    this.isDone = true;
    try {
      await navigator.clipboard.writeText(location.href);
      notices.say('info', session.isRepeatable ? t.exports.shared : t.exports.sharedWithoutWeights);
    } catch {
      // Browsers without a clipboard show the address all the same.
      notices.say('info', t.guide.share);
    }
  }
}

export const share = new Share();
