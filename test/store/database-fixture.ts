/**
 * @module A database for tests: a log of made-up entries with their tiles, and the folds of a small service.
 */
import { createHash } from 'node:crypto'
import type { Batch } from '../../src/store/batch.ts'
import type { BatchRecord } from '../../src/store/batch-record.ts'
import type { CommitInput, FullTile } from '../../src/store/commit.ts'
import { Database } from '../../src/store/database.ts'
import type { FoldSpec } from '../../src/store/folds.ts'
import type { Store } from '../../src/store/store.ts'

export const ORIGIN = 'example.com/logs/test'

/** A fold on disk, a fold in memory, and another on disk that stays empty. */
export const FOLDS: readonly FoldSpec[] = [
  { id: 1, name: 'dedup', resident: false },
  { id: 4, name: 'revocations', resident: true },
  { id: 9, name: 'names', resident: false },
]
export const DEDUP = 1
export const REVOCATIONS = 4
export const NAMES = 9

/** By default every value is read from the disk, so that damage to it shows at the next read. */
export const createDatabase = (store: Store, foldCacheBytes = 0): Promise<Database> =>
  Database.create({ store, origin: ORIGIN, folds: FOLDS, foldCacheBytes })

export const openDatabase = (store: Store, foldCacheBytes = 0): Promise<Database> =>
  Database.open({ store, origin: ORIGIN, folds: FOLDS, foldCacheBytes })

export const bytesOf = (text: string): Uint8Array => new Uint8Array(Buffer.from(text, 'utf8'))

export const digest = (...parts: Uint8Array[]): Uint8Array => {
  const state = createHash('sha256')
  for (const part of parts) state.update(part)
  return new Uint8Array(state.digest())
}

/** SHA-256(0x00 ‖ entry), written here a second time on purpose. */
export const leafHashOf = (entry: Uint8Array): Uint8Array => digest(Uint8Array.of(0), entry)

/** Entry `index` of the made-up log: its text depends on the index, its length too. */
export const entryAt = (index: number): Uint8Array =>
  bytesOf(`entry ${index} ${'.'.repeat(index % 50)}`)

/** The root that the made-up log claims at `size`: the store does not compute roots. */
export const rootAt = (size: number): Uint8Array => digest(bytesOf(`root ${size}`))

/** Everything that a commit of entries [first, first + count) needs. Only level-0 tiles: stay below 65,536 entries. */
export function inputFor(first: number, count: number): CommitInput {
  const size = first + count
  const entries = Array.from({ length: count }, (_, i) => entryAt(first + i))
  const tiles: FullTile[] = []
  for (let index = Math.floor(first / 256); index < Math.floor(size / 256); index++) {
    const hashes = Array.from({ length: 256 }, (_, i) => leafHashOf(entryAt(256 * index + i)))
    tiles.push({ level: 0, index, bytes: new Uint8Array(Buffer.concat(hashes)) })
  }
  return {
    firstIndex: first,
    entries,
    leafHashes: entries.map(leafHashOf),
    tiles,
    head: bytesOf(`head ${size}`),
    size,
    root: rootAt(size),
    timeMs: 1_000_000 + size,
  }
}

/** Commits `count` more entries, with what `change` does to the batch. */
export async function append(
  database: Database,
  count: number,
  change: (batch: Batch) => void = () => undefined,
): Promise<BatchRecord> {
  const batch = database.begin()
  change(batch)
  return database.commit(batch, inputFor(database.size, count))
}
