/**
 * @module Erasable values that no copy had when a log was put together again: each entry that lost some is marked, so that
 * their absence is neither taken for damage nor passed over in silence. Marks come from `restore` and `recover` alone, and
 * an audit counts them. Where an erasure ordered the values gone it is not a loss, and the mark goes.
 */
import type { Database } from './database.ts'
import { digestOf, openSealed, sealValue } from './sealed.ts'
import type { Op } from './store.ts'

const NOTHING = new Uint8Array(0)

/** Marks entries. On disk when it resolves; a mark of an entry that a crash kept from coming is looked at by nobody. */
export async function markLost(database: Database, indexes: readonly number[]): Promise<void> {
  const { store, keys } = database
  const ops = indexes.map((index): Op => {
    const key = keys.lost(index)
    return { type: 'put', key, value: sealValue(NOTHING, digestOf(key, NOTHING)) }
  })
  await store.write(ops)
}

/** Whether the erasable values of entry `index` are known to be lost. */
export function isLost(database: Database, index: number): boolean {
  const key = database.keys.lost(index)
  const mark = database.store.get(key)
  return mark !== undefined && openSealed(key, mark) !== undefined
}

/** Takes the marks off again of whatever `isErased` says was not lost, and returns the indexes that stay marked. */
export async function settleLost(
  database: Database,
  isErased: (index: number) => boolean,
): Promise<readonly number[]> {
  const { store, keys } = database
  const lost: number[] = []
  const ops: Op[] = []
  for await (const { key } of store.scan({ ...keys.range('l'), keysOnly: true })) {
    const index = keys.indexOf(key)
    if (isErased(index)) ops.push({ type: 'del', key })
    else lost.push(index)
  }
  await store.write(ops)
  return lost
}
