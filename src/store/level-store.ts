/**
 * @module The store on LevelDB: the only file that imports `level`.
 *
 * Compression is off, so that erased bytes can be searched for. LevelDB's own checks are not reached from Node
 * (neither `paranoid_checks` nor `verify_checksums` is exposed): integrity is database.ts's.
 */
import { type BigIntStats, existsSync, mkdirSync, realpathSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { Level } from 'level'
import { plain } from './bytes.ts'
import { StoreError } from './errors.ts'
import { ScanTracker } from './scan-tracker.ts'
import type { KeyRange, Op, Row, ScanRange, Store } from './store.ts'

/**
 * Bytes that LevelDB gathers in memory, and in one journal, before it writes a table. 32 MiB: the sync of a batch waits for
 * that of the table beside it (measured at half load and a million entries: p99 50 to 100 ms, with 64 MiB 115 to 200), and
 * memory is less by a sixth; with 16 MiB full load gets slower, with 4 it stalls for seconds. Two such buffers can be
 * unwritten at once, which is why start-up re-reads twice as much (DESIGN §5).
 */
export const WRITE_BUFFER_BYTES: number = 32 * 1024 * 1024

/**
 * Files that LevelDB has open, ten of them no tables. Tables are mapped into memory, and what was once read of one counts as
 * memory of the process for as long as it is open: 2 MiB each, so that 1,000, its default, would be 2 GiB. 74 is the least.
 */
const OPEN_FILES_MAX = 74

const SCAN_ROWS = 1000
const SCAN_BYTES = 1024 * 1024

type Bytes = Uint8Array
type LevelDatabase = Level<Bytes, Bytes>

/** How a LevelDB store is opened. */
export interface LevelStoreOptions {
  /**
   * False leaves the fsync of each write out, so that a test can show that it notices. Default true: nothing else is
   * durable.
   */
  readonly durable?: boolean
  /** Bytes of the write buffer, for tests that need tables early. Default `WRITE_BUFFER_BYTES`. */
  readonly writeBufferBytes?: number
  /** Told after each write how long it took until it was on disk, ms. */
  readonly onWrite?: (ms: number) => void
}

/** A store in a directory of its own. Make it by `create` or `open`. */
export class LevelStore implements Store {
  readonly directory: string
  readonly #db: LevelDatabase
  readonly #close: () => Promise<void>
  readonly #isInPlace: () => boolean
  readonly #durable: boolean
  readonly #onWrite: ((ms: number) => void) | undefined
  readonly #scans = new ScanTracker()
  /** The first failure. Set once, never cleared: the handle is not used again. */
  #failure: unknown
  #failed = false
  #closing: Promise<void> | undefined
  /** Ends when the last write called so far has ended: writes take effect in the order of their calls. */
  #lastWrite: Promise<void> = Promise.resolve()

  private constructor(directory: string, opened: OpenedLevel, options: LevelStoreOptions) {
    this.directory = directory
    this.#db = opened.db
    this.#close = opened.close
    this.#isInPlace = opened.isInPlace
    this.#durable = options.durable ?? true
    this.#onWrite = options.onWrite
  }

  /**
   * Makes an empty store; the directory may exist, but holds no database.
   *
   * @throws {StoreError} `store_exists`, `store_locked`, `store_open_failed`
   */
  static async create(directory: string, options: LevelStoreOptions = {}): Promise<LevelStore> {
    if (hasDatabase(directory)) {
      throw new StoreError('store_exists', `there is a database in ${directory} already`)
    }
    return LevelStore.#start(directory, true, options)
  }

  /**
   * Opens an existing store and makes none. LevelDB replays its journals now and deletes them: whoever may need them
   * copies them aside before (journals.ts).
   *
   * @throws {StoreError} `store_missing`, `store_locked`, `store_open_failed`
   */
  static async open(directory: string, options: LevelStoreOptions = {}): Promise<LevelStore> {
    if (!hasDatabase(directory)) {
      throw new StoreError('store_missing', `there is no database in ${directory}`)
    }
    return LevelStore.#start(directory, false, options)
  }

  static async #start(
    directory: string,
    create: boolean,
    options: LevelStoreOptions,
  ): Promise<LevelStore> {
    const opened = await openLevel(directory, 'store_locked', {
      createIfMissing: create,
      errorIfExists: create,
      writeBufferSize: options.writeBufferBytes ?? WRITE_BUFFER_BYTES,
      maxOpenFiles: OPEN_FILES_MAX,
    })
    return new LevelStore(directory, opened, options)
  }

  get(key: Bytes): Bytes | undefined {
    this.checkUsable()
    try {
      const value = this.#db.getSync(key)
      return value === undefined ? undefined : plain(value)
    } catch (cause) {
      throw this.#fail('a read failed', cause)
    }
  }

  async *scan(range: ScanRange): AsyncIterable<Row> {
    this.checkUsable()
    const { gte, lt } = range
    const options = {
      gte,
      lt,
      reverse: range.reverse ?? false,
      limit: range.limit ?? -1,
      values: !(range.keysOnly ?? false),
      highWaterMarkBytes: SCAN_BYTES,
    }
    const iterator = this.#db.iterator(options)
    const ended = this.#scans.begin()
    try {
      for (;;) {
        let rows: [Bytes, Bytes][]
        try {
          rows = await iterator.nextv(SCAN_ROWS)
        } catch (cause) {
          throw this.#fail('a scan failed', cause)
        }
        if (rows.length === 0) return
        for (const [key, value] of rows) {
          this.checkUsable()
          yield { key: plain(key), value: range.keysOnly === true ? NOTHING : plain(value) }
        }
      }
    } finally {
      await iterator.close()
      ended()
    }
  }

  write(ops: readonly Op[]): Promise<void> {
    const result = this.#lastWrite.then(() => this.#write(ops))
    this.#lastWrite = result.catch(() => undefined)
    return result
  }

  async #write(ops: readonly Op[]): Promise<void> {
    this.checkUsable()
    if (ops.length === 0) return
    // LevelDB makes and removes files by path: in a directory that another one has taken the place of they are not its own.
    this.#checkPlace()
    try {
      const batch = this.#db.batch()
      for (const op of ops) {
        if (op.type === 'put') batch.put(op.key, op.value)
        else batch.del(op.key)
      }
      // Before the write returns: a crash leaves all of the batch (its journal record is whole) or none of it (the
      // record is torn and dropped at the next open). After: it is on disk.
      const since = performance.now()
      await batch.write({ sync: this.#durable })
      this.#onWrite?.(performance.now() - since)
    } catch (cause) {
      throw this.#fail('a write failed', cause)
    }
    // What was written is in LevelDB's open files, wherever those are now. The next start looks at the path: what is not
    // found there must not be answered.
    this.#checkPlace()
  }

  async compact(range: KeyRange): Promise<void> {
    this.checkUsable()
    this.#checkPlace()
    try {
      await compactLevel(this.#db, range)
    } catch (cause) {
      throw this.#fail('a compaction failed', cause)
    }
  }

  scansEnded(): Promise<void> {
    return this.#scans.ended()
  }

  openScans(): number {
    return this.#scans.open
  }

  close(): Promise<void> {
    this.#closing ??= this.#lastWrite.then(() => this.#close())
    return this.#closing
  }

  checkUsable(): void {
    if (this.#failed) {
      throw new StoreError('store_failed', 'the store failed before and is not used again', {
        cause: this.#failure,
      })
    }
    if (this.#closing !== undefined) throw new StoreError('store_closed', 'the store is closed')
  }

  #fail(what: string, cause: unknown): StoreError {
    if (cause instanceof StoreError) return cause
    // Which part of the write reached the disk is unknown. The next start decides, by journal and batch records.
    this.#failed = true
    this.#failure = cause
    // Whatever failed: of a directory that is gone LevelDB says that a file is missing.
    if (this.#isInPlace()) return new StoreError('store_failed', what, { cause })
    const why = `${this.directory} is not the database that was opened: it was moved, replaced or removed`
    return new StoreError('store_moved', why, { cause })
  }

  /** @throws {StoreError} `store_moved` */
  #checkPlace(): void {
    if (!this.#isInPlace())
      throw this.#fail('it is not there', new Error('another lock file, or none'))
  }
}

const NOTHING: Bytes = new Uint8Array(0)

/** A lock on a directory that ends with its holder. */
export interface DirectoryLock {
  release(): Promise<void>
}

/**
 * Takes the lock on `directory`, which is made if missing and holds an empty LevelDB: Node has no flock, and LevelDB's
 * LOCK dies with its process.
 *
 * @throws {StoreError} `head_record_locked` if another process, or this one, holds it; `store_open_failed`
 */
export async function lockDirectory(directory: string): Promise<DirectoryLock> {
  const { close } = await openLevel(directory, 'head_record_locked', {})
  return { release: close }
}

interface OpenedLevel {
  readonly db: LevelDatabase
  readonly close: () => Promise<void>
  /** Whether what lies at the path is what was opened. */
  readonly isInPlace: () => boolean
}

interface OpenOptions {
  readonly createIfMissing?: boolean
  readonly errorIfExists?: boolean
  readonly writeBufferSize?: number
  readonly maxOpenFiles?: number
}

/**
 * Directories that this process has open. LevelDB's lock is an fcntl lock, which goes when the process closes *any*
 * descriptor of the LOCK file, and a second attempt to open within the process does just that: it fails, and the first
 * one is unlocked for others from then on (observed). So LevelDB must not see a second attempt.
 */
const openHere = new Set<string>()

async function openLevel(
  directory: string,
  lockedCode: 'store_locked' | 'head_record_locked',
  options: OpenOptions,
): Promise<OpenedLevel> {
  let path: string
  try {
    mkdirSync(directory, { recursive: true, mode: 0o700 })
    path = realpathSync(directory)
  } catch (cause) {
    throw new StoreError('store_open_failed', `${directory} cannot be made`, { cause })
  }
  if (openHere.has(path)) throw new StoreError(lockedCode, `this process has ${directory} open`)
  openHere.add(path)
  try {
    // Making the object opens it, on the next tick.
    const db: LevelDatabase = new Level<Bytes, Bytes>(path, {
      ...options,
      keyEncoding: 'view',
      valueEncoding: 'view',
      compression: false,
    })
    await db.open()
    const lock = lockIn(directory)
    const isInPlace = (): boolean => {
      const found = lockIn(directory)
      return found !== undefined && found.ino === lock?.ino && found.dev === lock.dev
    }
    return { db, close: () => closeLevel(db, path), isInPlace }
  } catch (cause) {
    openHere.delete(path)
    if (isLocked(cause)) {
      throw new StoreError(lockedCode, `another process has ${directory} open`, { cause })
    }
    const why = `the database in ${directory} does not open: ${firstCauseOf(cause)}`
    throw new StoreError('store_open_failed', why, { cause })
  }
}

/**
 * LevelDB's lock file, which it holds open: as long as it does no other file has its number, even if this one was removed.
 * Only looked at, for closing it again would end the lock.
 */
function lockIn(directory: string): BigIntStats | undefined {
  try {
    return statSync(join(directory, 'LOCK'), { bigint: true })
  } catch {
    return undefined
  }
}

async function closeLevel(db: LevelDatabase, path: string): Promise<void> {
  await db.close()
  openHere.delete(path)
}

function hasDatabase(directory: string): boolean {
  return existsSync(join(directory, 'CURRENT'))
}

/** LevelDB's own words, below those of the packages around it: of a full disk it says which file, and that. */
function firstCauseOf(error: unknown): string {
  let first = error
  while (first instanceof Error && first.cause !== undefined) first = first.cause
  return first instanceof Error ? first.message : String(first)
}

function isLocked(error: unknown): boolean {
  for (let e = error; e instanceof Error; e = e.cause) {
    if ('code' in e && e.code === 'LEVEL_LOCKED') return true
  }
  return false
}

/** `compactRange` is in classic-level, which is what `level` is on Node, but not in the types of `level`. */
async function compactLevel(db: LevelDatabase, range: KeyRange): Promise<void> {
  if (!('compactRange' in db) || typeof db.compactRange !== 'function') {
    throw new Error('this build of level has no compactRange')
  }
  await db.compactRange(range.gte, range.lt)
}
