// Keeps the playground's files, so that it opens without a network. A new version waits until no tab has the old one
// open: it never replaces a page that trains.

import { precacheAndRoute } from 'workbox-precaching';

/** Of the build, with the hash of each file whose name has none. */
declare const builtFiles: { url: string; revision: string | null }[];

// What stands behind the ? is for the page.
precacheAndRoute(builtFiles, { ignoreURLParametersMatching: [/./] });
