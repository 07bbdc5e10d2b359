/**
 * @module Evidence bundles as files: entries with their inclusion proofs under one head, and what was disclosed beside
 * them (FORMAT §12.1). Nothing is verified here.
 */
import { fromBase64url, parseDecimal, toBase64url } from './bytes.ts'
import { check } from './errors.ts'
import {
  canonicalJson,
  jsonArray,
  jsonInteger,
  jsonObject,
  type JsonObject,
  jsonString,
  type JsonValue,
  parseJson,
  requireMembers,
} from './json.ts'
import { HASH_LENGTH, INCLUSION_PATH_MAX } from './merkle.ts'
import type { Hash } from './primitives.ts'
import { ENTRY_LENGTH_MAX } from './tile.ts'

/** Bytes in an evidence bundle. */
export const EVIDENCE_BYTES_MAX = 16_777_216

/** What the `format` of a bundle says. */
export const EVIDENCE_FORMAT = 'trustwarden-evidence/1'

/** One entry of a bundle. */
export interface EvidenceEntry {
  readonly index: number
  /** The entry's bytes. */
  readonly entry: Uint8Array
  /** Siblings, leaf to root, 32 bytes each. */
  readonly path: readonly Hash[]
}

/** A bundle that has the form of one. */
export interface EvidenceBundle {
  /** Index of the action that it is about. */
  readonly action: number
  /** The note of the one head. */
  readonly head: string
  /** Ascending by index. */
  readonly entries: readonly EvidenceEntry[]
  /** Disclosures by the index of their statement's entry: all of that statement, or none. */
  readonly disclosures: ReadonlyMap<number, readonly string[]>
}

/**
 * Parses an evidence bundle.
 *
 * @throws {ProofError} `too_large` over 16 MiB, and for an entry or path over its limit; `version_unknown`; `not_canonical`
 *   for entries that do not ascend; `malformed` for everything else, disclosures of no entry included.
 * @see FORMAT §12.1
 */
export function parseEvidence(bytes: Uint8Array): EvidenceBundle {
  const object = jsonObject(parseJson(bytes, { maxBytes: EVIDENCE_BYTES_MAX }), 'evidence')
  const format = jsonString(object['format'], 'evidence format')
  check(format === EVIDENCE_FORMAT, 'version_unknown', `evidence format: not ${EVIDENCE_FORMAT}`)
  const required = ['format', 'action', 'head', 'entries', 'disclosures']
  requireMembers(object, required, [], 'evidence')
  const entries = parseEntries(object['entries'])
  return {
    action: parseIndex(object['action'], 'action'),
    head: jsonString(object['head'], 'head'),
    entries,
    disclosures: parseDisclosures(object['disclosures'], new Set(entries.map((one) => one.index))),
  }
}

/**
 * Formats an evidence bundle as canonical JSON; `parseEvidence` gives back the same.
 *
 * @throws {ProofError} as `parseEvidence`, for a bundle that it would refuse.
 * @see FORMAT §12.1
 */
export function formatEvidence(bundle: EvidenceBundle): Uint8Array {
  const disclosures: [string, readonly string[]][] = []
  for (const [index, texts] of bundle.disclosures) disclosures.push([String(index), texts])
  const bytes = canonicalJson({
    format: EVIDENCE_FORMAT,
    action: bundle.action,
    head: bundle.head,
    entries: entriesJson(bundle.entries),
    disclosures: Object.fromEntries(disclosures),
  })
  parseEvidence(bytes)
  return bytes
}

/** Parses entries with their inclusion proofs, which ascend. @throws {ProofError} as `parseEvidence` */
export function parseEntries(value: JsonValue | undefined): readonly EvidenceEntry[] {
  const entries = jsonArray(value, 'entries').map(parseEntry)
  let previous = -1
  for (const { index } of entries) {
    check(index > previous, 'not_canonical', 'entries: not ascending by index')
    previous = index
  }
  return entries
}

/** The entries as `parseEntries` reads them. */
export function entriesJson(entries: readonly EvidenceEntry[]): JsonValue {
  return entries.map(({ index, entry, path }) => ({
    index,
    entry: toBase64url(entry),
    path: path.map(toBase64url),
  }))
}

function parseEntry(value: JsonValue): EvidenceEntry {
  const object = jsonObject(value, 'entry')
  requireMembers(object, ['index', 'entry', 'path'], [], 'entry')
  const encoded = jsonString(object['entry'], 'entry')
  const most = Math.ceil((ENTRY_LENGTH_MAX * 4) / 3)
  check(encoded.length <= most, 'too_large', `entry: over ${ENTRY_LENGTH_MAX} bytes`)
  const nodes = jsonArray(object['path'], 'path')
  check(nodes.length <= INCLUSION_PATH_MAX, 'too_large', `path: over ${INCLUSION_PATH_MAX} nodes`)
  const path = nodes.map((node) => {
    const hash = fromBase64url(jsonString(node, 'path'), 'path')
    check(hash.length === HASH_LENGTH, 'malformed', 'path: a node that is not 32 bytes')
    return hash
  })
  return {
    index: parseIndex(object['index'], 'index'),
    entry: fromBase64url(encoded, 'entry'),
    path,
  }
}

function parseDisclosures(
  value: JsonValue | undefined,
  indexes: ReadonlySet<number>,
): EvidenceBundle['disclosures'] {
  const object: JsonObject = jsonObject(value, 'disclosures')
  const byIndex = new Map<number, readonly string[]>()
  for (const [name, list] of Object.entries(object)) {
    const index = parseDecimal(name, 'disclosures')
    check(indexes.has(index), 'malformed', `disclosures: of entry ${index}, which is not here`)
    const texts = jsonArray(list, 'disclosures').map((text) => jsonString(text, 'disclosure'))
    check(texts.length > 0, 'malformed', `disclosures: an empty list for entry ${index}`)
    byIndex.set(index, texts)
  }
  return byIndex
}

function parseIndex(value: JsonValue | undefined, field: string): number {
  const index = jsonInteger(value, field)
  check(index >= 0, 'malformed', `${field}: negative`)
  return index
}
