/**
 * @module The folds of a log as they were committed last: those that lie in memory, and those on disk, read through a
 * cache and a filter of their keys.
 */
import type { CommittedFolds, CommittedValue, FoldRow, ViewedFolds } from './batch.ts'
import type { CommitPlan } from './commit.ts'
import { StoreError } from './errors.ts'
import { FoldCache, nameOfFoldKey } from './fold-cache.ts'
import { FoldKeys, KeyDoubt } from './key-filter.ts'
import type { StoredFilters } from './key-filter.ts'
import type { Keys } from './keys.ts'
import type { FoldState, LoadedState } from './load.ts'
import { SetDigest, openSealed } from './sealed.ts'
import type { KeyRange, Store } from './store.ts'

/** A fold's place in the database. Ids are never given to another fold. */
export interface FoldSpec {
  /** 0–255. */
  readonly id: number
  /** For messages. */
  readonly name: string
  /** Kept in memory whole; read there. For small folds. */
  readonly resident: boolean
  /** Its keys are seldom read again: what is written to it is not kept in memory. */
  readonly seldomRead?: boolean
}

/** Reads one fold as it was committed last. */
export interface FoldReader {
  readonly spec: FoldSpec
  /** Count of keys. */
  count(): number
  /** @throws {StoreError} `value_corrupt` if the stored value is not the one written under `key`; `store_failed` */
  get(key: Uint8Array): Uint8Array | undefined
  /** Rows whose keys begin with `prefix`, ascending. @throws {StoreError} as `get` */
  scan(prefix?: Uint8Array): AsyncIterable<FoldRow>
}

/** A fold's set digest, to compare a fold with its rebuild. */
export interface FoldDigest {
  readonly id: number
  readonly name: string
  readonly count: number
  /** Sum of SHA-256(key ‖ value) mod 2^256, 32 bytes big-endian. Key is the whole key in the store. */
  readonly sum: Uint8Array
}

/** How the folds of a database are opened. */
export interface FoldsOptions {
  /** Bytes of values on disk that are kept in memory; default: `FOLD_CACHE_BYTES`. */
  readonly foldCacheBytes?: number
  /**
   * The files as they were before LevelDB opened them. Without them each key that `get` does not find is looked for by a
   * scan until the check of its fold is done.
   */
  readonly tables?: ComparedTables
}

/** Files that are compared behind the folds that are read from them: `FoldTables`. */
export interface ComparedTables {
  /** Of the filters. */
  readonly seed: number
  /** Which keys the files had, once all of them is as it was written; rejects if it is not. */
  readonly compared: Promise<StoredFilters>
  /** Compares what LevelDB reads for a key. @throws {StoreError} `table_corrupt` */
  checkKey(key: Uint8Array): void
  /** Compares what LevelDB reads for a scan. @throws {StoreError} `table_corrupt` */
  checkRange(range: KeyRange): void
}

const NO_PREFIX = new Uint8Array(0)

function throwDoubt(doubt: KeyDoubt): never {
  throw doubt
}

/** The folds of one database. Reads are anybody's; `Database.commit` alone changes them. */
export class Folds implements CommittedFolds, ViewedFolds {
  readonly #store: Store
  readonly #keys: Keys
  readonly #folds: ReadonlyMap<number, FoldState>
  /** Changed by `apply` alone. */
  #sets: ReadonlyMap<number, SetDigest>
  readonly #foldKeys: FoldKeys
  readonly #cache: FoldCache
  /** Keys that a view found in doubt, and that are being looked for. */
  readonly #looking = new Set<Promise<void>>()
  readonly #compared: Promise<void>
  /** Undefined once they are compared, or if nobody compares them. */
  #tables: ComparedTables | undefined
  #damage: Error | undefined
  #onDamage: (error: Error) => void = () => undefined

  constructor(
    store: Store,
    keys: Keys,
    { folds, sets }: Pick<LoadedState, 'folds' | 'sets'>,
    { foldCacheBytes, tables }: FoldsOptions = {},
  ) {
    this.#store = store
    this.#keys = keys
    this.#folds = folds
    this.#sets = sets
    this.#cache = new FoldCache(foldCacheBytes)
    const onDisk = [...sets].filter(([id]) => folds.get(id)?.resident === undefined)
    this.#foldKeys = new FoldKeys(
      store,
      keys,
      new Map(onDisk.map(([id, { count }]) => [id, count])),
      tables?.seed,
    )
    this.#tables = tables
    this.#compared = tables === undefined ? Promise.resolve() : this.#adopt(tables)
    // Who waits for it hears of it, and `onDamage` does.
    this.#compared.catch(() => undefined)
  }

  /**
   * Waits until the files are compared and nobody holds them, or `signal` aborts.
   *
   * @throws {StoreError} `table_corrupt`
   */
  async compared(signal?: AbortSignal): Promise<void> {
    if (signal === undefined || this.#tables === undefined) return this.#compared
    await Promise.race([
      this.#compared,
      new Promise<void>((resolve) => {
        signal.addEventListener('abort', () => resolve(), { once: true })
        if (signal.aborted) resolve()
      }),
    ])
  }

  /** A reader of one. @throws {StoreError} `fold_unknown` */
  reader(id: number): FoldReader {
    const { spec } = this.#fold(id)
    return {
      spec,
      count: () => this.#sets.get(id)?.count ?? 0,
      get: (key) => this.view(id, key)?.value,
      scan: (prefix = NO_PREFIX) => this.#scan(spec, prefix),
    }
  }

  /** The folds that the database was opened with. */
  specs(): readonly FoldSpec[] {
    return [...this.#folds.values()].map(({ spec }) => spec)
  }

  /** The set digests as of the last commit, ascending by id. */
  digests(): readonly FoldDigest[] {
    return this.specs()
      .map(({ id, name }) => {
        const set = this.#sets.get(id) ?? new SetDigest()
        return { id, name, count: set.count, sum: set.sum() }
      })
      .sort((a, b) => a.id - b.id)
  }

  /**
   * For `Batch`: the committed value of a fold's key.
   *
   * @param name - `nameOfFoldKey`, from whoever has it.
   * @throws {StoreError} `fold_unknown`, `value_corrupt`
   * @throws {KeyDoubt} if `get` did not find it and may have lost it: `settle` it, then read again
   */
  read(
    fold: number,
    key: Uint8Array,
    name: string = nameOfFoldKey(fold, key),
  ): CommittedValue | undefined {
    return this.#read(fold, key, name, throwDoubt)
  }

  /** For views: as `read`, but in doubt it is absent; if that is wrong, `onDamage` hears of it. */
  view(fold: number, key: Uint8Array): CommittedValue | undefined {
    return this.#read(fold, key, nameOfFoldKey(fold, key), this.#lookFor)
  }

  /** Settles a doubt of the writer. @throws {StoreError} `fold_key_lost`, `value_corrupt` if scan and `get` differ */
  settle(doubt: KeyDoubt): Promise<void> {
    return this.#foldKeys.look(doubt)
  }

  /** Says whom to tell that a view met damage. One listener, the log's. */
  onDamage(listener: (error: Error) => void): void {
    this.#onDamage = listener
    if (this.#damage !== undefined) listener(this.#damage)
  }

  /**
   * For start-checks.ts: a key that a scan showed. From now on its loss to `get` is noticed.
   *
   * @returns False: it would have been taken for new until now.
   */
  noteKey(fold: number, key: Uint8Array): boolean {
    const isMissed = this.#foldKeys.isNew(fold, key)
    this.#foldKeys.add(fold, key)
    return !isMissed
  }

  /** For start-checks.ts: every key of the fold was noted. From now on one that was not is new, without a look at the disk. */
  noteComplete(fold: number): void {
    this.#foldKeys.watch(fold)
  }

  /** For `Batch`: rows of a resident fold, ascending. @throws {StoreError} `fold_unknown` if it is none */
  residentRows(fold: number, prefix: Uint8Array): readonly FoldRow[] {
    const { resident } = this.#fold(fold)
    if (resident === undefined) {
      throw new StoreError('fold_unknown', `fold ${fold} is not a resident one`)
    }
    this.#store.checkUsable()
    return resident.rows(prefix)
  }

  /** The set digests as of the last commit, by id. */
  get sets(): ReadonlyMap<number, SetDigest> {
    return this.#sets
  }

  /** Says that a write begins or has ended: what a scan saw meanwhile settles nothing. */
  writes(): void {
    this.#foldKeys.writes()
  }

  /** Takes in what a commit wrote. */
  apply({ sets, foldChanges }: CommitPlan): void {
    this.#sets = sets
    for (const { change, digest } of foldChanges) {
      const { name, fold, key, value } = change
      this.#foldKeys.wrote(name)
      const { spec, resident: rows } = this.#fold(fold)
      if (rows === undefined) {
        // What a batch wrote shares its memory with others (`allocate`): what is kept is a copy.
        if (spec.seldomRead !== true)
          this.#cache.set(name, value && { value: new Uint8Array(value), digest })
        if (value !== undefined) this.#foldKeys.add(fold, key)
      } else if (value === undefined) rows.delete(key)
      else rows.set({ key: new Uint8Array(key), value: new Uint8Array(value) })
    }
  }

  /** What is committed under a fold's key, read once. @param onDoubt - Told that it must not be believed yet. */
  #read(
    fold: number,
    key: Uint8Array,
    name: string,
    onDoubt: (doubt: KeyDoubt) => void,
  ): CommittedValue | undefined {
    const { spec, resident } = this.#fold(fold)
    this.#store.checkUsable()
    if (resident !== undefined) {
      const row = resident.get(key)
      return row === undefined ? undefined : { value: row.value, digest: undefined }
    }
    const isKept = spec.seldomRead !== true
    const kept = isKept ? this.#cache.get(name) : undefined
    if (kept !== undefined) return kept
    if (this.#foldKeys.isNew(fold, key)) return undefined
    const stored = this.#keys.fold(fold, key)
    this.#tables?.checkKey(stored)
    const bytes = this.#store.get(stored)
    if (bytes === undefined) {
      if (this.#foldKeys.isDoubtful(name)) onDoubt(new KeyDoubt(fold, key))
      return undefined
    }
    const sealed = openSealed(stored, bytes) ?? this.#corrupt(spec, stored)
    if (isKept) this.#cache.set(name, sealed)
    return sealed
  }

  async #adopt(tables: ComparedTables): Promise<void> {
    try {
      this.#foldKeys.adopt(await tables.compared)
      this.#tables = undefined
    } catch (error) {
      if (error instanceof Error) {
        // It may be found before anybody listens.
        this.#damage = error
        this.#onDamage(error)
      }
      throw error
    }
  }

  readonly #lookFor = (doubt: KeyDoubt): void => {
    const looked = this.#foldKeys.look(doubt).catch((error: unknown) => {
      const closed = error instanceof StoreError && error.code === 'store_closed'
      if (error instanceof Error && !closed) this.#onDamage(error)
    })
    this.#looking.add(looked)
    void looked.finally(() => this.#looking.delete(looked))
  }

  #fold(id: number): FoldState {
    const fold = this.#folds.get(id)
    if (fold === undefined) throw new StoreError('fold_unknown', `there is no fold ${id}`)
    return fold
  }

  async *#scan(spec: FoldSpec, prefix: Uint8Array): AsyncIterable<FoldRow> {
    if (spec.resident) {
      yield* this.residentRows(spec.id, prefix)
      return
    }
    const range = this.#keys.range('f', Uint8Array.of(spec.id), prefix)
    this.#tables?.checkRange(range)
    for await (const { key, value } of this.#store.scan(range)) {
      const sealed = openSealed(key, value) ?? this.#corrupt(spec, key)
      yield { key: this.#keys.rest(key, 1), value: sealed.value }
    }
  }

  #corrupt(spec: FoldSpec, key: Uint8Array): never {
    throw new StoreError(
      'value_corrupt',
      `fold ${spec.name}: the value of ${this.#keys.nameOf(key)} is not the one written`,
    )
  }
}
