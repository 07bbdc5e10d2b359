/**
 * @module Keys and values of the ledger's own folds, as bytes: integers are u64, big-endian, so that keys come in order.
 */
import { concatBytes } from '@trustwarden/proofs'

const U32_RANGE = 0x1_0000_0000

/** The 8 bytes of an unsigned safe integer, big-endian. */
export function u64Bytes(value: number): Uint8Array {
  const bytes = new Uint8Array(8)
  const view = new DataView(bytes.buffer)
  view.setUint32(0, Math.floor(value / U32_RANGE))
  view.setUint32(4, value % U32_RANGE)
  return bytes
}

/** The unsigned integer of the 8 bytes at `offset`, which the caller knows to be there. */
export function u64At(bytes: Uint8Array, offset: number): number {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  return view.getUint32(offset) * U32_RANGE + view.getUint32(offset + 4)
}

/** UTF-8 of `text`. */
export function textKey(text: string): Uint8Array {
  // Of Node's pool: an array of its own for each key is the larger part of what a key costs.
  const { buffer, byteOffset, byteLength } = Buffer.from(text, 'utf8')
  return new Uint8Array(buffer, byteOffset, byteLength)
}

/** `parts`, one after the other. */
export function join(...parts: readonly Uint8Array[]): Uint8Array {
  return concatBytes(...parts)
}
