/**
 * @module LevelDB's journals, copied aside before it opens and deletes them.
 *
 * Opening replays the journals into a table and deletes them, also where a journal was damaged and a part of it was
 * passed over in silence (measured: one flipped bit, 100 entries). The copy is what an operator recovers from after a
 * start that was refused for what is stored, so it stays until a start whose checks all passed. A start that fails for
 * another reason (a wrong passphrase) leaves none: copies hold erasable values, and an erasure is not done while one does.
 */
import { constants } from 'node:fs'
import { copyFile, mkdir, readFile, readdir, rename, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { errnoOf } from '../errno.ts'
import { equalBytes } from './bytes.ts'
import { syncDirectory, syncFile } from './durable.ts'
import { StoreError } from './errors.ts'
import type { StoreErrorCode } from './errors.ts'
import { LevelStore } from './level-store.ts'
import type { LevelStoreOptions } from './level-store.ts'

/** Journals, the list of tables, and which list is in force. */
const KEPT_FILES = /^(?:\d+\.log|MANIFEST-\d+|CURRENT)$/
const KEPT_DIRECTORY = /^kept-(\d+)$/
/** Copies, whole or begun. */
const ANY_COPY = /^kept-\d+(?:\.partial)?$/

/** A copy of the journals. */
export interface KeptJournals {
  /** Directory of the copy; undefined if there was nothing to copy. */
  readonly path: string | undefined
  /** Removes the copy that this start made; an earlier one with the same bytes stays. */
  discard(): Promise<void>
  /** Removes this copy and all earlier ones, once all checks of a start have passed. */
  discardAll(): Promise<void>
}

/** What there is to copy, and where to. */
interface CopyPlan {
  readonly files: readonly string[]
  readonly path: string
  /** Whether the last copy has the same bytes: it serves again. */
  readonly isThere: boolean
}

async function planCopy(directory: string): Promise<CopyPlan> {
  const names = await readdir(directory).catch(() => [])
  const files = names.filter((name) => KEPT_FILES.test(name))
  const last = Math.max(0, ...names.map((name) => Number(KEPT_DIRECTORY.exec(name)?.[1] ?? 0)))
  const lastPath = join(directory, `kept-${last}`)
  if (last > 0 && files.length > 0 && (await sameFiles(directory, lastPath, files)))
    return { files, path: lastPath, isThere: true }
  return { files, path: join(directory, `kept-${last + 1}`), isThere: false }
}

const partialOf = (path: string): string => `${path}.partial`

/**
 * Bytes that `keepJournals` needs on the disk of `directory`, those aside that it gives back first: a copy that was cut
 * off. 0 if a copy with the same bytes is there. File systems that let copies share blocks need none for it, but then as
 * much for the tables that LevelDB writes of the journals.
 */
export async function bytesToKeep(directory: string): Promise<number> {
  const { files, path, isThere } = await planCopy(directory)
  if (isThere) return 0
  const partial = partialOf(path)
  const begun = await readdir(partial).catch(() => [])
  return Math.max(0, (await bytesOf(directory, files)) - (await bytesOf(partial, begun)))
}

/** What a disk gives a file at once, bytes. */
const BLOCK_BYTES = 4096

/** What files take on a disk, bytes. One that LevelDB has removed meanwhile takes none. */
async function bytesOf(directory: string, files: readonly string[]): Promise<number> {
  const sizes = await Promise.all(
    files.map((name) =>
      stat(join(directory, name)).then(
        ({ size }) => Math.ceil(size / BLOCK_BYTES) * BLOCK_BYTES,
        () => 0,
      ),
    ),
  )
  return sizes.reduce((sum, size) => sum + size, 0)
}

/** What the system says of a disk, or of a user's share of it, that is full. */
const FULL: ReadonlySet<string> = new Set(['ENOSPC', 'EDQUOT'])

async function notKept(directory: string, cause: unknown): Promise<StoreError> {
  const errno = errnoOf(cause) ?? 'unknown'
  const need = FULL.has(errno)
    ? `: at least ${await bytesToKeep(directory)} bytes have to be free on that disk`
    : ''
  const message = `the journals of ${directory} could not be copied (${errno})${need}`
  return new StoreError('journals_not_kept', message, { cause })
}

/**
 * Copies journals, MANIFEST and CURRENT of the database in `directory` to `<directory>/kept-<n>/`, durable when it
 * returns. An earlier copy is never touched; if the last one has the same bytes it serves again.
 *
 * @throws {StoreError} `journals_not_kept`: the database must not be opened then. The message has the system's code, and
 *   how many bytes are needed if the disk is full; what was copied by then is removed.
 */
export async function keepJournals(directory: string): Promise<KeptJournals> {
  const discardAll = (): Promise<void> => removeCopies(directory)
  let partial: string | undefined
  try {
    const { files, path, isThere } = await planCopy(directory)
    if (files.length === 0) return { path: undefined, discard: () => Promise.resolve(), discardAll }
    if (isThere) return { path, discard: () => Promise.resolve(), discardAll }
    partial = partialOf(path)
    // A crash up to the rename leaves a partial copy, which the next start makes anew: the originals are still there.
    await rm(partial, { recursive: true, force: true })
    await mkdir(partial, { mode: 0o700 })
    for (const name of files) {
      const copy = join(partial, name)
      await copyFile(join(directory, name), copy, constants.COPYFILE_FICLONE)
      await syncFile(copy)
    }
    await syncDirectory(partial)
    await rename(partial, path)
    await syncDirectory(directory)
    return { path, discard: () => removeCopy(directory, path), discardAll }
  } catch (cause) {
    // A copy that was cut off holds space that others, and the next start, have a use for.
    if (partial !== undefined)
      await rm(partial, { recursive: true, force: true }).catch(() => undefined)
    throw await notKept(directory, cause)
  }
}

/** Copies that earlier starts left: one that ended before its checks did, or refused for what is stored. */
export async function listCopies(directory: string): Promise<readonly string[]> {
  const names = await readdir(directory).catch(() => [])
  return names.filter((name) => KEPT_DIRECTORY.test(name)).map((name) => join(directory, name))
}

/**
 * Copies the journals aside, then opens the store. If another process has it open the copy goes at once: nothing was
 * replayed.
 *
 * @throws {StoreError} `journals_not_kept`; as `LevelStore.open`, with the path of the copy in the message
 */
export async function openKeepingJournals(
  directory: string,
  options: LevelStoreOptions = {},
): Promise<{ readonly store: LevelStore; readonly journals: KeptJournals }> {
  const journals = await keepJournals(directory)
  try {
    return { store: await LevelStore.open(directory, options), journals }
  } catch (error) {
    const untouched = error instanceof StoreError && error.code === 'store_locked'
    if (untouched) await journals.discard()
    throw untouched ? error : withKeptPath(error, journals)
  }
}

/** Codes that say nothing of the bytes that LevelDB replayed: a start that they end leaves no copy. */
const NOT_ABOUT_DATA: ReadonlySet<StoreErrorCode> = new Set([
  'store_locked',
  'store_missing',
  'store_exists',
  'store_moved',
  'store_closed',
  'store_version_unknown',
  'store_origin_mismatch',
  'journals_not_kept',
  'fold_unknown',
  'fold_missing',
  'head_record_missing',
  'head_record_exists',
  'head_record_locked',
  'head_record_origin',
])

/** Copies that a start kept or removed. */
const decided = new WeakSet<KeptJournals>()

/** Whether an error of the store is about what is stored. */
export function isAboutData(error: unknown): boolean {
  return error instanceof StoreError && !NOT_ABOUT_DATA.has(error.code)
}

/**
 * Runs a start, from the opening of the database to its last check. If it passes, all copies go. If it is refused for
 * what is stored, the copy stays and the refusal names it. If it fails for another reason this start's copy goes.
 *
 * Calls may be nested: the inner one decides.
 *
 * @param aboutData - Whether a refusal is about what is stored; default: `isAboutData`.
 * @throws what `checks` throws; a `StoreError` with the path of the copy in the message
 */
export async function checkKeepingJournals<T>(
  journals: KeptJournals,
  checks: () => Promise<T>,
  aboutData: (error: unknown) => boolean = isAboutData,
): Promise<T> {
  let result: T
  try {
    result = await checks()
  } catch (error) {
    if (decided.has(journals)) throw error
    decided.add(journals)
    if (aboutData(error)) throw withKeptPath(error, journals)
    await journals.discard()
    throw error
  }
  decided.add(journals)
  await journals.discardAll()
  return result
}

function withKeptPath(error: unknown, journals: KeptJournals): unknown {
  const { path } = journals
  if (!(error instanceof StoreError) || path === undefined) return error
  if (error.message.includes(path)) return error
  const message = `${error.message}; the journals as they were are in ${path}`
  return new StoreError(error.code, message, { cause: error })
}

function missing(error: unknown): undefined {
  if (errnoOf(error) !== 'ENOENT') throw error
}

/** Whether a copy holds exactly these files, byte for byte. One that a running service has removed is none of them. */
async function sameFiles(
  directory: string,
  copy: string,
  files: readonly string[],
): Promise<boolean> {
  const copied = await readdir(copy)
  if (copied.length !== files.length) return false
  for (const name of files) {
    if (!copied.includes(name)) return false
    const kept = await readFile(join(copy, name))
    const original = await readFile(join(directory, name)).catch(missing)
    if (original === undefined || !equalBytes(original, kept)) return false
  }
  return true
}

async function removeCopies(directory: string): Promise<void> {
  const names = await readdir(directory).catch(() => [])
  for (const name of names.filter((one) => ANY_COPY.test(one))) {
    await removeCopy(directory, join(directory, name))
  }
}

async function removeCopy(directory: string, path: string): Promise<void> {
  // Renamed first, so that a crash in the middle leaves nothing that looks like a whole copy.
  const partial = path.endsWith('.partial') ? path : partialOf(path)
  if (partial !== path) {
    await rm(partial, { recursive: true, force: true })
    await rename(path, partial).catch((error: unknown) => {
      if (errnoOf(error) !== 'ENOENT') throw error
    })
  }
  await rm(partial, { recursive: true, force: true })
  await syncDirectory(directory)
}
