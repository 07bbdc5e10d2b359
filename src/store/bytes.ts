/**
 * @module Byte strings as the store needs them: compared, and as keys of maps.
 */

/** `bytes` as a plain Uint8Array: a Buffer's `slice` is a view where everybody else's is a copy. */
export function plain(bytes: Uint8Array): Uint8Array {
  return new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}

/** Joins byte strings to one of the caller's own. */
export function joinBytes(...parts: readonly Uint8Array[]): Uint8Array {
  return plain(Buffer.concat(parts))
}

/** Whether two byte strings are equal. Not constant-time: nothing compared here is secret. */
export function equalBytes(a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.compare(a, b) === 0
}

/** `bytes` as a string of one character a byte: a key for maps that keeps the order of bytes. */
export function latin1(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1')
}
