/**
 * @module Compares the folds of a database with rebuilt ones, key by key.
 */
import type { Database } from '../store/database.ts'
import type { Row, Store } from '../store/store.ts'
import { Difference } from './audit-difference.ts'
import type { FoldSpec } from './contract.ts'
import type { FoldBuilder } from './fold-builder.ts'

/**
 * Walks both in the order of their keys. Neither is held in memory.
 *
 * @throws {Difference} `fold` with the fold's name and the first key that differs
 */
export async function compareFolds(
  database: Database,
  scratch: Store,
  builder: FoldBuilder,
  specs: readonly FoldSpec[],
): Promise<void> {
  for (const spec of specs) {
    const range = builder.keys.range('f', Uint8Array.of(spec.id))
    const live = database.store.scan(range)[Symbol.asyncIterator]()
    const rebuilt = scratch.scan(range)[Symbol.asyncIterator]()
    try {
      for (;;) {
        const ours = rowOf(await rebuilt.next())
        const theirs = rowOf(await live.next())
        if (ours === undefined && theirs === undefined) break
        const name = (row: Row | undefined): string =>
          builder.keys.nameOf((row ?? ours)?.key ?? NOTHING)
        const order = orderOf(ours, theirs)
        if (order < 0) throw new Difference('fold', `${spec.name}: ${name(ours)} is not there`)
        if (order > 0) throw new Difference('fold', `${spec.name}: ${name(theirs)} is too many`)
        if (Buffer.compare(ours?.value ?? NOTHING, theirs?.value ?? NOTHING) !== 0) {
          throw new Difference('fold', `${spec.name}: ${name(ours)} has another value`)
        }
      }
    } finally {
      await live.return?.()
      await rebuilt.return?.()
    }
  }
}

const NOTHING = new Uint8Array(0)

function rowOf(step: IteratorResult<Row, unknown>): Row | undefined {
  return step.done === true ? undefined : step.value
}

/** Which of two rows comes first; one that is not there comes last. */
function orderOf(a: Row | undefined, b: Row | undefined): number {
  if (a === undefined) return 1
  if (b === undefined) return -1
  return Buffer.compare(a.key, b.key)
}
