// The race's texts in the present language.

import { inLanguage } from './index.svelte';
import { en } from './race.en';
import { zh } from './race.zh';

export const t = inLanguage({ en, zh });
