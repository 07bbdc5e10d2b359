/**
 * @module Receipts that travel together: what they share, nodes of their paths and heads, stands there once, and what the
 * receiver sent itself not at all. A set is expanded to single receipts before anything is verified.
 */
import { concatBytes, fromBase64url, toBase64url } from './bytes.ts'
import { check, ProofError } from './errors.ts'
import {
  jsonArray,
  jsonInteger,
  jsonObject,
  type JsonObject,
  jsonString,
  type JsonValue,
  requireMembers,
} from './json.ts'
import { HASH_LENGTH, INCLUSION_PATH_MAX } from './merkle.ts'
import type { Hash } from './primitives.ts'
import { HEAD_LENGTH_MAX, type Receipt } from './receipt.ts'
import { ENTRY_LENGTH_MAX } from './tile.ts'

/** Receipts in a set: as many as a request has statements. */
export const RECEIPT_SET_MAX = 1000

const SET_FORMAT = 'trustwarden-receipts/1'
const ENTRY_TEXT_MAX = Math.ceil((ENTRY_LENGTH_MAX * 4) / 3)

/**
 * Writes receipts as a set.
 *
 * @param statements - Of each receipt: the statement's bytes that whoever reads the set has, or undefined. It is left out
 *   of the entry where the entry holds these very bytes.
 * @see FORMAT §11.6
 */
export function receiptSetObject(
  receipts: readonly Receipt[],
  statements: readonly (Uint8Array | undefined)[] = [],
): JsonObject {
  const heads = new Listed<string>()
  // A path's nodes are the same arrays where they are the same nodes, or this only says them twice.
  const nodes = new Listed<Hash>()
  const listed = receipts.map(({ index, entry, path, head }, at) => ({
    index,
    entry: entryWithout(entry, statements[at]),
    path: path.map((hash) => nodes.placeOf(hash)),
    head: heads.placeOf(head),
  }))
  return {
    format: SET_FORMAT,
    heads: heads.items,
    nodes: nodes.items.map((hash) => toBase64url(hash)),
    receipts: listed,
  }
}

/**
 * Expands a set to its receipts, which `openReceipt` opens.
 *
 * @param statements - Of each receipt, the bytes of the statement that was sent.
 * @throws {ProofError} `version_unknown`; `too_large`; `not_canonical` for a node or a head that is not where it is used
 *   first; `malformed` for everything else.
 * @see FORMAT §11.6
 */
export function expandReceipts(
  value: JsonValue | undefined,
  statements: readonly (Uint8Array | undefined)[] = [],
): readonly Receipt[] {
  const object = jsonObject(value, 'receipts')
  const format = jsonString(object['format'], 'receipts format')
  check(format === SET_FORMAT, 'version_unknown', `receipts format: not ${SET_FORMAT}`)
  requireMembers(object, ['format', 'heads', 'nodes', 'receipts'], [], 'receipts')
  const listed = jsonArray(object['receipts'], 'receipts')
  checkCount(listed.length, RECEIPT_SET_MAX, 'receipts')
  const heads = new Numbered(readHeads(object['heads']), 'head')
  const nodes = new Numbered(readNodes(object['nodes']), 'path')
  const receipts = listed.map((one, at): Receipt => {
    const receipt = jsonObject(one, 'receipt')
    requireMembers(receipt, ['index', 'entry', 'path', 'head'], [], 'receipt')
    const index = jsonInteger(receipt['index'], 'index')
    check(index >= 0, 'malformed', 'index: negative')
    const places = jsonArray(receipt['path'], 'path')
    checkCount(places.length, INCLUSION_PATH_MAX, 'path')
    return {
      index,
      entry: entryWith(receipt['entry'], statements[at]),
      path: places.map((place) => nodes.at(place)),
      head: heads.at(receipt['head']),
    }
  })
  heads.checkUsed()
  nodes.checkUsed()
  return receipts
}

/** Items in the order of their first use, each once. */
class Listed<T> {
  readonly items: T[] = []
  readonly #places = new Map<T, number>()

  placeOf(item: T): number {
    let place = this.#places.get(item)
    if (place === undefined) {
      place = this.items.length
      this.#places.set(item, place)
      this.items.push(item)
    }
    return place
  }
}

/** Items that are named by their number, and have to be named in their order first. */
class Numbered<T> {
  readonly #items: readonly T[]
  readonly #field: string
  #used = 0

  constructor(items: readonly T[], field: string) {
    this.#items = items
    this.#field = field
  }

  at(value: JsonValue | undefined): T {
    const place = jsonInteger(value, this.#field)
    const item = this.#items[place]
    if (item === undefined) throw new ProofError('malformed', `${this.#field}: no such item`)
    check(place <= this.#used, 'not_canonical', `${this.#field}: not in the order of first use`)
    if (place === this.#used) this.#used += 1
    return item
  }

  checkUsed(): void {
    const isUsed = this.#used === this.#items.length
    check(isUsed, 'not_canonical', `${this.#field}: an item that nothing names`)
  }
}

function readHeads(value: JsonValue | undefined): readonly string[] {
  const heads = jsonArray(value, 'heads')
  checkCount(heads.length, RECEIPT_SET_MAX, 'heads')
  return heads.map((one) => {
    const head = jsonString(one, 'head')
    checkCount(head.length, HEAD_LENGTH_MAX, 'head')
    return head
  })
}

function readNodes(value: JsonValue | undefined): readonly Hash[] {
  const nodes = jsonArray(value, 'nodes')
  checkCount(nodes.length, RECEIPT_SET_MAX * INCLUSION_PATH_MAX, 'nodes')
  return nodes.map((one) => {
    const hash = fromBase64url(jsonString(one, 'node'), 'node')
    check(hash.length === HASH_LENGTH, 'malformed', 'node: not 32 bytes')
    return hash
  })
}

/** The entry, or what stands in it before and behind the statement. */
function entryWithout(entry: Uint8Array, statement: Uint8Array | undefined): JsonValue {
  const start = statement === undefined ? -1 : indexIn(entry, statement)
  if (statement === undefined || start < 0) return toBase64url(entry)
  const end = start + statement.length
  return [toBase64url(entry.subarray(0, start)), toBase64url(entry.subarray(end))]
}

function entryWith(value: JsonValue | undefined, statement: Uint8Array | undefined): Uint8Array {
  if (typeof value === 'string') {
    checkCount(value.length, ENTRY_TEXT_MAX, 'entry')
    return fromBase64url(value, 'entry')
  }
  const parts = jsonArray(value, 'entry')
  check(parts.length === 2, 'malformed', 'entry: neither one text nor two around its statement')
  const [before, after] = [jsonString(parts[0], 'entry'), jsonString(parts[1], 'entry')]
  checkCount(before.length + after.length, ENTRY_TEXT_MAX, 'entry')
  if (statement === undefined) {
    throw new ProofError('malformed', 'entry: without its statement, which was not sent')
  }
  return concatBytes(fromBase64url(before, 'entry'), statement, fromBase64url(after, 'entry'))
}

/** Where `part` begins in `bytes` first, or −1. */
function indexIn(bytes: Uint8Array, part: Uint8Array): number {
  const last = bytes.length - part.length
  const first = Number(part[0])
  for (let start = bytes.indexOf(first); start >= 0 && start <= last; ) {
    let at = 1
    while (at < part.length && bytes[start + at] === part[at]) at += 1
    if (at >= part.length) return start
    start = bytes.indexOf(first, start + 1)
  }
  return -1
}

function checkCount(count: number, most: number, field: string): void {
  if (count > most) throw new ProofError('too_large', `${field}: ${count}, at most ${most}`)
}
