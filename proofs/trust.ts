/**
 * @module What a verifier starts from: the trust anchor of a log as one string, and files that hold several, with the
 * sizes for which each key of a log counts.
 */
import {
  compareBytes,
  joinBytes,
  equalBytes,
  fromBase64url,
  toBase64url,
  utf8Decode,
  utf8Encode,
} from './bytes.ts'
import { check, ProofError } from './errors.ts'
import { type Head, openHead, parseHeadBody } from './head.ts'
import {
  canonicalJson,
  jsonArray,
  jsonInteger,
  jsonObject,
  jsonString,
  type JsonValue,
  parseJson,
  requireMembers,
} from './json.ts'
import { HASH_LENGTH } from './merkle.ts'
import {
  areConfusable,
  formatVkey,
  NOTE_ED25519,
  type NoteKey,
  parseNote,
  parseVkey,
} from './note.ts'
import { parseOrigin } from './origin.ts'
import type { Hash, Primitives } from './primitives.ts'

/** What a verifier has to know of a log from elsewhere. */
export interface TrustAnchor {
  /** Ed25519; its name is the origin of the log. */
  readonly key: NoteKey
  /** Leaf hash of the genesis entry. */
  readonly genesisHash: Hash
  /** `bundleHash` of the root certificates. */
  readonly bundleHash: Hash
}

/** A key of a log, and the sizes of heads for which it counts. */
export interface TrustedKey {
  readonly key: NoteKey
  /** The first such size. */
  readonly from: number
  /** The last, or `null` if there is none yet. */
  readonly to: number | null
}

/** The last head of a log that a successor follows. */
export interface LogEnd {
  readonly size: number
  readonly root: Hash
}

/** A trusted log. */
export interface TrustedLog {
  readonly origin: string
  readonly anchor: TrustAnchor
  /** At least one. */
  readonly keys: readonly TrustedKey[]
  /** Heads count up to this size, at which there is no other root. */
  readonly end?: LogEnd
}

/** Everything that a verifier trusts. */
export interface Trust {
  /** At least one, no two of one origin. */
  readonly logs: readonly TrustedLog[]
}

/** Bytes in a trust file. */
export const TRUST_BYTES_MAX = 65_536

const ANCHOR_PREFIX = 'twtrust1'
const TRUST_FORMAT = 'trustwarden-trust/1'

/**
 * Formats a trust anchor; `parseTrustAnchor` gives back the same.
 *
 * @throws {ProofError} as `parseTrustAnchor`, for an anchor that it would refuse.
 * @see FORMAT §13.1
 */
export function formatTrustAnchor(p: Primitives, anchor: TrustAnchor): string {
  const { key, genesisHash, bundleHash: bundle } = anchor
  const hashes = [toBase64url(genesisHash), toBase64url(bundle)]
  const text = [ANCHOR_PREFIX, formatVkey(key), ...hashes].join(',')
  parseTrustAnchor(p, text)
  return text
}

/**
 * Parses a trust anchor.
 *
 * @throws {ProofError} `version_unknown` for another form of anchor; `claim_invalid` for a key that is not named as an
 *   origin; `algorithm_unsupported` for one that is not the key of a log; else as `parseVkey`, and `malformed` or
 *   `not_canonical`.
 * @see FORMAT §13.1
 */
export function parseTrustAnchor(p: Primitives, text: string): TrustAnchor {
  const [prefix = '', vkey = '', genesis = '', bundle = '', ...rest] = text.split(',')
  const isAnchor = prefix.startsWith('twtrust')
  check(isAnchor, 'malformed', `trust anchor: does not begin with ${ANCHOR_PREFIX}`)
  check(prefix === ANCHOR_PREFIX, 'version_unknown', 'trust anchor: of another version')
  check(rest.length === 0, 'malformed', 'trust anchor: more than four parts')
  return {
    key: parseLogKey(p, vkey),
    genesisHash: parseHash(genesis, 'hash of the genesis'),
    bundleHash: parseHash(bundle, 'hash of the bundle'),
  }
}

/**
 * Hashes the root certificates of a log: SHA-256 of their SHA-256 values in ascending order.
 *
 * @param roots - DER, in any order.
 * @see FORMAT §13.1
 */
export function bundleHash(p: Primitives, roots: readonly Uint8Array[]): Hash {
  return p.sha256(joinBytes(roots.map((der) => p.sha256(der)).sort(compareBytes)))
}

/**
 * Parses a trust file: an anchor with an optional final newline, or JSON.
 *
 * @throws {ProofError} `too_large` over 64 KiB; `version_unknown`; `key_invalid` for two keys of one id; `malformed`; else as `parseTrustAnchor`.
 * @see FORMAT §13.2
 */
export function parseTrust(p: Primitives, bytes: Uint8Array): Trust {
  const { length } = bytes
  check(
    length <= TRUST_BYTES_MAX,
    'too_large',
    `trust: ${length} bytes, at most ${TRUST_BYTES_MAX}`,
  )
  const text = utf8Decode(bytes, 'trust')
  if (!/^\s*\{/.test(text)) {
    return { logs: [trustedLog(parseTrustAnchor(p, text.replace(/\n$/, '')))] }
  }
  const file = jsonObject(parseJson(bytes), 'trust')
  const format = jsonString(file['format'], 'trust format')
  check(format === TRUST_FORMAT, 'version_unknown', `trust format: not ${TRUST_FORMAT}`)
  requireMembers(file, ['format', 'logs'], [], 'trust')
  const logs = jsonArray(file['logs'], 'logs').map((log) => parseLog(p, log))
  check(logs.length > 0, 'malformed', 'trust: no log')
  const distinct = new Set(logs.map(({ origin }) => origin)).size
  check(distinct === logs.length, 'malformed', 'trust: a log twice')
  return { logs }
}

/**
 * Formats a trust file: an anchor where that says all, else canonical JSON. `parseTrust` gives back the same.
 *
 * @throws {ProofError} as `parseTrust`, for what it would refuse.
 * @see FORMAT §13.2
 */
export function formatTrust(p: Primitives, trust: Trust): string {
  const logs = trust.logs.map(({ anchor, keys, end }) => ({
    anchor: formatTrustAnchor(p, anchor),
    keys: keys.map(({ key, from, to }) => ({ vkey: formatVkey(key), from, to })),
    ...(end === undefined ? {} : { end: { size: end.size, root: toBase64url(end.root) } }),
  }))
  const [only, ...others] = trust.logs
  const isPlain = others.length === 0 && only?.end === undefined && only?.keys.length === 1
  const bytes = canonicalJson({ format: TRUST_FORMAT, logs })
  parseTrust(p, bytes)
  const [first] = logs
  return isPlain && first !== undefined ? `${first.anchor}\n` : `${utf8Decode(bytes)}\n`
}

/**
 * Demands that a log ended at this head, or did not end by the trust.
 *
 * @throws {ProofError} `trust_mismatch`
 */
export function checkEnd({ origin, end }: TrustedLog, { size, root }: LogEnd): void {
  const same = end === undefined || (end.size === size && equalBytes(end.root, root))
  check(same, 'trust_mismatch', `predecessor: ${origin} ended at another head`)
}

/**
 * Finds the trusted log of this origin.
 *
 * @throws {ProofError} `origin_mismatch` if there is none.
 */
export function trustFor(trust: Trust, origin: string): TrustedLog {
  const found = trust.logs.find((log) => log.origin === origin)
  if (found === undefined) throw new ProofError('origin_mismatch', 'the log is not a trusted one')
  return found
}

/**
 * Opens a head of a trusted log: of its origin, without extension lines, signed by a key that counts for its size.
 *
 * @param note - The head as it travels.
 * @throws {ProofError} `origin_mismatch`; `head_out_of_range` if only keys signed that do not count for its size, or the log
 *   ended before; `root_mismatch` for another root than the one it ended at; `malformed` for extension lines; else as
 *   `openHead`.
 * @see FORMAT §11.1, §13.2
 */
export function openTrustedHead(p: Primitives, trust: Trust, note: Uint8Array | string): Head {
  const bytes = typeof note === 'string' ? utf8Encode(note) : note
  const { text, signatures } = parseNote(bytes)
  const { origin, size, extensions } = parseHeadBody(text)
  const { keys, end } = trustFor(trust, origin)
  check(extensions.length === 0, 'malformed', 'head: an extension line')
  const counts = ({ from, to }: TrustedKey) => size >= from && (to === null || size <= to)
  const signs = ({ key }: TrustedKey) =>
    signatures.some((one) => one.name === key.name && equalBytes(one.keyId, key.keyId))
  const counting = keys.filter(counts)
  // A line of a key that does not count is no more than a line of a key that is not known; only the code says more.
  const permitted = counting.some(signs) || !keys.some(signs)
  check(permitted, 'head_out_of_range', `head: its key does not count for size ${size}`)
  const noteKeys = counting.map(({ key }) => key)
  const head = openHead(p, bytes, noteKeys, origin)
  if (end === undefined) return head
  check(size <= end.size, 'head_out_of_range', `head: the log ended at size ${end.size}`)
  const ended = size < end.size || equalBytes(head.root, end.root)
  check(ended, 'root_mismatch', 'head: another root than the one that the log ended at')
  return head
}

function trustedLog(anchor: TrustAnchor, keys?: readonly TrustedKey[]): TrustedLog {
  const all = keys ?? [{ key: anchor.key, from: 0, to: null }]
  return { origin: anchor.key.name, anchor, keys: all }
}

function parseEnd(value: JsonValue): LogEnd {
  const end = jsonObject(value, 'end')
  requireMembers(end, ['size', 'root'], [], 'end')
  const size = jsonInteger(end['size'], 'size')
  check(size >= 0, 'malformed', 'size: negative')
  return { size, root: parseHash(jsonString(end['root'], 'root'), 'root') }
}

function parseLog(p: Primitives, value: JsonValue): TrustedLog {
  const log = jsonObject(value, 'log')
  requireMembers(log, ['anchor'], ['keys', 'end'], 'log')
  const anchor = parseTrustAnchor(p, jsonString(log['anchor'], 'anchor'))
  const end = log['end'] === undefined ? {} : { end: parseEnd(log['end']) }
  if (log['keys'] === undefined) return { ...trustedLog(anchor), ...end }
  const keys = jsonArray(log['keys'], 'keys').map((key) => parseKey(p, key, anchor.key.name))
  check(keys.length > 0, 'malformed', 'keys: none')
  const confusable = keys.some(({ key }, at) =>
    keys.slice(0, at).some((before) => areConfusable(before.key, key)),
  )
  check(!confusable, 'key_invalid', 'keys: two different keys of one key id')
  return { ...trustedLog(anchor, keys), ...end }
}

function parseKey(p: Primitives, value: JsonValue, origin: string): TrustedKey {
  const object = jsonObject(value, 'key')
  requireMembers(object, ['vkey', 'from', 'to'], [], 'key')
  const key = parseLogKey(p, jsonString(object['vkey'], 'vkey'))
  check(key.name === origin, 'malformed', 'vkey: named for another log')
  const from = jsonInteger(object['from'], 'from')
  const to = object['to'] === null ? null : jsonInteger(object['to'], 'to')
  const isRange = from >= 0 && (to === null || to >= from)
  check(isRange, 'malformed', 'from and to: not a range of sizes')
  return { key, from, to }
}

function parseLogKey(p: Primitives, vkey: string): NoteKey {
  const key = parseVkey(p, vkey)
  parseOrigin(key.name)
  check(key.type === NOTE_ED25519, 'algorithm_unsupported', 'vkey: not the key of a log')
  return key
}

function parseHash(text: string, field: string): Hash {
  const hash = fromBase64url(text, field)
  check(hash.length === HASH_LENGTH, 'malformed', `${field}: not 32 bytes`)
  return hash
}
