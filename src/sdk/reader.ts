/**
 * @module Reading a log by signed requests: entries, agents, bundles, proofs. What is read counts as far as a
 * receipt or a proof under the trust anchor shows it.
 */
import {
  decodeBundle,
  decodeEntry,
  type Entry,
  formatTilePath,
  fromBase64url,
  type Hash,
  type Head,
  jsonArray,
  type JsonObject,
  jsonString,
  leafHash,
  type OpenedRange,
  openRange,
  type Range,
  RANGE_BYTES_MAX,
  TILE_WIDTH,
  toBase64url,
  verifyInclusion,
} from '@trustwarden/proofs'
import { bundleBytesMax, BYTES_MAX, tileBytes } from './answer.ts'
import { type ChainEntry, readChain } from './chain.ts'
import type { CallOptions, TrustWarden } from './client.ts'
import { checkIndex, type ReadEntry, readEntry } from './entry.ts'
import { inSdkWords, TrustWardenError } from './errors.ts'
import { collectEvidence, type EvidenceOptions } from './evidence.ts'
import type { StatementSigner } from './statement.ts'

/** An entry with its inclusion proof under a head that the caller chose. */
export interface ProvenEntry {
  readonly index: number
  readonly bytes: Uint8Array
  readonly entry: Entry
  readonly path: readonly Hash[]
  readonly disclosures: readonly string[]
}

/** All entries from `start` to `end` (exclusive), proven under one checkpoint. */
export interface ReadRange extends OpenedRange {
  /** The same as it is kept: `formatRange` makes a file of it that verifies offline. */
  readonly range: Range
}

/** Bytes of entries in one range: as base64url, with its proof and head, they fit into a file. */
const RANGE_LENGTH_MAX = (RANGE_BYTES_MAX - 262_144) * 0.75

/** A person who reads: a reader or an operator everything, an owner the entries of its agents. */
export class Reader {
  readonly client: TrustWarden
  readonly #signer: StatementSigner | undefined

  /** @param signer - Such as `key.as('reader')`; none for a log that anyone may read. */
  constructor(client: TrustWarden, signer?: StatementSigner) {
    this.client = client
    this.#signer = signer
  }

  /** Reads one entry with its receipt and the disclosures that are still there. */
  async entry(index: number, options: CallOptions = {}): Promise<ReadEntry> {
    return readEntry(this.client, this.#signer, index, options)
  }

  /** Reads the entries of a subject's chain, newest first (`readChain`). */
  chain(subject: string, options: CallOptions = {}): AsyncGenerator<ChainEntry, void> {
    return readChain(this.client, this.#signer, subject, options)
  }

  /** What the service says of an agent instance, unverified but for its lineage, which `verifyLineage` checks. */
  async agent(instance: string, options: CallOptions = {}): Promise<JsonObject> {
    const path = `/v1/agents/${encodeURIComponent(instance)}`
    return this.client.read(this.#signer, path, { ...options, bytesMax: BYTES_MAX.agent })
  }

  /**
   * Reads an entry bundle: entries 256·`number` to the bundle's end, or to the log's.
   *
   * @returns The entries as bytes; nothing shows yet that they are in the log.
   */
  async bundle(
    number: number,
    size: number,
    options: CallOptions = {},
  ): Promise<readonly Uint8Array[]> {
    const width = Math.min(TILE_WIDTH, size - number * TILE_WIDTH)
    const path = inSdkWords('argument_invalid', 'bundle', () =>
      formatTilePath({ level: 'entries', index: number, width }),
    )
    const bytesMax = bundleBytesMax(width)
    const bytes = await this.client.readBytes(this.#signer, `/${path}`, { ...options, bytesMax })
    return inSdkWords('answer_malformed', path, () => decodeBundle(bytes, width))
  }

  /**
   * Reads a pinned attachment, a policy (FORMAT §4.4).
   *
   * @param digest - Its SHA-256, base64url.
   * @throws TrustWardenError `answer_malformed` for bytes of another digest; `not_found`; and as a read.
   */
  async pinned(digest: string, options: CallOptions = {}): Promise<Uint8Array> {
    const path = `/v1/pinned/${encodeURIComponent(digest)}`
    const { pinned: bytesMax } = BYTES_MAX
    const bytes = await this.client.readBytes(this.#signer, path, { ...options, bytesMax })
    if (toBase64url(this.client.primitives.sha256(bytes)) === digest) return bytes
    throw new TrustWardenError('answer_malformed', `${path}: not the bytes of this digest`)
  }

  /**
   * Reads an entry and proves it under `head`, so that several entries stand under one head.
   *
   * @throws TrustWardenError `receipt_invalid`, and as a read.
   */
  async proven(index: number, head: Head, options: CallOptions = {}): Promise<ProvenEntry> {
    const { receipt, entry, disclosures } = await this.entry(index, options)
    const path = await this.inclusion(index, head.size, options)
    const bytes = receipt.entry
    const { primitives } = this.client
    inSdkWords('receipt_invalid', `entry ${index}`, () =>
      verifyInclusion(primitives, {
        leafIndex: index,
        treeSize: head.size,
        leafHash: leafHash(primitives, bytes),
        path,
        root: head.root,
      }),
    )
    return { index, bytes, entry, path, disclosures }
  }

  /** Reads the entries `start` to `end` (exclusive) of one bundle. They have to be proven: `proven`. */
  async range(
    start: number,
    end: number,
    options: CallOptions = {},
  ): Promise<readonly { readonly index: number; readonly entry: Entry }[]> {
    const number = Math.floor(start / TILE_WIDTH)
    const bundle = await this.bundle(number, end, options)
    const skipped = start - number * TILE_WIDTH
    return bundle.slice(skipped).map((bytes, at) => {
      const entry = inSdkWords('answer_malformed', 'bundle', () => decodeEntry(bytes))
      return { index: start + at, entry }
    })
  }

  /**
   * Reads all entries from `start` to `end` (exclusive) and proves that none was left out between them, by one range
   * proof (FORMAT §11.4). At most 12 MiB of entries: longer ranges are read in parts.
   *
   * @throws TrustWardenError `range_invalid` beyond the checkpoint; `receipt_invalid` if they are not all of the log, or
   *   contradict each other; `argument_invalid`; and as a read.
   */
  async entries(start: number, end: number, options: CallOptions = {}): Promise<ReadRange> {
    checkIndex(start)
    checkIndex(end)
    if (start >= end)
      throw new TrustWardenError('argument_invalid', `range: ${start} is not below ${end}`)
    const { note, head } = await this.client.checkpoint(options)
    if (end > head.size)
      throw new TrustWardenError('range_invalid', `range: the checkpoint has ${head.size} entries`)
    const entries: Uint8Array[] = []
    let length = 0
    for (let at = start; at < end; ) {
      const number = Math.floor(at / TILE_WIDTH)
      const first = number * TILE_WIDTH
      // As wide as the head has it: what lies between may keep it, and a static archive holds no others.
      const bundle = await this.bundle(number, head.size, options)
      for (const bytes of bundle.slice(at - first, end - first)) {
        entries.push(bytes)
        length += bytes.length
      }
      if (length > RANGE_LENGTH_MAX)
        throw new TrustWardenError('argument_invalid', 'range: over 12 MiB, read it in parts')
      at = first + TILE_WIDTH
    }
    const path = await this.rangeProof(start, end, head.size, options)
    const range: Range = { start, entries, path, head: note }
    const { primitives, trust } = this.client
    const opened = inSdkWords('receipt_invalid', `entries ${start} to ${end}`, () =>
      openRange(primitives, range, trust),
    )
    return { ...opened, range }
  }

  /**
   * Collects everything that proves the action at `index` into one file (FORMAT §12), which anybody can verify
   * offline.
   *
   * @throws TrustWardenError `evidence_incomplete`, and as a read.
   */
  async evidence(index: number, options: EvidenceOptions = {}): Promise<Uint8Array> {
    return collectEvidence(this, index, options)
  }

  /** Reads an inclusion proof; nothing is verified. */
  async inclusion(
    index: number,
    size: number,
    options: CallOptions = {},
  ): Promise<readonly Hash[]> {
    return this.#path(`/v1/proofs/inclusion?index=${index}&size=${size}`, options)
  }

  /** Reads a range proof; nothing is verified. */
  async rangeProof(
    start: number,
    end: number,
    size: number,
    options: CallOptions = {},
  ): Promise<readonly Hash[]> {
    return this.#path(`/v1/proofs/range?start=${start}&end=${end}&size=${size}`, options)
  }

  /** Reads a consistency proof; nothing is verified. */
  async consistency(from: number, to: number, options: CallOptions = {}): Promise<readonly Hash[]> {
    return this.#path(`/v1/proofs/consistency?from=${from}&to=${to}`, options)
  }

  /** Reads the first `width` hashes of a tile, which anybody may; nothing is verified. */
  async tile(
    level: number,
    index: number,
    width: number,
    options: CallOptions = {},
  ): Promise<Uint8Array> {
    const path = inSdkWords('argument_invalid', 'tile', () =>
      formatTilePath({ level, index, width }),
    )
    const bytesMax = tileBytes(width)
    return this.client.readBytes(undefined, `/${path}`, { ...options, bytesMax })
  }

  /**
   * Searches back from `from` (exclusive) for the nearest entry that `isWanted`, by whole bundles.
   *
   * @returns Its index, or undefined. What is found has to be proven: `proven`.
   */
  async findBefore(
    from: number,
    isWanted: (entry: Entry) => boolean,
    options: CallOptions = {},
  ): Promise<number | undefined> {
    for (let end = from; end > 0; ) {
      const start = Math.floor((end - 1) / TILE_WIDTH) * TILE_WIDTH
      const entries = await this.range(start, end, options)
      const found = entries.findLast(({ entry }) => isWanted(entry))
      if (found !== undefined) return found.index
      end = start
    }
    return undefined
  }

  /** Connects all heads that the client saw by consistency proofs, now. @throws TrustWardenError `log_forked` */
  async confirmHeads(options: CallOptions = {}): Promise<void> {
    await this.client.confirmHeads(this.#signer, options)
  }

  /** The `path` of a proof; nothing is verified. */
  async #path(proof: string, options: CallOptions): Promise<readonly Hash[]> {
    const { proof: bytesMax } = BYTES_MAX
    const answer = await this.client.read(this.#signer, proof, { ...options, bytesMax })
    return inSdkWords('answer_malformed', proof, () =>
      jsonArray(answer['path'], 'path').map((hash) => fromBase64url(jsonString(hash, 'path'))),
    )
  }
}
