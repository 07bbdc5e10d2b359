/**
 * @module The head record: size and root of the last head, on a path of its own beside the database (DESIGN §5).
 *
 * A database that was restored from an old backup, or lost its end, shows by it. The record may lag behind the
 * database, never lead. A directory holds
 *
 *     record        two slots of 128 bytes at offsets 0 and 4,096, in 8,192 bytes
 *     lock/         an empty LevelDB, whose LOCK dies with the process that holds it
 *     record.replaced-<n>   what `replace` took away
 *
 * A slot, integers big-endian:
 *
 *     "TWHEAD\0\1" | sequence u64 | size u64 | ledger time ms u64 | root 32 | SHA-256(origin) 32 | SHA-256 of all before 32
 *
 * Each write goes to the slot that does not hold the last one, so that a torn write leaves the one before. The slots
 * lie 4,096 bytes apart, so that no sector holds both.
 */
import { existsSync, fstatSync, readSync, statSync, writeSync } from 'node:fs'
import { mkdir, open, readFile, rename, rm } from 'node:fs/promises'
import type { FileHandle } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { concatBytes } from '@trustwarden/proofs'
import { equalBytes, plain } from './bytes.ts'
import { StoreError, checkStore } from './errors.ts'
import { syncDirectory } from './durable.ts'
import { sha256 } from './hash.ts'
import { readU64, u64 } from './keys.ts'
import { lockDirectory } from './level-store.ts'
import type { DirectoryLock } from './level-store.ts'

/** Size, root and ledger time of a head. */
export interface RecordedHead {
  readonly size: number
  /** 32 bytes. */
  readonly root: Uint8Array
  /** Ledger time, ms; 0 before the first batch. */
  readonly timeMs: number
}

interface Slot extends RecordedHead {
  readonly sequence: number
  readonly originHash: Uint8Array
}

const MAGIC = Buffer.from('TWHEAD\0\u0001', 'latin1')
const SLOT_BYTES = 128
const SLOT_DISTANCE = 4096
const FILE_BYTES = 2 * SLOT_DISTANCE
const CHECKED_BYTES = SLOT_BYTES - 32

/** The head record of one log, locked for this process. Make it by `create`, `open` or `replace`; end it by `close`. */
export class HeadRecord {
  readonly path: string
  readonly #file: FileHandle
  readonly #lock: DirectoryLock
  /** The file as this process read it at opening or wrote it last. */
  readonly #image: Uint8Array
  #current: Slot
  /** Slot 0 or 1 that holds `#current`. */
  #slot: 0 | 1
  /** True from the first failure on: what the file holds is unknown. */
  #failed = false
  #closed = false
  #lastWrite: Promise<void> = Promise.resolve()
  /** Whether the other slot could not be read at opening: torn by a crash, or damaged later. For the log of the start. */
  readonly slotLost: boolean

  private constructor(path: string, file: FileHandle, lock: DirectoryLock, image: Uint8Array) {
    const slots = [readSlot(image, 0), readSlot(image, 1)] as const
    const [first, second] = slots
    this.path = path
    this.#file = file
    this.#lock = lock
    this.#image = image
    this.slotLost = first === undefined || second === undefined
    if (first !== undefined && second !== undefined) {
      const [older, newer] = first.sequence < second.sequence ? [first, second] : [second, first]
      const follows =
        newer.sequence === older.sequence + 1 &&
        newer.size >= older.size &&
        equalBytes(newer.originHash, older.originHash)
      if (!follows) throw new StoreError('head_record_corrupt', `${path}: the slots do not follow`)
      this.#current = newer
      this.#slot = newer === first ? 0 : 1
      return
    }
    const only = first ?? second
    if (only === undefined) {
      throw new StoreError('head_record_corrupt', `${path}: neither slot can be read`)
    }
    this.#current = only
    this.#slot = only === first ? 0 : 1
  }

  /**
   * Makes the record of a new log, at size 0, durable when it returns. `init` calls it before the first batch.
   *
   * @throws {StoreError} `head_record_exists`, `head_record_locked`, `head_record_failed`
   */
  static async create(path: string, options: { readonly origin: string }): Promise<HeadRecord> {
    const empty = { size: 0, root: sha256(new Uint8Array(0)), timeMs: 0 }
    await guard(path, 'made', () => mkdir(path, { recursive: true, mode: 0o700 }))
    return withLock(path, async (lock) => {
      if (existsSync(join(path, 'record'))) {
        throw new StoreError('head_record_exists', `${path} holds a head record already`)
      }
      await guard(path, 'made', () => writeNew(path, options.origin, empty))
      return HeadRecord.#start(path, options.origin, lock)
    })
  }

  /**
   * Opens the record, and makes none: a service whose record is missing refuses to sign (DESIGN §4.2).
   *
   * @throws {StoreError} `head_record_missing`, `head_record_corrupt`, `head_record_locked`, `head_record_origin`,
   *   `head_record_failed` if it cannot be read; a file of another length is `head_record_corrupt`
   */
  static async open(path: string, options: { readonly origin: string }): Promise<HeadRecord> {
    if (!existsSync(join(path, 'record'))) {
      throw new StoreError('head_record_missing', `there is no head record at ${path}`)
    }
    return withLock(path, (lock) => HeadRecord.#start(path, options.origin, lock))
  }

  /**
   * Writes a new record of the head that the operator named, whatever was there; the old file is kept beside it. The
   * only way on from a lost or contradicting record.
   *
   * @throws {StoreError} `head_record_locked`, `head_record_failed`
   */
  static async replace(
    path: string,
    options: { readonly origin: string; readonly head: RecordedHead },
  ): Promise<HeadRecord> {
    await guard(path, 'made', () => mkdir(path, { recursive: true, mode: 0o700 }))
    return withLock(path, async (lock) => {
      await guard(path, 'replaced', async () => {
        const record = join(path, 'record')
        if (existsSync(record)) {
          let n = 1
          while (existsSync(`${record}.replaced-${n}`)) n++
          // A crash after this leaves no record: the start refuses, and `replace` is called again.
          await rename(record, `${record}.replaced-${n}`)
        }
        await writeNew(path, options.origin, options.head)
      })
      return HeadRecord.#start(path, options.origin, lock)
    })
  }

  static async #start(path: string, origin: string, lock: DirectoryLock): Promise<HeadRecord> {
    const file = await guard(path, 'opened', () => open(join(path, 'record'), 'r+'))
    try {
      const image = await guard(path, 'read', () => readImage(file))
      checkLength(path, image)
      const record = new HeadRecord(path, file, lock, image)
      if (!equalBytes(record.#current.originHash, sha256(Buffer.from(origin, 'utf8')))) {
        throw new StoreError('head_record_origin', `${path} is of another log than ${origin}`)
      }
      return record
    } catch (error) {
      await file.close()
      throw error
    }
  }

  /** The head recorded last. */
  current(): RecordedHead {
    const { size, root, timeMs } = this.#current
    return { size, root, timeMs }
  }

  /**
   * Records a head, whose batch is on disk already. Durable when the promise resolves. After any failure the record is
   * not written again by this process.
   *
   * @throws {StoreError} `head_record_backwards`, `head_record_foreign`, `head_record_failed`
   */
  write(head: RecordedHead): Promise<void> {
    const result = this.#lastWrite.then(() => this.#write(head))
    this.#lastWrite = result.catch(() => undefined)
    return result
  }

  async #write(head: RecordedHead): Promise<void> {
    if (this.#failed || this.#closed) {
      throw new StoreError('head_record_failed', `${this.path}: failed before, or closed`)
    }
    const current = this.#current
    const onward =
      head.size >= current.size &&
      head.timeMs >= current.timeMs &&
      (head.size > current.size || equalBytes(head.root, current.root))
    if (!onward) {
      throw new StoreError(
        'head_record_backwards',
        `${this.path}: size ${head.size} at ${head.timeMs} ms does not follow size ${current.size} at ${current.timeMs} ms`,
      )
    }
    const slot = this.#slot === 0 ? 1 : 0
    const next = { ...head, sequence: current.sequence + 1, originHash: current.originHash }
    const bytes = formatSlot(next)
    try {
      this.#checkUnchanged()
      // On disk: the batch of this head and the record of the one before. A crash here, or in the middle of the slot,
      // leaves the other slot: the record lags by a batch, and start-up rolls it forward from the database.
      const written = writeSync(this.#file.fd, bytes, 0, SLOT_BYTES, slot * SLOT_DISTANCE)
      if (written !== SLOT_BYTES) throw new Error(`${written} of ${SLOT_BYTES} bytes written`)
      await this.#file.datasync()
    } catch (cause) {
      this.#failed = true
      if (cause instanceof StoreError) throw cause
      throw new StoreError('head_record_failed', `${this.path} could not be written`, { cause })
    }
    // On disk: batch and record agree. Only now may the head leave the process.
    this.#image.set(bytes, slot * SLOT_DISTANCE)
    this.#current = next
    this.#slot = slot
  }

  /** Lets go of file and lock. */
  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    await this.#lastWrite
    await this.#file.close()
    await this.#lock.release()
  }

  /**
   * Whether the path still names the file that is open, and the file is as this process left it. Asked of the system's
   * memory, at once: each time that the caller would wait for a thread costs a turn of a busy event loop.
   */
  #checkUnchanged(): void {
    const named = statSync(join(this.path, 'record'), { throwIfNoEntry: false })
    const opened = fstatSync(this.#file.fd)
    const same = named !== undefined && named.ino === opened.ino && named.dev === opened.dev
    if (!same || !equalBytes(readImage(this.#file), this.#image)) {
      throw new StoreError(
        'head_record_foreign',
        `${this.path}: somebody else changed the record since this process wrote it`,
      )
    }
  }
}

/**
 * Compares a database with its head record. `rootAt` gives the root of the database at a size that it has reached.
 * A database that is ahead passes: the caller verifies its stored head and records it.
 *
 * @throws {StoreError} `store_behind_record`, `store_differs_from_record`
 */
export function checkAgainstRecord(
  recorded: RecordedHead,
  size: number,
  rootAt: (size: number) => Uint8Array,
): void {
  checkStore(
    size >= recorded.size,
    'store_behind_record',
    `the database has ${size} entries, its head record says ${recorded.size}`,
  )
  checkStore(
    equalBytes(rootAt(recorded.size), recorded.root),
    'store_differs_from_record',
    `at size ${recorded.size} the database has another root than its head record`,
  )
}

async function withLock(
  path: string,
  start: (lock: DirectoryLock) => Promise<HeadRecord>,
): Promise<HeadRecord> {
  const lock = await lockDirectory(join(path, 'lock'))
  try {
    return await start(lock)
  } catch (error) {
    await lock.release()
    throw error
  }
}

async function guard<T>(path: string, what: string, step: () => T | Promise<T>): Promise<T> {
  try {
    return await step()
  } catch (cause) {
    if (cause instanceof StoreError) throw cause
    throw new StoreError('head_record_failed', `${path} could not be ${what}`, { cause })
  }
}

/** Writes both slots of a file that is not there yet, whole or not at all. */
async function writeNew(path: string, origin: string, head: RecordedHead): Promise<void> {
  const originHash = sha256(Buffer.from(origin, 'utf8'))
  const image = new Uint8Array(FILE_BYTES)
  image.set(formatSlot({ ...head, sequence: 0, originHash }), 0)
  image.set(formatSlot({ ...head, sequence: 1, originHash }), SLOT_DISTANCE)
  const made = join(path, 'record.new')
  await rm(made, { force: true })
  const file = await open(made, 'wx', 0o600)
  try {
    await file.writeFile(image)
    await file.sync()
  } finally {
    await file.close()
  }
  // A crash before the rename leaves `record.new`, which nobody reads; after it, once the directories are synced, the
  // record.
  await rename(made, join(path, 'record'))
  await syncDirectory(path)
  await syncDirectory(dirname(path))
}

/** The file's bytes, up to one more than it must have. */
function readImage(file: FileHandle): Uint8Array {
  const image = new Uint8Array(FILE_BYTES + 1)
  return image.subarray(0, readSync(file.fd, image, 0, image.length, 0))
}

function checkLength(path: string, image: Uint8Array): void {
  checkStore(
    image.length === FILE_BYTES,
    'head_record_corrupt',
    `${path}: the record is ${image.length} bytes or more, not ${FILE_BYTES}`,
  )
}

function formatSlot(slot: Slot): Uint8Array {
  const checked = concatBytes(
    MAGIC,
    u64(slot.sequence),
    u64(slot.size),
    u64(slot.timeMs),
    slot.root,
    slot.originHash,
  )
  return concatBytes(checked, sha256(checked))
}

function readSlot(image: Uint8Array, number: 0 | 1): Slot | undefined {
  const start = number * SLOT_DISTANCE
  const bytes = image.subarray(start, start + SLOT_BYTES)
  const checked = bytes.subarray(0, CHECKED_BYTES)
  const whole =
    bytes.length === SLOT_BYTES &&
    equalBytes(checked.subarray(0, MAGIC.length), MAGIC) &&
    equalBytes(bytes.subarray(CHECKED_BYTES), sha256(checked))
  if (!whole) return undefined
  return {
    sequence: readU64(bytes, 8),
    size: readU64(bytes, 16),
    timeMs: readU64(bytes, 24),
    root: plain(bytes).slice(32, 64),
    originHash: plain(bytes).slice(64, 96),
  }
}

/**
 * Reads a record without a lock and without changing it, for tools.
 *
 * @param origin - The log that it has to be of, if given.
 * @throws {StoreError} as `HeadRecord.open`
 */
export async function readHeadRecord(path: string, origin?: string): Promise<RecordedHead> {
  const bytes = await readFile(join(path, 'record')).catch((cause: unknown) => {
    throw new StoreError('head_record_missing', `there is no head record at ${path}`, { cause })
  })
  checkLength(path, bytes)
  const slots = [readSlot(bytes, 0), readSlot(bytes, 1)].filter((slot) => slot !== undefined)
  const [newest] = slots.sort((a, b) => b.sequence - a.sequence)
  if (newest === undefined) {
    throw new StoreError('head_record_corrupt', `${path}: neither slot can be read`)
  }
  const ours =
    origin === undefined || equalBytes(newest.originHash, sha256(Buffer.from(origin, 'utf8')))
  checkStore(ours, 'head_record_origin', `${path} is of another log than ${origin ?? ''}`)
  return { size: newest.size, root: newest.root, timeMs: newest.timeMs }
}
