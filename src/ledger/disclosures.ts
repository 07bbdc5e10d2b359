/**
 * @module What leaves say of the disclosures that lie beside them, and which erasures are still due.
 *
 * A disclosure lies under the position of its digest in `_sd`, so an entry alone says what must be there. An erasure is
 * due from its entry on until it is marked as done: the fold says which erased what, and no list of jobs could be lost.
 */
import {
  decodeEntry,
  fromBase64url,
  parseEntryStatement,
  readCommitments,
} from '@trustwarden/proofs'
import { nativePrimitives } from '../crypto.ts'
import type { Database } from '../store/database.ts'
import { erasuresDone } from '../store/erasure.ts'
import type { Erasure, ErasureTarget } from '../store/erasure.ts'
import { StoreError } from '../store/errors.ts'
import type { ErasableExpectation } from '../store/start-checks.ts'
import { FOLDS } from './contract.ts'
import { erasedBy } from './erasures.ts'
import { LedgerError } from './errors.ts'
import { u64At } from './layout.ts'
import { CommittedView } from './state.ts'

/** Keys of the erasures fold that are indexes begin with it: indexes are below 2^53. */
const INDEX_PREFIX = Uint8Array.of(0)
const INDEX_BYTES = 8

/** What the leaf of entry `index` says of its disclosures, or undefined if it has none. */
export function expectedDisclosures(
  database: Database,
  index: number,
): ErasableExpectation | undefined {
  const digests = commitmentsOf(database, index)
  if (digests.length === 0) return undefined
  const isErased =
    erasedBy(new CommittedView(database.folds, database.size, 0), index) !== undefined
  return {
    digests: new Map(digests.map((digest, ordinal) => [ordinal, fromBase64url(digest)])),
    digestOf: (value) => nativePrimitives.sha256(value),
    erased: new Set(isErased ? digests.keys() : []),
  }
}

/**
 * The erasures that are not marked as done, in the order of their entries.
 *
 * @throws {StoreError} `erasable_mismatch` if a mark belongs to no erasure; `value_corrupt`
 */
export async function dueErasures(database: Database): Promise<readonly Erasure[]> {
  const done = await erasuresDone(database)
  const erased = await erasedIndexesByJob(database)
  for (const job of done.keys()) {
    if (erased.has(job)) continue
    throw new StoreError('erasable_mismatch', `entry ${job} is marked as done and erased nothing`)
  }
  const due: Erasure[] = []
  for (const [job, indexes] of [...erased].sort(([a], [b]) => a - b)) {
    if (done.has(job)) continue
    const erasure = erasureOf(database, job, indexes)
    if (erasure.targets.length > 0) due.push(erasure)
  }
  return due
}

/**
 * Compares every mark with its erasure.
 *
 * @returns How many erasures are not done.
 * @throws {StoreError} `erasable_mismatch`, `value_corrupt`
 */
export async function checkErasureMarks(database: Database): Promise<number> {
  const done = await erasuresDone(database)
  const erased = await erasedIndexesByJob(database)
  for (const [job, count] of done) {
    const { targets } = erasureOf(database, job, erased.get(job) ?? [])
    if (targets.length === count) continue
    const message = `entry ${job} is marked as done for ${count} values and erased ${targets.length}`
    throw new StoreError('erasable_mismatch', message)
  }
  return (await dueErasures(database)).length
}

/** The erasure that entry `job` orders, of all disclosures of the entries at `indexes`. */
export function erasureOf(database: Database, job: number, indexes: readonly number[]): Erasure {
  const targets = indexes.flatMap((index) =>
    commitmentsOf(database, index).map((_digest, ordinal): ErasureTarget => ({ index, ordinal })),
  )
  return { job, targets }
}

async function erasedIndexesByJob(database: Database): Promise<Map<number, number[]>> {
  const erased = new Map<number, number[]>()
  for await (const { key, value } of database.folds.reader(FOLDS.erasures.id).scan(INDEX_PREFIX)) {
    if (key.length !== INDEX_BYTES) continue
    const job = u64At(value, 0)
    const indexes = erased.get(job)
    if (indexes === undefined) erased.set(job, [u64At(key, 0)])
    else indexes.push(u64At(key, 0))
  }
  return erased
}

function commitmentsOf(database: Database, index: number): readonly string[] {
  const bytes = database.entry(index)
  if (bytes === undefined) throw new LedgerError('entry_invalid', `there is no entry ${index}`)
  return readCommitments(parseEntryStatement(decodeEntry(bytes)).payload)
}
