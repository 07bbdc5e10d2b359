/**
 * Goal: whatever write fails, and whether it was persisted or not, the store answers nothing more, and a start finds
 * the batch whole or not there.
 * Method: a run of commits and an erasure; the n-th operation fails before or after it persisted, for every n until
 * none fails any more. After each: everything is refused; reopened, all checks pass, nothing acknowledged is missing,
 * and the run goes on to its end.
 */
import { describe, expect, test } from 'vitest'
import type { Database } from '../../src/store/database.ts'
import { erasuresDone, finishErasures } from '../../src/store/erasure.ts'
import type { Erasure } from '../../src/store/erasure.ts'
import { MemoryStore } from '../../src/store/memory-store.ts'
import { checkBatchRecords, checkSetDigests } from '../../src/store/start-checks.ts'
import { FaultStore } from '../support/fault-store.ts'
import {
  DEDUP,
  REVOCATIONS,
  append,
  bytesOf,
  createDatabase,
  entryAt,
  openDatabase,
} from './database-fixture.ts'

const COUNTS = [5, 251, 1, 300, 3]

/** Commits what is missing up to the sum of COUNTS, one batch for each count, and says what was acknowledged. */
async function runFrom(database: Database, acknowledged: { size: number }): Promise<void> {
  let end = 0
  for (const count of COUNTS) {
    end += count
    if (database.size >= end) continue
    await append(database, count, (batch) => {
      batch.put(DEDUP, bytesOf('last'), bytesOf(`${end}`))
      batch.put(REVOCATIONS, bytesOf(`at ${end}`), bytesOf('x'))
      batch.putErasable(end - 1, 0, bytesOf(`disclosure ${end}`))
      if (end > 5) batch.eraseErasable(4, [0], end - 1)
    })
    acknowledged.size = database.size
  }
  await finishErasures(database, await dueIn(database))
}

/** The erasures that the entries order, without those that are done. */
async function dueIn(database: Database): Promise<readonly Erasure[]> {
  const done = await erasuresDone(database)
  const ends = COUNTS.map((_, at) => COUNTS.slice(0, at + 1).reduce((sum, count) => sum + count, 0))
  return ends
    .filter((end) => end > 5 && end <= database.size && !done.has(end - 1))
    .map((end) => ({ job: end - 1, targets: [{ index: 4, ordinal: 0 }] }))
}

async function checkAll(database: Database): Promise<void> {
  await checkBatchRecords(database, { minBytes: Number.POSITIVE_INFINITY })
  await checkSetDigests(database)
  for (let index = 0; index < database.size; index++) {
    expect(database.entry(index)).toEqual(entryAt(index))
  }
  const last = database.folds.reader(DEDUP).get(bytesOf('last'))
  expect(last).toEqual(database.size === 0 ? undefined : bytesOf(`${database.size}`))
}

describe.each(['before', 'after'] as const)('a write that fails %s it is persisted', (when) => {
  test('leaves the batch whole or not there, at each of its places', async () => {
    let n = 1
    for (; ; n++) {
      const disk = new Map<string, Uint8Array>()
      await createDatabase(new MemoryStore(disk))
      const faulty = new FaultStore(new MemoryStore(disk), { n, when })
      const database = await openDatabase(faulty)
      const acknowledged = { size: 0 }
      const failed = await runFrom(database, acknowledged).then(
        () => undefined,
        (error: unknown) => error,
      )
      if (!faulty.fired) {
        expect(failed).toBeUndefined()
        break
      }
      expect(failed).toMatchObject({ code: 'store_failed', fatal: true })
      await expect(append(database, 1)).rejects.toMatchObject({ code: 'store_failed' })
      // Nothing is answered, from memory neither; and memory has not run ahead of what was acknowledged.
      const reads = [
        () => database.folds.reader(DEDUP).get(bytesOf('last')),
        () => database.folds.reader(REVOCATIONS).get(bytesOf('at 5')),
        () => database.entry(0),
        () => database.bundle(0),
      ]
      for (const read of reads) {
        expect(read).toThrow(expect.objectContaining({ code: 'store_failed' }))
      }
      expect(database.size).toBe(acknowledged.size)

      const reopened = await openDatabase(new MemoryStore(disk))
      expect(reopened.size).toBeGreaterThanOrEqual(acknowledged.size)
      await checkAll(reopened)
      await runFrom(reopened, acknowledged)
      expect(reopened.size).toBe(560)
      await checkAll(reopened)
      expect(await dueIn(reopened)).toEqual([])
      expect(reopened.erasableValue(4, 0)).toBeUndefined()
      expect(reopened.erasableValue(559, 0)).toBeDefined()
    }
    // Five commits, and three operations for each of the four erasures: fewer would mean that faults were not reached.
    expect(n).toBe(5 + 3 * 4 + 1)
  })
})
