/**
 * @module Byte strings as the store needs them: compared, and as keys of maps.
 */

/** `bytes` as a plain Uint8Array: a Buffer's `slice` is a view where everybody else's is a copy. */
export function plain(bytes: Uint8Array): Uint8Array {
  return new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}

/** Whether two byte strings are equal. Not constant-time: nothing compared here is secret. */
export function equalBytes(a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.compare(a, b) === 0
}

/** The bytes [start, end) as a string of one character a byte: a key for maps that keeps the order of bytes. */
export function latin1(bytes: Uint8Array, start = 0, end: number = bytes.length): string {
  // Not by a Buffer over `bytes.buffer`: a small array has none until it is asked for (measured: 0.1 against 1.7 µs).
  return latin1Slice.call(bytes, start, end)
}

const { latin1Slice } = Buffer.prototype

/** The first of `count` places, in order, of which `isBelow` is false; `count` if there is none. */
export function lowerBound(count: number, isBelow: (at: number) => boolean): number {
  let [low, high] = [0, count]
  while (low < high) {
    const middle = Math.floor((low + high) / 2)
    if (isBelow(middle)) low = middle + 1
    else high = middle
  }
  return low
}
