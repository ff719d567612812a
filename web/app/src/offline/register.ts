// Has the browser keep the page for visits without a network.

/** Behind what the first visit waits for: all files are fetched. */
const registerAfterMs = 3_000;

/** `onUpdate` hears of a new version that waits. */
export function keepForOffline(onUpdate: () => void): void {
  if (import.meta.env.DEV || !('serviceWorker' in navigator)) return;
  setTimeout(() => {
    register(onUpdate).catch(() => {
      // The page works all the same, with a network.
    });
  }, registerAfterMs);
}

async function register(onUpdate: () => void): Promise<void> {
  const { serviceWorker } = navigator;
  const registration = await serviceWorker.register(new URL('service-worker.js', document.baseURI));
  // The first version has nothing to wait for.
  const told = () => serviceWorker.controller && registration.waiting && onUpdate();
  const watch = () => registration.installing?.addEventListener('statechange', told);
  told();
  watch();
  registration.addEventListener('updatefound', watch);
  // By themselves browsers look for a new version only now and then.
  if (serviceWorker.controller) await registration.update();
}
