/**
 * @module Somebody outside who keeps every receipt and head that the service ever gave out, and holds the service to
 * them: every entry where it was, with the bytes it had, under the newest head; no two heads of one size; nothing twice.
 * The tree is computed here from the entries alone.
 */
import {
  contentDigest,
  decodeEntry,
  fromBase64url,
  jsonArray,
  jsonObject,
  jsonString,
  type JsonValue,
  openReceipt,
  openTrustedHead,
  parseEntryStatement,
  parseTrust,
  toHex,
  type Trust,
  utf8Encode,
  verifyConsistency,
  type Head,
} from '@trustwarden/proofs'
import { expect } from 'vitest'
import { nativePrimitives } from '../../src/crypto.ts'
import { naiveLeafHash, naiveNodeHash } from '../support/naive-merkle.ts'
import { type Acknowledged, digestOf } from '../support/load.ts'

const BUNDLE = 256

/** Where the log is read from: a URL, or anything that gives the same answers. */
export interface LogSource {
  checkpoint(): Promise<string>
  /** Entries `first` … `end` − 1. */
  entries(first: number, end: number): Promise<readonly Uint8Array[]>
  consistency(from: number, to: number): Promise<readonly Uint8Array[]>
}

/** Reads the log of a service that was started with `--open-reads true`. */
export function httpSource(url: string, log = '/logs/agents'): LogSource {
  const get = async (path: string): Promise<Response> => {
    const response = await fetch(`${url}${log}${path}`, { signal: AbortSignal.timeout(20_000) })
    if (!response.ok) throw new Error(`${path}: ${response.status} ${await response.text()}`)
    return response
  }
  return {
    checkpoint: async () => (await get('/checkpoint')).text(),
    entries: async (first, end) => {
      const found: Uint8Array[] = []
      for (let n = Math.floor(first / BUNDLE); n * BUNDLE < end; n++) {
        const width = Math.min(BUNDLE, end - n * BUNDLE)
        const partial = width === BUNDLE ? '' : `.p/${width}`
        const digits = String(n).padStart(3, '0')
        const response = await get(`/tile/entries/${digits}${partial}`)
        const all = splitBundle(new Uint8Array(await response.arrayBuffer()))
        found.push(...all.slice(Math.max(0, first - n * BUNDLE)))
      }
      return found
    },
    consistency: async (from, to) => {
      const response = await get(`/v1/proofs/consistency?from=${from}&to=${to}`)
      const body = jsonObject((await response.json()) as JsonValue, 'proof')
      return jsonArray(body['path'], 'path').map((one) => fromBase64url(jsonString(one, 'path')))
    },
  }
}

function splitBundle(bytes: Uint8Array): readonly Uint8Array[] {
  const entries: Uint8Array[] = []
  for (let at = 0; at < bytes.length; ) {
    const length = (bytes[at] ?? 0) * 256 + (bytes[at + 1] ?? 0)
    entries.push(bytes.subarray(at + 2, at + 2 + length))
    at += 2 + length
  }
  return entries
}

/** Root of the first `size` leaves for each of `sizes`, from the leaf hashes alone. */
export function rootsAt(
  leaves: readonly Uint8Array[],
  sizes: ReadonlySet<number>,
): ReadonlyMap<number, string> {
  const roots = new Map<number, string>()
  const stack: { readonly hash: Uint8Array; readonly count: number }[] = []
  for (const [at, leaf] of leaves.entries()) {
    let node = { hash: leaf, count: 1 }
    for (let top = stack.at(-1); top?.count === node.count; top = stack.at(-1)) {
      stack.pop()
      node = { hash: naiveNodeHash(top.hash, node.hash), count: top.count * 2 }
    }
    stack.push(node)
    if (!sizes.has(at + 1)) continue
    const root = stack.reduceRight<Uint8Array | undefined>(
      (right, { hash }) => (right === undefined ? hash : naiveNodeHash(hash, right)),
      undefined,
    )
    if (root !== undefined) roots.set(at + 1, toHex(root))
  }
  return roots
}

/** Keeps what was seen of one log. */
export class Auditor {
  readonly #trust: Trust
  /** Every head ever seen, by size. */
  readonly #heads = new Map<number, string>()
  readonly #entries: Uint8Array[] = []
  readonly #leaves: Uint8Array[] = []
  #newest: Head | undefined
  #checked = 0

  constructor(anchor: string) {
    this.#trust = parseTrust(nativePrimitives, utf8Encode(anchor))
  }

  /** Size of the newest head that was seen. */
  get size(): number {
    return this.#newest?.size ?? 0
  }

  /** The entries as they were read last. */
  get entries(): readonly Uint8Array[] {
    return this.#entries
  }

  /** Verifies receipts that came since the last call, on their own. */
  receive(acknowledged: readonly Acknowledged[]): void {
    for (const { said, receipt } of acknowledged.slice(this.#checked)) {
      const opened = openReceipt(nativePrimitives, receipt, this.#trust)
      this.#see(opened.head)
      const held = contentDigest(nativePrimitives, parseEntryStatement(opened.entry))
      expect(toHex(held), `entry ${receipt.index} holds what was submitted`).toBe(
        digestOf(said.text),
      )
    }
    this.#checked = acknowledged.length
  }

  /** Reads the whole log again and holds it to everything that was seen. */
  async check(source: LogSource, acknowledged: readonly Acknowledged[]): Promise<void> {
    this.receive(acknowledged)
    const before = this.#newest
    const note = await source.checkpoint()
    const head = openTrustedHead(nativePrimitives, this.#trust, note)
    expect(head.size, 'the newest head is not older than one seen').toBeGreaterThanOrEqual(
      Math.max(0, ...this.#heads.keys()),
    )
    this.#see(head)
    if (before !== undefined && before.size > 0) {
      const path = await source.consistency(before.size, head.size)
      const sizes = { oldSize: before.size, newSize: head.size }
      const roots = { oldRoot: before.root, newRoot: head.root }
      verifyConsistency(nativePrimitives, { ...sizes, ...roots, path })
    }
    const entries = await source.entries(0, head.size)
    expect(entries.length).toBe(head.size)
    for (const [at, entry] of entries.entries()) this.#hold(at, entry)
    const roots = rootsAt(this.#leaves, new Set(this.#heads.keys()))
    for (const [size, root] of this.#heads) {
      if (size > 0) expect(roots.get(size), `root at size ${size}`).toBe(root)
    }
    for (const { receipt } of acknowledged) {
      const found = this.#entries[receipt.index]
      if (found === undefined || Buffer.compare(found, receipt.entry) !== 0)
        expect.fail(`entry ${receipt.index} was acknowledged, and is not there as it was`)
    }
    this.#newest = head
  }

  /** No statement stands twice. */
  checkOnce(): void {
    const seen = new Map<string, number>()
    for (const [index, bytes] of this.#entries.entries()) {
      const statement = parseEntryStatement(decodeEntry(bytes))
      const digest = toHex(contentDigest(nativePrimitives, statement))
      expect(seen.get(digest), `entry ${index} holds a statement that an earlier one holds`).toBe(
        undefined,
      )
      seen.set(digest, index)
    }
  }

  #see(head: Head): void {
    const root = toHex(head.root)
    const known = this.#heads.get(head.size)
    if (known !== undefined) expect(root, `two heads of size ${head.size}`).toBe(known)
    this.#heads.set(head.size, root)
  }

  #hold(at: number, entry: Uint8Array): void {
    const known = this.#entries[at]
    // Below the newest head everything was public; above it a batch may be gone that nobody was told of.
    if (known !== undefined && Buffer.compare(known, entry) === 0) return
    if (known !== undefined && at < this.size) expect.fail(`entry ${at} has changed`)
    this.#entries[at] = entry
    this.#leaves[at] = naiveLeafHash(entry)
  }
}
