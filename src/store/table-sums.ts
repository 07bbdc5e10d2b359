/**
 * @module The checksums of LevelDB's tables, compared before it opens: it writes one behind every block and, as Node opens
 * it, never reads them (DESIGN §5).
 *
 * A start checks the folds on disk behind its first answer, and until then rests on what is done here: whatever flips in a
 * table that was written whole is found before anything is asked of it, and each key that the tables and journals of a
 * fold hold is remembered (key-filter.ts), so that one which `get` loses later is missed. What was damaged before LevelDB
 * merged it into a new table has a right checksum: the set digest finds it.
 *
 * @see https://github.com/google/leveldb/blob/main/doc/table_format.md
 * @see https://github.com/google/leveldb/blob/main/doc/impl.md
 */
import { open } from 'node:fs/promises'
import type { FileHandle } from 'node:fs/promises'
import { join } from 'node:path'
import { crc32c, masked } from './crc32c.ts'
import { StoreError } from './errors.ts'
import { Keys } from './keys.ts'
import {
  BLOCK_TRAILER_BYTES,
  Cursor,
  FOOTER_BYTES,
  INTERNAL_KEY_BYTES,
  TABLE_MAGIC,
  TYPE_VALUE,
  eachKey,
  readBlock,
} from './level-files.ts'
import type { BlockHandle } from './level-files.ts'
import { readManifest } from './manifest.ts'
import type { LiveTable, Manifest } from './manifest.ts'
import type { CheckProgress } from './start-checks.ts'
import type { KeyRange } from './store.ts'
import { StoredKeys, readJournalKeys } from './stored-keys.ts'

/** What was compared of the folds of a log, and the keys that were found. */
export interface FoldTables {
  readonly tables: number
  readonly bytes: number
  readonly keys: StoredKeys
}

/**
 * Compares the checksum of every block that can hold a key of a fold, and of index and filter of its table; and that the
 * table is the one that the MANIFEST names, by its first and last key. Remembers what keys the folds have in tables and
 * journals. Nobody may have the database open.
 *
 * @throws {StoreError} `table_corrupt`, with the name of the file; `store_open_failed` as `readManifest`
 */
export async function checkFoldTables(
  directory: string,
  origin: string,
  onProgress: (progress: CheckProgress) => void = () => undefined,
): Promise<FoldTables> {
  const keys = new Keys(origin)
  const stored = new StoredKeys(keys)
  const manifest = await readManifest(directory)
  if (manifest === undefined) return { tables: 0, bytes: 0, keys: stored }
  const onKey: OnKey = (key, length) => stored.add(key, length)
  const sums = await checkTables(directory, manifest, keys.range('f'), {
    onProgress: (done, total) => onProgress({ what: 'tables', done, total }),
    onKey,
  })
  await readJournalKeys(directory, manifest, onKey)
  return { ...sums, keys: stored }
}

/** Told of each key that a compared block has a value for: the first `length` of `key`, until the next call. */
type OnKey = (key: Uint8Array, length: number) => void

interface Listeners {
  readonly onProgress: (bytes: number, total: number) => void
  readonly onKey: OnKey
}

async function checkTables(
  directory: string,
  manifest: Manifest,
  range: KeyRange,
  { onProgress, onKey }: Listeners,
): Promise<Omit<FoldTables, 'keys'>> {
  const tables = manifest.tables.filter(
    ({ smallest, largest }) =>
      Buffer.compare(userKey(smallest), range.lt) < 0 &&
      Buffer.compare(userKey(largest), range.gte) >= 0,
  )
  const total = tables.reduce((sum, { size }) => sum + size, 0)
  let read = 0
  let bytes = 0
  // One generator for all lanes: the first that throws ends it, and the others with it.
  const waiting = each(tables)
  const lane = async (): Promise<void> => {
    const scratch = new Scratch()
    for (const table of waiting) {
      const compared = await checkTable(directory, table, range, { scratch, onKey })
      bytes += compared
      read += table.size
      onProgress(read, total)
    }
  }
  await Promise.all(Array.from({ length: LANES }, lane))
  return { tables: tables.length, bytes }
}

/** Tables that are read at once: one is summed while the other's next part comes. */
const LANES = 2

function* each<T>(values: readonly T[]): IterableIterator<T> {
  yield* values
}

/** A key as `range` has it. */
function userKey(internal: Uint8Array): Uint8Array {
  return internal.subarray(0, -INTERNAL_KEY_BYTES)
}

interface TableOptions {
  readonly onKey: OnKey
  readonly scratch: Scratch
}

async function checkTable(
  directory: string,
  table: LiveTable,
  range: KeyRange,
  options: TableOptions,
): Promise<number> {
  const name = `${String(table.number).padStart(6, '0')}.ldb`
  let file: FileHandle
  try {
    file = await open(join(directory, name))
  } catch (cause) {
    throw new StoreError('table_corrupt', `${name} cannot be opened`, { cause })
  }
  try {
    return await new TableFile(file, name, table, options).check(range)
  } catch (cause) {
    if (!(cause instanceof StoreError) || cause.code !== 'files_unreadable') throw cause
    throw new StoreError('table_corrupt', `${name}: ${cause.message}`, { cause })
  } finally {
    await file.close()
  }
}

class TableFile {
  readonly #file: FileHandle
  readonly #name: string
  readonly #table: LiveTable
  readonly #options: TableOptions
  #bytes = 0

  constructor(file: FileHandle, name: string, table: LiveTable, options: TableOptions) {
    this.#file = file
    this.#name = name
    this.#table = table
    this.#options = options
  }

  /** @returns How many bytes were compared. */
  async check(range: KeyRange): Promise<number> {
    const footer = await this.#read({ offset: this.#table.size - FOOTER_BYTES, size: FOOTER_BYTES })
    if (Buffer.compare(footer.subarray(FOOTER_BYTES - TABLE_MAGIC.length), TABLE_MAGIC) !== 0)
      throw this.#corrupt('its end')
    const handles = new Cursor(footer)
    const [metaIndex, index] = [handles.handle(), handles.handle()]
    // LevelDB's own filter, which hides keys from `get` where it is damaged.
    const filters = [...(await this.#block(metaIndex))].map(([, value]) =>
      new Cursor(value).handle(),
    )
    for (const filter of filters) await this.#part([filter])
    const all: BlockHandle[] = []
    const blocks: BlockHandle[] = []
    let isBehind = false
    for (const [key, handle] of await this.#block(index)) {
      const block = new Cursor(handle).handle()
      all.push(block)
      // The key of a block in the index is one from its last key on, below the first of the next.
      const last = userKey(key)
      if (!isBehind && Buffer.compare(last, range.gte) >= 0) blocks.push(block)
      isBehind = Buffer.compare(last, range.lt) >= 0
    }
    await this.#checkEnds(all[0], all.at(-1))
    const { onKey } = this.#options
    for (const part of inParts(blocks)) {
      const bytes = await this.#part(part)
      const begin = part[0]?.offset ?? 0
      for (const { offset, size } of part)
        eachKey(bytes, { offset: offset - begin, size }, (key, length) => {
          const end = length - INTERNAL_KEY_BYTES
          if (key[end] === TYPE_VALUE) onKey(key, end)
        })
    }
    return this.#bytes
  }

  /** Another table of the same size has right checksums too, and LevelDB asks the youngest first, whatever it holds. */
  async #checkEnds(first: BlockHandle | undefined, last: BlockHandle | undefined): Promise<void> {
    if (first === undefined || last === undefined) throw this.#corrupt('its index')
    const [smallest] = [...(await this.#block(first))][0] ?? []
    const isFirst = smallest !== undefined && Buffer.compare(smallest, this.#table.smallest) === 0
    const [largest] = [...(await this.#block(last))].at(-1) ?? []
    const isLast = largest !== undefined && Buffer.compare(largest, this.#table.largest) === 0
    if (!isFirst || !isLast) throw this.#corrupt('its first or last key')
  }

  /** Reads a block and compares its checksum. */
  async #block(handle: BlockHandle): Promise<ReturnType<typeof readBlock>> {
    const bytes = await this.#part([handle])
    return readBlock(bytes, { offset: 0, size: handle.size })
  }

  /** Reads blocks that lie one behind the other, and compares their checksums. */
  async #part(blocks: readonly BlockHandle[]): Promise<Uint8Array> {
    const [first, last] = [blocks[0], blocks.at(-1)]
    if (first === undefined || last === undefined) return new Uint8Array(0)
    const size = last.offset + last.size + BLOCK_TRAILER_BYTES - first.offset
    const bytes = await this.#read({ offset: first.offset, size })
    for (const block of blocks) {
      const start = block.offset - first.offset
      const end = start + block.size + 1
      const stored = new DataView(bytes.buffer, bytes.byteOffset + end, 4).getUint32(0, true)
      if (masked(crc32c(bytes, start, end)) !== stored)
        throw this.#corrupt(`its block at byte ${block.offset}`)
      this.#bytes += block.size
    }
    return bytes
  }

  /** What it gives back holds until the next read. */
  async #read({ offset, size }: BlockHandle): Promise<Uint8Array> {
    if (!(offset >= 0 && size >= 0 && offset + size <= this.#table.size))
      throw this.#corrupt('its index')
    const bytes = this.#options.scratch.take(size)
    const { bytesRead } = await this.#file.read(bytes, 0, size, offset)
    if (bytesRead !== size) throw this.#corrupt('its length')
    return bytes
  }

  #corrupt(what: string): StoreError {
    return new StoreError('table_corrupt', `${this.#name}: ${what} is not as it was written`)
  }
}

/** What is read at once. */
const PART_BYTES = 1_048_576

/** One array for all that one lane reads: fresh ones cost as much again. */
class Scratch {
  #bytes = Buffer.allocUnsafe(2 * PART_BYTES)

  /** Overwritten by the next call's reader. */
  take(size: number): Buffer {
    if (this.#bytes.length < size) this.#bytes = Buffer.allocUnsafe(size)
    return this.#bytes.subarray(0, size)
  }
}

/** Blocks that lie one behind the other, in parts of a few MiB. */
function* inParts(blocks: readonly BlockHandle[]): IterableIterator<readonly BlockHandle[]> {
  let part: BlockHandle[] = []
  for (const block of blocks) {
    const [first, last] = [part[0], part.at(-1)]
    const follows =
      last === undefined || last.offset + last.size + BLOCK_TRAILER_BYTES === block.offset
    if (first !== undefined && (!follows || block.offset - first.offset > PART_BYTES)) {
      yield part
      part = []
    }
    part.push(block)
  }
  if (part.length > 0) yield part
}
