/**
 * @module The audit of a log as whoever reads it sees it: from a signed head, entry bundles, tiles and proofs, with no
 * database. Served or on disk, all of the log or a part of it, in bounded memory.
 *
 * Leaf hashes are computed from the bytes of the entries and compared with the tiles and, by a range proof, with the root
 * of the head; times never go back. From entry 0 on, register is run again over every entry, over a state rebuilt beside
 * it: chains, event ids, signers and outcomes. From a later entry on there is no state to run it over: links and event
 * ids are held against the entries that were read, and signatures verified where a key is shown. With `hashesOnly` no
 * statement is read: hashes, times and links are checked, and whatever the entries say is taken as it stands.
 *
 * What nobody sees from outside, `audit.ts` reads on the operator's disk: disclosures, policies, stored folds, the head
 * of every batch, batch records, the head record.
 */
import { RangeFold } from '@trustwarden/proofs'
import type { Genesis, Hash, Head } from '@trustwarden/proofs'
import { nativePrimitives } from '../crypto.ts'
import { TILE_WIDTH } from '../merkle/tree-math.ts'
import { hashLeaf } from '../store/hash.ts'
import type { Batch } from '../store/batch.ts'
import type { Store } from '../store/store.ts'
import { Difference, differ, differenceOf } from './audit-difference.ts'
import type { AuditCheck, AuditDifference } from './audit-difference.ts'
import { replayEntry, sameLink } from './audit-replay.ts'
import type { Replay } from './audit-replay.ts'
import { PendingSignatures } from './audit-signatures.ts'
import type { FindIssuance } from './audit-signers.ts'
import { RangeSigners } from './audit-signers.ts'
import { TileComparison } from './audit-tiles.ts'
import type { ReadTile } from './audit-tiles.ts'
import { ChainEnds } from './chain-ends.ts'
import type { LinkedEntry } from './chain-ends.ts'
import { chainsFold, nextLink } from './chains.ts'
import type { Fold, PrincipalReader, RegisteredEntry, StatementHandler } from './contract.ts'
import { dedupFold, findEvent } from './dedup.ts'
import { readFrame } from './entry-frame.ts'
import { LedgerError } from './errors.ts'
import { FoldBuilder } from './fold-builder.ts'
import { foldSpecs } from './rebuild.ts'
import { readUnhashed } from './register.ts'
import { BatchState } from './state.ts'
import { inlineVerifier } from './verify.ts'
import type { SignatureVerifier } from './verify.ts'

/** Where an audit reads from. What it gives is not trusted; a `Difference` that it throws is what the audit finds. */
export interface EntrySource {
  /** The first `width` entries of a bundle of 256. */
  readonly readBundle: (index: number, width: number) => Promise<readonly Uint8Array[]>
  readonly readTile: ReadTile
  /** The range proof of the entries from `start` to `end` (exclusive) under the head. */
  readonly readRangeProof: (start: number, end: number) => Promise<readonly Hash[]>
  readonly findIssuance: FindIssuance
}

/** What an audit is given. */
export interface EntriesAuditOptions {
  readonly source: EntrySource
  /** Verified under the auditor's trust. */
  readonly head: Pick<Head, 'origin' | 'size' | 'root'>
  /** The genesis that the auditor trusts, and its leaf hash. */
  readonly genesis: Genesis
  readonly genesisHash: Hash
  /** The first entry that is read. */
  readonly from: number
  /** The one behind the last, at most the head's size. */
  readonly to: number
  /** Whether nothing is checked but hashes, times and links. Default: no. */
  readonly hashesOnly?: boolean
  readonly handlers: readonly StatementHandler[]
  /** All folds of the log, `CORE_FOLDS` included. */
  readonly folds: readonly Fold[]
  readonly principals: PrincipalReader
  /** An empty store: it grows as large as the folds are. */
  readonly scratch: Store
  /** Default: in this thread. */
  readonly verifier?: SignatureVerifier
  readonly onProgress?: (entries: number, total: number) => void
}

/** What an audit found. */
export interface EntriesReport {
  /** Whether nothing differs. */
  readonly ok: boolean
  readonly origin: string
  /** Of the head under which everything was read. */
  readonly size: number
  readonly from: number
  readonly to: number
  /** Whether nothing was checked but hashes, times and links. */
  readonly hashesOnly: boolean
  /** Whether register was run again: it is from entry 0 on, unless hashes alone were checked. */
  readonly replayed: boolean
  /** Entries that were checked before the first difference. */
  readonly entries: number
  readonly tiles: number
  readonly signatures: number
  /** Signatures that were not verified: their signer was enrolled before the range, or hashes alone were checked. */
  readonly unverified: number
  readonly difference?: AuditDifference
}

/** Bundles that are asked for before they are needed: as many requests are under way at once. */
const BUNDLES_AHEAD = 8
/** Bundles between two writes of rebuilt state, 2,048 entries. */
const FLUSH_BUNDLES = 8

/** Audits a log, or a part of it. Never throws for what it finds; `ok` says it. */
export async function auditEntries(options: EntriesAuditOptions): Promise<EntriesReport> {
  const auditor = new EntriesAuditor(options)
  let difference: AuditDifference | undefined
  try {
    await auditor.run()
  } catch (thrown) {
    difference = await auditor.earlier(differenceOf(thrown, auditor.check))
  }
  const report = { ok: difference === undefined, ...auditor.counts() }
  return difference === undefined ? report : { ...report, difference }
}

/** A bundle, as far as it lies in the range. */
interface Part {
  /** Index of its first entry. */
  readonly first: number
  readonly entries: readonly Uint8Array[]
}

class EntriesAuditor {
  /** What is being checked, to name an error of the source by. */
  check: AuditCheck = 'entry'
  readonly #options: EntriesAuditOptions
  readonly #replay: Replay | undefined
  readonly #signers: RangeSigners
  readonly #builder: FoldBuilder
  readonly #pending: PendingSignatures
  readonly #fold: RangeFold
  readonly #tiles: TileComparison
  readonly #ends: ChainEnds
  #latestMs = 0
  #entries = 0
  #unverified = 0

  constructor(options: EntriesAuditOptions) {
    const { scratch, head, source, handlers, principals, from, hashesOnly = false } = options
    const { origin, size } = head
    const folds = from === 0 ? options.folds : RANGE_FOLDS
    this.#options = options
    this.#replay =
      from === 0 && !hashesOnly
        ? {
            origin,
            folds,
            principals,
            handlers: new Map(handlers.map((handler) => [handler.type, handler])),
          }
        : undefined
    this.#signers = new RangeSigners(head, options.genesis, source.findIssuance)
    this.#builder = new FoldBuilder(scratch, origin, foldSpecs(folds), () => undefined)
    this.#pending = new PendingSignatures(options.verifier ?? inlineVerifier)
    this.#fold = new RangeFold(nativePrimitives, from)
    this.#tiles = new TileComparison(size, source.readTile, this.#fold)
    this.#ends = new ChainEnds(from, scratch)
  }

  counts(): Omit<EntriesReport, 'ok' | 'difference'> {
    const { head, from, to, hashesOnly = false } = this.#options
    return {
      origin: head.origin,
      size: head.size,
      from,
      to,
      hashesOnly,
      replayed: this.#replay !== undefined,
      entries: this.#entries,
      tiles: this.#tiles.compared,
      signatures: this.#pending.verified,
      unverified: this.#unverified,
    }
  }

  /** The signature that fails before the difference, if one does. */
  earlier(difference: AuditDifference): Promise<AuditDifference> {
    return this.#pending.earlier(difference)
  }

  async run(): Promise<void> {
    const { from, to, onProgress, hashesOnly = false } = this.#options
    let batch = this.#builder.begin()
    let parts = 0
    for await (const part of this.#readAhead()) {
      const hashes = await this.#hash(part)
      this.check = 'entry'
      if (hashesOnly) await this.#checkFrames(part, hashes)
      else await this.#checkEntries(part, hashes, batch)
      parts++
      if (parts % FLUSH_BUNDLES !== 0) continue
      await this.#pending.turn()
      await this.#builder.flush(batch)
      batch = this.#builder.begin()
      onProgress?.(this.#entries, to - from)
    }
    await this.#pending.settle()
    await this.#builder.flush(batch)
    await this.#checkRoot()
    onProgress?.(this.#entries, to - from)
  }

  /** The bundles of the range in order, some of them asked for ahead. */
  async *#readAhead(): AsyncIterable<Part> {
    const { from, to } = this.#options
    const firstBundle = Math.floor(from / TILE_WIDTH)
    const endBundle = Math.ceil(to / TILE_WIDTH)
    const underWay: Promise<Part>[] = []
    let next = firstBundle
    for (let bundle = firstBundle; bundle < endBundle; bundle++) {
      for (; next < endBundle && next - bundle < BUNDLES_AHEAD; next++) {
        const part = this.#readPart(next)
        // Whoever comes to it is told; if the audit ends before, nobody is.
        part.catch(() => undefined)
        underWay.push(part)
      }
      const part = await underWay.shift()
      if (part !== undefined) yield part
    }
  }

  async #readPart(bundle: number): Promise<Part> {
    const { from, to, source, head } = this.#options
    const start = bundle * TILE_WIDTH
    // As wide as the head has it, whatever of it is wanted: a static archive holds no others.
    const width = Math.min(TILE_WIDTH, head.size - start)
    const entries = await source.readBundle(bundle, width)
    const first = Math.max(start, from)
    return { first, entries: entries.slice(first - start, to - start) }
  }

  /** Hashes first: what was changed is then named by the tile that does not hold it, whatever it says. */
  async #hash({ first, entries }: Part): Promise<readonly Hash[]> {
    this.check = 'tile'
    const hashes = entries.map(hashLeaf)
    const { genesisHash } = this.#options
    const known = first > 0 || Buffer.compare(hashes[0] ?? genesisHash, genesisHash) === 0
    differ(known, 'genesis', 'not the genesis of the trust anchor', 0)
    await this.#tiles.take(0, first, hashes)
    return hashes
  }

  /** Times and links of entries that are not read further. */
  async #checkFrames({ first, entries }: Part, hashes: readonly Hash[]): Promise<void> {
    let index = first
    for (const bytes of entries) {
      this.#checkFrame({
        bytes,
        index,
        leafHash: hashes[index - first] ?? this.#options.genesisHash,
      })
      index++
    }
    await this.#ends.spill()
  }

  #checkFrame(entry: LinkedEntry): void {
    const { bytes, index } = entry
    const frame = inEntry(index, () => readFrame(bytes))
    // What is to be said is made only for what differs: every entry comes by here.
    if (frame.index !== index)
      throw new Difference('entry', `it says that it is entry ${frame.index}`, index)
    differ(frame.timeMs >= this.#latestMs, 'time', 'ledger time goes back', index)
    this.#latestMs = frame.timeMs
    for (const link of frame.links) {
      if (this.#ends.follow(link, entry)) continue
      const subject = Buffer.from(link.subject, 'latin1').toString()
      throw new Difference('chain', `the link of ${subject} does not follow`, index)
    }
    this.#entries++
    this.#unverified++
  }

  async #checkEntries(part: Part, hashes: readonly Hash[], batch: Batch): Promise<void> {
    for (const [at, bytes] of part.entries.entries()) {
      const index = part.first + at
      const read = inEntry(index, () => readUnhashed(bytes, index))
      const leafHash = hashes[at] ?? this.#options.genesisHash
      const state = new BatchState(batch, index, read.entry.timeMs)
      await this.#checkEntry(state, { ...read, leafHash }, bytes)
      this.#entries++
    }
  }

  async #checkEntry(
    state: BatchState,
    registered: RegisteredEntry,
    bytes: Uint8Array,
  ): Promise<void> {
    const { index, timeMs } = registered.entry
    differ(timeMs >= this.#latestMs, 'time', 'ledger time goes back', index)
    this.#latestMs = timeMs
    if (this.#replay !== undefined) {
      const { signature } = replayEntry(this.#replay, state, registered, bytes)
      this.#pending.add(index, signature)
      return
    }
    this.#checkLinks(state, registered)
    state.apply(RANGE_FOLDS, registered)
    const signature = await this.#signers.signatureOf(registered)
    if (signature === undefined) this.#unverified++
    else this.#pending.add(index, signature)
    this.#signers.learn(registered)
  }

  /** Links and event id against the entries of the range before. */
  #checkLinks(state: BatchState, { entry, statement }: RegisteredEntry): void {
    const { index, links } = entry
    const known = findEvent(state, statement.header)
    differ(known === undefined, 'dedup', `entry ${known?.index} has its event id`, index)
    for (const link of links) {
      const expected = nextLink(state, link.subject)
      const isFirst = expected.previous === null
      // The first of its chain here: what it names lies before, or it would have been read.
      const follows = isFirst
        ? link.previous === null || link.previous.index < this.#options.from
        : sameLink(link, expected)
      differ(follows, 'chain', `the link of ${link.subject} does not follow`, index)
    }
  }

  async #checkRoot(): Promise<void> {
    const { source, head, from, to } = this.#options
    await this.#tiles.finish()
    this.check = 'root'
    const isWhole = from === 0 && to === head.size
    const path = isWhole ? [] : await source.readRangeProof(from, to)
    const root = this.#fold.root(head.size, path)
    const same = Buffer.compare(root, head.root) === 0
    differ(same, 'root', `entries ${from} to ${to - 1} are not all of the tree of the head`)
  }
}

/** What links and event ids are held against where there is no state from entry 0 on. */
const RANGE_FOLDS: readonly Fold[] = [chainsFold, dedupFold]

function inEntry<T>(index: number, read: () => T): T {
  try {
    return read()
  } catch (thrown) {
    if (thrown instanceof LedgerError) throw new Difference('entry', thrown.message, index)
    throw thrown
  }
}
