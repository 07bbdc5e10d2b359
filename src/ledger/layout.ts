/**
 * @module Keys and values of the ledger's own folds, as bytes: integers are u64, big-endian, so that keys come in order.
 */
import { concatBytes } from '@trustwarden/proofs'
import { readU64, u64 } from '../store/keys.ts'

export { writeU64 } from '../store/keys.ts'

/** The 8 bytes of an unsigned safe integer, big-endian. */
export const u64Bytes: (value: number) => Uint8Array = u64

/** The unsigned integer of the 8 bytes at `offset`, which the caller knows to be there. */
export const u64At: (bytes: Uint8Array, offset: number) => number = readU64

/** `parts`, one after the other. */
export const join: (...parts: readonly Uint8Array[]) => Uint8Array = concatBytes
