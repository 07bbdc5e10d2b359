/**
 * @module Entries as bytes: a run or bundle is its entries in order, each behind its length as big-endian u16.
 *
 * The same as a C2SP tlog-tiles entry bundle, so a full bundle is served as it lies. An entry has at most 65,535
 * bytes (DESIGN §3).
 */
import { StoreError } from './errors.ts'
import { readU16 } from './keys.ts'

/** Greatest length of an entry in bytes: what a u16 can say. */
const ENTRY_BYTES_MAX = 65_535

/** Joins entries to a run or bundle. @throws {StoreError} `batch_invalid` for an entry over the limit */
export function formatRun(entries: readonly Uint8Array[]): Uint8Array {
  let length = 0
  for (const entry of entries) {
    if (entry.length > ENTRY_BYTES_MAX) {
      throw new StoreError(
        'batch_invalid',
        `an entry is ${entry.length} bytes, at most ${ENTRY_BYTES_MAX}`,
      )
    }
    length += 2 + entry.length
  }
  const bytes = new Uint8Array(length)
  const view = new DataView(bytes.buffer)
  let offset = 0
  for (const entry of entries) {
    view.setUint16(offset, entry.length)
    bytes.set(entry, offset + 2)
    offset += 2 + entry.length
  }
  return bytes
}

/**
 * Takes a run or bundle apart: `count` entries, or any number of at least one if it is not given. `name` is for the
 * message.
 *
 * @throws {StoreError} `bundle_corrupt`
 */
export function parseRun(bytes: Uint8Array, name: string, count?: number): readonly Uint8Array[] {
  const entries: Uint8Array[] = []
  let offset = 0
  while (offset < bytes.length) {
    const length = readU16(bytes, offset)
    const end = offset + 2 + length
    if (!(end <= bytes.length)) {
      throw new StoreError('bundle_corrupt', `${name} ends inside entry ${entries.length}`)
    }
    entries.push(bytes.subarray(offset + 2, end))
    offset = end
  }
  if (entries.length === 0 || (count !== undefined && entries.length !== count)) {
    throw new StoreError(
      'bundle_corrupt',
      `${name} has ${entries.length} entries instead of ${count ?? 'some'}`,
    )
  }
  return entries
}
