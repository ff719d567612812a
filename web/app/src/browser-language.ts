// WebKitGTK under the C locale calls its language "C", which Intl refuses with an exception; uPlot asks it at import.

try {
  Intl.getCanonicalLocales(navigator.language);
} catch {
  Object.defineProperty(navigator, 'language', { value: 'en' });
}
