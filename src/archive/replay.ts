/**
 * @module Puts entries of a source into a database: each is registered once more over the state of those before it, must come
 * out with the same bytes, and is written as the writer would have written it, folds included. `restore` begins with an
 * empty database, `recover` with one that lacks its end.
 *
 * Nothing is written before the leaves were proven (leaves.ts), nor an entry before its rules, chain links, event id and
 * signature held. From a backup the batches are those of the log, record by record. A mirror has no records: entries of
 * one ledger time become a batch, and only the last has a head, the mirror's (`isHeadless`).
 */
import { readCommitments, TILE_WIDTH, toHex } from '@trustwarden/proofs'
import type { Hash } from '@trustwarden/proofs'
import { nativePrimitives } from '../crypto.ts'
import { Difference } from '../ledger/audit-difference.ts'
import { replayEntry } from '../ledger/audit-replay.ts'
import type { Replay } from '../ledger/audit-replay.ts'
import type { RegisteredEntry } from '../ledger/contract.ts'
import { ERASURE_KIND, erasedBy, erasedIndexes } from '../ledger/erasures.ts'
import { LedgerError } from '../ledger/errors.ts'
import { isHeadless } from '../ledger/head-note.ts'
import { readRegistered } from '../ledger/register.ts'
import { BatchState } from '../ledger/state.ts'
import { decodeSupplement } from '../ledger/supplement.ts'
import type { StoredDisclosure } from '../ledger/supplement.ts'
import type { SignatureVerifier } from '../ledger/verify.ts'
import type { Edge } from '../merkle/grow.ts'
import { NO_PREVIOUS } from '../store/batch-record.ts'
import type { BatchRecord } from '../store/batch-record.ts'
import { setsDigestOf } from '../store/commit.ts'
import type { Database } from '../store/database.ts'
import { KeyDoubt } from '../store/key-filter.ts'
import { markLost } from '../store/lost.ts'
import { SetDigest } from '../store/sealed.ts'
import { ArchiveError, checkArchive } from './errors.ts'
import type { OpenedHead, ProvenLeaves } from './leaves.ts'
import { lostEntries } from './fill.ts'
import { bundleCount, inSource, type LogSource } from './source.ts'

/** Entries of one batch where the source does not say which were one. */
const BATCH_ENTRIES_MAX = 1024
const NO_HEAD = new Uint8Array(0)
const POLICY_KIND = 'policy.activate'

/** What is replayed into what. */
export interface ReplayOptions {
  readonly source: LogSource
  readonly leaves: ProvenLeaves
  /** The head that the leaves were proven under, and its note. */
  readonly head: OpenedHead & { readonly note: Uint8Array }
  /** Nobody else writes to it. Its tree is `edge`. */
  readonly database: Database
  readonly edge: Edge
  readonly replay: Replay
  /** Opens a head that a batch record holds. @throws {ProofError} unless a key of the log signed it for its size */
  readonly openHead: (note: Uint8Array) => OpenedHead
  readonly verifier: SignatureVerifier
  /** Pinned attachments from elsewhere, by digest in hex. */
  readonly pinned: ReadonlyMap<string, Uint8Array>
  readonly onProgress?: (entries: number, size: number) => void
}

/** What a replay came to. */
export interface ReplayReport {
  readonly size: number
  readonly batches: number
  readonly signatures: number
  readonly disclosures: number
  /** Entries whose disclosures the source did not have, though nothing in the log erased them. */
  readonly lost: readonly number[]
  /** Erasures of which no value was ever written here. */
  readonly cleanErasures: readonly number[]
}

interface Read {
  readonly bytes: Uint8Array
  readonly registered: RegisteredEntry
}

/** Where a batch ends, and what it ends with. */
interface BatchEnd {
  readonly entries: readonly Read[]
  readonly record: BatchRecord | undefined
}

/**
 * Replays the source's entries behind the database's last, up to the head.
 *
 * A crash leaves a database that ends at one of the batches: a start refuses it (older than its head record, or without a
 * head), and a replay goes on from there.
 *
 * @throws {ArchiveError} `replay_differs`, `archive_corrupt`, `policy_missing`
 * @throws {StoreError} about the database
 */
export async function replayLog(options: ReplayOptions): Promise<ReplayReport> {
  return new Replayer(options).run()
}

class Replayer {
  readonly #options: ReplayOptions
  #edge: Edge
  #previous: Uint8Array | undefined
  #batches = 0
  #signatures = 0
  #disclosures = 0
  /** Entries that erase, and whether something that was written here is erased by them. */
  readonly #erasures = new Map<number, boolean>()
  /** Of entries that were read and are not written yet. */
  readonly #beside = new Map<number, readonly StoredDisclosure[]>()

  constructor(options: ReplayOptions) {
    this.#options = options
    this.#edge = options.edge
  }

  async run(): Promise<ReplayReport> {
    const { database, head, onProgress } = this.#options
    for await (const batch of this.#batchesOf()) {
      await this.#write(batch)
      onProgress?.(database.size, head.size)
    }
    const isReached = database.size === head.size && same(this.#edge.root(), head.root)
    checkArchive(isReached, 'archive_corrupt', 'the replay did not end at the signed head')
    // One that was cut off before may have ended exactly here, at a batch without a head.
    const last = database.lastBatch()
    if (last !== undefined && isHeadless(last)) await database.writeHead(head.note)
    return {
      size: database.size,
      batches: this.#batches,
      signatures: this.#signatures,
      disclosures: this.#disclosures,
      lost: await lostEntries(database),
      cleanErasures: [...this.#erasures].filter(([, wrote]) => !wrote).map(([index]) => index),
    }
  }

  /** The batches to be written, in order. Holds the entries of one batch and of one bundle. */
  async *#batchesOf(): AsyncIterable<BatchEnd> {
    const { source, leaves, head, database } = this.#options
    const start = database.size
    let waiting: Read[] = []
    for (let number = Math.floor(start / TILE_WIDTH); number < bundleCount(head.size); number++) {
      const first = number * TILE_WIDTH
      const entries = await leaves.entries(number)
      const records = await this.#openSupplement(number)
      let at = Math.max(0, start - first)
      for (const { record } of records) {
        const end = record.size - first
        if (record.size <= start) continue
        waiting.push(...readAll(source, entries.slice(at, end), first + at))
        at = end
        yield { entries: waiting, record }
        waiting = []
      }
      for (const one of readAll(source, entries.slice(at), first + at)) {
        if (!source.isWhole && isFull(waiting, one)) {
          yield { entries: waiting, record: undefined }
          waiting = []
        }
        waiting.push(one)
      }
    }
    if (waiting.length === 0) return
    checkArchive(
      !source.isWhole,
      'archive_corrupt',
      `${source.name}: the last batch record is missing`,
    )
    yield { entries: waiting, record: undefined }
  }

  /** The records of a bundle, their chain followed; its disclosures are kept until their entries are written. */
  async #openSupplement(number: number): Promise<readonly { readonly record: BatchRecord }[]> {
    const { source, head, database } = this.#options
    if (!source.isWhole) return []
    const bytes = await source.supplement(number, head.size)
    const { records, disclosures } = inSource(source, () =>
      decodeSupplement(bytes, number, head.size),
    )
    for (const { record, bytes: encoded } of records) {
      // Where the database is not empty the first record has to follow its last one, unless that came without records.
      const known = this.#previous ?? (record.first === 0 ? NO_PREVIOUS : undefined)
      const follows = known === undefined || same(known, record.previous)
      const message = `${source.name}: the batch record at ${record.size} does not follow the one before`
      checkArchive(follows, 'archive_corrupt', message)
      this.#previous = nativePrimitives.sha256(encoded)
    }
    for (const [index, values] of disclosures)
      if (index >= database.size) this.#beside.set(index, values)
    return records
  }

  async #write({ entries, record }: BatchEnd): Promise<void> {
    const { database, source, head } = this.#options
    const [firstEntry] = entries
    const firstIndex = database.size
    if (firstEntry === undefined)
      throw new ArchiveError('archive_corrupt', 'a batch has no entries')
    const size = firstIndex + entries.length
    const timeMs = firstEntry.registered.entry.timeMs
    // A database that a mirror filled up before may end inside a batch.
    const isSameBatch = record?.first === firstIndex
    const joins = isSameBatch || record === undefined || this.#batches === 0
    const message = `${source.name}: the batch to ${record?.size} does not begin at ${firstIndex}`
    checkArchive(joins, 'archive_corrupt', message)
    const batch = database.begin()
    try {
      const state = new BatchState(batch, firstIndex, timeMs)
      const verdicts: Promise<boolean>[] = []
      for (const read of entries) verdicts.push(this.#verify(await this.#register(state, read)))
      for (const [at, verdict] of verdicts.entries()) {
        if (!(await verdict)) throw differs(firstIndex + at, 'the signature does not verify')
        this.#signatures++
      }
      await this.#putBeside(state, entries)
      const growth = this.#edge.append(entries.map(({ registered }) => registered.leafHash))
      const note = size === head.size ? head.note : (record?.head ?? NO_HEAD)
      this.#checkHead(note, size, growth.root)
      // On disk: the batches before this one. A crash during the write leaves those or this one too.
      const written = await database.commit(batch, {
        firstIndex,
        entries: entries.map(({ bytes }) => bytes),
        leafHashes: entries.map(({ registered }) => registered.leafHash),
        tiles: growth.tiles,
        head: note,
        size,
        root: growth.root,
        timeMs,
      })
      if (record !== undefined && isSameBatch) this.#compare(record, written)
      this.#edge = growth.edge
      this.#batches++
    } catch (error) {
      database.drop(batch)
      throw error
    }
  }

  /** Registers an entry; what it erases is deleted in its batch, as its writer did. */
  async #register(state: BatchState, { bytes, registered }: Read) {
    const { replay, database } = this.#options
    const { index } = registered.entry
    checkArchive(
      registered.entry.timeMs === state.timeMs,
      'archive_corrupt',
      `entry ${index} is not of its batch's time`,
    )
    for (;;) {
      const mark = state.snapshot()
      try {
        const { signature, erases } = replayEntry(replay, state, registered, bytes)
        this.#erase(state, registered, erases)
        return signature
      } catch (thrown) {
        if (thrown instanceof KeyDoubt) {
          state.rollbackTo(mark)
          await database.folds.settle(thrown)
          continue
        }
        if (thrown instanceof Difference || thrown instanceof LedgerError)
          throw differs(index, thrown.message, thrown)
        throw thrown
      }
    }
  }

  #verify(signature: Parameters<SignatureVerifier['verify']>[0]): Promise<boolean> {
    const verdict = this.#options.verifier.verify(signature)
    // Awaited in order, later: one that fails meanwhile is no unhandled rejection.
    verdict.catch(() => undefined)
    return verdict
  }

  #erase(
    state: BatchState,
    { entry, statement }: RegisteredEntry,
    erases: readonly number[],
  ): void {
    const named = entry.kind === ERASURE_KIND ? erasedIndexes(statement) : []
    for (const target of new Set([...named, ...erases])) {
      if (erasedBy(state, target) !== entry.index) continue
      const { database } = this.#options
      const ordinals = [...commitmentsOf(database, target).keys()]
      const isThere = ordinals.some((one) => database.erasableValue(target, one) !== undefined)
      this.#erasures.set(entry.index, isThere || this.#erasures.get(entry.index) === true)
      state.batch.eraseErasable(target, ordinals, entry.index)
      this.#beside.delete(target)
    }
  }

  /** Puts disclosures and attachments into the batch; marks, before it is written, what the source does not have. */
  async #putBeside(state: BatchState, entries: readonly Read[]): Promise<void> {
    const lost: number[] = []
    for (const { registered } of entries) {
      const { index, kind } = registered.entry
      const digests = readCommitments(registered.statement.payload)
      const given = this.#beside.get(index) ?? []
      this.#beside.delete(index)
      const isWhole = this.#putDisclosures(state, registered, digests, given)
      if (!isWhole) lost.push(index)
      if (kind === POLICY_KIND) state.batch.putPinned(await this.#policyOf(registered))
    }
    if (lost.length > 0) await markLost(this.#options.database, lost)
  }

  #putDisclosures(
    state: BatchState,
    { entry: { index } }: RegisteredEntry,
    digests: readonly string[],
    given: readonly StoredDisclosure[],
  ): boolean {
    for (const { ordinal, bytes } of given) {
      const digest = Buffer.from(nativePrimitives.sha256(bytes)).toString('base64url')
      const isOwn = digests[ordinal] === digest
      const message = `${this.#options.source.name}: disclosure ${ordinal} of entry ${index} is not the one in its leaf`
      checkArchive(isOwn, 'archive_corrupt', message)
      if (erasedBy(state, index) === undefined) state.batch.putErasable(index, ordinal, bytes)
      this.#disclosures++
    }
    return given.length === digests.length
  }

  async #policyOf({ entry: { index }, statement }: RegisteredEntry): Promise<Uint8Array> {
    const { source, database, pinned } = this.#options
    const text = statement.payload['policy']
    const digest = new Uint8Array(Buffer.from(typeof text === 'string' ? text : '', 'base64url'))
    const bytes =
      database.pinned(digest) ?? pinned.get(toHex(digest)) ?? (await source.pinned(digest))
    if (bytes === undefined)
      throw new ArchiveError(
        'policy_missing',
        `${source.name}: entry ${index} puts the policy ${toHex(digest)} in force, and it is not there`,
      )
    const isOwn = same(nativePrimitives.sha256(bytes), digest)
    checkArchive(
      isOwn,
      'archive_corrupt',
      `${source.name}: the policy of entry ${index} is another`,
    )
    return bytes
  }

  /** A head of a batch, if it has one, says what was computed. */
  #checkHead(note: Uint8Array, size: number, root: Hash): void {
    const { source, openHead } = this.#options
    if (note.length === 0) return
    const head = inSource(source, () => openHead(note))
    const isOwn = head.size === size && same(head.root, root)
    checkArchive(isOwn, 'archive_corrupt', `${source.name}: the head at ${size} says another tree`)
  }

  /** What was written is what the log's own record says. Folds that the log did not have then are in no digest. */
  #compare(record: BatchRecord, written: BatchRecord): void {
    const { database, source } = this.#options
    const sets = new Map(
      database.folds.digests().map(({ id, count, sum }) => [id, new SetDigest(count, sum)]),
    )
    const agrees =
      record.size === written.size &&
      record.timeMs === written.timeMs &&
      same(record.leavesDigest, written.leavesDigest) &&
      same(record.onceDigest, written.onceDigest) &&
      same(record.root, written.root) &&
      same(setsDigestOf(sets, record.folds), record.setsDigest)
    checkArchive(
      agrees,
      'replay_differs',
      `${source.name}: the batch to ${record.size}, replayed, is not what its record says`,
    )
  }
}

/** Whether `one` begins a new batch, where entries of one ledger time are one. */
function isFull(waiting: readonly Read[], one: Read): boolean {
  const [first] = waiting
  if (first === undefined) return false
  const sameTime = first.registered.entry.timeMs === one.registered.entry.timeMs
  return !sameTime || waiting.length >= BATCH_ENTRIES_MAX
}

function readAll(
  source: LogSource,
  entries: readonly Uint8Array[],
  first: number,
): readonly Read[] {
  return entries.map((bytes, at) => ({
    bytes,
    registered: inSource(source, () => readRegistered(bytes, first + at)),
  }))
}

function commitmentsOf(database: Database, index: number): readonly string[] {
  const bytes = database.entry(index)
  return bytes === undefined ? [] : readCommitments(readRegistered(bytes, index).statement.payload)
}

function differs(index: number, why: string, cause?: unknown): ArchiveError {
  return new ArchiveError('replay_differs', `entry ${index}: ${why}`, { cause })
}

function same(a: Hash, b: Hash): boolean {
  return Buffer.compare(a, b) === 0
}
