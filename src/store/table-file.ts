/**
 * @module One table of LevelDB, read as bytes from a descriptor, and the checksums in it: LevelDB writes one behind every
 * block and, as Node opens it, never reads them (DESIGN §5).
 *
 * The descriptor is held: LevelDB removes the file when it has merged it, and what was merged must still be compared.
 *
 * @see https://github.com/google/leveldb/blob/main/doc/table_format.md
 */
import { closeSync, openSync, readSync } from 'node:fs'
import { join } from 'node:path'
import { errnoOf } from '../errno.ts'
import { crc32c, masked } from './crc32c.ts'
import { StoreError } from './errors.ts'
import {
  BLOCK_TRAILER_BYTES,
  Cursor,
  FOOTER_BYTES,
  IndexBlock,
  INTERNAL_KEY_BYTES,
  TABLE_MAGIC,
  TYPE_VALUE,
  eachKey,
  readBlock,
} from './level-files.ts'
import type { BlockHandle } from './level-files.ts'
import type { LiveTable } from './manifest.ts'
import type { KeyRange } from './store.ts'

/** Told of each key that a block has a value for: the first `length` bytes of `key`, until the next call. */
export type OnKey = (key: Uint8Array, length: number) => void

/** What another thread needs to read the same table. */
export interface OpenTable extends LiveTable {
  readonly descriptor: number
}

/** A key as others than LevelDB know it. */
export function userKey(internal: Uint8Array): Uint8Array {
  return internal.subarray(0, -INTERNAL_KEY_BYTES)
}

/** The file of a table, opened. The caller closes the descriptor. @throws {StoreError} `table_corrupt`, `store_open_failed` */
export function openTable(directory: string, table: LiveTable): OpenTable {
  const name = nameOf(table)
  try {
    return { ...table, descriptor: openSync(join(directory, name), 'r') }
  } catch (cause) {
    if (errnoOf(cause) === 'ENOENT')
      throw new StoreError('table_corrupt', `${name} is not there`, { cause })
    throw new StoreError('store_open_failed', `${name} cannot be opened`, { cause })
  }
}

/** Calls `use` with the file of a table, and closes it. @throws as `openTable`; what `use` throws */
export function withTable<T>(directory: string, table: LiveTable, use: (file: TableFile) => T): T {
  const opened = openTable(directory, table)
  try {
    return use(new TableFile(opened))
  } finally {
    closeSync(opened.descriptor)
  }
}

const nameOf = ({ number }: LiveTable): string => `${String(number).padStart(6, '0')}.ldb`

/** The blocks of one table. Every method throws {StoreError} `table_corrupt`, with the name of the file. */
export class TableFile {
  readonly #table: OpenTable
  readonly #index: IndexBlock
  /** Blocks whose checksum was compared. */
  readonly #compared: Uint8Array

  /** Compares what leads to its blocks: its end, its index, and LevelDB's filter, which hides keys from `get` where it is damaged. */
  constructor(table: OpenTable) {
    this.#table = table
    this.#index = this.#named(() => this.#open())
    this.#compared = new Uint8Array(this.#index.count)
    // Another table of the same size has right checksums too, and LevelDB asks the youngest first, whatever it holds.
    this.#named(() => this.#checkEnds())
  }

  /**
   * Compares the blocks in which LevelDB looks for `key`, and the ones beside them: a row that is damaged there may come to
   * hide the key once LevelDB merges the table; one that is damaged elsewhere is out of order, over which LevelDB ends.
   */
  checkKey(key: Uint8Array): void {
    this.#checkBlocks(key, (last) => Buffer.compare(last, key) > 0)
  }

  /** The same for every key of `range`. */
  checkRange({ gte, lt }: KeyRange): void {
    this.#checkBlocks(gte, (last) => Buffer.compare(last, lt) >= 0)
  }

  #checkBlocks(from: Uint8Array, endsBehind: (last: Uint8Array) => boolean): void {
    this.#named(() => {
      const first = this.#index.firstFrom(from)
      if (first > 0) this.#checkBlock(first - 1)
      // The key of a block in the index is one from its last key on, below the first of the next.
      for (let at = first, isBehind = false; at < this.#index.count; at++) {
        this.#checkBlock(at)
        if (isBehind) return
        isBehind = endsBehind(userKey(this.#index.key(at)))
      }
    })
  }

  /** Compares every block that can hold a key of `range`, whether it was compared or not, and tells of the keys in them. */
  readRange({ gte, lt }: KeyRange, onKey: OnKey): void {
    this.#named(() => {
      const blocks: BlockHandle[] = []
      for (let at = this.#index.firstFrom(gte); at < this.#index.count; at++) {
        blocks.push(this.#index.handle(at))
        if (Buffer.compare(userKey(this.#index.key(at)), lt) >= 0) break
      }
      for (const part of inParts(blocks)) {
        const bytes = this.#read(part)
        const begin = part[0]?.offset ?? 0
        for (const { offset, size } of part)
          eachKey(bytes, { offset: offset - begin, size }, (key, length) => {
            const end = length - INTERNAL_KEY_BYTES
            if (key[end] === TYPE_VALUE) onKey(key, end)
          })
      }
    })
  }

  #open(): IndexBlock {
    const footer = this.#bytes({ offset: this.#table.size - FOOTER_BYTES, size: FOOTER_BYTES })
    if (Buffer.compare(footer.subarray(FOOTER_BYTES - TABLE_MAGIC.length), TABLE_MAGIC) !== 0)
      throw this.#corrupt('its end')
    const handles = new Cursor(footer)
    const [metaIndex, index] = [handles.handle(), handles.handle()]
    const meta = this.#read([metaIndex])
    const filters = [...readBlock(meta, { offset: 0, size: metaIndex.size })].map(([, handle]) =>
      new Cursor(handle).handle(),
    )
    for (const filter of filters) this.#read([filter])
    // A copy: the index is kept.
    return new IndexBlock(new Uint8Array(this.#read([index])), index.size)
  }

  #checkEnds(): void {
    const { smallest, largest } = this.#table
    const [first] = this.#keysOf(0)
    const last = this.#keysOf(this.#index.count - 1).at(-1)
    const isFirst = first !== undefined && Buffer.compare(first, smallest) === 0
    const isLast = last !== undefined && Buffer.compare(last, largest) === 0
    if (!isFirst || !isLast) throw this.#corrupt('its first or last key')
  }

  #keysOf(block: number): readonly Uint8Array[] {
    const handle = this.#index.handle(block)
    const bytes = this.#read([handle])
    return [...readBlock(bytes, { offset: 0, size: handle.size })].map(([key]) => key)
  }

  #checkBlock(at: number): void {
    if (this.#compared[at] === 1) return
    this.#read([this.#index.handle(at)])
    this.#compared[at] = 1
  }

  /** Reads blocks that lie one behind the other, and compares their checksums. What it gives back holds until the next read. */
  #read(blocks: readonly BlockHandle[]): Uint8Array {
    const [first, last] = [blocks[0], blocks.at(-1)]
    if (first === undefined || last === undefined) return new Uint8Array(0)
    const size = last.offset + last.size + BLOCK_TRAILER_BYTES - first.offset
    const bytes = this.#bytes({ offset: first.offset, size })
    for (const block of blocks) {
      const start = block.offset - first.offset
      const end = start + block.size + 1
      const stored = new DataView(bytes.buffer, bytes.byteOffset + end, 4).getUint32(0, true)
      if (masked(crc32c(bytes, start, end)) !== stored)
        throw this.#corrupt(`its block at byte ${block.offset}`)
    }
    return bytes
  }

  #bytes({ offset, size }: BlockHandle): Uint8Array {
    if (!(offset >= 0 && size >= 0 && offset + size <= this.#table.size))
      throw this.#corrupt('its index')
    const bytes = scratch.take(size)
    let read: number
    try {
      read = readSync(this.#table.descriptor, bytes, 0, size, offset)
    } catch (cause) {
      throw new StoreError('table_corrupt', `${nameOf(this.#table)} cannot be read`, { cause })
    }
    if (read !== size) throw this.#corrupt('its length')
    return bytes
  }

  #named<T>(read: () => T): T {
    try {
      return read()
    } catch (cause) {
      if (!(cause instanceof StoreError) || cause.code !== 'files_unreadable') throw cause
      throw new StoreError('table_corrupt', `${nameOf(this.#table)}: ${cause.message}`, { cause })
    }
  }

  #corrupt(what: string): StoreError {
    return new StoreError(
      'table_corrupt',
      `${nameOf(this.#table)}: ${what} is not as it was written`,
    )
  }
}

/** What is read at once. */
const PART_BYTES = 1_048_576

/** One array for all that a thread reads: fresh ones cost as much again. */
class Scratch {
  #bytes = Buffer.allocUnsafe(65_536)

  /** Overwritten by the next call's reader. */
  take(size: number): Buffer {
    if (this.#bytes.length < size) this.#bytes = Buffer.allocUnsafe(2 * size)
    return this.#bytes.subarray(0, size)
  }
}

const scratch = new Scratch()

/** Blocks that lie one behind the other, in parts of about a MiB. */
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
