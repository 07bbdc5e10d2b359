/**
 * @module Entries: the bytes of a leaf. One encoder and one decoder, in deterministic CBOR. Whether a link follows from
 * the entry before it, and whether an outcome is the one that the rules give, is decided by whoever has those entries.
 */
import {
  cborArray,
  cborBoolean,
  cborBytes,
  cborMap,
  type CborMap,
  cborText,
  cborUint,
  type CborValue,
  decodeCbor,
  encodeCbor,
  requireKeys,
} from './cbor.ts'
import { CERTIFICATE_BYTES_MAX } from './certificate.ts'
import { id128 } from './claims.ts'
import { decodeNames, decodeVerdict } from './decision.ts'
import { check, ProofError } from './errors.ts'
import { type FieldForm, type FieldRule, type KindRule, KINDS, OUTCOME_SEQUENCE } from './kinds.ts'
import { HASH_LENGTH } from './merkle.ts'
import { parseSubject } from './principal.ts'
import type { Hash } from './primitives.ts'
import {
  MEDIA_COSE,
  MEDIA_JOSE,
  parseStatement,
  type Statement,
  STATEMENT_BYTES_MAX,
  type StatementMedia,
} from './statement.ts'
import { ENTRY_LENGTH_MAX } from './tile.ts'

/** The version of the entry's format that this release reads and writes. */
export const ENTRY_VERSION = 1

/** The entry's place in the chain of one subject. */
export interface Link {
  readonly subject: string
  /** The entry's number in that chain, from 0. */
  readonly seq: number
  /** The chain's previous entry; `null` exactly for number 0. */
  readonly previous: { readonly index: number; readonly leafHash: Hash } | null
}

/** What an entry says. */
export interface EntryFields {
  /** Index in the log. */
  readonly index: number
  readonly kind: string
  /** Ledger time, milliseconds since the Unix epoch. */
  readonly timeMs: number
  readonly media: StatementMedia
  /** The statement as received. */
  readonly statement: Uint8Array
  /** What was found before registering, by key (FORMAT §6). */
  readonly prepared: CborMap
  /** What the rules decided, by key (FORMAT §6). */
  readonly outcome: CborMap
  /** One to four, in the order of FORMAT §6. */
  readonly links: readonly Link[]
}

/** An entry that has the form of its kind. */
export interface Entry extends EntryFields {
  readonly version: typeof ENTRY_VERSION
  /** Whether this release knows the kind; if not, only what all entries share was checked. */
  readonly known: boolean
}

const LINKS_MAX = 4
const KIND = /^[a-z]+(?:\.[a-z]+)*$/
const KIND_LENGTH_MAX = 64
const REASON = /^[a-z][a-z0-9_]{0,63}$/
const KEYS: readonly number[] = [0, 1, 2, 3, 4, 5, 6, 7]

/**
 * Encodes an entry; `decodeEntry` gives back the same.
 *
 * @throws {ProofError} as `decodeEntry`, for fields that it would refuse.
 * @see FORMAT §5.1
 */
export function encodeEntry(entry: EntryFields): Uint8Array {
  checkEntry(entry)
  const links = entry.links.map(({ subject, seq, previous }) => [
    subject,
    seq,
    previous === null ? null : [previous.index, previous.leafHash],
  ])
  const bytes = encodeCbor(
    new Map<number, CborValue>([
      [0, ENTRY_VERSION],
      [1, entry.index],
      [2, entry.kind],
      [3, entry.timeMs],
      [4, [entry.media, entry.statement]],
      [5, entry.prepared],
      [6, entry.outcome],
      [7, links],
    ]),
  )
  const { length } = bytes
  check(
    length <= ENTRY_LENGTH_MAX,
    'too_large',
    `entry: ${length} bytes, at most ${ENTRY_LENGTH_MAX}`,
  )
  return bytes
}

/**
 * Decodes an entry, and checks the form of what its kind says. An unknown kind passes with `known: false`.
 *
 * @throws {ProofError} `too_large` over 65,535 bytes, a statement over 32 KiB, or a list over its limit; `version_unknown`; `chain_mismatch`
 *   for a link that no chain can have; `claim_invalid` and `spiffe_id_invalid` for a subject or a decision id that is
 *   none; `malformed` or `not_canonical` for everything else.
 * @see FORMAT §5, §6
 */
export function decodeEntry(bytes: Uint8Array): Entry {
  const map = cborMap(decodeCbor(bytes, { maxBytes: ENTRY_LENGTH_MAX }), 'entry')
  const version = cborUint(map.get(0), 'entry version')
  check(version === ENTRY_VERSION, 'version_unknown', `entry: version ${version} is not known`)
  requireKeys(map, KEYS, [], 'entry')
  const [media, statement] = tuple(map.get(4), 2, 'statement')
  const entry: EntryFields = {
    index: cborUint(map.get(1), 'index'),
    kind: cborText(map.get(2), 'kind'),
    timeMs: cborUint(map.get(3), 'time'),
    media: parseMedia(media),
    statement: cborBytes(statement, 'statement'),
    prepared: cborMap(map.get(5), 'prepared'),
    outcome: cborMap(map.get(6), 'outcome'),
    links: cborArray(map.get(7), 'links').map(decodeLink),
  }
  return { version, ...entry, known: checkEntry(entry) }
}

/**
 * Parses the statement that an entry holds, verifying nothing.
 *
 * @throws {ProofError} `type_mismatch` if the kind demands another type; `outcome_mismatch` if the entry has a sequence
 *   status and the statement no `seq`, or conversely; else as `parseStatement`.
 * @see FORMAT §3, §6
 */
export function parseEntryStatement(entry: Entry): Statement {
  const statement = parseStatement(entry.statement, entry.media)
  const rule = KINDS.get(entry.kind)
  if (rule === undefined) return statement
  const { type, seq } = statement.header
  check(type === rule.type, 'type_mismatch', `${entry.kind}: a statement of another type`)
  const counted = entry.outcome.has(OUTCOME_SEQUENCE) === (seq !== undefined)
  check(counted, 'outcome_mismatch', `${entry.kind}: sequence status without seq, or seq without`)
  return statement
}

/** Checks everything but the types, and returns whether the kind is known. */
function checkEntry(entry: EntryFields): boolean {
  const { kind, prepared, outcome, links } = entry
  const index = cborUint(entry.index, 'index')
  cborUint(entry.timeMs, 'time')
  const { length } = entry.statement
  const permitted = length <= STATEMENT_BYTES_MAX
  check(permitted, 'too_large', `statement: ${length} bytes, at most ${STATEMENT_BYTES_MAX}`)
  check(kind.length <= KIND_LENGTH_MAX && KIND.test(kind), 'malformed', 'kind: not words and dots')
  const size = cborUint(prepared.get(0), 'prepared size')
  check(size <= index, 'malformed', 'prepared size: above the index')
  const result = cborText(outcome.get(0), 'outcome')
  checkLinks(links, index)
  const rule = KINDS.get(kind)
  if (rule === undefined) {
    for (const key of [...prepared.keys(), ...outcome.keys()]) {
      check(typeof key === 'number', 'malformed', 'prepared and outcome: keys are integers')
    }
    return false
  }
  checkKind(entry, rule, result)
  return true
}

function checkKind(entry: EntryFields, rule: KindRule, result: string): void {
  const { kind, prepared, outcome, links } = entry
  const known = rule.results === undefined ? REASON.test(result) : rule.results.includes(result)
  check(known, 'malformed', `${kind}: a result that it does not have`)
  checkFields(prepared, rule.prepared, result, `${kind} prepared`)
  checkFields(outcome, rule.outcome, result, `${kind} outcome`)
  const kinds = links.map(({ subject }) => parseSubject(subject).kind)
  const linked = rule.links.some(
    (slots) => slots.length === kinds.length && slots.every((slot, at) => slot === kinds[at]),
  )
  check(linked, 'malformed', `${kind}: other links than its kind has`)
}

function checkFields(
  map: CborMap,
  rules: ReadonlyMap<number, FieldRule>,
  result: string,
  field: string,
): void {
  let count = 1
  for (const [key, { form, results, optional }] of rules) {
    if (results?.includes(result) === false) continue
    const value = map.get(key)
    if (value === undefined) {
      check(optional === true, 'malformed', `${field}: key ${key} is missing`)
      continue
    }
    count += 1
    FORMS[form](value, `${field} ${key}`)
  }
  // Key 0 was read before.
  check(map.size === count, 'malformed', `${field}: unknown key`)
}

function checkLinks(links: readonly Link[], index: number): void {
  const { length } = links
  check(
    length >= 1 && length <= LINKS_MAX,
    'malformed',
    `links: ${length}, must be 1 to ${LINKS_MAX}`,
  )
  for (const { subject, seq, previous } of links) {
    parseSubject(subject)
    cborUint(seq, 'link number')
    if (previous !== null) cborUint(previous.index, 'link previous index')
    const numbered = (seq === 0) === (previous === null)
    if (!numbered) {
      const wrong = `link ${subject}: number 0 has no previous entry, all others do`
      throw new ProofError('chain_mismatch', wrong)
    }
    // As many entries of the chain lie before this one as its number says, the last of them at the previous index.
    const follows = previous === null || (previous.index < index && seq <= previous.index + 1)
    check(follows, 'chain_mismatch', `link ${subject}: a previous entry that cannot be one`)
    check(previous === null || previous.leafHash.length === HASH_LENGTH, 'malformed', 'link: hash')
  }
  const distinct = new Set(links.map(({ subject }) => subject)).size
  check(distinct === length, 'malformed', 'links: a subject twice')
}

function decodeLink(value: CborValue): Link {
  const [subject, seq, previous] = tuple(value, 3, 'link')
  return {
    subject: cborText(subject, 'link subject'),
    seq: cborUint(seq, 'link number'),
    previous: previous === null ? null : decodePrevious(previous),
  }
}

function decodePrevious(value: CborValue | undefined): Link['previous'] {
  const [index, hash] = tuple(value, 2, 'link previous')
  return {
    index: cborUint(index, 'link previous index'),
    leafHash: cborBytes(hash, 'link previous hash', HASH_LENGTH),
  }
}

function parseMedia(value: CborValue | undefined): EntryFields['media'] {
  if (value === MEDIA_JOSE || value === MEDIA_COSE) return value
  throw new ProofError('malformed', 'statement: a media type that is not permitted')
}

function tuple(value: CborValue | undefined, length: number, field: string): readonly CborValue[] {
  const items = cborArray(value, field)
  check(items.length === length, 'malformed', `${field}: ${items.length} elements, not ${length}`)
  return items
}

const FORMS: Readonly<Record<FieldForm, (value: CborValue, field: string) => unknown>> = {
  uint: cborUint,
  bool: cborBoolean,
  hash: (value, field) => cborBytes(value, field, HASH_LENGTH),
  'decision-id': (value, field) => id128(cborText(value, field), field),
  certificate: (value, field) => {
    const { length } = cborBytes(value, field)
    const most = CERTIFICATE_BYTES_MAX
    check(length <= most, 'too_large', `${field}: ${length} bytes, at most ${most}`)
  },
  reasons: (value, field) => decodeNames(value, field),
  verdict: decodeVerdict,
  sequence: (value, field) => {
    const known = value === 'new' || value === 'repeated' || value === 'old'
    check(known, 'malformed', `${field}: neither new, repeated nor old`)
  },
}
