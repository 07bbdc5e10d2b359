/**
 * @module Deterministic CBOR (RFC 8949 §4.2.1), the subset in which entries are written: safe integers, byte and text
 * strings, arrays, maps with text or unsigned keys, false, true, null. Floats, tags, undefined, other simple values and
 * indefinite lengths do not exist here, so every value has one encoding and every encoding one value.
 */
import { compareBytes, copyBytes, utf8Decode, utf8Encode } from './bytes.ts'
import {
  CBOR_MAJOR,
  type CborReader,
  passString,
  passStringOf,
  readArgument,
  readInitial,
  simpleOf,
} from './cbor-reader.ts'
import { check, ProofError } from './errors.ts'

/** A map, in any order; its encoding is sorted. Keys are text or unsigned safe integers. */
export type CborMap = ReadonlyMap<string | number, CborValue>

/** Any value of the subset; numbers are safe integers. */
export type CborValue =
  | null
  | boolean
  | number
  | string
  | Uint8Array
  | readonly CborValue[]
  | CborMap

/** What a decoder takes at most. */
export interface CborLimits {
  /** Length of the whole input; 1 MiB by default. */
  readonly maxBytes?: number
  /** Arrays and maps inside each other; 16 by default. */
  readonly maxDepth?: number
  /** Data items in all, keys included; 65,536 by default. */
  readonly maxItems?: number
}

/** Arrays and maps inside each other, by default: twice what the deepest format of the kit needs. */
export const CBOR_DEPTH_MAX = 16

const BYTES_MAX = 1_048_576
const ITEMS_MAX = 65_536

/**
 * Encodes a value in its one deterministic form: shortest heads, map keys in the bytewise order of their encodings.
 *
 * @throws {ProofError} `malformed` for a value outside the subset (−0 and lone surrogates included); `too_large` for
 *   more than `maxDepth` arrays and maps inside each other.
 * @see RFC 8949 §4.2.1
 */
export function encodeCbor(value: CborValue, maxDepth: number = CBOR_DEPTH_MAX): Uint8Array {
  const output = new Output(scratch)
  writeValue(output, value, maxDepth)
  return output.written()
}

/**
 * Decodes one value that is the whole input. Byte strings in it are copies.
 *
 * @throws {ProofError} `not_canonical` for a head that is not the shortest, an indefinite length or unsorted keys;
 *   `too_large` over a limit or for an integer beyond ±(2^53−1); `malformed` for everything else that is not one whole
 *   value of the subset.
 * @see RFC 8949 §4.2.1
 */
export function decodeCbor(bytes: Uint8Array, limits: CborLimits = {}): CborValue {
  const { maxBytes = BYTES_MAX, maxDepth = CBOR_DEPTH_MAX, maxItems = ITEMS_MAX } = limits
  check(bytes.length <= maxBytes, 'too_large', `cbor: ${bytes.length} bytes, at most ${maxBytes}`)
  const reader: CborReader = { bytes, at: 0, items: maxItems }
  const value = readValue(reader, maxDepth)
  check(reader.at === bytes.length, 'malformed', 'cbor: bytes after the value')
  return value
}

/**
 * Finds the byte string that begins at `start`, as a view: what a signature is over is neither copied nor written anew.
 *
 * @returns The view, and where the byte string ends.
 * @throws {ProofError} `malformed` if none begins there; else as `decodeCbor`.
 */
export function cborBytesAt(
  bytes: Uint8Array,
  start: number,
  field: string,
): { readonly view: Uint8Array; readonly end: number } {
  const reader: CborReader = { bytes, at: start, items: 1 }
  const begin = passStringOf(reader, CBOR_MAJOR.bytes, field)
  return { view: bytes.subarray(begin, reader.at), end: reader.at }
}

/**
 * Decodes the value that begins at `start`, whatever follows it.
 *
 * @returns The value, and where it ends.
 * @throws {ProofError} as `decodeCbor`.
 */
export function cborValueAt(
  bytes: Uint8Array,
  start: number,
): { readonly value: CborValue; readonly end: number } {
  const reader: CborReader = { bytes, at: start, items: ITEMS_MAX }
  const value = readValue(reader, CBOR_DEPTH_MAX)
  return { value, end: reader.at }
}

/** Returns `value` if it is a map. @throws {ProofError} `malformed` otherwise, undefined included */
export function cborMap(value: CborValue | undefined, field: string): CborMap {
  if (value instanceof Map) return value
  throw new ProofError('malformed', `${field}: not a map`)
}

/** Returns `value` if it is an unsigned integer. @throws {ProofError} `malformed` otherwise, undefined included */
export function cborUint(value: CborValue | undefined, field: string): number {
  if (typeof value === 'number' && value >= 0) return value
  throw new ProofError('malformed', `${field}: not an unsigned integer`)
}

/** Returns `value` if it is text. @throws {ProofError} `malformed` otherwise, undefined included */
export function cborText(value: CborValue | undefined, field: string): string {
  if (typeof value === 'string') return value
  throw new ProofError('malformed', `${field}: not a text string`)
}

/** Returns `value` if it is false or true. @throws {ProofError} `malformed` otherwise, undefined included */
export function cborBoolean(value: CborValue | undefined, field: string): boolean {
  if (typeof value === 'boolean') return value
  throw new ProofError('malformed', `${field}: not a boolean`)
}

/**
 * Returns `value` if it is a byte string, and of `length` bytes where that is given.
 *
 * @throws {ProofError} `malformed` otherwise, undefined included.
 */
export function cborBytes(
  value: CborValue | undefined,
  field: string,
  length?: number,
): Uint8Array {
  if (!(value instanceof Uint8Array))
    throw new ProofError('malformed', `${field}: not a byte string`)
  if (length !== undefined && value.length !== length) {
    throw new ProofError('malformed', `${field}: ${value.length} bytes, must be ${length}`)
  }
  return value
}

/** Returns `value` if it is an array. @throws {ProofError} `malformed` otherwise, undefined included */
export function cborArray(value: CborValue | undefined, field: string): readonly CborValue[] {
  if (isArray(value)) return value
  throw new ProofError('malformed', `${field}: not an array`)
}

/**
 * Demands that a map has all `required` keys and none but those and the `optional` ones.
 *
 * @throws {ProofError} `malformed` for a missing or an unknown key.
 */
export function requireKeys(
  map: CborMap,
  required: readonly number[],
  optional: readonly number[],
  field: string,
): void {
  for (const key of required) {
    if (!map.has(key)) throw new ProofError('malformed', `${field}: key ${key} is missing`)
  }
  for (const key of map.keys()) {
    if (typeof key === 'string' || !(required.includes(key) || optional.includes(key))) {
      throw new ProofError('malformed', `${field}: unknown key`)
    }
  }
}

// Array.isArray does not narrow a union that holds a readonly array.
function isArray(value: CborValue | undefined): value is readonly CborValue[] {
  return Array.isArray(value)
}

/** What is written so far, in an array that grows. */
class Output {
  #bytes: Uint8Array
  #length = 0

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes
  }

  byte(value: number): void {
    this.#reserve(1)
    this.#bytes[this.#length] = value
    this.#length += 1
  }

  /** The lowest `count` bytes of an unsigned safe integer, big-endian. */
  uint(value: number, count: number): void {
    this.#reserve(count)
    let rest = value
    // No shifts: they cut off at 32 bits.
    for (let at = this.#length + count - 1; at >= this.#length; at -= 1) {
      this.#bytes[at] = rest % 256
      rest = Math.floor(rest / 256)
    }
    this.#length += count
  }

  append(bytes: Uint8Array): void {
    this.#reserve(bytes.length)
    this.#bytes.set(bytes, this.#length)
    this.#length += bytes.length
  }

  /** Appends text that is ASCII and short; false if it is not, and then nothing is appended. */
  ascii(text: string): boolean {
    if (text.length > ASCII_LENGTH_MAX) return false
    this.#reserve(text.length)
    for (let at = 0; at < text.length; at += 1) {
      const code = text.charCodeAt(at)
      if (code > 0x7f) return false
      this.#bytes[this.#length + at] = code
    }
    this.#length += text.length
    return true
  }

  /** Takes back what was written from `length` on. */
  rewind(length: number): void {
    this.#length = length
  }

  get length(): number {
    return this.#length
  }

  written(): Uint8Array {
    return copyBytes(this.#bytes, 0, this.#length)
  }

  #reserve(more: number): void {
    const needed = this.#length + more
    if (needed <= this.#bytes.length) return
    const larger = new Uint8Array(Math.max(needed, 2 * this.#bytes.length))
    larger.set(this.#bytes)
    this.#bytes = larger
  }
}

/** Longer text is encoded by the platform faster than character by character. */
const ASCII_LENGTH_MAX = 128

/** Where values are written before they are copied out: one at a time, for nothing waits while one is written. */
const scratch = new Uint8Array(8192)

function writeValue(output: Output, value: CborValue, depth: number): void {
  if (value === null) output.byte(0xf6)
  else if (value === false) output.byte(0xf4)
  else if (value === true) output.byte(0xf5)
  else if (typeof value === 'number') writeInteger(output, value)
  else if (typeof value === 'string') writeText(output, value)
  else if (value instanceof Uint8Array) writeString(output, CBOR_MAJOR.bytes, value)
  else {
    check(depth > 0, 'too_large', 'cbor: arrays and maps are nested too deeply')
    if (isArray(value)) {
      writeHead(output, CBOR_MAJOR.array, value.length)
      for (const item of value) writeValue(output, item, depth - 1)
    } else writeMap(output, value, depth - 1)
  }
}

function writeInteger(output: Output, value: number): void {
  const permitted = Number.isSafeInteger(value) && !Object.is(value, -0)
  check(permitted, 'malformed', 'cbor: a number that is not a safe integer')
  if (value >= 0) writeHead(output, CBOR_MAJOR.unsigned, value)
  else writeHead(output, CBOR_MAJOR.negative, -1 - value)
}

function writeString(output: Output, major: number, bytes: Uint8Array): void {
  writeHead(output, major, bytes.length)
  output.append(bytes)
}

function writeText(output: Output, text: string): void {
  const start = output.length
  writeHead(output, CBOR_MAJOR.text, text.length)
  if (output.ascii(text)) return
  output.rewind(start)
  writeString(output, CBOR_MAJOR.text, utf8Encode(text))
}

function writeMap(output: Output, map: CborMap, depth: number): void {
  check(map instanceof Map, 'malformed', 'cbor: a value that has no encoding')
  writeHead(output, CBOR_MAJOR.map, map.size)
  for (const [key, value] of inOrder(map)) {
    writeKey(output, key)
    writeValue(output, value, depth)
  }
}

/** The members in the bytewise order of their encoded keys: of unsigned integers the order of their values. */
function inOrder(map: CborMap): Iterable<readonly [string | number, CborValue]> {
  let previous = -1
  for (const key of map.keys()) {
    if (!(typeof key === 'number' && key > previous)) {
      const members = [...map].map((member) => ({ member, key: encodeKey(member[0]) }))
      return members.sort((a, b) => compareBytes(a.key, b.key)).map(({ member }) => member)
    }
    previous = key
  }
  return map
}

function encodeKey(key: string | number): Uint8Array {
  const output = new Output(new Uint8Array(16))
  writeKey(output, key)
  return output.written()
}

function writeKey(output: Output, key: string | number): void {
  const permitted = typeof key === 'string' || key >= 0
  check(permitted, 'malformed', 'cbor: a map key that is neither text nor an unsigned integer')
  writeValue(output, key, 0)
}

function writeHead(output: Output, major: number, argument: number): void {
  const type = major * 32
  if (argument < 24) {
    output.byte(type + argument)
    return
  }
  // 24 to 27 in the initial byte stand for 1, 2, 4 and 8 bytes behind it.
  const power = argument < 2 ** 8 ? 0 : argument < 2 ** 16 ? 1 : argument < 2 ** 32 ? 2 : 3
  output.byte(type + 24 + power)
  output.uint(argument, 2 ** power)
}

function readValue(reader: CborReader, depth: number): CborValue {
  const initial = readInitial(reader)
  const major = initial >> 5
  if (major > CBOR_MAJOR.map) return simpleOf(initial)
  const argument = readArgument(reader, initial)
  if (major === CBOR_MAJOR.unsigned) return argument
  if (major === CBOR_MAJOR.negative) {
    if (argument === Number.MAX_SAFE_INTEGER) {
      throw new ProofError('too_large', 'cbor: a negative integer below −(2^53−1)')
    }
    return -1 - argument
  }
  if (major === CBOR_MAJOR.bytes) return readString(reader, argument)
  if (major === CBOR_MAJOR.text) return utf8Decode(readString(reader, argument), 'cbor text')
  check(depth > 0, 'too_large', 'cbor: arrays and maps are nested too deeply')
  // Nothing is allocated for a count alone: each item has to be there.
  return major === CBOR_MAJOR.array
    ? readArray(reader, argument, depth - 1)
    : readMap(reader, argument, depth - 1)
}

function readString(reader: CborReader, length: number): Uint8Array {
  const start = passString(reader, length)
  return copyBytes(reader.bytes, start, reader.at)
}

function readArray(reader: CborReader, count: number, depth: number): readonly CborValue[] {
  const items: CborValue[] = []
  while (items.length < count) items.push(readValue(reader, depth))
  return items
}

function readMap(reader: CborReader, count: number, depth: number): CborMap {
  const map = new Map<string | number, CborValue>()
  // Where the encoding of the key before lies, and its value if that is a number: unsigned keys are in the order of their
  // values, which is told without a look at their bytes.
  let [from, to, previous] = [0, 0, -1]
  while (map.size < count) {
    const start = reader.at
    const key = readKey(reader)
    if (!(typeof key === 'number' && key > previous)) {
      const before = reader.bytes.subarray(from, to)
      const order = compareBytes(before, reader.bytes.subarray(start, reader.at))
      if (order === 0) throw new ProofError('malformed', 'cbor: duplicate map key')
      if (order > 0) throw new ProofError('not_canonical', 'cbor: map keys are not sorted')
    }
    from = start
    to = reader.at
    previous = typeof key === 'number' ? key : Number.POSITIVE_INFINITY
    map.set(key, readValue(reader, depth))
  }
  return map
}

function readKey(reader: CborReader): string | number {
  const initial = readInitial(reader)
  const major = initial >> 5
  if (major === CBOR_MAJOR.unsigned) return readArgument(reader, initial)
  if (major === CBOR_MAJOR.text) {
    return utf8Decode(readString(reader, readArgument(reader, initial)), 'cbor text')
  }
  throw new ProofError('malformed', 'cbor: a map key that is neither text nor an unsigned integer')
}
