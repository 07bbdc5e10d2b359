/**
 * @module LevelDB's files, read as bytes without LevelDB: which keys have a value in a table or journal.
 *
 * Erasure needs it, since LevelDB itself never shows what is deleted and still there. Reads only what this store
 * writes: no compression. Checksums are compared where a file is trusted (table-file.ts, manifest.ts), not where it is searched.
 *
 * @see https://github.com/google/leveldb/blob/main/doc/table_format.md
 * @see https://github.com/google/leveldb/blob/main/doc/log_format.md
 */
import { lowerBound } from './bytes.ts'
import { crc32c, masked } from './crc32c.ts'
import { StoreError } from './errors.ts'

/** How a table ends. */
export const TABLE_MAGIC: Uint8Array = Buffer.from('57fb808b247547db', 'hex')
/** What stands behind the blocks of a table. */
export const FOOTER_BYTES = 48
/** Behind each block: how it is compressed u8, its checksum u32. */
export const BLOCK_TRAILER_BYTES = 5
/** Behind each key of a table: its sequence number and type. */
export const INTERNAL_KEY_BYTES = 8
/** The type of a key that has a value; 0: it was deleted. */
export const TYPE_VALUE = 1

const JOURNAL_BLOCK_BYTES = 32_768
const JOURNAL_HEADER_BYTES = 7
const RECORD_FULL = 1
const RECORD_FIRST = 2
const RECORD_LAST = 4
const BATCH_HEADER_BYTES = 12

/**
 * Each key that has a value in a table (`*.ldb`), whether a later record deletes it or not. One at a time, so that
 * whoever reads a large table can let others run between two.
 *
 * @throws {StoreError} `files_unreadable`, while stepping, if the bytes are not a whole table without compression
 */
export function* readTableKeys(table: Uint8Array): IterableIterator<Uint8Array> {
  const footer = table.subarray(Math.max(0, table.length - FOOTER_BYTES))
  const magic = footer.subarray(FOOTER_BYTES - TABLE_MAGIC.length)
  if (Buffer.compare(magic, TABLE_MAGIC) !== 0) throw unreadable('a table has no footer')
  const handles = new Cursor(footer)
  handles.handle()
  const index = handles.handle()
  for (const [, handle] of readBlock(table, index)) {
    for (const [key] of readBlock(table, new Cursor(handle).handle())) {
      const end = key.length - INTERNAL_KEY_BYTES
      if (end < 0) throw unreadable('a table has a key without sequence number')
      if (key[end] === TYPE_VALUE) yield key.subarray(0, end)
    }
  }
}

/**
 * The records of a journal (`*.log`) put together again: a record is cut where a block of 32 KiB ends. What follows
 * after the last whole record, as a crash or a write in progress leaves it, is given in pieces of its own.
 *
 * @param isTrusted - Whether checksums are to be compared.
 * @throws {StoreError} `files_unreadable` if one is not that of its record
 */
export function readJournalRecords(
  journal: Uint8Array,
  isTrusted = false,
): {
  readonly records: readonly Uint8Array[]
  /** What could not be put together. */
  readonly rest: readonly Uint8Array[]
} {
  const records: Uint8Array[] = []
  const rest: Uint8Array[] = []
  let parts: Uint8Array[] = []
  for (let start = 0; start < journal.length; start += JOURNAL_BLOCK_BYTES) {
    const block = journal.subarray(start, start + JOURNAL_BLOCK_BYTES)
    let offset = 0
    while (offset + JOURNAL_HEADER_BYTES <= block.length) {
      const length = (block[offset + 4] ?? 0) + 256 * (block[offset + 5] ?? 0)
      const type = block[offset + 6] ?? 0
      const end = offset + JOURNAL_HEADER_BYTES + length
      if (isTrusted && (type > RECORD_LAST || (type === 0 && length > 0)))
        throw unreadable('a journal has a record of no type')
      if (type === 0 || type > RECORD_LAST || end > block.length) {
        rest.push(block.subarray(offset))
        break
      }
      if (isTrusted && masked(crc32c(block, offset + 6, end)) !== u32At(block, offset))
        throw unreadable('a journal has a record that is not as it was written')
      if (type === RECORD_FULL || type === RECORD_FIRST) {
        rest.push(...parts)
        parts = []
      }
      parts.push(block.subarray(offset + JOURNAL_HEADER_BYTES, end))
      if (type === RECORD_FULL || type === RECORD_LAST) {
        records.push(parts.length === 1 ? (parts[0] ?? block) : Buffer.concat(parts))
        parts = []
      }
      offset = end
    }
  }
  return { records, rest: [...rest, ...parts] }
}

function u32At(bytes: Uint8Array, at: number): number {
  return new DataView(bytes.buffer, bytes.byteOffset + at, 4).getUint32(0, true)
}

/**
 * Each key that one journal record, a write batch, puts.
 *
 * @throws {StoreError} `files_unreadable`, while stepping
 */
export function* readBatchKeys(record: Uint8Array): IterableIterator<Uint8Array> {
  const cursor = new Cursor(record, BATCH_HEADER_BYTES)
  while (!cursor.done()) {
    const type = cursor.byte()
    if (type > TYPE_VALUE) throw unreadable(`a journal has a record of type ${type}`)
    const key = cursor.bytes(cursor.varint())
    if (type !== TYPE_VALUE) continue
    cursor.bytes(cursor.varint())
    yield key
  }
}

/** Where a block lies in its table, without what stands behind it. */
export interface BlockHandle {
  readonly offset: number
  readonly size: number
}

/** Where the entries of a block end. @throws {StoreError} `files_unreadable` */
function endOfEntries(table: Uint8Array, { offset, size }: BlockHandle): number {
  const end = offset + size
  if (end + BLOCK_TRAILER_BYTES > table.length)
    throw unreadable('a table is shorter than its index')
  if (table[end] !== 0) throw unreadable('a table is compressed')
  if (size < 4) throw unreadable('a table has a block without restarts')
  const entries = size - 4 * (u32At(table, end - 4) + 1)
  if (entries < 0) throw unreadable('a table has a block with too many restarts')
  return offset + entries
}

/**
 * Each key of a block, one after the other in the same array: a start goes through millions.
 *
 * @param visit - Told an array, whose first `length` bytes are the key until it returns.
 * @throws {StoreError} `files_unreadable`
 */
export function eachKey(
  table: Uint8Array,
  block: BlockHandle,
  visit: (key: Uint8Array, length: number) => void,
): void {
  const end = endOfEntries(table, block)
  const place = { at: block.offset }
  let key = new Uint8Array(256)
  let length = 0
  while (place.at < end) {
    const shared = varintAt(table, place)
    const unshared = varintAt(table, place)
    const valueLength = varintAt(table, place)
    const from = place.at
    if (shared > length) throw unreadable('a table has a key that shares more than there is')
    if (from + unshared + valueLength > end) throw unreadable('a table has a row beyond its block')
    length = shared + unshared
    if (length > key.length) {
      const longer = new Uint8Array(2 * length)
      longer.set(key)
      key = longer
    }
    for (let n = 0; n < unshared; n++) key[shared + n] = table[from + n] ?? 0
    place.at = from + unshared + valueLength
    visit(key, length)
  }
}

function varintAt(bytes: Uint8Array, place: { at: number }): number {
  let value = 0
  let unit = 1
  for (;;) {
    const byte = bytes[place.at++]
    if (byte === undefined) throw unreadable('a file ends inside a record')
    if (byte < 128) return value + byte * unit
    value += (byte - 128) * unit
    unit *= 128
  }
}

/** Keys and values of a block. @throws {StoreError} `files_unreadable`, while stepping */
export function* readBlock(
  table: Uint8Array,
  handle: BlockHandle,
): IterableIterator<readonly [key: Uint8Array, value: Uint8Array]> {
  const cursor = new Cursor(table.subarray(handle.offset, endOfEntries(table, handle)))
  let key: Uint8Array = new Uint8Array(0)
  while (!cursor.done()) {
    const shared = cursor.varint()
    const unshared = cursor.varint()
    const valueLength = cursor.varint()
    if (shared > key.length) throw unreadable('a table has a key that shares more than there is')
    key = Buffer.concat([key.subarray(0, shared), cursor.bytes(unshared)])
    yield [key, cursor.bytes(valueLength)]
  }
}

/**
 * The index of a table: a block of keys, and where each block of the table lies. Reads the entry that is asked for alone.
 *
 * @see https://github.com/google/leveldb/blob/main/table/table_builder.cc Every entry of an index is a restart of its own.
 */
export class IndexBlock {
  /** Of blocks. */
  readonly count: number
  readonly #bytes: Uint8Array
  readonly #restarts: number

  /** @param bytes - Kept. @param size - Of the block, without what stands behind it. @throws {StoreError} `files_unreadable` */
  constructor(bytes: Uint8Array, size: number) {
    this.#bytes = bytes
    this.#restarts = endOfEntries(bytes, { offset: 0, size })
    this.count = (size - 4 - this.#restarts) / 4
    if (this.count === 0 || this.#restarts === 0) throw unreadable('a table has no blocks')
  }

  /** The internal key of a block: from its last key on, below the first of the next. */
  key(at: number): Uint8Array {
    return this.#entry(at)[0]
  }

  /** Where a block lies. */
  handle(at: number): BlockHandle {
    return new Cursor(this.#entry(at)[1]).handle()
  }

  /** The first block that can hold a key from `key` on; `count` if none can. */
  firstFrom(key: Uint8Array): number {
    const lastOf = (at: number): Uint8Array => this.key(at).subarray(0, -INTERNAL_KEY_BYTES)
    return lowerBound(this.count, (at) => Buffer.compare(lastOf(at), key) < 0)
  }

  #entry(at: number): readonly [key: Uint8Array, value: Uint8Array] {
    const place = { at: u32At(this.#bytes, this.#restarts + 4 * at) }
    if (varintAt(this.#bytes, place) !== 0)
      throw unreadable('a table has an index that shares keys')
    const keyLength = varintAt(this.#bytes, place)
    const valueLength = varintAt(this.#bytes, place)
    const value = place.at + keyLength
    const end = value + valueLength
    if (keyLength < INTERNAL_KEY_BYTES || end > this.#restarts)
      throw unreadable('a table has an index with a row beyond its end')
    return [this.#bytes.subarray(place.at, value), this.#bytes.subarray(value, end)]
  }
}

/** Reads bytes one after the other; past the end is `files_unreadable`. */
export class Cursor {
  readonly #bytes: Uint8Array
  #offset: number

  constructor(bytes: Uint8Array, offset = 0) {
    this.#bytes = bytes
    this.#offset = offset
  }

  done(): boolean {
    return this.#offset >= this.#bytes.length
  }

  byte(): number {
    const byte = this.#bytes[this.#offset++]
    if (byte === undefined) throw unreadable('a file ends inside a record')
    return byte
  }

  /** LevelDB's varint: 7 bits a byte, least first. */
  varint(): number {
    let value = 0
    let unit = 1
    for (;;) {
      const byte = this.byte()
      value += (byte % 128) * unit
      if (byte < 128) break
      unit *= 128
    }
    if (!Number.isSafeInteger(value)) throw unreadable('a file has a length beyond 2^53')
    return value
  }

  bytes(length: number): Uint8Array {
    const end = this.#offset + length
    if (end > this.#bytes.length) throw unreadable('a file ends inside a record')
    const bytes = this.#bytes.subarray(this.#offset, end)
    this.#offset = end
    return bytes
  }

  handle(): BlockHandle {
    return { offset: this.varint(), size: this.varint() }
  }
}

function unreadable(rule: string): StoreError {
  return new StoreError('files_unreadable', rule)
}
