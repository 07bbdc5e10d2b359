/**
 * @module Receipts: an entry, its inclusion proof, and the head under which it lies.
 */
import { equalBytes, fromBase64url, toBase64url, utf8Encode } from './bytes.ts'
import { decodeEntry, type Entry, parseEntryStatement } from './entry.ts'
import { check } from './errors.ts'
import type { Head } from './head.ts'
import {
  canonicalJson,
  jsonArray,
  jsonInteger,
  jsonObject,
  jsonString,
  type JsonObject,
  type JsonValue,
  parseJson,
  requireMembers,
} from './json.ts'
import { HASH_LENGTH, INCLUSION_PATH_MAX, leafHash, verifyInclusion } from './merkle.ts'
import type { Hash, Primitives } from './primitives.ts'
import { contentDigest, type Statement, verifyStatement } from './statement.ts'
import { ENTRY_LENGTH_MAX } from './tile.ts'
import { openTrustedHead, type Trust } from './trust.ts'

/** A receipt that has the form of one; nothing about it is verified. */
export interface Receipt {
  readonly index: number
  /** The entry's bytes. */
  readonly entry: Uint8Array
  /** Siblings, leaf to root, 32 bytes each. */
  readonly path: readonly Hash[]
  /** A note. */
  readonly head: string
}

/** What a verified receipt shows. */
export interface OpenedReceipt {
  readonly entry: Entry
  readonly index: number
  readonly leafHash: Hash
  readonly head: Head
}

const RECEIPT_FORMAT = 'trustwarden-receipt/1'
/** Characters in the head of a receipt. */
export const HEAD_LENGTH_MAX = 65_536

/**
 * Parses a receipt: the bytes of its JSON, or the object that they are.
 *
 * @throws {ProofError} `version_unknown`; `too_large`; `malformed` or `not_canonical` for everything else.
 * @see FORMAT §11.3
 */
export function parseReceipt(input: Uint8Array | JsonValue): Receipt {
  const value = input instanceof Uint8Array ? parseJson(input) : input
  const object = jsonObject(value, 'receipt')
  const format = jsonString(object['format'], 'receipt format')
  check(format === RECEIPT_FORMAT, 'version_unknown', `receipt format: not ${RECEIPT_FORMAT}`)
  requireMembers(object, ['format', 'index', 'entry', 'path', 'head'], [], 'receipt')
  const index = jsonInteger(object['index'], 'index')
  check(index >= 0, 'malformed', 'index: negative')
  const encoded = jsonString(object['entry'], 'entry')
  checkLength(encoded.length, Math.ceil((ENTRY_LENGTH_MAX * 4) / 3), 'entry')
  const nodes = jsonArray(object['path'], 'path')
  checkLength(nodes.length, INCLUSION_PATH_MAX, 'path')
  const head = jsonString(object['head'], 'head')
  checkLength(head.length, HEAD_LENGTH_MAX, 'head')
  const path = nodes.map((node) => {
    const hash = fromBase64url(jsonString(node, 'path'), 'path')
    check(hash.length === HASH_LENGTH, 'malformed', 'path: a node that is not 32 bytes')
    return hash
  })
  return { index, entry: fromBase64url(encoded, 'entry'), path, head }
}

/**
 * Formats a receipt as canonical JSON; `parseReceipt` gives back the same.
 *
 * @throws {ProofError} as `parseReceipt`, for a receipt that it would refuse.
 * @see FORMAT §11.3
 */
export function formatReceipt(receipt: Receipt): Uint8Array {
  const object = receiptObject(receipt)
  parseReceipt(object)
  return canonicalJson(object)
}

/** The JSON object of a receipt, as it stands in an answer. Nothing is checked. */
export function receiptObject({ index, entry, path, head }: Receipt): JsonObject {
  return {
    format: RECEIPT_FORMAT,
    index,
    entry: toBase64url(entry),
    path: path.map((hash) => toBase64url(hash)),
    head,
  }
}

/**
 * Opens a receipt: verifies its head under the trust, the inclusion of its entry, and that the entry is at the index it
 * names. The statement in the entry is not verified: `matchReceipt`.
 *
 * @throws {ProofError} as `openTrustedHead`; `inclusion_mismatch`; `index_mismatch`; else as `decodeEntry`.
 * @see FORMAT §11.3
 */
export function openReceipt(p: Primitives, receipt: Receipt, trust: Trust): OpenedReceipt {
  const { index, path } = receipt
  const head = openTrustedHead(p, trust, utf8Encode(receipt.head))
  const hash = leafHash(p, receipt.entry)
  const { size: treeSize, root } = head
  verifyInclusion(p, { leafIndex: index, treeSize, leafHash: hash, path, root })
  const entry = decodeEntry(receipt.entry)
  check(entry.index === index, 'index_mismatch', `entry: says index ${entry.index}, not ${index}`)
  return { entry, index, leafHash: hash, head }
}

/**
 * Matches a receipt to what was submitted: the entry holds the same statement, addressed to the head's log. It may hold
 * it under another signature, which is verified.
 *
 * @param spki - The key of the statement's signer, DER SubjectPublicKeyInfo.
 * @throws {ProofError} `inclusion_mismatch` for another statement; else as `parseEntryStatement` and `verifyStatement`.
 * @see FORMAT §3.3, §11.3
 */
export function matchReceipt(
  p: Primitives,
  opened: OpenedReceipt,
  statement: Statement,
  spki: Uint8Array,
): void {
  const held = parseEntryStatement(opened.entry)
  const same = equalBytes(contentDigest(p, held), contentDigest(p, statement))
  check(same, 'inclusion_mismatch', 'the entry holds another statement than the one submitted')
  verifyStatement(p, held, { spki, origin: opened.head.origin })
}

function checkLength(length: number, most: number, field: string): void {
  check(length <= most, 'too_large', `${field}: ${length}, at most ${most}`)
}
