/**
 * @module Brings disclosures back that are marked as lost (store/lost.ts), from a source that has them: each is held to the
 * digest in the leaf of an entry that the database holds already, so that nothing else of the source is believed.
 */
import { equalBytes, TILE_WIDTH } from '@trustwarden/proofs'
import { expectedDisclosures } from '../ledger/disclosures.ts'
import { erasedBy } from '../ledger/erasures.ts'
import { CommittedView } from '../ledger/state.ts'
import { decodeSupplement, type StoredDisclosure } from '../ledger/supplement.ts'
import type { Database } from '../store/database.ts'
import { isLost, settleLost } from '../store/lost.ts'
import type { Op } from '../store/store.ts'
import { checkArchive } from './errors.ts'
import { inSource, type LogSource } from './source.ts'

/** Entries whose disclosures are lost, in order; marks of those that an erasure ordered gone are taken off. */
export async function lostEntries(database: Database): Promise<readonly number[]> {
  const view = new CommittedView(database.folds, database.size, 0)
  const marked = await settleLost(database, (index) => erasedBy(view, index) !== undefined)
  // A crash may have left marks of entries that did not come.
  return marked.filter((index) => index < database.size)
}

/** What a source brought back. */
export interface FillReport {
  /** Entries whose disclosures are all there again. */
  readonly filled: number
  /** Entries whose disclosures are lost still. */
  readonly lost: readonly number[]
}

/**
 * Fills in what is lost and what a whole source, whose head has `size` entries, has of it.
 *
 * One synced write a bundle takes marks off and puts values there: a crash leaves all of it or none, and the next run goes on.
 *
 * @throws {ArchiveError} `archive_corrupt`; and what the source throws
 */
export async function fillLost(
  database: Database,
  source: LogSource,
  size: number,
): Promise<FillReport> {
  const before = await lostEntries(database)
  for (const [number, indexes] of byBundle(before.filter((index) => index < size))) {
    const bytes = await source.supplement(number, size)
    const { disclosures } = inSource(source, () => decodeSupplement(bytes, number, size))
    const ops = indexes.flatMap((index) =>
      opsOf(database, source.name, index, disclosures.get(index) ?? []),
    )
    await database.store.write(ops)
  }
  const lost = before.filter((index) => isLost(database, index))
  return { filled: before.length - lost.length, lost }
}

function byBundle(indexes: readonly number[]): ReadonlyMap<number, readonly number[]> {
  const bundles = new Map<number, number[]>()
  for (const index of indexes) {
    const number = Math.floor(index / TILE_WIDTH)
    const own = bundles.get(number)
    if (own === undefined) bundles.set(number, [index])
    else own.push(index)
  }
  return bundles
}

/** Puts what is missing of an entry; the mark goes if nothing is missing any more. */
function opsOf(
  database: Database,
  name: string,
  index: number,
  given: readonly StoredDisclosure[],
): readonly Op[] {
  const { keys } = database
  const expected = expectedDisclosures(database, index)
  const ops: Op[] = []
  let isWhole = true
  for (const [ordinal, digest] of expected?.digests ?? []) {
    if (database.erasableValue(index, ordinal) !== undefined) continue
    const value = given.find((one) => one.ordinal === ordinal)?.bytes
    if (value === undefined) {
      isWhole = false
      continue
    }
    const isOwn = expected !== undefined && equalBytes(expected.digestOf(value), digest)
    const message = `${name}: disclosure ${ordinal} of entry ${index} is not the one in its leaf`
    checkArchive(isOwn, 'archive_corrupt', message)
    ops.push({ type: 'put', key: keys.erasable(index, ordinal), value })
  }
  if (isWhole) ops.push({ type: 'del', key: keys.lost(index) })
  return ops
}
