/**
 * @module Sealed values and set digests: what makes a changed or lost key of a fold noticeable (DESIGN §5).
 *
 * One hash serves both: d = SHA-256(key ‖ value). Its first 8 bytes end the stored value and are checked at every
 * read; the sum of all d of a fold mod 2^256, with the count of keys, is the fold's set digest.
 */
import { allocate } from '@trustwarden/proofs'
import { sha256Pair } from './hash.ts'

/** Bytes that seal a value. */
const SEAL_BYTES = 8

/** The empty set's sum. */
const EMPTY_SUM: Uint8Array = new Uint8Array(32)

/** A value as it was read or is to be written, with d = SHA-256(key ‖ value). */
export interface Sealed {
  readonly value: Uint8Array
  readonly digest: Uint8Array
}

/** Computes d = SHA-256(key ‖ value). */
export function digestOf(key: Uint8Array, value: Uint8Array): Uint8Array {
  return sha256Pair(key, value)
}

/** The bytes to store for `value` under a key, where `digest` is `digestOf(key, value)`. */
export function sealValue(value: Uint8Array, digest: Uint8Array): Uint8Array {
  const bytes = allocate(value.length + SEAL_BYTES)
  bytes.set(value)
  for (let at = 0; at < SEAL_BYTES; at++) bytes[value.length + at] = digest[at] ?? 0
  return bytes
}

/** Takes stored bytes apart and checks the seal: undefined if they are not what was written under `key`. */
export function openSealed(key: Uint8Array, stored: Uint8Array): Sealed | undefined {
  const length = stored.length - SEAL_BYTES
  if (length < 0) return undefined
  const value = stored.subarray(0, length)
  const digest = digestOf(key, value)
  for (let at = 0; at < SEAL_BYTES; at++) if (stored[length + at] !== digest[at]) return undefined
  return { value, digest }
}

const WORDS = 8
const WORD_RANGE = 0x1_0000_0000
/** Additions before a carry, so that a 53-bit lane cannot overflow: 2^20 words below 2^32 are below 2^52. */
const LANE_ADDITIONS = 0x10_0000

/**
 * Sum of 32-byte integers mod 2^256 with a count, added to and subtracted from in any order.
 *
 * Eight lanes hold 32 bits each and carry only now and then: an addition costs eight float additions.
 */
export class SetDigest {
  #count: number
  readonly #lanes = new Float64Array(WORDS)
  #additions = 0

  constructor(count = 0, sum: Uint8Array = EMPTY_SUM) {
    this.#count = count
    for (let i = 0; i < WORDS; i++) this.#lanes[i] = wordAt(sum, 4 * i)
  }

  /** Number of keys in the set. */
  get count(): number {
    return this.#count
  }

  /** Adds a key with its value. */
  add(digest: Uint8Array): void {
    this.#accumulate(digest, 1)
    this.#count++
  }

  /** Takes a key with its value out. */
  remove(digest: Uint8Array): void {
    this.#accumulate(digest, -1)
    this.#count--
  }

  /** The sum, 32 bytes big-endian. */
  sum(): Uint8Array {
    this.#carry()
    const bytes = new Uint8Array(32)
    for (let i = 0; i < WORDS; i++) {
      const word = this.#lanes[i] ?? 0
      for (let at = 0; at < 4; at++) bytes[4 * i + at] = word / 256 ** (3 - at)
    }
    return bytes
  }

  /** A copy that changes on its own. */
  clone(): SetDigest {
    return new SetDigest(this.#count, this.sum())
  }

  #accumulate(digest: Uint8Array, sign: 1 | -1): void {
    for (let i = 0; i < WORDS; i++) {
      this.#lanes[i] = (this.#lanes[i] ?? 0) + sign * wordAt(digest, 4 * i)
    }
    if (++this.#additions === LANE_ADDITIONS) this.#carry()
  }

  #carry(): void {
    let carry = 0
    for (let i = WORDS - 1; i >= 0; i--) {
      const total = (this.#lanes[i] ?? 0) + carry
      carry = Math.floor(total / WORD_RANGE)
      this.#lanes[i] = total - carry * WORD_RANGE
    }
    this.#additions = 0
  }
}

/** The unsigned integer of the 4 bytes at `at`, big-endian. */
function wordAt(bytes: Uint8Array, at: number): number {
  const high = (Number(bytes[at]) << 24) | (Number(bytes[at + 1]) << 16)
  return (high | (Number(bytes[at + 2]) << 8) | Number(bytes[at + 3])) >>> 0
}
