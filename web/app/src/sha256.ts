// SHA-256 (FIPS 180-4) of what arrives piece by piece: the browser's own wants everything at once, which archives of
// half a gigabyte should not have to be.

import { Pace } from './pace';

const blockBytes = 64;

/** The first 32 bits of the fractional part of a root of the first primes. */
function fractions(count: number, root: number): Uint32Array {
  const words = new Uint32Array(count);
  for (let n = 2, found = 0; found < count; ++n) {
    let isPrime = true;
    for (let d = 2; d * d <= n; ++d) isPrime &&= n % d !== 0;
    if (isPrime) words[found++] = (n ** (1 / root) % 1) * 2 ** 32;
  }
  return words;
}
const constants = Int32Array.from(fractions(64, 3));

export class Sha256 {
  readonly #state = fractions(8, 2);
  readonly #words = new Int32Array(64);
  /** What does not fill a block yet. */
  readonly #rest = new Uint8Array(blockBytes);
  #restBytes = 0;
  #bytes = 0;

  add(bytes: Uint8Array): this {
    this.#bytes += bytes.length;
    let at = 0;
    if (this.#restBytes > 0) {
      at = Math.min(blockBytes - this.#restBytes, bytes.length);
      this.#rest.set(bytes.subarray(0, at), this.#restBytes);
      this.#restBytes += at;
      if (this.#restBytes < blockBytes) return this;
      this.#block(this.#rest, 0);
    }
    for (; at + blockBytes <= bytes.length; at += blockBytes) this.#block(bytes, at);
    this.#rest.set(bytes.subarray(at));
    this.#restBytes = bytes.length - at;
    return this;
  }

  /** In hexadecimal digits. Nothing can be added any more. */
  digest(): string {
    const bits = 8 * this.#bytes;
    const used = this.#restBytes + 1;
    const end = new Uint8Array(blockBytes * Math.ceil((used + 8) / blockBytes) - this.#restBytes);
    end[0] = 0x80;
    const view = new DataView(end.buffer);
    view.setUint32(end.length - 8, Math.floor(bits / 2 ** 32));
    view.setUint32(end.length - 4, bits % 2 ** 32);
    this.add(end);
    return Array.from(this.#state, (word) => word.toString(16).padStart(8, '0')).join('');
  }

  #block(bytes: Uint8Array, at: number): void {
    const [w, k, state] = [this.#words, constants, this.#state];
    for (let i = 0; i < 16; ++i, at += 4) {
      w[i] = (bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!;
    }
    for (let i = 16; i < 64; ++i) {
      const [x, y] = [w[i - 15]!, w[i - 2]!];
      const s0 = ((x >>> 7) | (x << 25)) ^ ((x >>> 18) | (x << 14)) ^ (x >>> 3);
      const s1 = ((y >>> 17) | (y << 15)) ^ ((y >>> 19) | (y << 13)) ^ (y >>> 10);
      w[i] = w[i - 16]! + s0 + w[i - 7]! + s1;
    }
    let a = state[0]! | 0;
    let b = state[1]! | 0;
    let c = state[2]! | 0;
    let d = state[3]! | 0;
    let e = state[4]! | 0;
    let f = state[5]! | 0;
    let g = state[6]! | 0;
    let h = state[7]! | 0;
    for (let i = 0; i < 64; ++i) {
      const s1 = ((e >>> 6) | (e << 26)) ^ ((e >>> 11) | (e << 21)) ^ ((e >>> 25) | (e << 7));
      const s0 = ((a >>> 2) | (a << 30)) ^ ((a >>> 13) | (a << 19)) ^ ((a >>> 22) | (a << 10));
      const one = (h + s1 + ((e & f) ^ (~e & g)) + k[i]! + w[i]!) | 0;
      const two = (s0 + ((a & b) ^ (a & c) ^ (b & c))) | 0;
      h = g;
      g = f;
      f = e;
      e = (d + one) | 0;
      d = c;
      c = b;
      b = a;
      a = (one + two) | 0;
    }
    state[0]! += a;
    state[1]! += b;
    state[2]! += c;
    state[3]! += d;
    state[4]! += e;
    state[5]! += f;
    state[6]! += g;
    state[7]! += h;
  }
}

export async function sha256(data: Blob): Promise<string> {
  const hash = new Sha256();
  for await (const piece of pieces(data.stream())) hash.add(piece);
  return hash.digest();
}

const pieceBytes = 2 ** 18;

/** What a stream has, with rests, however fast and however much at once it comes. Not every browser iterates streams itself. */
export async function* pieces(stream: ReadableStream<Uint8Array>): AsyncGenerator<Uint8Array> {
  const reader = stream.getReader();
  const pace = new Pace();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    for (let at = 0; at < value.length; at += pieceBytes) {
      yield value.subarray(at, at + pieceBytes);
      await pace.rest();
    }
  }
}
