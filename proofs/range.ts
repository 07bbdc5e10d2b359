/**
 * @module Ranges as files: entries that follow each other, one range proof for all of them, and the head under which
 * they lie. Such a file shows that between its first and its last entry nothing was left out.
 */
import { fromBase64url, toBase64url } from './bytes.ts'
import { decodeEntry, parseEntryStatement } from './entry.ts'
import { checkLinks, checkTimes, type PlacedEntry } from './entry-links.ts'
import { check } from './errors.ts'
import type { Head } from './head.ts'
import {
  canonicalJson,
  jsonArray,
  jsonInteger,
  jsonObject,
  jsonString,
  parseJson,
  requireMembers,
} from './json.ts'
import { HASH_LENGTH, leafHash } from './merkle.ts'
import type { Hash, Primitives } from './primitives.ts'
import { RANGE_PATH_MAX, verifyRange } from './range-proof.ts'
import { ENTRY_LENGTH_MAX } from './tile.ts'
import { openTrustedHead, type Trust } from './trust.ts'

/** Bytes in a range. */
export const RANGE_BYTES_MAX = 16_777_216

/** What the `format` of a range says. */
export const RANGE_FORMAT = 'trustwarden-range/1'

/** A range that has the form of one; nothing about it is verified. */
export interface Range {
  /** Index of the first entry. */
  readonly start: number
  /** The entries' bytes, at least one. */
  readonly entries: readonly Uint8Array[]
  /** The nodes of the range proof, 32 bytes each. */
  readonly path: readonly Hash[]
  /** A note. */
  readonly head: string
}

/** What a verified range shows: all entries from `start` to `end`, exclusive. */
export interface OpenedRange {
  readonly head: Head
  readonly start: number
  readonly end: number
  /** Ascending by index. The signatures of their statements are not verified: their keys are not in a range. */
  readonly entries: readonly PlacedEntry[]
}

/**
 * Parses a range.
 *
 * @throws {ProofError} `too_large` over 16 MiB, and for an entry or path over its limit; `version_unknown`; `malformed`
 *   or `not_canonical` for everything else.
 * @see FORMAT §11.5
 */
export function parseRange(bytes: Uint8Array): Range {
  const object = jsonObject(parseJson(bytes, { maxBytes: RANGE_BYTES_MAX }), 'range')
  const format = jsonString(object['format'], 'range format')
  check(format === RANGE_FORMAT, 'version_unknown', `range format: not ${RANGE_FORMAT}`)
  requireMembers(object, ['format', 'start', 'entries', 'path', 'head'], [], 'range')
  const start = jsonInteger(object['start'], 'start')
  check(start >= 0, 'malformed', 'start: negative')
  const encoded = jsonArray(object['entries'], 'entries')
  check(encoded.length > 0, 'malformed', 'entries: none')
  const nodes = jsonArray(object['path'], 'path')
  check(nodes.length <= RANGE_PATH_MAX, 'too_large', `path: over ${RANGE_PATH_MAX} nodes`)
  return {
    start,
    entries: encoded.map((one) => {
      const text = jsonString(one, 'entry')
      const fits = text.length <= Math.ceil((ENTRY_LENGTH_MAX * 4) / 3)
      check(fits, 'too_large', `entry: over ${ENTRY_LENGTH_MAX} bytes`)
      return fromBase64url(text, 'entry')
    }),
    path: nodes.map((node) => {
      const hash = fromBase64url(jsonString(node, 'path'), 'path')
      check(hash.length === HASH_LENGTH, 'malformed', 'path: a node that is not 32 bytes')
      return hash
    }),
    head: jsonString(object['head'], 'head'),
  }
}

/**
 * Formats a range as canonical JSON; `parseRange` gives back the same.
 *
 * @throws {ProofError} as `parseRange`, for a range that it would refuse.
 * @see FORMAT §11.5
 */
export function formatRange({ start, entries, path, head }: Range): Uint8Array {
  const bytes = canonicalJson({
    format: RANGE_FORMAT,
    start,
    entries: entries.map(toBase64url),
    path: path.map(toBase64url),
    head,
  })
  parseRange(bytes)
  return bytes
}

/**
 * Opens a range: verifies its head under the trust, that its entries are all of the log from `start` on, as many as they
 * are, each at its index, and that their times and links do not contradict each other.
 *
 * @throws {ProofError} as `openTrustedHead`; `inclusion_mismatch`; `index_mismatch`; `outcome_mismatch` if ledger time
 *   decreases; `chain_mismatch` if a link does not follow; else as `decodeEntry` and `parseEntryStatement`.
 * @see FORMAT §5.2, §5.3, §11.5
 */
export function openRange(p: Primitives, range: Range, trust: Trust): OpenedRange {
  const { start, path } = range
  const head = openTrustedHead(p, trust, range.head)
  const leaves = range.entries.map((bytes) => ({ bytes, hash: leafHash(p, bytes) }))
  const leafHashes = leaves.map(({ hash }) => hash)
  verifyRange(p, { start, treeSize: head.size, leafHashes, path, root: head.root })
  const entries = leaves.map(({ bytes, hash }, at): PlacedEntry => {
    const index = start + at
    const entry = decodeEntry(bytes)
    check(entry.index === index, 'index_mismatch', `entry ${index}: says index ${entry.index}`)
    if (entry.known) parseEntryStatement(entry)
    return { index, entry, leafHash: hash }
  })
  checkTimes(entries)
  checkLinks(entries)
  return { head, start, end: start + entries.length, entries }
}
