/**
 * @module Goal: damage that shows while the log runs stops it before anything is decided or proven on it: a key that
 * only `get` has lost, a tile, an entry, a disclosure, a lost list of erasures. And an answer that fails once its entry
 * may be on disk never says that nothing was recorded.
 * Method: a log in memory; the disk under it is changed, or reads of it are bent, while it runs.
 */
import { describe, expect, it } from 'vitest'
import { ServiceError } from '../../src/errors.ts'
import { FOLDS as SPECS } from '../../src/ledger/contract.ts'
import { LedgerError } from '../../src/ledger/errors.ts'
import type { ErasureResult } from '../../src/store/erasure.ts'
import { StoreError } from '../../src/store/errors.ts'
import { Keys } from '../../src/store/keys.ts'
import { newScript, testHandlers } from '../support/ledger-handlers.ts'
import { OPERATOR, ORIGIN, OWNER, say, TestLog } from '../support/test-log.ts'

const keys = new Keys(ORIGIN)
const nameOf = (key: Uint8Array): string => Buffer.from(key).toString('latin1')

const codeOf = async (promise: Promise<unknown>): Promise<string> => {
  try {
    await promise
  } catch (error) {
    if (error instanceof ServiceError || error instanceof LedgerError) return error.code
    throw error
  }
  return 'accepted'
}

/** The code of what stopped the log, as the store or the ledger named it. */
const stopOf = ({ fatal }: TestLog): string | undefined => {
  const [first] = fatal
  const found = first?.cause instanceof StoreError ? first.cause : first
  return found instanceof StoreError || found instanceof LedgerError ? found.code : undefined
}

const flip = (test: TestLog, key: Uint8Array, at: number): void => {
  const value = test.disk.get(nameOf(key))
  if (value === undefined) throw new Error('there is no such key')
  test.disk.set(
    nameOf(key),
    value.map((byte, i) => (i === at ? byte ^ 1 : byte)),
  )
}

/** Hides keys of folds from `get`, not from scans, as a flipped bit of LevelDB's own filter does. */
const hide = (test: TestLog, folds: readonly number[]): void => {
  const { store } = test
  const get = store.get.bind(store)
  store.get = (key) => {
    const isHidden = key[9] === 0x66 && folds.includes(key[10] ?? -1)
    return isHidden ? undefined : get(key)
  }
}

const settle = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 20))

describe('a key of a fold that only get has lost', () => {
  it('is not taken for new: no second entry, no forked chain', async () => {
    const test = await TestLog.create()
    const one = say(OWNER)
    await test.submit(one)
    hide(test, [SPECS.dedup.id])
    expect(await codeOf(test.submit(one))).toBe('outcome_unknown')
    expect(stopOf(test)).toBe('fold_key_lost')
    expect(test.database.size).toBe(3)
  })

  it('is noticed in a fold that is read while others are written', async () => {
    const test = await TestLog.create()
    await test.submit(say(OWNER))
    hide(test, [SPECS.chains.id])
    expect(await codeOf(test.submit(say(OWNER)))).toBe('outcome_unknown')
    expect(stopOf(test)).toBe('fold_key_lost')
    expect(test.database.size).toBe(3)
  })

  it('is noticed after a start too, whose scan has filled the filter', async () => {
    const test = await TestLog.create()
    const one = say(OWNER)
    await test.submit(one)
    await test.log.close()
    await test.open()
    hide(test, [SPECS.dedup.id])
    expect(await codeOf(test.submit(one))).toBe('outcome_unknown')
    expect(stopOf(test)).toBe('fold_key_lost')
  })

  it('is noticed where a view reads it, behind the answer', async () => {
    const test = await TestLog.create()
    await test.submit(say(OWNER, { sub: 'somebody' }))
    hide(test, [SPECS.names.id])
    const view = test.log.view()
    expect(view.get(SPECS.names, new Uint8Array(Buffer.from('nobody')))).toBeUndefined()
    await settle()
    expect(test.fatal).toEqual([])
    expect(view.get(SPECS.names, new Uint8Array(Buffer.from('somebody')))).toBeUndefined()
    await settle()
    expect(stopOf(test)).toBe('fold_key_lost')
  })

  it('is told from one that was deleted, which the filter still has', async () => {
    const test = await TestLog.create()
    const names = (i: number, forget: boolean) =>
      say(OWNER, { sub: `name-${i}`, payload: { forget } })
    for (const forget of [false, true, false, true, true]) {
      await Promise.all(Array.from({ length: 30 }, (_, i) => test.submit(names(i, forget))))
    }
    expect(test.fatal).toEqual([])
    expect(test.log.head().size).toBe(152)
    expect((await test.audit()).difference).toBeUndefined()
  })
})

describe('a read that finds damage stops the log', () => {
  const long = async (): Promise<TestLog> => {
    const test = await TestLog.create()
    await Promise.all(Array.from({ length: 700 }, () => test.submit(say(OWNER))))
    await test.log.close()
    await test.open()
    return test
  }

  it('an entry', async () => {
    const test = await long()
    // What the start has read is in memory still: as one that it has not.
    test.database.entry = () => {
      throw new StoreError('entry_mismatch', 'damaged')
    }
    expect(() => test.log.reader.entryBytes(300)).toThrow(StoreError)
    expect(test.log.stats().stopped).toBe(true)
    expect(await codeOf(test.submit(say(OWNER)))).toBe('log_stopped')
    expect(test.fatal).toHaveLength(1)
  })

  it('a tile, whichever of its hashes changed, before a proof is made of it', async () => {
    for (const at of [0, 110, 255]) {
      const test = await long()
      flip(test, keys.tile(0, 0), 32 * at)
      expect(() => test.log.reader.consistency(100, 702)).toThrow(
        expect.objectContaining({ code: 'tile_corrupt' }),
      )
      expect(stopOf(test)).toBe('tile_corrupt')
      expect(() => test.log.reader.tile(0, 0, 256)).toThrow(StoreError)
    }
  })

  it('a tile that is gone', async () => {
    const test = await long()
    test.disk.delete(nameOf(keys.tile(0, 1)))
    expect(() => test.log.reader.tile(0, 1, 256)).toThrow(StoreError)
    expect(test.log.stats().stopped).toBe(true)
  })

  it('but no range that is asked for wrongly, and no read of a store that was closed', async () => {
    const test = await long()
    expect(() => test.log.reader.inclusion(900, 702)).toThrow(ServiceError)
    await test.log.close()
    await test.store.close()
    expect(() => test.log.reader.pinned(new Uint8Array(32))).toThrow(
      expect.objectContaining({ code: 'store_closed' }),
    )
    expect(test.fatal).toEqual([])
  })
})

describe('disclosures', () => {
  const personal = async (): Promise<{ readonly test: TestLog; readonly index: number }> => {
    const test = await TestLog.create()
    const { index } = await test.submit(say(OWNER, { jti: 'personal', details: { name: 'Ada' } }))
    return { test, index }
  }
  const again = (test: TestLog): Promise<unknown> =>
    test.submit(say(OWNER, { jti: 'personal', details: { name: 'Ada' } }))

  it('are answered as they were committed to, or not at all', async () => {
    for (const at of [3, 9]) {
      const { test, index } = await personal()
      flip(test, keys.erasable(index, 0), at)
      expect(await codeOf(again(test))).toBe('outcome_unknown')
      expect(stopOf(test)).toBe('erasable_mismatch')
      await expect(test.open()).rejects.toThrow(/erasable_mismatch.*put a copy back/)
    }
  })

  it('are absent only where an erasure says so', async () => {
    const { test, index } = await personal()
    const value = test.disk.get(nameOf(keys.erasable(index, 0)))
    test.disk.delete(nameOf(keys.erasable(index, 0)))
    expect(await codeOf(again(test))).toBe('outcome_unknown')
    expect(stopOf(test)).toBe('erasable_missing')
    await expect(test.open()).rejects.toThrow('erasable_missing')
    if (value !== undefined) test.disk.set(nameOf(keys.erasable(index, 0)), value)
    await test.open()
    await test.submit(say(OPERATOR, { type: 'erasure', payload: { entries: [index] } }))
    expect(await codeOf(again(test))).toBe('accepted')
  })
})

describe('an answer that fails', () => {
  it('after its entry is durable says that the outcome is unknown, and a repeat tells it', async () => {
    const handlers = testHandlers(newScript()).map((handler) =>
      handler.type !== 'test.note'
        ? handler
        : {
            ...handler,
            answer() {
              throw new TypeError('a defect')
            },
          },
    )
    const test = await TestLog.create()
    await test.open((one) => {
      one.options = { handlers }
    })
    const one = say(OWNER)
    expect(await codeOf(test.submit(one))).toBe('outcome_unknown')
    expect([test.log.head().size, test.fatal.length]).toEqual([3, 0])
    await test.open((other) => {
      other.options = {}
    })
    expect(await test.submit(one)).toMatchObject({ index: 2, repeated: true })
  })
})

describe('erasures', () => {
  const erasure = (index: number) =>
    say(OPERATOR, { type: 'erasure', payload: { entries: [index] } })

  /** A log whose erasure cannot run: somebody has a scan open. */
  const waiting = async (over: Partial<TestLog['options']> = {}) => {
    const results: ErasureResult[] = []
    const test = await TestLog.create((one) => {
      one.options = { onErasure: (result) => results.push(result), ...over }
    })
    const { index } = await test.submit(say(OWNER, { details: 'personal' }))
    const scan = test.store.scan(keys.all())[Symbol.asyncIterator]()
    await scan.next()
    const ordered = await test.submit(erasure(index))
    return { test, scan, index, job: ordered.index, results }
  }

  it('are due until their mark says otherwise: there is no list of them to lose', async () => {
    const { test, scan, index, job, results } = await waiting()
    expect([...test.disk.keys()].filter((name) => name[9] === 'j')).toEqual([])
    const copy = new Map(test.disk)
    expect(await test.audit()).toMatchObject({ ok: true, erasuresDue: 1 })
    await scan.return?.()
    await test.log.close()
    test.disk.clear()
    for (const [name, value] of copy) test.disk.set(name, value)
    await test.open()
    await settle()
    expect(results.at(-1)).toMatchObject({ job, gone: true, targets: [{ index, ordinal: 0 }] })
    expect(test.disk.has(nameOf(keys.erasureDone(job)))).toBe(true)
    expect(await test.audit()).toMatchObject({ ok: true, erasuresDue: 0, erased: 1 })
    const before = results.length
    await test.log.close()
    await test.open()
    await settle()
    expect(results.length).toBe(before)
    await test.log.close()
    // A mark that is lost costs a second run, and one that is false a start.
    test.disk.delete(nameOf(keys.erasureDone(job)))
    await test.open()
    await settle()
    expect(results.length).toBe(before + 1)
    await test.log.close()
    const mark = test.disk.get(nameOf(keys.erasureDone(job))) ?? new Uint8Array(0)
    test.disk.set(nameOf(keys.erasureDone(1)), mark)
    await expect(test.open()).rejects.toThrow('value_corrupt')
  })

  it('do not keep a log from closing', async () => {
    const { test, scan, results } = await waiting()
    await test.log.close()
    expect(results).toEqual([])
    await scan.return?.()
  })

  it('that were not done are tried again', async () => {
    const results: ErasureResult[] = []
    const test = await TestLog.create((one) => {
      one.options = { erasureRetryMs: 1, onErasure: (result) => results.push(result) }
    })
    const { index } = await test.submit(say(OWNER, { details: 'personal' }))
    // The database itself answers the value while it is held back.
    const key = keys.erasable(index, 0)
    const { store } = test
    const get = store.get.bind(store)
    const value = get(key)
    store.get = (one) => (nameOf(one) === nameOf(key) ? value : get(one))
    await test.submit(erasure(index))
    await settle()
    expect(results.length).toBeGreaterThan(0)
    expect(results.every(({ gone }) => !gone)).toBe(true)
    store.get = get
    await settle()
    expect(results.at(-1)?.gone).toBe(true)
    await test.log.close()
  })
})
