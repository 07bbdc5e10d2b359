/**
 * @module Encodings between bytes, text and integers: hex, base64, base64url, UTF-8, decimals, big-endian integers.
 *
 * Each has exactly one permitted form; every decoder refuses all others, so that equal values have equal encodings.
 * It needs no Buffer, since the kit runs in browsers, and not `atob`, which accepts spaces and stray trailing bits.
 */
import { check, ProofError } from './errors.ts'

const HEX = '0123456789abcdef'
const BASE64 = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/'
const BASE64URL = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'

const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })
const encoder = new TextEncoder()

const BLOCK_BYTES = 16_384
let block = new ArrayBuffer(BLOCK_BYTES)
let used = 0

/**
 * Zeroed bytes out of a block that many arrays share: engines give an array of more than some 64 bytes memory outside
 * their own heap, which costs ten times as much as all that is done with it (measured in V8). What lives long copies
 * its bytes into an array of its own, for one of these keeps its block.
 */
export function allocate(length: number): Uint8Array {
  if (length > BLOCK_BYTES / 4) return new Uint8Array(length)
  if (used + length > BLOCK_BYTES) {
    block = new ArrayBuffer(BLOCK_BYTES)
    used = 0
  }
  const bytes = new Uint8Array(block, used, length)
  used += length
  return bytes
}

/** As `allocate`; up to what an engine keeps in its own heap, an array that shares nothing. */
function allocateResult(length: number): Uint8Array {
  return length <= HEAP_BYTES ? new Uint8Array(length) : allocate(length)
}

/** Bytes of an array that V8 keeps in its own heap, at most. */
const HEAP_BYTES = 64

/** Encodes `bytes` as lower-case hexadecimal digits, two for each byte. */
export function toHex(bytes: Uint8Array): string {
  let text = ''
  for (const byte of bytes) text += HEX.charAt(byte >> 4) + HEX.charAt(byte & 15)
  return text
}

/**
 * Decodes hexadecimal digits of lower case.
 *
 * @param field - What the text is, for the message.
 * @throws {ProofError} `malformed` for an odd length or another character; `not_canonical` for upper case.
 */
export function fromHex(text: string, field = 'hex'): Uint8Array {
  check(text.length % 2 === 0, 'malformed', `${field}: hex has an even number of digits`)
  check(/^[0-9a-fA-F]*$/.test(text), 'malformed', `${field}: not hexadecimal digits`)
  check(!/[A-F]/.test(text), 'not_canonical', `${field}: hex digits are of lower case`)
  const bytes = new Uint8Array(text.length / 2)
  for (let at = 0; at < bytes.length; at += 1) {
    bytes[at] = Number.parseInt(text.slice(2 * at, 2 * at + 2), 16)
  }
  return bytes
}

/** Encodes `bytes` as standard base64 with padding (RFC 4648 §4). */
export function toBase64(bytes: Uint8Array): string {
  const text = encodeDigits(bytes, BASE64_CODES)
  return text.padEnd(Math.ceil(text.length / 4) * 4, '=')
}

/**
 * Decodes standard base64 with padding (RFC 4648 §4).
 *
 * @param field - What the text is, for the message.
 * @throws {ProofError} `malformed` for another character or a wrong padding; `not_canonical` for trailing bits that
 *   are not zero (RFC 4648 §3.5).
 */
export function fromBase64(text: string, field = 'base64'): Uint8Array {
  check(text.length % 4 === 0, 'malformed', `${field}: base64 is padded to a multiple of 4`)
  return decodeDigits(text.replace(/={1,2}$/, ''), BASE64_DIGITS, field)
}

/** What the kit uses of Node's Buffer. */
interface NodeBuffer extends Uint8Array {
  toString: (encoding?: 'base64url', start?: number, end?: number) => string
}

interface Platform {
  readonly Buffer?: {
    readonly isEncoding?: (encoding: string) => boolean
    readonly alloc: (length: number) => NodeBuffer
  }
}

/** More than an entry of an agent has that brings no certificate. */
const NATIVE_BYTES_MAX = 8192

/**
 * Gives the encoder for a platform: Node's own takes a tenth of the time, and is worth it for short bytes too if they
 * are copied to one Buffer that is there. A Buffer that stands in for Node's may not know the encoding.
 */
export function base64urlEncoder({ Buffer }: Platform): (bytes: Uint8Array) => string {
  const encode = (bytes: Uint8Array): string => encodeDigits(bytes, BASE64URL_CODES)
  if (Buffer?.isEncoding?.('base64url') !== true) return encode
  const native = Buffer.alloc(NATIVE_BYTES_MAX)
  return (bytes) => {
    if (bytes.length > NATIVE_BYTES_MAX) return encode(bytes)
    native.set(bytes)
    return native.toString('base64url', 0, bytes.length)
  }
}

/** Encodes `bytes` as base64url without padding (RFC 4648 §5, RFC 7515 §2). */
export const toBase64url: (bytes: Uint8Array) => string = base64urlEncoder(globalThis as Platform)

/** Whether `text` is the base64url of 32 bytes in its one form: the last digit has two bits that are nobody's. */
export function isBase64urlOf32(text: string): boolean {
  return BASE64URL_OF_32.test(text)
}

const BASE64URL_OF_32 = /^[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]$/

/**
 * Decodes base64url without padding (RFC 4648 §5, RFC 7515 §2).
 *
 * @param field - What the text is, for the message.
 * @throws {ProofError} `malformed` for another character, padding or an impossible length; `not_canonical` for trailing
 *   bits that are not zero.
 */
export function fromBase64url(text: string, field = 'base64url'): Uint8Array {
  check(text.length % 4 !== 1, 'malformed', `${field}: no base64url text has this length`)
  return decodeDigits(text, BASE64URL_DIGITS, field)
}

/** Joins byte strings into a new one. For a few: where their number is not bounded, `joinBytes`. */
export function concatBytes(...parts: readonly Uint8Array[]): Uint8Array {
  return joinBytes(parts)
}

/** Joins any number of byte strings into a new one. */
export function joinBytes(parts: readonly Uint8Array[]): Uint8Array {
  let length = 0
  for (const part of parts) length += part.length
  const joined = allocateResult(length)
  let at = 0
  for (const part of parts) {
    joined.set(part, at)
    at += part.length
  }
  return joined
}

/** Copies the bytes [start, end) into a plain Uint8Array (the `slice` of a Node Buffer would be a view). */
export function copyBytes(bytes: Uint8Array, start = 0, end: number = bytes.length): Uint8Array {
  const part = bytes.subarray(start, end)
  const copy = allocateResult(part.length)
  copy.set(part)
  return copy
}

/** Whether two byte strings are equal. Not of constant time: nothing that it compares is secret. */
export function equalBytes(a: Uint8Array, b: Uint8Array): boolean {
  return compareBytes(a, b) === 0
}

/** Compares byte by byte, a prefix before what it begins: negative if `a` comes first, 0 if equal, else positive. */
export function compareBytes(a: Uint8Array, b: Uint8Array): number {
  const shorter = Math.min(a.length, b.length)
  for (let at = 0; at < shorter; at += 1) {
    const difference = Number(a[at]) - Number(b[at])
    if (difference !== 0) return difference
  }
  return a.length - b.length
}

/**
 * Encodes text as UTF-8.
 *
 * @throws {ProofError} `malformed` for a lone surrogate, which has no UTF-8 form (TextEncoder would replace it).
 */
export function utf8Encode(text: string): Uint8Array {
  const bytes = text.length <= SHORT_TEXT ? encodeShort(text) : encodeAscii(text)
  if (bytes !== undefined) return bytes
  check(!/\p{Surrogate}/u.test(text), 'malformed', 'text: a lone surrogate has no UTF-8 form')
  return encoder.encode(text)
}

/** Text up to here is encoded faster character by character than by the platform. */
const SHORT_TEXT = 32

/** The bytes of ASCII text; undefined for other text. */
function encodeShort(text: string): Uint8Array | undefined {
  const bytes = new Uint8Array(text.length)
  for (let at = 0; at < bytes.length; at += 1) {
    const code = text.charCodeAt(at)
    if (code > 0x7f) return undefined
    bytes[at] = code
  }
  return bytes
}

/** As `encodeShort`, for text of any length. */
function encodeAscii(text: string): Uint8Array | undefined {
  const bytes = allocate(text.length)
  const { read } = encoder.encodeInto(text, bytes)
  // Every other character takes more bytes than code units: then not all of it has found room, or all of it is ASCII.
  return read === text.length ? bytes : undefined
}

/**
 * Decodes UTF-8; a byte order mark is kept as the character it is.
 *
 * @param field - What the bytes are, for the message.
 * @throws {ProofError} `malformed` if the bytes are not UTF-8.
 */
export function utf8Decode(bytes: Uint8Array, field = 'text'): string {
  try {
    return decoder.decode(bytes)
  } catch (cause) {
    throw new ProofError('malformed', `${field}: not UTF-8`, { cause })
  }
}

/** Encodes `n` in 2 bytes, big-endian. @throws {ProofError} `malformed` unless 0 ≤ n < 2^16 */
export function u16Bytes(n: number): Uint8Array {
  return uintBytes(n, 2)
}

/** Encodes `n` in 8 bytes, big-endian. @throws {ProofError} `malformed` unless 0 ≤ n ≤ 2^53−1 */
export function u64Bytes(n: number): Uint8Array {
  return uintBytes(n, 8)
}

/**
 * Encodes `n` in `length` bytes, big-endian.
 *
 * @throws {ProofError} `malformed` unless `n` is a safe integer, 0 ≤ n < 256^length.
 */
export function uintBytes(n: number, length: number): Uint8Array {
  if (!(Number.isSafeInteger(n) && n >= 0 && n < 256 ** length)) {
    throw new ProofError('malformed', `integer: not an unsigned safe integer of ${length} bytes`)
  }
  const bytes = new Uint8Array(length)
  let rest = n
  // No shifts: they cut off at 32 bits.
  for (let at = length - 1; at >= 0; at -= 1) {
    bytes[at] = rest % 256
    rest = Math.floor(rest / 256)
  }
  return bytes
}

/**
 * Reads the `length` bytes from `at` on as an unsigned big-endian integer.
 *
 * @throws {ProofError} `malformed` if the bytes end before; `too_large` above 2^53−1.
 */
export function readUint(bytes: Uint8Array, at: number, length: number): number {
  if (at < 0 || at + length > bytes.length) {
    throw new ProofError('malformed', `integer: the bytes end before its ${length} bytes`)
  }
  let value = 0
  for (let next = at; next < at + length; next += 1) value = value * 256 + Number(bytes[next])
  // Rounded, a value beyond is still one beyond.
  if (value > Number.MAX_SAFE_INTEGER) throw new ProofError('too_large', 'integer: over 2^53−1')
  return value
}

/** Reads 2 bytes, big-endian. @throws {ProofError} `malformed` if the bytes end before */
export function readU16(bytes: Uint8Array, at: number): number {
  return readUint(bytes, at, 2)
}

/** Reads 8 bytes, big-endian. @throws {ProofError} `malformed` if the bytes end before; `too_large` above 2^53−1 */
export function readU64(bytes: Uint8Array, at: number): number {
  return readUint(bytes, at, 8)
}

/**
 * Reads an unsigned decimal: ASCII digits without sign or leading zero, the form of every size and index in C2SP texts.
 *
 * @param field - What the number is, for the message.
 * @throws {ProofError} `malformed` for other characters; `not_canonical` for leading zeros; `too_large` above 2^53−1.
 */
export function parseDecimal(text: string, field: string): number {
  check(/^[0-9]+$/.test(text), 'malformed', `${field}: not a decimal number`)
  check(text === '0' || !text.startsWith('0'), 'not_canonical', `${field}: leading zero`)
  const value = Number(text)
  check(Number.isSafeInteger(value), 'too_large', `${field}: over 2^53−1`)
  return value
}

/** By character code: the value of a digit, −1 for what is none. */
type Digits = Int8Array

const BASE64_CODES: Uint8Array = encoder.encode(BASE64)
const BASE64URL_CODES: Uint8Array = encoder.encode(BASE64URL)
const BASE64_DIGITS: Digits = digitsOf(BASE64_CODES)
const BASE64URL_DIGITS: Digits = digitsOf(BASE64URL_CODES)

function digitsOf(codes: Uint8Array): Digits {
  const digits = new Int8Array(128).fill(-1)
  codes.forEach((code, value) => {
    digits[code] = value
  })
  return digits
}

function encodeDigits(bytes: Uint8Array, codes: Uint8Array): string {
  const { length } = bytes
  const digits = allocateResult(Math.ceil((length * 4) / 3))
  let to = 0
  const put = (value: number): void => {
    digits[to] = Number(codes[value & 63])
    to += 1
  }
  let at = 0
  for (; at + 3 <= length; at += 3) {
    const three = (Number(bytes[at]) << 16) | (Number(bytes[at + 1]) << 8) | Number(bytes[at + 2])
    put(three >> 18)
    put(three >> 12)
    put(three >> 6)
    put(three)
  }
  if (at + 1 === length) {
    const one = Number(bytes[at])
    put(one >> 2)
    put(one << 4)
  } else if (at + 2 === length) {
    const two = (Number(bytes[at]) << 8) | Number(bytes[at + 1])
    put(two >> 10)
    put(two >> 4)
    put(two << 2)
  }
  return decoder.decode(digits)
}

function decodeDigits(text: string, digits: Digits, field: string): Uint8Array {
  const { length } = text
  const bytes = allocateResult(Math.floor((length * 6) / 8))
  const value = (at: number): number => digits[text.charCodeAt(at)] ?? -1
  let at = 0
  let to = 0
  for (; at + 4 <= length; at += 4) {
    const four = (value(at) << 18) | (value(at + 1) << 12) | (value(at + 2) << 6) | value(at + 3)
    // One −1 among them makes all of it negative.
    if (four < 0) throw new ProofError('malformed', `${field}: a character outside its alphabet`)
    bytes[to] = four >> 16
    bytes[to + 1] = four >> 8
    bytes[to + 2] = four
    to += 3
  }
  // Two or three digits are left, or none: no text has one (the callers checked).
  const rest = length - at
  let last = 0
  for (; at < length; at += 1) last = (last << 6) | value(at)
  if (last < 0) throw new ProofError('malformed', `${field}: a character outside its alphabet`)
  const spare = rest === 2 ? 4 : 2
  check(
    (last & ((1 << spare) - 1)) === 0,
    'not_canonical',
    `${field}: trailing bits that are not zero`,
  )
  last >>= spare
  for (let left = to + rest - 2; rest > 0 && left >= to; left -= 1) {
    bytes[left] = last
    last >>= 8
  }
  return bytes
}
