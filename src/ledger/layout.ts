/**
 * @module Keys and values of the ledger's own folds, as bytes: integers are u64, big-endian, so that keys come in order.
 */
import { allocate } from '../store/bytes.ts'
import { readU64, u64 } from '../store/keys.ts'

/** The 8 bytes of an unsigned safe integer, big-endian. */
export const u64Bytes: (value: number) => Uint8Array = u64

/** The unsigned integer of the 8 bytes at `offset`, which the caller knows to be there. */
export const u64At: (bytes: Uint8Array, offset: number) => number = readU64

/** UTF-8 of `text`, for a key: it does not outlive its batch. */
export function textKey(text: string): Uint8Array {
  const bytes = allocate(text.length)
  for (let at = 0; at < bytes.length; at++) {
    const code = text.charCodeAt(at)
    if (code > 0x7f) return new TextEncoder().encode(text)
    bytes[at] = code
  }
  return bytes
}

/** `parts`, one after the other. */
export function join(...parts: readonly Uint8Array[]): Uint8Array {
  let length = 0
  for (const part of parts) length += part.length
  // No shared block: values are kept in memory for long.
  const joined = new Uint8Array(length)
  let at = 0
  for (const part of parts) {
    joined.set(part, at)
    at += part.length
  }
  return joined
}
