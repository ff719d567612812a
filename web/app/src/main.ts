// The engine first: while its worker compiles, the page loads.

import { openEarly } from './opening';

openEarly();
void import('./page');
