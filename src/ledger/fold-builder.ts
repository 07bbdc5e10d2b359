/**
 * @module Builds folds anew from entries, in bounded memory, into a scratch store: to compare with (audit.ts), or to
 * replace those of a log once they are found to be right (rebuild.ts).
 *
 * Keys and sealed values are byte for byte those of the log's database, and so are the set digests.
 */
import { Batch } from '../store/batch.ts'
import type { CommittedFolds, CommittedValue, FoldChange, FoldRow } from '../store/batch.ts'
import { formatSet, setsDigestOf } from '../store/commit.ts'
import { FoldCache, nameOfFoldKey } from '../store/fold-cache.ts'
import { KeyFilter } from '../store/key-filter.ts'
import { Keys } from '../store/keys.ts'
import { SetDigest, digestOf, openSealed, sealValue } from '../store/sealed.ts'
import { SortedRows } from '../store/sorted-rows.ts'
import type { Op, Row, Store } from '../store/store.ts'
import type { FoldSpec } from './contract.ts'
import { LedgerError } from './errors.ts'

/** Keys that are deleted or copied in one write. */
const WRITE_BATCH = 4096

/** Bytes kept of what was built: a whole log goes by, and nothing else is in memory. */
const CACHE_BYTES = 32 * 1024 * 1024

/** Folds under construction: what a `Batch` reads through to. */
export class FoldBuilder implements CommittedFolds {
  readonly keys: Keys
  readonly #store: Store
  readonly #specs: readonly FoldSpec[]
  readonly #sets: Map<number, SetDigest>
  readonly #residents = new Map<number, SortedRows<FoldRow>>()
  /** Every key that a fold on disk was ever given: one that was not is looked for nowhere. */
  readonly #filters = new Map<number, KeyFilter>()
  readonly #cache = new FoldCache(CACHE_BYTES)
  /** Folds of which nothing is kept in the cache. */
  readonly #seldomRead = new Set<number>()
  readonly #pinned: (digest: Uint8Array) => Uint8Array | undefined

  constructor(
    store: Store,
    origin: string,
    specs: readonly FoldSpec[],
    pinned: (digest: Uint8Array) => Uint8Array | undefined,
  ) {
    this.#store = store
    this.#specs = specs
    this.#pinned = pinned
    this.keys = new Keys(origin)
    this.#sets = new Map(specs.map(({ id }) => [id, new SetDigest()]))
    for (const { id, resident, seldomRead } of specs) {
      if (seldomRead === true) this.#seldomRead.add(id)
      if (resident) this.#residents.set(id, new SortedRows())
      else this.#filters.set(id, new KeyFilter())
    }
  }

  /**
   * Puts the built folds in the place of those that `target` has, set digests included. Until it has ended, what lies
   * in `target` cannot be opened as a database.
   */
  async moveTo(target: Store): Promise<void> {
    // Set digests go first and come last: in between there are none, and a database without does not open.
    for (const space of ['s', 'f'] as const) {
      const range = { ...this.keys.range(space), keysOnly: true }
      await writeEach(target, target.scan(range), ({ key }) => ({ type: 'del', key }))
    }
    for (const space of ['f', 's'] as const) {
      const rows = this.#store.scan(this.keys.range(space))
      await writeEach(target, rows, ({ key, value }) => ({ type: 'put', key, value }))
    }
  }

  /** A batch over what has been flushed. */
  begin(): Batch {
    return new Batch(this, this.#pinned)
  }

  /** Writes what a batch changed in the folds. Pinned and erasable values are not folds and stay as they are. */
  async flush(batch: Batch): Promise<void> {
    const ops: Op[] = []
    for (const change of batch.changes()) {
      if (change.kind !== 'fold') continue
      const key = this.keys.fold(change.fold, change.key)
      const set = this.#set(change.fold)
      const before = batch.committed(change)
      if (before !== undefined) set.remove(before.digest ?? digestOf(key, before.value))
      const after = change.value && { value: change.value, digest: digestOf(key, change.value) }
      if (after === undefined) {
        if (before !== undefined) ops.push({ type: 'del', key })
      } else {
        set.add(after.digest)
        ops.push({ type: 'put', key, value: sealValue(after.value, after.digest) })
      }
      this.#remember(change, after)
    }
    batch.close()
    await this.#store.write(ops)
  }

  /** Takes a change into what is kept in memory. */
  #remember({ name, fold, key }: FoldChange, after: CommittedValue | undefined): void {
    const rows = this.#residents.get(fold)
    if (rows === undefined) {
      // A value of a batch lies in a block that it shares: what is kept for long has bytes of its own.
      const kept = after && { ...after, value: new Uint8Array(after.value) }
      if (!this.#seldomRead.has(fold)) this.#cache.set(name, kept)
      if (after !== undefined) this.#filters.get(fold)?.add(key)
    } else if (after === undefined) rows.delete(key)
    else rows.set({ key: new Uint8Array(key), value: new Uint8Array(after.value) })
  }

  /** SHA-256 over the set digests of `folds` (ids, ascending), as batch records hold it. */
  setsDigest(folds: Iterable<number>): Uint8Array {
    return setsDigestOf(this.#sets, folds)
  }

  /** Count of keys and set sum of a fold. */
  setOf(fold: FoldSpec): { readonly count: number; readonly sum: Uint8Array } {
    const set = this.#set(fold.id)
    return { count: set.count, sum: set.sum() }
  }

  /** Writes the set digests. */
  async finish(): Promise<void> {
    const ops = this.#specs.map(({ id }): Op => {
      const key = this.keys.setDigest(id)
      const value = formatSet(this.#set(id))
      return { type: 'put', key, value: sealValue(value, digestOf(key, value)) }
    })
    await this.#store.write(ops)
  }

  read(
    fold: number,
    key: Uint8Array,
    name: string = nameOfFoldKey(fold, key),
  ): CommittedValue | undefined {
    const rows = this.#residents.get(fold)
    if (rows !== undefined) {
      const row = rows.get(key)
      return row && { value: row.value, digest: undefined }
    }
    const isKept = !this.#seldomRead.has(fold)
    const kept = isKept ? this.#cache.get(name) : undefined
    if (kept !== undefined) return kept
    if (this.#filters.get(fold)?.mayHave(key) === false) return undefined
    const stored = this.keys.fold(fold, key)
    const bytes = this.#store.get(stored)
    if (bytes === undefined) return undefined
    const sealed = openSealed(stored, bytes)
    if (isKept) this.#cache.set(name, sealed)
    if (sealed !== undefined) return sealed
    throw new LedgerError(
      'state_damaged',
      `${this.keys.nameOf(stored)} changed since it was rebuilt`,
    )
  }

  residentRows(fold: number, prefix: Uint8Array): readonly FoldRow[] {
    const rows = this.#residents.get(fold)
    if (rows === undefined) {
      throw new LedgerError('writer_defect', `fold ${fold} is not a resident one`)
    }
    return rows.rows(prefix)
  }

  #set(id: number): SetDigest {
    const set = this.#sets.get(id)
    if (set === undefined) throw new LedgerError('writer_defect', `there is no fold ${id}`)
    return set
  }
}

/** Writes an op for each row, many at a time. */
async function writeEach(
  target: Store,
  rows: AsyncIterable<Row>,
  opOf: (row: Row) => Op,
): Promise<void> {
  let ops: Op[] = []
  for await (const row of rows) {
    ops.push(opOf(row))
    if (ops.length < WRITE_BATCH) continue
    await target.write(ops)
    ops = []
  }
  await target.write(ops)
}
