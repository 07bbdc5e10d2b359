/**
 * @module Goal: whatever fails, at whatever step, the next start has every acknowledged entry and no second tree, or it
 * refuses by name. Method: a scripted history on stores that fail at their n-th operation, before or after persisting,
 * for all n; copies of the disk mixed with head records of other times; every stored value changed or lost once.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { generateKey, signerFromPrivateKey } from '../../src/crypto.ts'
import { LedgerError } from '../../src/ledger/errors.ts'
import { LogKeys } from '../../src/ledger/log-keys.ts'
import type { Submitted } from '../../src/ledger/prepare.ts'
import { startRefusal } from '../../src/ledger/recovery.ts'
import { StoreError } from '../../src/store/errors.ts'
import { HeadRecord } from '../../src/store/head-record.ts'
import { MemoryStore } from '../../src/store/memory-store.ts'
import { FaultStore } from '../support/fault-store.ts'
import { MemoryHeadRecord } from '../support/memory-head-record.ts'
import { OPERATOR, ORIGIN, OWNER, say, TestLog } from '../support/test-log.ts'

/** A history of every kind of write: alone, together, with disclosures, an erasure, a repeat. */
const history = (): readonly (readonly Submitted[])[] => {
  const first = say(OWNER, { details: 'personal' })
  const together = Array.from({ length: 3 }, () => say(OWNER))
  return [
    [first],
    together,
    [say(OPERATOR, { type: 'test.change' }), say(OWNER, { type: 'test.urgent' })],
    [say(OPERATOR, { type: 'erasure', payload: { entries: [2] } })],
    [first, say(OWNER)],
  ]
}

const play = async (test: TestLog, steps: readonly (readonly Submitted[])[]): Promise<void> => {
  for (const step of steps) await Promise.allSettled(step.map((one) => test.submit(one)))
}

const refusalOf = async (start: Promise<unknown>): Promise<LedgerError> => {
  try {
    await start
  } catch (error) {
    if (error instanceof LedgerError && error.code === 'start_refused') return error
    throw error
  }
  throw new Error('the start was not refused')
}

const causeOf = (error: LedgerError): string =>
  error.cause instanceof StoreError || error.cause instanceof LedgerError ? error.cause.code : ''

/** Starts again on whatever is on disk, as `init` and `serve` do. */
const restart = async (test: TestLog): Promise<void> => {
  test.store = new FaultStore(new MemoryStore(test.disk))
  test.headRecord = new MemoryHeadRecord(test.record)
  if (test.disk.size === 0) {
    await test.createDatabase()
    await test.writeFirstBatch()
    return
  }
  try {
    await test.open()
  } catch (error) {
    if (!(error instanceof LedgerError) || causeOf(error) !== 'log_empty') throw error
    await test.writeFirstBatch()
  }
}

/** Runs the history with one fault, then again without: nothing acknowledged is lost and the log is whole. */
const surviveFault = async (
  inject: (test: TestLog) => void,
  fired: (test: TestLog) => boolean,
): Promise<boolean> => {
  const test = new TestLog()
  const steps = history()
  inject(test)
  try {
    await test.createDatabase()
    await test.writeFirstBatch()
    await play(test, steps)
    await test.log.close()
  } catch {
    // Refused as it must be; what is on disk is checked below.
  }
  if (!fired(test)) return false
  const acknowledged = [...test.acknowledged]
  await restart(test)
  test.check()
  for (const { index, receipt } of acknowledged) {
    expect(test.log.reader.entryBytes(index)).toEqual(receipt.entry)
  }
  await play(test, steps)
  await test.log.close()
  expect(test.log.head().size).toBe(10)
  test.check()
  expect((await test.audit()).difference).toBeUndefined()
  return true
}

describe('every operation that can fail', () => {
  it.each(['before', 'after'] as const)('a store that fails %s persisting', async (when) => {
    let n = 1
    while (
      await surviveFault(
        (test) => test.store.failAt(n, when),
        (test) => test.store.fired,
      )
    ) {
      n++
    }
    // Database, first batch, five batches, and the erasure's writes and compactions.
    expect(n).toBeGreaterThan(9)
  })

  it.each(['before', 'after'] as const)('a head record that fails %s persisting', async (when) => {
    let n = 1
    while (
      await surviveFault(
        (test) => test.headRecord.failAt(n, when),
        (test) => test.headRecord.fired,
      )
    ) {
      n++
    }
    expect(n).toBe(7)
  })
})

describe('rolling forward', () => {
  it('records the head of a batch that was not recorded, once', async () => {
    const test = await TestLog.create()
    test.headRecord.failAt(1, 'before')
    const one = say(OWNER)
    await expect(test.submit(one)).rejects.toMatchObject({ code: 'outcome_unknown' })
    expect([test.record.head.size, test.database.size]).toEqual([2, 3])
    await test.open()
    expect(test.record.head.size).toBe(3)
    expect((await test.submit(one)).repeated).toBe(true)
  })

  it('goes over one batch and no more, but where the operator named the record’s head', async () => {
    const test = await TestLog.create()
    const old = test.record.head
    for (let i = 0; i < 5; i++) await test.submit(say(OWNER))
    await test.log.close()
    test.record.head = old
    const refusal = await refusalOf(test.open())
    expect(causeOf(refusal)).toBe('record_far_behind')
    expect(refusal.message).toMatch(/size and root of the last head/)
    expect(test.record.head).toEqual(old)
    test.options = { acceptHead: true } as TestLog['options']
    await test.open()
    expect(test.record.head.size).toBe(7)
    test.check()
  })

  it('refuses a record whose tree the database does not extend', async () => {
    const test = await TestLog.create()
    await test.submit(say(OWNER))
    test.record.head = { ...test.record.head, size: 2 }
    const refusal = await refusalOf(test.open())
    expect(causeOf(refusal)).toBe('store_differs_from_record')
  })
})

describe('a start that is refused', () => {
  it('says that the database is older than its head record', async () => {
    const test = await TestLog.create()
    const copy = new Map(test.disk)
    await test.submit(say(OWNER))
    test.disk.clear()
    for (const [key, value] of copy) test.disk.set(key, value)
    const refusal = await refusalOf(test.open())
    expect(causeOf(refusal)).toBe('store_behind_record')
    expect(refusal.message).toMatch(/3.*put the newest copy back/)
  })

  it('says that there is no database left under the record', async () => {
    const test = await TestLog.create()
    test.disk.clear()
    test.store = new FaultStore(new MemoryStore(test.disk))
    await test.createDatabase()
    await expect(test.writeFirstBatch()).rejects.toMatchObject({ code: 'log_exists' })
    expect(causeOf(await refusalOf(test.open()))).toBe('store_behind_record')
  })

  it('says that the database has another history', async () => {
    const test = await TestLog.create()
    const copy = new Map(test.disk)
    const { head } = test.record
    await test.submit(say(OWNER))
    const recorded = test.record.head
    test.disk.clear()
    for (const [key, value] of copy) test.disk.set(key, value)
    test.record.head = head
    await test.open()
    await test.submit(say(OWNER))
    test.record.head = recorded
    expect(causeOf(await refusalOf(test.open()))).toBe('store_differs_from_record')
  })

  it('says that the stored head is not signed by the log key', async () => {
    const test = await TestLog.create()
    test.options = { keys: LogKeys.only(signerFromPrivateKey(generateKey('EdDSA')), ORIGIN) }
    expect(causeOf(await refusalOf(test.open()))).toBe('head_invalid')
  })

  it('names the kept journals, and discards them only when all checks pass', async () => {
    const test = await TestLog.create()
    const { head } = test.record
    let discarded = 0
    const journals = {
      path: '/data/kept-1',
      discard: () => Promise.reject(new Error('the copy of this start alone')),
      discardAll: () => {
        discarded++
        return Promise.resolve()
      },
    }
    const again = () => ({ ...journals })
    test.options = { journals: again() } as TestLog['options']
    test.record.head = { ...head, size: 3 }
    expect((await refusalOf(test.open())).message).toContain('/data/kept-1')
    test.options = {
      journals: again(),
      keys: LogKeys.only(signerFromPrivateKey(generateKey('EdDSA')), ORIGIN),
    } as TestLog['options']
    test.record.head = head
    expect((await refusalOf(test.open())).message).toContain('/data/kept-1')
    expect(discarded).toBe(0)
    test.options = { journals: again() } as TestLog['options']
    await test.open()
    expect(discarded).toBe(1)
    test.clock.step(-60_000)
    expect((await refusalOf(test.open())).message).not.toContain('/data/kept-1')
  })

  it('says the way on for a record that is missing, foreign or held', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'head-record-'))
    const path = join(directory, 'record')
    const refused = async (start: Promise<HeadRecord>): Promise<string> => {
      const thrown: unknown = await start.then(
        () => undefined,
        (error: unknown) => error,
      )
      return startRefusal(thrown).message
    }
    try {
      expect(await refused(HeadRecord.open(path, { origin: ORIGIN }))).toMatch(
        /head_record_missing.*size and root/,
      )
      const record = await HeadRecord.create(path, { origin: ORIGIN })
      expect(await refused(HeadRecord.open(path, { origin: ORIGIN }))).toMatch(
        /head_record_locked.*another process/,
      )
      await record.close()
      expect(await refused(HeadRecord.open(path, { origin: 'log.example/logs/other' }))).toMatch(
        /head_record_origin/,
      )
    } finally {
      await rm(directory, { recursive: true })
    }
  })
})

describe('the clock at start', () => {
  it('is waited for when it is behind by no more than 5 s', async () => {
    const test = await TestLog.create()
    test.clock.step(-5_000)
    await test.open()
    expect((await test.submit(say(OWNER))).index).toBe(2)
  })

  it('is not taken for granted when it is far ahead of the last entry', async () => {
    const test = await TestLog.create()
    const day = 86_400_000
    test.clock.step(day + 1)
    const refusal = await refusalOf(test.open())
    expect(causeOf(refusal)).toBe('clock_ahead')
    expect(refusal.message).toMatch(
      /24 h ahead.*set the clock right; if it is right.*`--accept-clock`/,
    )
    test.options = { acceptClockAheadMs: day } as TestLog['options']
    expect(causeOf(await refusalOf(test.open()))).toBe('clock_ahead')
    test.options = { acceptClockAheadMs: 2 * day } as TestLog['options']
    await test.open()
    test.options = {}
    test.clock.step(-1)
    await test.open()
  })

  it('refuses more, and says how to go on', async () => {
    const test = await TestLog.create()
    test.clock.step(-5_001)
    const refusal = await refusalOf(test.open())
    expect(causeOf(refusal)).toBe('clock_behind')
    expect(refusal.message).toMatch(
      /set the clock right; if it is right.*start once that time has passed/,
    )
    expect(refusal.message.split('set the clock')).toHaveLength(2)
  })
})

describe('damage that nothing reads until it is too late', () => {
  it('is found by the start: in a full bundle', async () => {
    const test = await TestLog.create()
    await Promise.all(Array.from({ length: 300 }, () => test.submit(say(OWNER))))
    const name = [...test.disk.keys()].find((one) => one[9] === 'b') ?? ''
    const value = test.disk.get(name) ?? new Uint8Array(0)
    expect(value.length).toBeGreaterThan(0)
    value[20] = (value[20] ?? 0) ^ 1
    expect(causeOf(await refusalOf(test.open()))).toBe('batch_record_corrupt')
  })
})

describe('every value on disk', () => {
  /** @param without - A space whose loss mends itself: an erasure whose mark is lost is done again. */
  const damaged = async (
    damage: (disk: TestLog['disk'], name: string) => void,
    without = '',
  ): Promise<void> => {
    const source = await TestLog.create()
    await play(source, history())
    await Promise.all(Array.from({ length: 260 }, () => source.submit(say(OWNER))))
    await source.submit(say(OWNER, { details: 'kept' }))
    await source.log.close()
    const names = [...source.disk.keys()]
    // One key of each fold on disk is as good as all of them.
    const chosen = names.filter(
      (name, at) => name[9] !== without && (name[9] !== 'f' || at % 40 === 0),
    )
    expect(chosen.length).toBeGreaterThan(20)
    for (const name of chosen) {
      const test = new TestLog()
      for (const [key, value] of source.disk) test.disk.set(key, value.slice())
      test.record.head = source.record.head
      damage(test.disk, name)
      let found: string | undefined
      try {
        await test.open()
        found = (await test.audit()).difference?.check
        await test.log.close()
      } catch (error) {
        found = error instanceof LedgerError || error instanceof StoreError ? error.code : undefined
      }
      const key = Buffer.from(name, 'latin1').subarray(9).toString('hex')
      expect(found, `key ${key}`).toBeDefined()
    }
  }

  it('is missed by name when one bit of it changed', async () => {
    await damaged((disk, name) => {
      const value = disk.get(name)
      if (value === undefined || value.length === 0) return
      const at = Math.floor(value.length / 2)
      value[at] = (value[at] ?? 0) ^ 1
    })
  })

  it('is missed by name when it is gone', async () => {
    await damaged((disk, name) => disk.delete(name), 'j')
  })
})
