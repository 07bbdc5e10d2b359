/**
 * @module Goal: the same log on LevelDB and a head record in a file: it opens again, keeps one process out while another
 * has it, and is audited and rebuilt from disk. Method: temporary directories, the store's own start-up functions.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { LedgerError } from '../../src/ledger/errors.ts'
import { rebuildFolds } from '../../src/ledger/rebuild.ts'
import { startRefusal } from '../../src/ledger/recovery.ts'
import { HeadRecord } from '../../src/store/head-record.ts'
import { openKeepingJournals } from '../../src/store/journals.ts'
import { LevelStore } from '../../src/store/level-store.ts'
import { FaultStore } from '../support/fault-store.ts'
import { FOLDS, OPERATOR, ORIGIN, OWNER, say, TestLog } from '../support/test-log.ts'

let directory = ''
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'ledger-'))
})
afterEach(() => rm(directory, { recursive: true }))

const dataPath = (): string => join(directory, 'data')
const recordPath = (): string => join(directory, 'head')

/** Closes what `TestLog` leaves open, as a process that ends. */
const end = async (test: TestLog, record: HeadRecord): Promise<void> => {
  await test.log.close()
  await test.store.close()
  await record.close()
}

const create = async (test: TestLog): Promise<HeadRecord> => {
  const headRecord = await HeadRecord.create(recordPath(), { origin: ORIGIN })
  test.store = new FaultStore(await LevelStore.create(dataPath()))
  test.options = { headRecord }
  await test.createDatabase()
  await test.writeFirstBatch()
  return headRecord
}

const open = async (test: TestLog): Promise<HeadRecord> => {
  const headRecord = await HeadRecord.open(recordPath(), { origin: ORIGIN })
  const { store, journals } = await openKeepingJournals(dataPath())
  await test.open((one) => {
    one.store = new FaultStore(store)
    one.options = { headRecord, journals } as TestLog['options']
  })
  return headRecord
}

describe('a log on disk', () => {
  it('opens again with all that was acknowledged, and is audited and rebuilt', async () => {
    const test = new TestLog()
    let record = await create(test)
    const personal = await test.submit(say(OWNER, { details: 'personal' }))
    await Promise.all(Array.from({ length: 300 }, () => test.submit(say(OWNER))))
    await test.submit(say(OPERATOR, { type: 'erasure', payload: { entries: [personal.index] } }))
    await end(test, record)

    record = await open(test)
    test.check()
    expect(test.log.head().size).toBe(304)
    const scratch = await LevelStore.create(join(directory, 'scratch'))
    const report = await test.audit({ scratch, headRecord: record })
    expect(report.difference).toBeUndefined()
    expect(report.erased).toBe(1)
    await scratch.close()
    await end(test, record)

    const store = await LevelStore.open(dataPath())
    const rebuilt = await LevelStore.create(join(directory, 'rebuilt'))
    record = await HeadRecord.open(recordPath(), { origin: ORIGIN })
    const recorded = record.current()
    await rebuildFolds({ store, origin: ORIGIN, folds: FOLDS, recorded, scratch: rebuilt })
    await rebuilt.close()
    await record.close()
    await store.close()
    record = await open(test)
    await test.submit(say(OWNER))
    test.check()
    await end(test, record)
  })

  it('is scrubbed while it is written to, and never taken for damaged; one bit that changed is', async () => {
    const test = new TestLog()
    let record = await create(test)
    await Promise.all(
      Array.from({ length: 400 }, (_, n) => test.submit(say(OWNER, { sub: `name-${n % 50}` }))),
    )
    await end(test, record)
    record = await HeadRecord.open(recordPath(), { origin: ORIGIN })
    const opened = await openKeepingJournals(dataPath())
    const place = { load: () => undefined, save: () => undefined }
    await test.open((one) => {
      one.store = new FaultStore(opened.store)
      one.options = {
        headRecord: record,
        scrub: { bytesPerS: Number.POSITIVE_INFINITY, place, restMs: 1 },
      }
    })
    const passes = (): number => test.log.stats().scrub?.passes ?? -1
    // The writer never rests: a fold is begun between two of its commits, or not at all.
    let isLoading = true
    const lanes = Array.from({ length: 3 }, async (_, lane) => {
      for (let n = 0; isLoading; n++) {
        const { index } = await test.submit(say(OWNER, { details: `lane ${lane}` }))
        await test.submit(say(OWNER, { sub: `name-${n % 50}`, payload: { forget: n % 2 === 0 } }))
        if (n % 8 !== 7) continue
        await test.submit(say(OPERATOR, { type: 'erasure', payload: { entries: [index] } }))
      }
    })
    while (passes() < 3 && test.fatal.length === 0) {
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
    expect(test.fatal).toEqual([])
    isLoading = false
    await Promise.all(lanes)
    const value = test.database.store.get(test.database.keys.bundle(0))
    const changed = value?.map((byte, at) => (at === 500 ? byte ^ 1 : byte))
    if (changed === undefined) throw new Error('there is no full bundle')
    const key = test.database.keys.bundle(0)
    await test.database.store.write([{ type: 'put', key, value: changed }])
    while (test.fatal.length === 0) await new Promise((resolve) => setTimeout(resolve, 20))
    expect(String(test.fatal[0])).toMatch(/b:0000000000000000.* has changed since|not those of/)
    await end(test, record)
  })

  it('is one process’s: neither a second start nor a rebuild gets in', async () => {
    const test = new TestLog()
    const record = await create(test)
    const refused: unknown = await LevelStore.open(dataPath()).catch((error: unknown) =>
      startRefusal(error),
    )
    expect(refused).toBeInstanceOf(LedgerError)
    expect(String(refused)).toMatch(/store_locked.*another process/)
    await expect(HeadRecord.open(recordPath(), { origin: ORIGIN })).rejects.toMatchObject({
      code: 'head_record_locked',
    })
    await end(test, record)
  })
})
