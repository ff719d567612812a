// The instance of a server and what it takes to use its memory safely.

import { EspalierError } from '../error.js';
import type { ErrorCode } from '../types.js';
import type { Binary, Instance, InstanceOptions, Native } from './instance.js';
import { instantiate } from './instance.js';

/** What bindings.cpp throws. */
interface NativeError {
  code: ErrorCode;
  where: string;
  sentence: string;
}

export class Session {
  readonly #binary: Binary;
  readonly #crash: (reason: string) => void;
  #instance: Instance | undefined;
  #failure: EspalierError | undefined;

  constructor(binary: Binary, crash: (reason: string) => void) {
    this.#binary = binary;
    this.#crash = crash;
  }

  get failure(): EspalierError | undefined {
    return this.#failure;
  }

  async start(options: InstanceOptions): Promise<void> {
    this.#instance = await instantiate(this.#binary, options, this.#crash);
  }

  /** Undefined when the whole engine is there. */
  complete(): Promise<void> | undefined {
    return this.#instance?.complete();
  }

  /** One call into the engine, with its errors made ours. Never keep `native`. */
  use<T>(work: (native: Native) => T): T {
    if (this.#failure) throw this.#failure;
    if (!this.#instance) throw new EspalierError('argument', 'engine', 'is not open');
    try {
      return work(this.#instance.native);
    } catch (error) {
      throw isNativeError(error) ? new EspalierError(error.code, error.where, error.sentence) : error;
    }
  }

  /** The same with bytes that are copied into the heap for the time of the call. */
  useWith<T>(bytes: ArrayBufferView, work: (native: Native, pointer: number, size: number) => T): T {
    const size = bytes.byteLength;
    return this.use((native) => {
      const target = native.reserve(size);
      const pointer = target.byteOffset;
      target.set(new Uint8Array(bytes.buffer, bytes.byteOffset, size));
      try {
        return work(native, pointer, size);
      } finally {
        native.release(pointer);
      }
    });
  }

  /** After a trap: the instance is never called again. */
  fail(failure: EspalierError): void {
    this.#failure = failure;
    this.#instance?.close();
    this.#instance = undefined;
  }

  close(failure: EspalierError): void {
    if (this.#failure) return;
    this.#instance?.native.close_engine();
    this.fail(failure);
  }
}

function isNativeError(error: unknown): error is NativeError {
  return typeof error === 'object' && error !== null && 'sentence' in error && 'code' in error;
}
