/**
 * @module The tables and journals that hold folds, as they were before LevelDB opened them: compared behind the first
 * answer, and before that wherever somebody looks (DESIGN §5).
 *
 * A thread compares the checksum of every block that can hold a key of a fold, and gathers the keys into filters
 * (key-filter.ts), so that one which `get` loses later is missed: a second or more a million entries. Until it is done,
 * whoever reads a key first has the blocks compared in which LevelDB looks for it. What LevelDB merges meanwhile it merges
 * from the same bytes: their descriptors are held. What was damaged before LevelDB merged it into a new table has a right
 * checksum: the set digest finds it, which is why a process that ends before it has compared all leaves a mark.
 *
 * A record that a journal has lost takes a whole batch with it: the checks of a start miss that before the first answer.
 * A descriptor keeps bytes on the disk that LevelDB has removed: an erasure waits for `compared`.
 */
import { closeSync, openSync, readFileSync } from 'node:fs'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { Worker } from 'node:worker_threads'
import { errnoOf } from '../errno.ts'
import { workerUrl } from '../worker-url.ts'
import { lowerBound } from './bytes.ts'
import { StoreError } from './errors.ts'
import type { StoreErrorCode } from './errors.ts'
import { randomSeed } from './key-filter.ts'
import type { Slice, StoredFilters } from './key-filter.ts'
import { Keys } from './keys.ts'
import { readManifest } from './manifest.ts'
import type { LiveTable, Manifest } from './manifest.ts'
import type { CheckProgress } from './start-checks.ts'
import type { KeyRange } from './store.ts'
import { StoredKeys, readJournalKeys } from './stored-keys.ts'
import { TableFile, openTable, userKey, withTable } from './table-file.ts'
import type { OnKey, OpenTable } from './table-file.ts'

/** What the thread is to compare. */
export interface ComparisonOrder {
  readonly origin: string
  readonly seed: number
  readonly tables: readonly OpenTable[]
  /** Descriptors. */
  readonly journals: readonly number[]
}

/** What the thread says: how many bytes it has done, what it has found, or what is damaged. */
export type ComparisonReport =
  | { readonly done: number }
  | { readonly filters: readonly (readonly [fold: number, slices: readonly Slice[]])[] }
  | { readonly code: StoreErrorCode; readonly message: string }

/**
 * Tables whose descriptors are held, at most: ten million entries. Those beyond are compared before LevelDB opens. Node takes
 * the hard limit of the process, which is 4,096 at the least that is usual.
 */
const HELD_TABLES_MAX = 2048
/** What is less is compared before LevelDB opens: no thread is started for a few milliseconds. */
const HELD_BYTES_MIN = 1024 * 1024

/** How tables are opened. */
export interface FoldTablesOptions {
  /** Default `HELD_TABLES_MAX`. */
  readonly heldTables?: number
  /** Bytes of tables of folds from which on they are held. Default `HELD_BYTES_MIN`. */
  readonly heldBytes?: number
  readonly onProgress?: (progress: CheckProgress) => void
}

/** The files of one database that hold folds. Nobody may have opened it yet, and it is opened once they are held. */
export class FoldTables {
  /** Of the filters. */
  readonly seed: number
  /**
   * Which keys the files have, once all is compared and nothing is held.
   * Rejects with {StoreError} `table_corrupt`, with the name of the file; `store_failed` if the thread ends.
   */
  readonly compared: Promise<StoredFilters>
  readonly #origin: string
  readonly #held: readonly OpenTable[]
  readonly #journals: readonly number[]
  /** Undefined once all is compared. */
  #levels: readonly Level[] | undefined
  readonly #beyond: StoredFilters
  #resolve: (filters: StoredFilters) => void = () => undefined
  #reject: (error: Error) => void = () => undefined
  #failure: Error | undefined
  #worker: Worker | undefined
  #released: Promise<void> | undefined

  private constructor(
    origin: string,
    seed: number,
    files: { readonly tables: readonly OpenTable[]; readonly journals: readonly number[] },
    beyond: StoredFilters,
  ) {
    this.seed = seed
    this.#origin = origin
    this.#held = files.tables
    this.#journals = files.journals
    this.#beyond = beyond
    this.#levels = levelsOf(files.tables)
    this.compared = new Promise((resolve, reject) => {
      this.#resolve = resolve
      this.#reject = reject
    })
    // Whoever waits for it hears of it; that nobody does yet is no error.
    this.compared.catch(() => undefined)
  }

  /**
   * Opens the files, and compares what leads to the blocks of each table: that it is the one which the MANIFEST names, its
   * index, and LevelDB's filter.
   *
   * @throws {StoreError} `table_corrupt`, with the name of the file; `store_open_failed` as `readManifest`
   */
  static async open(
    directory: string,
    origin: string,
    options: FoldTablesOptions = {},
  ): Promise<FoldTables> {
    const seed = randomSeed()
    const keys = new Keys(origin)
    const range = keys.range('f')
    const manifest = await readManifest(directory)
    const all = (manifest?.tables ?? []).filter((table) => holdsAny(table, range))
    const { heldBytes = HELD_BYTES_MIN, heldTables = HELD_TABLES_MAX, onProgress } = options
    const tables = openTables(directory, all.slice(0, bytesOf(all) < heldBytes ? 0 : heldTables))
    const held = tables.length
    const open = tables.map(({ descriptor }) => descriptor)
    const stored = new StoredKeys(keys, seed)
    const onKey: OnKey = (key, length) => stored.add(key, length)
    try {
      await compareNow(directory, all.slice(held), { range, onKey, onProgress })
      const journals = await openJournals(directory, manifest)
      open.push(...journals)
      if (held === 0) for (const journal of journals) readJournalKeys(readFileSync(journal), onKey)
      const opened = new FoldTables(origin, seed, { tables, journals }, stored.filters())
      if (held === 0) await opened.#finish(new Map())
      return opened
    } catch (error) {
      for (const descriptor of open) closeSync(descriptor)
      throw error
    }
  }

  /** Whether all of it is compared. */
  get isCompared(): boolean {
    return this.#levels === undefined
  }

  /**
   * To be called before `get` is asked for `key`: compares the blocks in which LevelDB looks for it, those that have not
   * been compared yet.
   *
   * @throws {StoreError} `table_corrupt`
   */
  checkKey(key: Uint8Array): void {
    this.#check((level) => level.checkKey(key))
  }

  /**
   * To be called before `range` is scanned, which is small: compares every block of it.
   *
   * @throws {StoreError} `table_corrupt`
   */
  checkRange(range: KeyRange): void {
    this.#check((level) => level.checkRange(range))
  }

  #check(check: (level: Level) => void): void {
    if (this.#failure !== undefined) throw this.#failure
    try {
      for (const level of this.#levels ?? []) check(level)
    } catch (error) {
      if (error instanceof Error) this.#fail(error)
      throw error
    }
  }

  /** Begins to compare all of them, if nobody did. */
  begin(onProgress: (progress: CheckProgress) => void = () => undefined): Promise<StoredFilters> {
    if (this.#worker !== undefined || this.isCompared || this.#failure !== undefined)
      return this.compared
    const order: ComparisonOrder = {
      origin: this.#origin,
      seed: this.seed,
      tables: this.#held,
      journals: this.#journals,
    }
    const total = bytesOf(this.#held)
    const worker = this.#start(order)
    if (worker === undefined) return this.compared
    worker.on('message', (report: ComparisonReport) => {
      if ('done' in report) onProgress({ what: 'tables', done: report.done, total })
      else if ('filters' in report)
        this.#finish(new Map(report.filters)).catch((error: Error) => this.#reject(error))
      else this.#fail(new StoreError(report.code, report.message))
    })
    worker.on('error', (cause) => {
      this.#fail(
        new StoreError('store_failed', 'the thread that compares tables failed', { cause }),
      )
    })
    worker.on('exit', () => {
      this.#fail(new StoreError('store_failed', 'the thread that compares tables ended'))
    })
    return this.compared
  }

  /**
   * Lets go of the files, once all of them are compared: what LevelDB has merged of them nobody could compare any more. A
   * second call does nothing more.
   */
  async close(): Promise<void> {
    await this.begin().catch(() => undefined)
    await this.#release()
  }

  #start(order: ComparisonOrder): Worker | undefined {
    try {
      const url = workerUrl(import.meta.url, './table-worker.ts')
      this.#worker = new Worker(url, { workerData: order })
    } catch (cause) {
      this.#fail(new StoreError('store_failed', 'no thread compares tables', { cause }))
    }
    return this.#worker
  }

  async #finish(found: StoredFilters): Promise<void> {
    if (this.#failure !== undefined) return
    this.#levels = undefined
    await this.#release()
    const filters = new Map(this.#beyond)
    for (const [fold, slices] of found) filters.set(fold, [...(filters.get(fold) ?? []), ...slices])
    this.#resolve(filters)
  }

  #fail(error: Error): void {
    if (this.isCompared || this.#failure !== undefined) return
    this.#failure = error
    this.#reject(error)
  }

  #release(): Promise<void> {
    this.#released ??= (async () => {
      // First: the number of a descriptor that is closed may be another file's at once.
      await this.#worker?.terminate()
      for (const { descriptor } of this.#held) closeSync(descriptor)
      for (const descriptor of this.#journals) closeSync(descriptor)
    })()
    return this.#released
  }
}

/**
 * Compares every block of every table of a database that nobody has open, as an audit does: over a damaged one LevelDB may
 * end the process, with no word of ours.
 *
 * @throws {StoreError} `table_corrupt`, with the name of the file; `store_open_failed` as `readManifest`
 */
export async function checkTables(
  directory: string,
  onProgress: (progress: CheckProgress) => void,
): Promise<void> {
  const range = { gte: new Uint8Array(0), lt: Uint8Array.of(0xff) }
  const { tables = [] } = (await readManifest(directory)) ?? {}
  await compareNow(directory, tables, { range, onKey: () => undefined, onProgress })
}

interface NowOptions {
  readonly range: KeyRange
  readonly onKey: OnKey
  readonly onProgress: FoldTablesOptions['onProgress']
}

async function compareNow(
  directory: string,
  tables: readonly LiveTable[],
  { range, onKey, onProgress }: NowOptions,
): Promise<void> {
  const total = bytesOf(tables)
  let done = 0
  for (const table of tables) {
    withTable(directory, table, (file) => file.readRange(range, onKey))
    done += table.size
    onProgress?.({ what: 'tables', done, total })
    await nextTurn()
  }
}

const bytesOf = (tables: readonly LiveTable[]): number =>
  tables.reduce((sum, { size }) => sum + size, 0)

/**
 * As many of the tables as the process may have open, and half of them if that is not all: LevelDB and sockets want some.
 *
 * @throws {StoreError} as `openTable`
 */
function openTables(directory: string, tables: readonly LiveTable[]): readonly OpenTable[] {
  const open: OpenTable[] = []
  const closeFrom = (first: number): void => {
    for (const { descriptor } of open.splice(first)) closeSync(descriptor)
  }
  try {
    for (const table of tables) open.push(openTable(directory, table))
  } catch (error) {
    const errno = errnoOf(error instanceof StoreError ? error.cause : undefined)
    const isLimit = errno === 'EMFILE' || errno === 'ENFILE'
    closeFrom(isLimit ? Math.floor(open.length / 2) : 0)
    if (!isLimit) throw error
  }
  return open
}

function holdsAny({ smallest, largest }: LiveTable, { gte, lt }: KeyRange): boolean {
  return Buffer.compare(userKey(smallest), lt) < 0 && Buffer.compare(userKey(largest), gte) >= 0
}

/** Journals that LevelDB will read. @throws {StoreError} `store_open_failed` */
async function openJournals(
  directory: string,
  manifest: Manifest | undefined,
): Promise<readonly number[]> {
  if (manifest === undefined) return []
  const open: number[] = []
  try {
    for (const name of await readdir(directory)) {
      if (!/^\d+\.log$/.test(name) || Number.parseInt(name, 10) < manifest.journal) continue
      open.push(openSync(join(directory, name), 'r'))
    }
    return open
  } catch (cause) {
    for (const descriptor of open) closeSync(descriptor)
    throw new StoreError('store_open_failed', `a journal in ${directory} cannot be read`, { cause })
  }
}

interface Place {
  readonly file: TableFile
  /** Keys as others than LevelDB know them. */
  readonly smallest: Uint8Array
  readonly largest: Uint8Array
}

/** The tables of one level. */
class Level {
  readonly #places: readonly Place[]
  readonly #isSorted: boolean

  constructor(level: number, places: readonly Place[]) {
    this.#isSorted = level > 0
    this.#places = this.#isSorted
      ? [...places].sort((a, b) => Buffer.compare(a.largest, b.largest))
      : places
  }

  checkKey(key: Uint8Array): void {
    for (let at = this.#isSorted ? this.#firstFrom(key) : 0; at < this.#places.length; at++) {
      const place = this.#places[at]
      if (place === undefined) return
      const isAbove = Buffer.compare(place.smallest, key) > 0
      if (isAbove && this.#isSorted) return
      if (!isAbove && Buffer.compare(place.largest, key) >= 0) place.file.checkKey(key)
    }
  }

  checkRange(range: KeyRange): void {
    for (const { file, smallest, largest } of this.#places) {
      const isBeside =
        Buffer.compare(smallest, range.lt) >= 0 || Buffer.compare(largest, range.gte) < 0
      if (!isBeside) file.checkRange(range)
    }
  }

  #firstFrom(key: Uint8Array): number {
    const largestAt = (at: number): Uint8Array => this.#places[at]?.largest ?? key
    return lowerBound(this.#places.length, (at) => Buffer.compare(largestAt(at), key) < 0)
  }
}

function levelsOf(tables: readonly OpenTable[]): readonly Level[] {
  const levels = new Map<number, Place[]>()
  for (const table of tables) {
    const places = levels.get(table.level) ?? []
    levels.set(table.level, places)
    places.push({
      file: new TableFile(table),
      smallest: userKey(table.smallest),
      largest: userKey(table.largest),
    })
  }
  return [...levels].map(([level, places]) => new Level(level, places))
}
