/**
 * @module Readers for the members of signed JSON objects: exactly those listed, each of its one form. A required member
 * that is absent is `claim_missing`, one with another value `claim_invalid`, one that is not listed `malformed`.
 */
import { fromBase64url } from './bytes.ts'
import { check, ProofError } from './errors.ts'
import type { JsonObject, JsonValue } from './json.ts'
import { parseSpki } from './key.ts'
import { NAME_PATTERNS_MAX, type NamePattern, parseNamePattern } from './name-pattern.ts'

/** Reads one value; `field` is its name, for the message. */
export type Read<T> = (value: JsonValue, field: string) => T

/** The members of an object, each with its reader. */
export type Shape = Readonly<Record<string, Read<unknown>>>

/** What a shape reads. */
export type Members<S extends Shape> = { readonly [K in keyof S]: ReturnType<S[K]> }

/** Reads an object of exactly these members; the `optional` ones may be absent. */
export function members<S extends Shape, O extends Shape = Record<never, never>>(
  required: S,
  optional?: O,
): Read<Members<S> & Partial<Members<O>>> {
  const requiredMembers = Object.entries<Read<unknown>>(required)
  const optionalMembers = Object.entries<Read<unknown>>(optional ?? {})
  return (value, field) => {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) {
      throw new ProofError('claim_invalid', `${field}: not an object`)
    }
    const object: JsonObject = value as JsonObject
    const read: Record<string, unknown> = {}
    let count = requiredMembers.length
    for (const member of requiredMembers) read[member[0]] = readMember(object, member, field)
    for (const member of optionalMembers) {
      if (!Object.hasOwn(object, member[0])) continue
      read[member[0]] = readMember(object, member, field)
      count += 1
    }
    const listed = Object.keys(object).length === count
    check(listed, 'malformed', `${field}: a member that its type does not list`)
    return read as Members<S> & Partial<Members<O>>
  }
}

function readMember(
  object: JsonObject,
  [name, read]: readonly [name: string, read: Read<unknown>],
  field: string,
): unknown {
  const member = Object.hasOwn(object, name) ? object[name] : undefined
  if (member === undefined) throw new ProofError('claim_missing', `${field}.${name}: absent`)
  return read(member, `${field}.${name}`)
}

/** Reads text of `min` to `max` Unicode code points. */
export function text(min: number, max: number): Read<string> {
  return (value, field) => {
    const read = readText(value, field)
    // A code point is one code unit or two: most lengths are right whatever they are.
    if (read.length >= 2 * min && read.length <= max) return read
    const { length } = Array.from(read)
    const permitted = length >= min && length <= max
    check(permitted, 'claim_invalid', `${field}: ${length} characters, must be ${min} to ${max}`)
    return read
  }
}

/** Reads text that matches `pattern`; `rule` says it in words. */
export function matching(pattern: RegExp, rule: string): Read<string> {
  return (value, field) => {
    const read = readText(value, field)
    check(pattern.test(read), 'claim_invalid', `${field}: must be ${rule}`)
    return read
  }
}

/** Reads text with a parser of its own, whose codes it keeps. */
export function parsed<T>(parse: (text: string) => T): Read<T> {
  return (value, field) => parse(readText(value, field))
}

/** Reads text that a parser accepts, and returns the text. */
export function accepted(parse: (text: string) => unknown): Read<string> {
  return (value, field) => {
    const read = readText(value, field)
    parse(read)
    return read
  }
}

/** Reads one of these words. */
export function choice<W extends string>(...words: readonly W[]): Read<W> {
  return (value, field) => {
    const word = words.find((one) => one === value)
    if (word === undefined) {
      throw new ProofError('claim_invalid', `${field}: must be ${words.join(' or ')}`)
    }
    return word
  }
}

/** Reads an integer from `min` to `max`, by default any index, size or time. */
export function integer(min = 0, max: number = Number.MAX_SAFE_INTEGER): Read<number> {
  return (value, field) => {
    const permitted =
      typeof value === 'number' && Number.isSafeInteger(value) && value >= min && value <= max
    if (!permitted) {
      throw new ProofError('claim_invalid', `${field}: must be an integer from ${min} to ${max}`)
    }
    return value
  }
}

/** Reads `true` or `false`. */
export const boolean: Read<boolean> = (value, field) => {
  if (typeof value !== 'boolean') throw new ProofError('claim_invalid', `${field}: not a boolean`)
  return value
}

/** Reads `null`, or what `read` reads. */
export function nullable<T>(read: Read<T>): Read<T | null> {
  return (value, field) => (value === null ? null : read(value, field))
}

/** Reads an array of at least `min` elements, no two of the same JSON text. */
export function list<T>(read: Read<T>, min = 0): Read<readonly T[]> {
  return (value, field) => {
    if (!Array.isArray(value)) throw new ProofError('claim_invalid', `${field}: not an array`)
    const items: readonly JsonValue[] = value
    check(items.length >= min, 'claim_invalid', `${field}: at least ${min} elements`)
    const elements = items.map((item, at) => read(item, `${field}[${at}]`))
    const distinct = new Set(items.map((item) => JSON.stringify(item))).size
    check(distinct === items.length, 'claim_invalid', `${field}: an element twice`)
    return elements
  }
}

/** Reads `min` to 64 name patterns. @throws {ProofError} also `too_large` @see FORMAT §1.4 */
export function namePatterns(min = 0): Read<readonly NamePattern[]> {
  const read = list(parsed(parseNamePattern), min)
  return (value, field) => {
    const length = Array.isArray(value) ? value.length : 0
    const most = NAME_PATTERNS_MAX
    check(length <= most, 'too_large', `${field}: ${length} name patterns, at most ${most}`)
    return read(value, field)
  }
}

/** Reads base64url of `min` to `max` bytes. */
export function bytes(min: number, max: number = min): Read<Uint8Array> {
  return (value, field) => {
    const read = fromBase64url(readText(value, field), field)
    const permitted = read.length >= min && read.length <= max
    check(permitted, 'claim_invalid', `${field}: ${read.length} bytes, must be ${min} to ${max}`)
    return read
  }
}

/** Reads base64url of a SHA-256 value. */
export const digest: Read<Uint8Array> = bytes(32)

/** Reads base64url of 16 bytes and returns the text: the form of a decision's id. */
export const id128: Read<string> = (value, field) => {
  const read = readText(value, field)
  // Whatever is not of the form is for the decoder to name.
  if (!ID128.test(read)) read16(value, field)
  return read
}

/** Base64url of 16 bytes, in its one form: the last digit has four bits that are nobody's. */
const ID128 = /^[A-Za-z0-9_-]{21}[AQgw]$/
const read16 = bytes(16)

/** Reads base64url of a SubjectPublicKeyInfo and returns its bytes. @throws {ProofError} also `key_invalid` */
export const spki: Read<Uint8Array> = (value, field) => {
  const der = fromBase64url(readText(value, field), field)
  parseSpki(der)
  return der
}

function readText(value: JsonValue, field: string): string {
  if (typeof value !== 'string') throw new ProofError('claim_invalid', `${field}: not a string`)
  return value
}
