// Opens the engine before the rest of the page is there. It has its own worker, so both get ready at once.

import { createEngine, type Dataset, type Engine, type KernelName } from 'espalier';
import { drawnDigits, keepDigits, keptDigits } from './kept-digits';

const keepAfterMs = 4_000;

export interface Opened {
  engine: Engine;
  /** The built-in digits, for an address that asks for nothing else. */
  digits?: Promise<Dataset>;
}

/** What the address asks for: `kernels` and `threads`, behind the ? or the #. */
export async function openEngine(address: Pick<Location, 'search' | 'hash'>): Promise<Opened> {
  const [search, hash] = [address.search, address.hash].map((text) => new URLSearchParams(text.slice(1)));
  const wanted = (name: string) => hash?.get(name) ?? search?.get(name);
  const kernels = wanted('kernels');
  const threads = Number(wanted('threads'));
  const withDigits = !hash?.get('dataset');
  const kept = withDigits ? keptDigits() : Promise.resolve(undefined);
  const engine = await createEngine({
    ...((kernels === 'plain' || kernels === 'relaxed') && { kernels: kernels satisfies KernelName }),
    ...(Number.isInteger(threads) && threads > 0 && { threads }),
  });
  performance.mark('engine');
  if (!withDigits) return { engine };
  const digits = kept.then((source) => engine.loadDataset(source ?? drawnDigits));
  // Whoever needs them hears of it.
  digits
    .then((dataset) => {
      performance.mark('dataset');
      setTimeout(() => void keepDigits(dataset).catch(() => {}), keepAfterMs);
    })
    .catch(() => {});
  return { engine, digits };
}

let first: Promise<Opened> | undefined;

/** Begins to open the first engine. */
export function openEarly(): void {
  first = openEngine(location);
  first.catch(() => {});
}

/** The engine that was opened early, for the first who asks; a new one for all others. */
export function takeEngine(): Promise<Opened> {
  const opened = first ?? openEngine(location);
  first = undefined;
  return opened;
}
