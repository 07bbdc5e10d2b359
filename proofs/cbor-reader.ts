/**
 * @module Going through deterministic CBOR (cbor.ts) item by item. Nothing is built but what is asked for: for whoever
 * needs little of a long value.
 */
import { readUint } from './bytes.ts'
import { ProofError } from './errors.ts'

/** Major types (RFC 8949 §3.1): the high three bits of an initial byte. */
export const CBOR_MAJOR = {
  unsigned: 0,
  negative: 1,
  bytes: 2,
  text: 3,
  array: 4,
  map: 5,
  simple: 7,
} as const

/** One of `CBOR_MAJOR`. */
export type CborMajor = (typeof CBOR_MAJOR)[keyof typeof CBOR_MAJOR]

/** A place in CBOR. */
export interface CborReader {
  readonly bytes: Uint8Array
  /** Where the next item begins. Moves on as items are read. */
  at: number
  /** How many more items may be read. */
  items: number
}

/**
 * Reads the initial byte of the next item.
 *
 * @throws {ProofError} `too_large` for one item too many; `malformed` at the end of the bytes.
 */
export function readInitial(reader: CborReader): number {
  if (reader.items === 0) throw new ProofError('too_large', 'cbor: too many data items')
  reader.items -= 1
  const initial = reader.bytes[reader.at]
  if (initial === undefined) throw new ProofError('malformed', 'cbor: the bytes end before an item')
  reader.at += 1
  return initial
}

/** Bytes of the argument behind additional information 24 to 27, and the least that needs as many. */
const LENGTHS: readonly number[] = [1, 2, 4, 8]
const LEAST: readonly number[] = [24, 2 ** 8, 2 ** 16, 2 ** 32]

/**
 * Reads the argument behind an initial byte.
 *
 * @throws {ProofError} `not_canonical` for a head that is not the shortest, or an indefinite length; `too_large` beyond
 *   2^53−1; `malformed` for what no head says, or where the bytes end before.
 */
export function readArgument(reader: CborReader, initial: number): number {
  const info = initial & 31
  if (info < 24) return info
  if (info === 31) throw new ProofError('not_canonical', 'cbor: indefinite length')
  const length = LENGTHS[info - 24]
  if (length === undefined)
    throw new ProofError('malformed', 'cbor: reserved additional information')
  const argument = readUint(reader.bytes, reader.at, length)
  reader.at += length
  if (argument < Number(LEAST[info - 24]))
    throw new ProofError('not_canonical', 'cbor: the head is not the shortest')
  return argument
}

/** Goes behind `length` bytes of a string, and returns where they begin. @throws {ProofError} `malformed` at the end */
export function passString(reader: CborReader, length: number): number {
  const start = reader.at
  if (length > reader.bytes.length - start) {
    throw new ProofError('malformed', 'cbor: the bytes end inside a string')
  }
  reader.at = start + length
  return start
}

/** The value of an initial byte that says all of it. @throws {ProofError} `malformed` for all but false, true and null */
export function simpleOf(initial: number): null | boolean {
  if (initial === 0xf4) return false
  if (initial === 0xf5) return true
  if (initial === 0xf6) return null
  throw new ProofError('malformed', 'cbor: tags, floats and other simple values are not permitted')
}

/**
 * Reads the head of the next item, which has to be of `major`, and returns its argument.
 *
 * @throws {ProofError} `malformed` for another item; else as `readInitial` and `readArgument`.
 */
export function readHead(reader: CborReader, major: CborMajor, field: string): number {
  const initial = readInitial(reader)
  if (initial >> 5 !== major) throw new ProofError('malformed', `${field}: not of its type`)
  return readArgument(reader, initial)
}

/**
 * Goes behind a byte or text string, and returns where its bytes begin. Whether text is UTF-8 is not looked at.
 *
 * @throws {ProofError} as `readHead`; `malformed` where the bytes end before.
 */
export function passStringOf(reader: CborReader, major: CborMajor, field: string): number {
  return passString(reader, readHead(reader, major, field))
}

/**
 * Goes behind the next item and all that is in it. Heads, counts, lengths and depth are as in `decodeCbor`; whether text
 * is UTF-8, and what a map's keys are and in which order, is not looked at.
 *
 * @throws {ProofError} as `decodeCbor` for what is looked at.
 */
export function skipCbor(reader: CborReader, maxDepth: number): void {
  const initial = readInitial(reader)
  const major = initial >> 5
  if (major > CBOR_MAJOR.map) {
    simpleOf(initial)
    return
  }
  const argument = readArgument(reader, initial)
  if (major < CBOR_MAJOR.bytes) return
  if (major < CBOR_MAJOR.array) {
    passString(reader, argument)
    return
  }
  if (maxDepth === 0)
    throw new ProofError('too_large', 'cbor: arrays and maps are nested too deeply')
  const count = major === CBOR_MAJOR.map ? 2 * argument : argument
  for (let left = count; left > 0; left -= 1) skipCbor(reader, maxDepth - 1)
}
