// To a place on the page, and the keyboard's focus with it.

export function goTo(selector: string): void {
  const place = document.querySelector<HTMLElement>(selector);
  if (!place) return;
  place.scrollIntoView({ block: 'center' });
  place.focus({ preventScroll: true });
}
