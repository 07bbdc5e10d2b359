/**
 * @module Disclosures: personal data beside a statement, committed to before signing by salted digests in the payload
 * (the object form of RFC 9901, top level only). They can be erased; the digests in the log stay.
 */
import { fromBase64url, isBase64urlOf32, toBase64url, utf8Encode } from './bytes.ts'
import { choice, digest, list, members } from './claims.ts'
import { check, ProofError } from './errors.ts'
import {
  canonicalJson,
  jsonArray,
  type JsonObject,
  jsonString,
  type JsonValue,
  parseJson,
} from './json.ts'
import type { Primitives } from './primitives.ts'

/** Bytes in one disclosure. */
export const DISCLOSURE_BYTES_MAX = 16_384

/** Disclosures beside one statement. */
export const DISCLOSURES_MAX = 16

/** Bytes in all disclosures of one statement. */
export const DISCLOSURES_BYTES_MAX = 32_768

/** Bytes in a salt, at least. */
export const SALT_BYTES_MIN = 16

/**
 * Arrays and objects inside each other in a disclosed value: two fewer than in any JSON, since a policy's input holds
 * the value two levels down.
 */
export const DISCLOSED_DEPTH_MAX = 30

/** One disclosed value. */
export interface Disclosure {
  /** The disclosure as it travels: what its digest is over. */
  readonly text: string
  /** At least 16 bytes. */
  readonly salt: Uint8Array
  readonly name: string
  readonly value: JsonValue
}

const RESERVED_NAMES: readonly string[] = ['_sd', '_sd_alg', '...']

const DISCLOSABLE: ReadonlyMap<string, readonly string[]> = new Map([
  ['owner.enroll', ['details']],
  ['member.enroll', ['details']],
  ['agent.revoke', ['details']],
  ['decision', ['salt', 'action_properties', 'resource_properties', 'context']],
  ['action', ['details', 'salt', 'action_properties', 'resource_properties']],
])

const readDigests = members({ _sd: list(digest, 1), _sd_alg: choice('sha-256') })

/** Names the members that a statement of this type may disclose; none for most types. @see FORMAT §6, §10 */
export function disclosableNames(type: string): readonly string[] {
  return DISCLOSABLE.get(type) ?? []
}

/**
 * Makes the disclosure of a value, as text.
 *
 * @param salt - At least 16 random bytes, drawn for this disclosure alone.
 * @throws {ProofError} `claim_invalid` for a short salt or a reserved name; `malformed` for a value that is no JSON;
 *   `too_large` over 16 KiB or 30 levels of nesting.
 * @see FORMAT §4.1; RFC 9901 §4.2.1
 */
export function makeDisclosure(salt: Uint8Array, name: string, value: JsonValue): string {
  const text = toBase64url(canonicalJson([toBase64url(salt), name, value]))
  parseDisclosure(text)
  return text
}

/**
 * Parses a disclosure.
 *
 * @throws {ProofError} `too_large`, `malformed`, `not_canonical`, and `claim_invalid` for a short salt or a reserved
 *   name.
 * @see FORMAT §4.1; RFC 9901 §4.2.1
 */
export function parseDisclosure(text: string): Disclosure {
  const { length } = text
  if (length > DISCLOSURE_BYTES_MAX) {
    const rule = `disclosure: ${length} bytes, at most ${DISCLOSURE_BYTES_MAX}`
    throw new ProofError('too_large', rule)
  }
  const bytes = fromBase64url(text, 'disclosure')
  const array = jsonArray(parseJson(bytes, { maxDepth: DISCLOSED_DEPTH_MAX + 1 }), 'disclosure')
  const [first, second, value] = array
  if (array.length !== 3 || value === undefined) {
    throw new ProofError('malformed', 'disclosure: not [salt, name, value]')
  }
  const salt = fromBase64url(jsonString(first, 'disclosure salt'), 'disclosure salt')
  check(salt.length >= SALT_BYTES_MIN, 'claim_invalid', 'disclosure salt: under 16 bytes')
  const name = jsonString(second, 'disclosure name')
  check(!RESERVED_NAMES.includes(name), 'claim_invalid', 'disclosure name: reserved')
  return { text, salt, name, value }
}

/** Digests a disclosure as `_sd` lists it: b64u(SHA-256(ASCII(text))). @see FORMAT §4.1 */
export function disclosureDigest(p: Primitives, text: string): string {
  return toBase64url(p.sha256(utf8Encode(text)))
}

/**
 * Returns the digests that a payload commits to, none where it has neither `_sd` nor `_sd_alg`.
 *
 * @throws {ProofError} `claim_missing` or `claim_invalid`; `not_canonical` for digests out of order; `too_large` for
 *   more than 16.
 * @see FORMAT §4.1
 */
export function readCommitments(payload: JsonObject): readonly string[] {
  const known = knownCommitments.get(payload)
  if (known !== undefined) return known
  const read = plainCommitments(payload) ?? readAnyCommitments(payload)
  knownCommitments.set(payload, read)
  return read
}

/** What was read of a payload: parsing, matching and whoever keeps disclosures ask for it, each by itself. */
const knownCommitments = new WeakMap<JsonObject, readonly string[]>()

/** The digests, if all is as it has to be; whatever is not is for `readAnyCommitments` to name. */
function plainCommitments(payload: JsonObject): readonly string[] | undefined {
  const isHere = Object.hasOwn(payload, '_sd') && Object.hasOwn(payload, '_sd_alg')
  const digests = payload['_sd']
  const isListed = isHere && Array.isArray(digests) && payload['_sd_alg'] === 'sha-256'
  if (!isListed || digests.length === 0 || digests.length > DISCLOSURES_MAX) return undefined
  let previous = ''
  for (const one of digests as readonly JsonValue[]) {
    if (typeof one !== 'string' || one <= previous || !isBase64urlOf32(one)) return undefined
    previous = one
  }
  return digests as readonly string[]
}

function readAnyCommitments(payload: JsonObject): readonly string[] {
  const object: Record<string, JsonValue> = {}
  for (const name of ['_sd', '_sd_alg']) {
    const value = Object.hasOwn(payload, name) ? payload[name] : undefined
    if (value !== undefined) object[name] = value
  }
  if (Object.keys(object).length === 0) return []
  readDigests(object, 'payload')
  const digests = jsonArray(object['_sd'], '_sd').map((one) => jsonString(one, '_sd'))
  const { length } = digests
  const most = DISCLOSURES_MAX
  check(length <= most, 'too_large', `_sd: ${length} digests, at most ${most}`)
  const inOrder = digests.every((one, at) => at === 0 || String(digests[at - 1]) < one)
  check(inOrder, 'not_canonical', '_sd: not in ASCII order')
  return digests
}

/**
 * Demands that none of these members stands in the clear.
 *
 * @throws {ProofError} `clear_detail`
 * @see FORMAT §4.2
 */
export function checkClear(payload: JsonObject, names: readonly string[]): void {
  for (const name of names) {
    check(!Object.hasOwn(payload, name), 'clear_detail', `${name}: must be disclosed, not clear`)
  }
}

/**
 * Checks that the disclosures beside a statement are those that its payload commits to, all of them and no other.
 *
 * @param allowedNames - What may be disclosed: `disclosableNames` of the type.
 * @returns The disclosed values by name.
 * @throws {ProofError} `too_large` for too many or too long; `clear_detail`; `disclosure_unmatched`; `claim_invalid`
 *   for a name that is not allowed, or a name twice; `disclosure_missing`; else as `parseDisclosure` and
 *   `readCommitments`.
 * @see FORMAT §4.2
 */
export function checkDisclosures(
  p: Primitives,
  payload: JsonObject,
  disclosures: readonly string[],
  allowedNames: readonly string[],
): ReadonlyMap<string, JsonValue> {
  return matchDisclosures(p, payload, disclosures, allowedNames).values
}

/** Disclosures that are those of a payload. */
export interface MatchedDisclosures {
  /** The disclosed values by name. */
  readonly values: ReadonlyMap<string, JsonValue>
  /** Of each disclosure, in the order given: the place of its digest in `_sd`. */
  readonly ordinals: readonly number[]
}

/** As `checkDisclosures`, and which digest each disclosure has. @throws {ProofError} as `checkDisclosures` */
export function matchDisclosures(
  p: Primitives,
  payload: JsonObject,
  disclosures: readonly string[],
  allowedNames: readonly string[],
): MatchedDisclosures {
  const { length: count } = disclosures
  check(count <= DISCLOSURES_MAX, 'too_large', `${count} disclosures, at most ${DISCLOSURES_MAX}`)
  const total = disclosures.reduce((sum, { length }) => sum + length, 0)
  const most = DISCLOSURES_BYTES_MAX
  check(total <= most, 'too_large', `disclosures: ${total} bytes together, at most ${most}`)
  checkClear(payload, allowedNames)
  const digests = readCommitments(payload)
  const unmatched = new Set(digests)
  const values = new Map<string, JsonValue>()
  const ordinals: number[] = []
  for (const text of disclosures) {
    const { name, value } = parseDisclosure(text)
    // A digest is taken once, so the same disclosure given twice has none left.
    const digest = disclosureDigest(p, text)
    const matched = unmatched.delete(digest)
    check(matched, 'disclosure_unmatched', 'a disclosure has no digest in the payload')
    ordinals.push(digests.indexOf(digest))
    check(allowedNames.includes(name), 'claim_invalid', 'disclosure: a name that is not allowed')
    check(!values.has(name), 'claim_invalid', `disclosure: ${name} twice`)
    values.set(name, value)
  }
  check(unmatched.size === 0, 'disclosure_missing', `${unmatched.size} digests not disclosed`)
  return { values, ordinals }
}
