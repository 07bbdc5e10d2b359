/**
 * @module One log on a store: entries, tiles, folds, pinned and erasable values, batch records (DESIGN §5).
 *
 * Reads check what they read and fail by name; a commit is one durable write. It knows nothing of statements,
 * signatures or tree arithmetic: tiles, roots and heads come from the ledger. The walk over everything at start-up is
 * in start-checks.ts, erasure in erasure.ts.
 */
import { Batch } from './batch.ts'
import { decodeBatchRecord } from './batch-record.ts'
import type { BatchRecord } from './batch-record.ts'
import { equalBytes } from './bytes.ts'
import { BundleReader, readTile } from './bundle-reader.ts'
import { formatSet, planCommit, planHead } from './commit.ts'
import type { CommitInput, CommitPlan, LastBatch, PendingBundle } from './commit.ts'
import { formatRun } from './entry-run.ts'
import { StoreError, checkStore } from './errors.ts'
import { Folds } from './folds.ts'
import type { FoldSpec, FoldsOptions } from './folds.ts'
import { sha256 } from './hash.ts'
import { KeyDoubt } from './key-filter.ts'
import { BUNDLE_ENTRIES, Keys, readU16, u64 } from './keys.ts'
import { formatMeta, loadState, openBatchRecord, readBatchRecord, readBundle } from './load.ts'
import type { LoadedState } from './load.ts'
import { SetDigest, digestOf, sealValue } from './sealed.ts'
import type { Op, Store } from './store.ts'

/** Which log of which store. */
export interface DatabaseOptions extends FoldsOptions {
  readonly store: Store
  /** The log's origin (C2SP tlog-checkpoint). */
  readonly origin: string
  /** Every fold of the log: the same set for `create` and each `open`. */
  readonly folds: readonly FoldSpec[]
}

const NO_PREFIX = new Uint8Array(0)

/** The database of one log. One process, one writer: `begin` and `commit` are the writer's alone, reads are anybody's. */
export class Database {
  /** For this folder's own modules. */
  readonly store: Store
  /** For this folder's own modules. */
  readonly keys: Keys
  /** The folds as of the last commit. */
  readonly folds: Folds
  // Changed by commit alone, after its write has succeeded.
  #last: LastBatch | undefined
  #pending: PendingBundle
  /** Erased values by the entry that ordered it, until they are gone: what to search the files for. */
  readonly #erased = new Map<number, readonly Uint8Array[]>()
  #open: Batch | undefined
  #committing = false
  readonly #bundles: BundleReader

  private constructor(store: Store, keys: Keys, state: LoadedState, options: FoldsOptions) {
    this.store = store
    this.keys = keys
    this.#bundles = new BundleReader(store, keys)
    this.#last = state.last
    this.#pending = state.pending
    this.folds = new Folds(store, keys, state, options)
  }

  /**
   * Makes the database of a new log in an empty store.
   *
   * @throws {StoreError} `store_exists` if the store holds anything; `store_failed`
   */
  static async create(options: DatabaseOptions): Promise<Database> {
    const { store, origin, folds } = options
    for await (const _row of store.scan({ gte: NO_PREFIX, lt: Uint8Array.of(0xff), limit: 1 })) {
      throw new StoreError('store_exists', 'the store is not empty')
    }
    const keys = new Keys(origin)
    const rows: [key: Uint8Array, value: Uint8Array][] = [[keys.meta(), formatMeta(origin)]]
    for (const { id } of folds) rows.push([keys.setDigest(id), formatSet(new SetDigest())])
    const ops = rows.map(
      ([key, value]): Op => ({ type: 'put', key, value: sealValue(value, digestOf(key, value)) }),
    )
    // One write: a crash before it leaves an empty store, on which `create` can be called again.
    await store.write(ops)
    return Database.open(options)
  }

  /**
   * Opens a log's database: reads its last batch, the entries behind the last full bundle, the set digests and the
   * resident folds, and checks each. What it does not read the functions of start-checks.ts do.
   *
   * @throws {StoreError} any code of errors.ts about what is stored, `store_failed`
   */
  static async open(options: DatabaseOptions): Promise<Database> {
    const { store, origin, folds } = options
    const keys = new Keys(origin)
    const state = await loadState(store, keys, origin, folds)
    return new Database(store, keys, state, options)
  }

  /** Count of entries. */
  get size(): number {
    return this.#last?.record.size ?? 0
  }

  /** The last batch's record, with the last head. Undefined before the first batch. */
  lastBatch(): BatchRecord | undefined {
    return this.#last?.record
  }

  /** SHA-256 of the last record as encoded: what the next one will name. */
  lastBatchDigest(): Uint8Array | undefined {
    return this.#last?.digest
  }

  /** The record of the batch that ended at `size`. @throws {StoreError} `batch_record_corrupt` */
  batchRecord(size: number): BatchRecord | undefined {
    const bytes = readBatchRecord(this.store, this.keys, size)
    return bytes === undefined ? undefined : decodeBatchRecord(bytes, size)
  }

  /**
   * The records of batches that ended above `aboveSize` (default: all), ascending, or descending with `reverse`.
   *
   * @throws {StoreError} `batch_record_corrupt` while stepping
   */
  async *batchRecords(aboveSize = 0, reverse = false): AsyncIterable<BatchRecord> {
    const { lt } = this.keys.range('r')
    const gte = this.keys.batchRecord(aboveSize + 1)
    for await (const row of this.store.scan({ gte, lt, reverse })) {
      const size = this.keys.indexOf(row.key)
      yield decodeBatchRecord(openBatchRecord(row.key, row.value, size), size)
    }
  }

  /**
   * Entry `index`, checked against its leaf hash; undefined at and above the size.
   *
   * @throws {StoreError} `entry_missing`, `entry_mismatch`, `bundle_corrupt`, `tile_corrupt`, `store_failed`
   */
  entry(index: number): Uint8Array | undefined {
    this.store.checkUsable()
    if (!(index >= 0 && index < this.size)) return undefined
    const { first, entries } = this.#pending
    if (index >= first) return entries[index - first]
    return this.#bundles.entry(index)
  }

  /** Entries `first` … `first + count − 1`, fewer at the end of the log. @throws {StoreError} as `entry` */
  *entries(first: number, count: number): IterableIterator<Uint8Array> {
    const end = Math.min(first + count, this.size)
    for (let index = first; index < end; index++) {
      const entry = this.entry(index)
      if (entry === undefined) return
      yield entry
    }
  }

  /**
   * The entries of bundle `number` as they lie, held against nothing: for whoever hashes them. Views of what was read.
   *
   * @throws {StoreError} `entry_missing`, `bundle_corrupt`, `store_failed`
   */
  storedEntries(number: number): readonly Uint8Array[] {
    this.store.checkUsable()
    const isPending = number * BUNDLE_ENTRIES >= this.#pending.first
    return isPending ? this.#pending.entries : readBundle(this.store, this.keys, number)
  }

  /**
   * Bundle `number` as bytes (C2SP tlog-tiles entry bundle): its first `width` entries, 1–256. Undefined if the log
   * does not have them yet.
   *
   * @throws {StoreError} as `entry`
   */
  bundle(number: number, width: number = BUNDLE_ENTRIES): Uint8Array | undefined {
    this.store.checkUsable()
    const first = number * BUNDLE_ENTRIES
    const known = number >= 0 && width >= 1 && width <= BUNDLE_ENTRIES && first + width <= this.size
    if (!known) return undefined
    return formatRun([...this.entries(first, width)])
  }

  /**
   * The full tile, 8,192 bytes; undefined if it is not full yet. Partial tiles are not stored.
   *
   * @throws {StoreError} `tile_corrupt` if it is full and not there, or of another length
   */
  tile(level: number, index: number): Uint8Array | undefined {
    if (index < 0 || (index + 1) * BUNDLE_ENTRIES ** (level + 1) > this.size) return undefined
    return readTile(this.store, this.keys, level, index)
  }

  /** Hashes of the leaves behind the last full level-0 tile, from leaf `pendingFirst()` on. */
  pendingLeafHashes(): readonly Uint8Array[] {
    return this.#pending.leafHashes
  }

  /** Index of the first entry behind the last full bundle. */
  pendingFirst(): number {
    return this.#pending.first
  }

  /** The pinned bytes with this SHA-256. @throws {StoreError} `value_corrupt` if they have another */
  pinned(digest: Uint8Array): Uint8Array | undefined {
    const key = this.keys.pinned(digest)
    const bytes = this.store.get(key)
    if (bytes !== undefined && !equalBytes(sha256(bytes), digest)) {
      throw new StoreError('value_corrupt', `the pinned value ${this.keys.nameOf(key)} has changed`)
    }
    return bytes
  }

  /** The erasable value `ordinal` of entry `index`, unchecked: its digest is in the leaf. */
  erasableValue(index: number, ordinal: number): Uint8Array | undefined {
    return this.store.get(this.keys.erasable(index, ordinal))
  }

  /** All erasable values of entry `index` that are there, by ordinal, unchecked: their digests are in the leaf. */
  async erasable(index: number): Promise<Map<number, Uint8Array>> {
    const values = new Map<number, Uint8Array>()
    const range = this.keys.range('x', u64(index))
    for await (const { key, value } of this.store.scan(range)) {
      values.set(readU16(this.keys.rest(key, 8), 0), value)
    }
    return values
  }

  /** Begins a batch. There is one at a time: it ends by `commit` or `drop`. @throws {StoreError} `batch_invalid` */
  begin(): Batch {
    checkStore(this.#open === undefined, 'batch_invalid', 'there is an open batch already')
    const batch = new Batch(this.folds, (digest) => this.pinned(digest))
    this.#open = batch
    return batch
  }

  /** Ends a batch without a trace. */
  drop(batch: Batch): void {
    batch.close()
    if (this.#open === batch && !this.#committing) this.#open = undefined
  }

  /**
   * Writes a batch with its entries: all of it or nothing, durable when the promise resolves. Memory changes after the
   * write alone. After any error of the write the store answers `store_failed` for good (store.ts).
   *
   * @throws {StoreError} `batch_invalid` before anything was written; `store_failed`
   */
  async commit(batch: Batch, input: CommitInput): Promise<BatchRecord> {
    checkStore(this.#open === batch && !this.#committing, 'batch_invalid', 'the batch is not open')
    this.#committing = true
    batch.close()
    try {
      const { store, keys, folds } = this
      await this.#settleAll(batch)
      const base = { store, keys, last: this.#last, pending: this.#pending, sets: folds.sets }
      const plan = planCommit(base, batch, input)
      // On disk so far: the batch before. A crash during the write leaves that or all of this batch, and start-up finds
      // either whole by its batch record. A crash after it leaves this batch with a head record that lags: start-up
      // verifies the stored head and rolls the record forward (ledger).
      folds.writes()
      await store.write(plan.ops)
      folds.writes()
      this.#apply(plan)
      return plan.last.record
    } finally {
      this.#committing = false
      this.#open = undefined
    }
  }

  /** Gives the last batch the signed head that it was written without. @throws {StoreError} `batch_invalid`, `store_failed` */
  async writeHead(head: Uint8Array): Promise<void> {
    const isIdle = this.#open === undefined && this.#last?.record.head.length === 0
    checkStore(this.#last !== undefined && isIdle, 'batch_invalid', 'no last batch lacks a head')
    const plan = planHead(this.keys, this.#last, head)
    // On disk so far: the batch without a head, which a start refuses. A crash leaves it so, or with its head.
    await this.store.write(plan.ops)
    this.#last = plan.last
  }

  /** Whether a commit is under way: what a scan sees may be a batch ahead of what memory says. */
  isCommitting(): boolean {
    return this.#committing
  }

  /** For erasure.ts: the values that the erasure of entry `job` erased, if this process erased them. */
  erasedValues(job: number): readonly Uint8Array[] | undefined {
    return this.#erased.get(job)
  }

  /** For erasure.ts: lets go of the values of an erasure that is done. */
  forgetErased(job: number): void {
    this.#erased.delete(job)
  }

  /** Settles the keys that a batch writes without having read them: planning reads them, and does not wait. */
  async #settleAll(batch: Batch): Promise<void> {
    const settled: Promise<void>[] = []
    for (const change of batch.changes()) {
      if (change.kind !== 'fold') continue
      try {
        batch.committed(change)
      } catch (thrown) {
        if (!(thrown instanceof KeyDoubt)) throw thrown
        settled.push(this.folds.settle(thrown))
      }
    }
    await Promise.all(settled)
  }

  #apply(plan: CommitPlan): void {
    this.#last = plan.last
    this.#pending = plan.pending
    this.folds.apply(plan)
    for (const [job, values] of plan.erased) this.#erased.set(job, values)
  }
}
