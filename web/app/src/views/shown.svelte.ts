// Which view is on show.

import type { ViewName } from './views';

class Shown {
  name = $state<ViewName>('filters');
}

export const shown = new Shown();
