/**
 * @module A database that no process serves, as a source: for a backup of a stopped log.
 */
import { join } from '../ledger/layout.ts'
import { erasedSince, readSupplement } from '../ledger/supplement.ts'
import type { Database } from '../store/database.ts'
import { checkAgainstRecord } from '../store/head-record.ts'
import type { RecordedHead } from '../store/head-record.ts'
import { ArchiveError } from './errors.ts'
import type { LogSource } from './source.ts'

/**
 * Reads a database at the head that its head record says: what lies above was never acknowledged.
 *
 * @throws {StoreError} `store_behind_record`, `store_differs_from_record`; `batch_record_corrupt`
 */
export function databaseSource(
  database: Database,
  recorded: RecordedHead,
  name: string,
): LogSource {
  const record = database.batchRecord(recorded.size)
  checkAgainstRecord(recorded, database.size, () => record?.root ?? new Uint8Array(0))
  const missing = (what: string): never => {
    throw new ArchiveError('archive_corrupt', `${name}: ${what} is not there`)
  }
  return {
    name,
    isWhole: true,
    head: () => Promise.resolve(record?.head ?? missing('the head')),
    leafTile: (index, width) => {
      const isPending = index * 256 === database.pendingFirst()
      const tile = isPending ? join(...database.pendingLeafHashes()) : database.tile(0, index)
      return Promise.resolve((tile ?? missing(`leaf tile ${index}`)).slice(0, 32 * width))
    },
    bundle: (index, width) =>
      Promise.resolve(database.bundle(index, width) ?? missing(`bundle ${index}`)),
    supplement: (index, size) => readSupplement(database, index, size),
    pinned: (digest) => Promise.resolve(database.pinned(digest)),
    erasedSince: (from) => erasedSince(database, from),
  }
}
