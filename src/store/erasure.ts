/**
 * @module Erasure, from deleted to gone (DESIGN §5).
 *
 * The batch of an erasure deletes the keys. LevelDB then still has the bytes: in its journal, in tables not yet
 * compacted, and for as long as an older iterator is open in tables already compacted. What is due follows from the
 * entries: every erasure without a mark that it is done. So nothing that could be lost makes one forgotten. It
 *
 * 1. waits until every scan that is open has ended,
 * 2. deletes the keys again, so that there is something to merge the old values with,
 * 3. compacts the erasable keys,
 * 4. searches the files,
 * 5. and marks itself as done and says `gone` if nothing was found; else it begins again, a few times.
 *
 * A crash anywhere leaves no mark: the next start runs it again, from step 1.
 *
 * **What `gone` proves.** In no table and no journal under the database's directory, copies of journals kept aside
 * included, is there a value under an erased key; and, where this process did the erasure itself (`searched` says
 * `values`), no file there holds the erased bytes at all. After a restart the values are no longer known, and not so
 * much as a digest of them is kept beside the salted one in the leaf, so only their keys are searched for (`keys`).
 * **What it does not prove:** nothing about blocks that the file system freed and did not overwrite, about backups, and
 * about copies that somebody made.
 */
import type { Dirent } from 'node:fs'
import { readFile, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { concatBytes } from '@trustwarden/proofs'
import { errnoOf } from '../errno.ts'
import { latin1 } from './bytes.ts'
import type { Database } from './database.ts'
import { StoreError } from './errors.ts'
import { readU64, u64 } from './keys.ts'
import { readBatchKeys, readJournalRecords, readTableKeys } from './level-files.ts'
import { digestOf, openSealed, sealValue } from './sealed.ts'
import type { Op } from './store.ts'

/**
 * Rounds of delete, compact and search before an erasure is left for later. The first can leave a value that was in the
 * write buffer together with its deletion: LevelDB writes both into one table, which the second round merges.
 */
const ROUNDS = 4

/** How long a search runs before others do, ms. */
const TURN_MS = 5
/** Bytes that are searched for one value at a time: some 0.1 ms. */
const PIECE_BYTES = 1_048_576

/** One erasable value that is to be gone. */
export interface ErasureTarget {
  readonly index: number
  readonly ordinal: number
}

/** An erasure that is to be finished. */
export interface Erasure {
  /** Index of the entry that ordered it. */
  readonly job: number
  readonly targets: readonly ErasureTarget[]
}

/** How an erasure ended. */
export interface ErasureResult extends Erasure {
  /** Whether the files are free of it; false: it is to be run again. */
  readonly gone: boolean
  /** What the files were searched for (see the module's comment). */
  readonly searched: 'keys' | 'values'
  /** Where it was found, or what could not be searched, if not gone: paths under the directory. */
  readonly foundIn: readonly string[]
}

/** How erasures are finished. */
export interface FinishErasuresOptions {
  /** Called after each. */
  readonly onProgress?: (result: ErasureResult) => void
  /** Ends the run between two steps: what is not done is left for the next. */
  readonly signal?: AbortSignal
}

/**
 * The erasures that are done: index of the entry that ordered it → how many values are gone.
 *
 * @throws {StoreError} `value_corrupt` if a mark is not the one written
 */
export async function erasuresDone(database: Database): Promise<ReadonlyMap<number, number>> {
  const done = new Map<number, number>()
  const { store, keys } = database
  for await (const { key, value } of store.scan(keys.range('j'))) {
    const job = keys.indexOf(key)
    const count = readU64(openSealed(key, value)?.value ?? NOTHING, 0)
    if (Number.isNaN(count)) {
      const message = `the mark that the erasure of entry ${job} is done is not the one written`
      throw new StoreError('value_corrupt', message)
    }
    done.set(job, count)
  }
  return done
}

/**
 * Runs erasures to their end. Commits may go on meanwhile; one call at a time.
 *
 * It waits for scans that are open when it begins: one that nobody ends delays it until `signal`.
 *
 * @throws {StoreError} `store_failed`
 */
export async function finishErasures(
  database: Database,
  erasures: readonly Erasure[],
  options: FinishErasuresOptions = {},
): Promise<readonly ErasureResult[]> {
  const results: ErasureResult[] = []
  for (const erasure of erasures) {
    const result = await finish(database, erasure, options.signal)
    if (result === undefined) break
    results.push(result)
    options.onProgress?.(result)
  }
  return results
}

/** Marks an erasure as done: nothing of its values is in the files. */
export async function markErased(database: Database, { job, targets }: Erasure): Promise<void> {
  const key = database.keys.erasureDone(job)
  const mark = u64(targets.length)
  await database.store.write([{ type: 'put', key, value: sealValue(mark, digestOf(key, mark)) }])
}

/** Undefined: `signal` ended it. */
async function finish(
  database: Database,
  { job, targets }: Erasure,
  signal: AbortSignal | undefined,
): Promise<ErasureResult | undefined> {
  const { store, keys } = database
  const erasedKeys = targets.map(({ index, ordinal }) => keys.erasable(index, ordinal))
  const values = database.erasedValues(job)
  const searched = values === undefined ? 'keys' : 'values'
  let foundIn: readonly string[] = []
  for (let round = 0; round < ROUNDS; round++) {
    await untilAborted(store.scansEnded(), signal)
    if (isAborted(signal)) return undefined
    // On disk: the values, perhaps, behind their deletion, and no mark. A crash up to the last write of this function
    // leaves the same.
    await store.write(erasedKeys.map((key): Op => ({ type: 'del', key })))
    await store.compact(keys.range('x'))
    if (isAborted(signal)) return undefined
    foundIn = await searchStore(database, erasedKeys, values ?? [], signal)
    if (isAborted(signal)) return undefined
    if (foundIn.length > 0) continue
    await markErased(database, { job, targets })
    // On disk: nothing of the values, and the mark. Only now is it told.
    database.forgetErased(job)
    return { job, targets, gone: true, searched, foundIn }
  }
  return { job, targets, gone: false, searched, foundIn }
}

const NOTHING = new Uint8Array(0)

function isAborted(signal: AbortSignal | undefined): boolean {
  return signal?.aborted === true
}

/** Resolves with `waiting`, or when `signal` aborts. */
async function untilAborted(
  waiting: Promise<void>,
  signal: AbortSignal | undefined,
): Promise<void> {
  if (signal === undefined || signal.aborted) return signal === undefined ? waiting : undefined
  let abort = (): void => undefined
  const aborted = new Promise<void>((resolve) => {
    abort = resolve
  })
  signal.addEventListener('abort', abort, { once: true })
  await Promise.race([waiting, aborted])
  signal.removeEventListener('abort', abort)
}

async function searchStore(
  database: Database,
  erasedKeys: readonly Uint8Array[],
  values: readonly Uint8Array[],
  signal: AbortSignal | undefined,
): Promise<readonly string[]> {
  const { store } = database
  const answered = erasedKeys.filter((key) => store.get(key) !== undefined)
  if (answered.length > 0) return ['the database itself']
  if (store.directory === undefined) return []
  return searchFiles(store.directory, erasedKeys, values, signal)
}

/**
 * Searches every file under `directory` for values of the keys and for the bytes of `values`, and names the files that
 * have one or cannot be searched. Files that LevelDB makes or deletes meanwhile are looked at again. It lets others run
 * every few milliseconds, and ends early, with an answer that means nothing, when `signal` aborts.
 */
export async function searchFiles(
  directory: string,
  erasedKeys: readonly Uint8Array[],
  values: readonly Uint8Array[],
  signal?: AbortSignal,
): Promise<readonly string[]> {
  const search = new Search(erasedKeys, values)
  const searched = new Map<string, boolean>()
  // A table that vanished was compacted into new ones: they are in the next listing. Two listings without a new file
  // or a vanished one, and nothing was missed.
  for (let settled = false; !settled; ) {
    settled = true
    for (const path of await filesUnder(directory)) {
      if (isAborted(signal)) return []
      if (searched.has(path) && !isGrowing(path)) continue
      const fresh = !searched.has(path)
      const found = await search.file(path)
      if (found === undefined) continue
      searched.set(path, found)
      if (fresh) settled = false
    }
  }
  const present = new Set(await filesUnder(directory))
  return [...searched].filter(([path, found]) => found && present.has(path)).map(([path]) => path)
}

/** Journals grow and are searched again; a table never changes once it is whole, and one that is not is searched again. */
function isGrowing(path: string): boolean {
  return !path.endsWith('.ldb')
}

/** Looks for keys with a value, and for values, in one file after the other, a few milliseconds at a time. */
class Search {
  readonly #wanted: ReadonlySet<string>
  readonly #keys: readonly Uint8Array[]
  readonly #values: readonly Uint8Array[]
  #since = performance.now()

  constructor(erasedKeys: readonly Uint8Array[], values: readonly Uint8Array[]) {
    this.#wanted = new Set(erasedKeys.map((part) => latin1(part)))
    this.#keys = erasedKeys
    this.#values = values.filter(({ length }) => length > 0)
  }

  /** Whether a file has it, or cannot be searched; undefined if it is no longer there. */
  async file(path: string): Promise<boolean | undefined> {
    let bytes: Uint8Array
    try {
      bytes = await readFile(path)
    } catch (error) {
      return errnoOf(error) === 'ENOENT' ? undefined : true
    }
    try {
      if (await this.#holds(bytes, this.#values)) return true
      if (path.endsWith('.ldb')) return await this.#holdsKey(readTableKeys(bytes))
      return path.endsWith('.log') && (await this.#journal(bytes))
    } catch (error) {
      if (error instanceof StoreError) return true
      throw error
    }
  }

  async #journal(bytes: Uint8Array): Promise<boolean> {
    const { records, rest } = readJournalRecords(bytes)
    for (const record of records) {
      if (await this.#holdsKey(readBatchKeys(record))) return true
      // Records are cut at every 32 KiB, so a value can lie in two pieces in the file.
      if (await this.#holds(record, this.#values)) return true
    }
    // A write that a crash cut off cannot be taken apart. Its keys stand in it whole, though.
    return this.#holds(concatBytes(...rest), [...this.#keys, ...this.#values])
  }

  async #holdsKey(keys: Iterable<Uint8Array>): Promise<boolean> {
    for (const key of keys) {
      if (this.#wanted.has(latin1(key))) return true
      if (this.#isLate()) await this.#turn()
    }
    return false
  }

  async #holds(bytes: Uint8Array, needles: readonly Uint8Array[]): Promise<boolean> {
    const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    for (const needle of needles) {
      // Pieces overlap, so that a value that lies across two is found.
      for (let from = 0; from < buffer.length; from += PIECE_BYTES) {
        const piece = buffer.subarray(from, from + PIECE_BYTES + needle.length - 1)
        if (piece.indexOf(needle) >= 0) return true
        if (this.#isLate()) await this.#turn()
      }
    }
    return false
  }

  #isLate(): boolean {
    return performance.now() - this.#since > TURN_MS
  }

  async #turn(): Promise<void> {
    await new Promise((resolve) => {
      setImmediate(resolve)
    })
    this.#since = performance.now()
  }
}

async function filesUnder(directory: string): Promise<readonly string[]> {
  const entries = await readdir(directory, { withFileTypes: true, recursive: true })
  return entries.filter(isSearched).map((entry) => join(entry.parentPath, entry.name))
}

/** LOCK is empty, and must not be opened: closing it again would end LevelDB's lock (level-store.ts). */
function isSearched(entry: Dirent): boolean {
  return entry.isFile() && entry.name !== 'LOCK'
}
