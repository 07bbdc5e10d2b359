/**
 * @module Rebuilds all folds of a log from its entries, in bounded memory. For a log whose folds were damaged and whose
 * entries were not; a fold can always be dropped (DESIGN §1). Also the way into a release that has more folds.
 *
 * It works on the store below the database, which does not open over damaged folds. Opening the store takes its lock:
 * while another process holds the log there is nothing to rebuild on. Nothing is dropped before everything was checked:
 * entries against batch records and head record, and the folds, built in a scratch store, against the last batch record.
 */
import { leafHash } from '@trustwarden/proofs'
import type { Hash } from '@trustwarden/proofs'
import { nativePrimitives } from '../crypto.ts'
import { Edge } from '../merkle/grow.ts'
import type { BatchRecord } from '../store/batch-record.ts'
import { checkAgainstRecord } from '../store/head-record.ts'
import type { RecordedHead } from '../store/head-record.ts'
import { BUNDLE_ENTRIES, Keys } from '../store/keys.ts'
import { checkKnown, loadRecorded, readBundle } from '../store/load.ts'
import type { RecordedLog } from '../store/load.ts'
import { checkBatchRecords } from '../store/start-checks.ts'
import type { CheckProgress } from '../store/start-checks.ts'
import type { Store } from '../store/store.ts'
import type { Fold, FoldSpec } from './contract.ts'
import { LedgerError } from './errors.ts'
import { FoldBuilder } from './fold-builder.ts'
import { readRegistered } from './register.ts'
import { BatchState } from './state.ts'

/** Changed keys that are held before they are written. */
const FLUSH_ENTRIES = 2048

/** What a rebuild is given. */
export interface RebuildOptions {
  /** Open, and used by nobody else. */
  readonly store: Store
  readonly origin: string
  /** All folds of the log, `CORE_FOLDS` included. */
  readonly folds: readonly Fold[]
  /** What the head record says: nothing is dropped for entries that are not the acknowledged ones. */
  readonly recorded: RecordedHead
  /** An empty store for the new folds: it grows as large as they are, and may be removed afterwards. */
  readonly scratch: Store
  readonly onProgress?: (progress: CheckProgress) => void
}

/** What a rebuild did. */
export interface RebuildReport {
  readonly size: number
  readonly folds: readonly { readonly name: string; readonly count: number }[]
}

/** The specs of folds, each once: two folds may share one. */
export function foldSpecs(folds: readonly Fold[]): readonly FoldSpec[] {
  return [...new Map(folds.map(({ spec }) => [spec.id, spec])).values()]
}

/**
 * Builds every fold again from the entries and puts it in the place of what is there.
 *
 * Refused before anything is dropped. A crash while the folds are replaced leaves a database that does not open; the
 * rebuild is then run again. Whoever opened the store keeps the copy of its journals: only a start whose checks all
 * passed may remove it.
 *
 * @throws {LedgerError} `log_empty`; `entry_invalid`; `root_mismatch`; `folds_differ` if the folds come out other than
 *   the last batch left them: another release wrote them, or an entry was changed
 * @throws {StoreError} `store_behind_record`, `store_differs_from_record`; `fold_unknown`; about records, bundles and
 *   the store
 */
export async function rebuildFolds(options: RebuildOptions): Promise<RebuildReport> {
  const { store, origin, folds, recorded, scratch, onProgress } = options
  const keys = new Keys(origin)
  const log = await loadRecorded(store, keys, origin)
  const last = log.lastBatch()
  if (last === undefined) throw new LedgerError('log_empty', 'the database holds no entry')
  const specs = foldSpecs(folds)
  checkKnown(last.folds, specs)
  const progress = onProgress && { onProgress }
  await checkBatchRecords(log, { minBytes: Number.POSITIVE_INFINITY, ...progress })
  checkRoots(log, last, recorded)
  const builder = new FoldBuilder(scratch, origin, specs, (digest) =>
    store.get(keys.pinned(digest)),
  )
  let batch = builder.begin()
  let index = 0
  for (const bytes of readEntries(log)) {
    const registered = readRegistered(bytes, index)
    new BatchState(batch, index, registered.entry.timeMs).apply(folds, registered)
    index++
    if (index % FLUSH_ENTRIES !== 0) continue
    await builder.flush(batch)
    batch = builder.begin()
    onProgress?.({ what: 'entries', done: index, total: last.size })
  }
  await builder.flush(batch)
  // Folds that the log did not have yet at its last batch are in no digest, and simply come in.
  if (Buffer.compare(builder.setsDigest(last.folds), last.setsDigest) !== 0) {
    throw new LedgerError(
      'folds_differ',
      `the folds rebuilt from ${last.size} entries are not those that the last batch left`,
    )
  }
  await builder.finish()
  await builder.moveTo(store)
  // What was damaged may lie on in tables under rows that are newer: a start would go on refusing their checksums.
  await store.compact(keys.range('f'))
  onProgress?.({ what: 'entries', done: index, total: last.size })
  const counts = specs.map((spec) => ({ name: spec.name, count: builder.setOf(spec).count }))
  return { size: last.size, folds: counts }
}

/** Entries, last batch record and head record say the same. */
function checkRoots(log: RecordedLog, last: BatchRecord, recorded: RecordedHead): void {
  let edge = Edge.empty(nativePrimitives)
  let atRecord = recorded.size === 0 ? edge.root() : undefined
  let hashes: Hash[] = []
  let read = 0
  for (const bytes of readEntries(log)) {
    hashes.push(leafHash(nativePrimitives, bytes))
    read++
    if (hashes.length < BUNDLE_ENTRIES && read !== recorded.size) continue
    edge = edge.append(hashes).edge
    hashes = []
    if (read === recorded.size) atRecord = edge.root()
  }
  edge = edge.append(hashes).edge
  if (edge.size !== last.size || Buffer.compare(edge.root(), last.root) !== 0) {
    throw new LedgerError(
      'root_mismatch',
      `${edge.size} entries are there, and their root is not the one of the batch that ends at ${last.size}`,
    )
  }
  checkAgainstRecord(recorded, last.size, () => atRecord ?? edge.root())
}

function* readEntries(log: RecordedLog): Iterable<Uint8Array> {
  const pending = log.pendingFirst()
  for (let number = 0; number < pending / BUNDLE_ENTRIES; number++) {
    yield* readBundle(log.store, log.keys, number)
  }
  yield* log.entries(pending, log.size - pending)
}
