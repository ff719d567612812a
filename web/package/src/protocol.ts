// What travels between a client and its engine. The methods themselves are defined once, in
// espalier/methods.ts; their types reach the client through `Methods`.

import type { ErrorData } from './error.js';
import type { Methods } from './espalier/methods.js';

/** What every method gets besides its arguments. */
export interface Call<Event = never> {
  readonly id: number;
  /** Fires when the caller gave up. */
  readonly signal: AbortSignal;
  emit(event: Event): void;
}

export type MethodName = keyof Methods;
export type Arguments<M extends MethodName> =
  Parameters<Methods[M]> extends [unknown, ...infer Rest] ? Rest : never;
export type Result<M extends MethodName> = Awaited<ReturnType<Methods[M]>>;
export type EventOf<M extends MethodName> =
  Parameters<Methods[M]> extends [Call<infer Event>, ...unknown[]] ? Event : never;

export type Request =
  { kind: 'call'; id: number; method: MethodName; args: unknown[] } | { kind: 'cancel'; id: number };

export type Reply =
  | { kind: 'value'; id: number; value: unknown }
  | { kind: 'error'; id: number; error: ErrorData }
  | { kind: 'event'; id: number; event: unknown }
  /** The engine is gone; every call that is under way has failed. */
  | { kind: 'crashed'; reason: string };

/** Fewer bytes than these (a prediction) are copied faster than moved. */
const fewBytes = 1024;

/** The buffers of a value that nobody else holds: moved to the other side instead of copied. */
export function transferables(value: unknown): ArrayBuffer[] {
  if (ArrayBuffer.isView(value)) {
    return value.buffer instanceof ArrayBuffer && value.byteLength > fewBytes ? [value.buffer] : [];
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return [];
  return Object.values(value)
    .filter((field) => ArrayBuffer.isView(field))
    .flatMap(transferables);
}
