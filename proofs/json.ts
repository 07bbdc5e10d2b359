/**
 * @module Strict I-JSON (RFC 7493): one reading for every text, or none. `JSON.parse` takes the last of two equal keys,
 * lone surrogates and integers that no double holds; this parser refuses each. The one written form is
 * JCS (RFC 8785).
 */
import { utf8Decode, utf8Encode } from './bytes.ts'
import { check, ProofError } from './errors.ts'

/** An object; those that the parser makes have no prototype, so `__proto__` is a key like any other. */
export interface JsonObject {
  readonly [key: string]: JsonValue
}

/** Any I-JSON value; integers are safe integers, never −0. */
export type JsonValue = null | boolean | number | string | readonly JsonValue[] | JsonObject

/** What a parser takes at most. */
export interface JsonLimits {
  /** Length of the whole input; 1 MiB by default. */
  readonly maxBytes?: number
  /** Arrays and objects inside each other; 32 by default. */
  readonly maxDepth?: number
  /** Values in all, the names of members included; any number by default. */
  readonly maxItems?: number
}

/** Arrays and objects inside each other, by default. */
export const JSON_DEPTH_MAX = 32

const BYTES_MAX = 1_048_576

/**
 * Parses one I-JSON value that is the whole input, white space around it permitted.
 *
 * Refused beyond RFC 8259's grammar: a byte order mark, duplicate keys (compared after unescaping), lone surrogates and
 * noncharacters, also by escape, integers beyond ±(2^53−1) in any spelling, numbers that overflow or vanish, and −0.
 *
 * @throws {ProofError} `malformed` for any of these; `too_large` over a limit.
 * @see RFC 7493 §2; RFC 8259
 */
export function parseJson(bytes: Uint8Array, limits: JsonLimits = {}): JsonValue {
  const {
    maxBytes = BYTES_MAX,
    maxDepth = JSON_DEPTH_MAX,
    maxItems = Number.POSITIVE_INFINITY,
  } = limits
  check(bytes.length <= maxBytes, 'too_large', `json: ${bytes.length} bytes, at most ${maxBytes}`)
  const reader: Reader = { text: utf8Decode(bytes, 'json'), at: 0, itemsLeft: maxItems }
  const value = readValue(reader, maxDepth)
  skipSpace(reader)
  check(reader.at === reader.text.length, 'malformed', 'json: text after the value')
  return value
}

/**
 * Writes a value in the one canonical form of JCS: no white space, keys in the order of their UTF-16 code units,
 * numbers and strings as ECMAScript writes them.
 *
 * @throws {ProofError} `malformed` for a value that `parseJson` would refuse; `too_large` for more than 32 arrays and
 *   objects inside each other.
 * @see RFC 8785 §3.2
 */
export function canonicalJson(value: JsonValue): Uint8Array {
  return utf8Encode(writeValue(value, JSON_DEPTH_MAX))
}

/** Returns `value` if it is an object. @throws {ProofError} `malformed` otherwise, undefined included */
export function jsonObject(value: JsonValue | undefined, field: string): JsonObject {
  if (typeof value === 'object' && value !== null && !isArray(value)) return value
  throw new ProofError('malformed', `${field}: not an object`)
}

/** Returns `value` if it is a string. @throws {ProofError} `malformed` otherwise, undefined included */
export function jsonString(value: JsonValue | undefined, field: string): string {
  if (typeof value === 'string') return value
  throw new ProofError('malformed', `${field}: not a string`)
}

/** Returns `value` if it is a safe integer. @throws {ProofError} `malformed` otherwise, undefined included */
export function jsonInteger(value: JsonValue | undefined, field: string): number {
  if (typeof value === 'number' && Number.isSafeInteger(value)) return value
  throw new ProofError('malformed', `${field}: not an integer`)
}

/** Returns `value` if it is false or true. @throws {ProofError} `malformed` otherwise, undefined included */
export function jsonBoolean(value: JsonValue | undefined, field: string): boolean {
  if (typeof value === 'boolean') return value
  throw new ProofError('malformed', `${field}: not a boolean`)
}

/** Returns `value` if it is an array. @throws {ProofError} `malformed` otherwise, undefined included */
export function jsonArray(value: JsonValue | undefined, field: string): readonly JsonValue[] {
  if (isArray(value)) return value
  throw new ProofError('malformed', `${field}: not an array`)
}

/**
 * Demands that an object has all `required` members and none but those and the `optional` ones.
 *
 * @throws {ProofError} `malformed` for a missing or an unknown member.
 */
export function requireMembers(
  object: JsonObject,
  required: readonly string[],
  optional: readonly string[],
  field: string,
): void {
  for (const name of required) {
    if (!Object.hasOwn(object, name))
      throw new ProofError('malformed', `${field}: ${name} is missing`)
  }
  for (const name of Object.keys(object)) {
    if (!(required.includes(name) || optional.includes(name))) {
      throw new ProofError('malformed', `${field}: unknown member`)
    }
  }
}

/**
 * What the parser makes of an object. Nothing is inherited, so `__proto__` and `constructor` are keys like any other;
 * `Object.create(null)` says the same and makes a hash table of each object, at several times the cost.
 */
class Members {
  readonly [key: string]: JsonValue
}
Object.setPrototypeOf(Members.prototype, null)
Reflect.deleteProperty(Members.prototype, 'constructor')

/** `at` moves as the text is read, and `itemsLeft` goes down. */
interface Reader {
  readonly text: string
  at: number
  itemsLeft: number
}

const ESCAPES: ReadonlyMap<string, string> = new Map([
  ['"', '"'],
  ['\\', '\\'],
  ['/', '/'],
  ['b', '\b'],
  ['f', '\f'],
  ['n', '\n'],
  ['r', '\r'],
  ['t', '\t'],
])

// Array.isArray does not narrow a union that holds a readonly array.
function isArray(value: JsonValue | undefined): value is readonly JsonValue[] {
  return Array.isArray(value)
}

const QUOTE = 0x22
const COMMA = 0x2c
const COLON = 0x3a
const OPEN_ARRAY = 0x5b
const BACKSLASH = 0x5c
const CLOSE_ARRAY = 0x5d
const OPEN_OBJECT = 0x7b
const CLOSE_OBJECT = 0x7d

function skipSpace(reader: Reader): void {
  const { text } = reader
  for (;;) {
    const code = text.charCodeAt(reader.at)
    if (code !== 0x20 && code !== 0x0a && code !== 0x0d && code !== 0x09) return
    reader.at += 1
  }
}

/** Takes the character with this code if it comes next, after white space. */
function accept(reader: Reader, code: number): boolean {
  skipSpace(reader)
  if (reader.text.charCodeAt(reader.at) !== code) return false
  reader.at += 1
  return true
}

function expect(reader: Reader, code: number): void {
  if (!accept(reader, code)) {
    const char = String.fromCharCode(code)
    throw new ProofError('malformed', `json: expected ${char} at character ${reader.at}`)
  }
}

function countItem(reader: Reader): void {
  reader.itemsLeft -= 1
  check(reader.itemsLeft >= 0, 'too_large', 'json: too many values')
}

function readValue(reader: Reader, depth: number): JsonValue {
  countItem(reader)
  skipSpace(reader)
  const first = reader.text.charCodeAt(reader.at)
  if (first === QUOTE) return readString(reader)
  if (first === OPEN_OBJECT || first === OPEN_ARRAY) {
    check(depth > 0, 'too_large', 'json: arrays and objects are nested too deeply')
    return first === OPEN_OBJECT ? readObject(reader, depth - 1) : readArray(reader, depth - 1)
  }
  if (takeWord(reader, 'null')) return null
  if (takeWord(reader, 'false')) return false
  if (takeWord(reader, 'true')) return true
  return readNumber(reader)
}

function takeWord(reader: Reader, word: string): boolean {
  if (!reader.text.startsWith(word, reader.at)) return false
  reader.at += word.length
  return true
}

function readArray(reader: Reader, depth: number): readonly JsonValue[] {
  expect(reader, OPEN_ARRAY)
  const items: JsonValue[] = []
  if (accept(reader, CLOSE_ARRAY)) return items
  do items.push(readValue(reader, depth))
  while (accept(reader, COMMA))
  expect(reader, CLOSE_ARRAY)
  return items
}

function readObject(reader: Reader, depth: number): JsonObject {
  expect(reader, OPEN_OBJECT)
  const object: Record<string, JsonValue> = new Members()
  if (accept(reader, CLOSE_OBJECT)) return object
  do {
    countItem(reader)
    skipSpace(reader)
    const name = readString(reader)
    if (name in object) throw new ProofError('malformed', 'json: duplicate key')
    expect(reader, COLON)
    setMember(object, name, readValue(reader, depth))
  } while (accept(reader, COMMA))
  expect(reader, CLOSE_OBJECT)
  return object
}

/**
 * V8 takes a name such as "1000" for an index and makes an array with room for a thousand more: 11 bytes of input would
 * cost 12 KB. A member that is not the usual one (it cannot be redefined) is kept in a table instead.
 */
function setMember(object: Record<string, JsonValue>, name: string, value: JsonValue): void {
  const first = name.charCodeAt(0)
  if (first < 0x30 || first > 0x39) object[name] = value
  else Object.defineProperty(object, name, { value, enumerable: true, writable: true })
}

const NUMBER = /-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?/y

function readNumber(reader: Reader): number {
  NUMBER.lastIndex = reader.at
  const token = NUMBER.exec(reader.text)?.[0]
  if (token === undefined) {
    throw new ProofError('malformed', `json: no value at character ${reader.at}`)
  }
  reader.at += token.length
  const value = Number(token)
  checkNumber(value)
  // A literal with another digit than 0 before its exponent is not zero: reading it as zero would lose it.
  const vanished = value === 0 && /^[-0.]*[1-9]/.test(token)
  check(!vanished, 'malformed', 'json: a number too small for a double')
  return value
}

function checkNumber(value: number): void {
  check(Number.isFinite(value), 'malformed', 'json: a number too large for a double')
  check(!Object.is(value, -0), 'malformed', 'json: −0')
  const exact = !Number.isInteger(value) || Number.isSafeInteger(value)
  check(exact, 'malformed', 'json: an integer beyond ±(2^53−1)')
}

function readString(reader: Reader): string {
  const { text } = reader
  if (text.charCodeAt(reader.at) !== QUOTE) {
    throw new ProofError('malformed', `json: expected a string at character ${reader.at}`)
  }
  let at = reader.at + 1
  let start = at
  let read = ''
  let isAscii = true
  for (;;) {
    const code = text.charCodeAt(at)
    if (code === QUOTE) break
    if (code === BACKSLASH) {
      read += text.slice(start, at)
      reader.at = at
      read += readEscape(reader)
      at = reader.at
      start = at
      isAscii = false
      continue
    }
    // Past the end there is no code, which is below nothing and above nothing.
    if (!(code >= 0x20)) {
      throw new ProofError('malformed', 'json: a string that does not end, or a control character')
    }
    if (code > 0x7e) isAscii = false
    at += 1
  }
  reader.at = at + 1
  read += text.slice(start, at)
  if (!isAscii) checkString(read)
  return read
}

function readEscape(reader: Reader): string {
  const kind = reader.text.charAt(reader.at + 1)
  const plain = ESCAPES.get(kind)
  if (plain !== undefined) {
    reader.at += 2
    return plain
  }
  const digits = reader.text.slice(reader.at + 2, reader.at + 6)
  check(kind === 'u' && /^[0-9a-fA-F]{4}$/.test(digits), 'malformed', 'json: unknown escape')
  reader.at += 6
  return String.fromCharCode(Number.parseInt(digits, 16))
}

/** RFC 7493 §2.1: neither surrogates nor noncharacters, in names and in values. @throws {ProofError} `malformed` */
export function checkString(text: string): void {
  const permitted = !/[\p{Surrogate}\p{Noncharacter_Code_Point}]/u.test(text)
  check(permitted, 'malformed', 'json: a lone surrogate or a noncharacter')
}

function writeValue(value: JsonValue, depth: number): string {
  if (value === null || typeof value === 'boolean') return String(value)
  if (typeof value === 'number') {
    checkNumber(value)
    return String(value)
  }
  if (typeof value === 'string') return writeString(value)
  check(typeof value === 'object', 'malformed', 'json: a value that has no JSON form')
  check(depth > 0, 'too_large', 'json: arrays and objects are nested too deeply')
  if (isArray(value)) return `[${value.map((item) => writeValue(item, depth - 1)).join(',')}]`
  return writeObject(value, depth - 1)
}

/** What stands between quotes as it is. */
const PLAIN = /^[ !#-[\]-~]*$/

function writeString(text: string): string {
  if (PLAIN.test(text)) return `"${text}"`
  checkString(text)
  return JSON.stringify(text)
}

function writeObject(object: JsonObject, depth: number): string {
  const prototype: unknown = Object.getPrototypeOf(object)
  const plain =
    prototype === null || prototype === Object.prototype || prototype === Members.prototype
  check(plain, 'malformed', 'json: an object that is not plain')
  let text = ''
  for (const name of inOrder(Object.keys(object))) {
    const value = object[name] as JsonValue
    text += `${text === '' ? '{' : ','}${writeString(name)}:${writeValue(value, depth)}`
  }
  return text === '' ? '{}' : `${text}}`
}

/** In the order of UTF-16 code units, as JCS demands; what is written by name mostly stands in it. */
function inOrder(names: string[]): readonly string[] {
  let previous = ''
  for (const name of names) {
    if (name < previous) return names.sort()
    previous = name
  }
  return names
}
