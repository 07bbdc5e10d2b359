/**
 * Goal: what changes on disk behind a running log is found by the scrub, by name, and stops it; what only goes on (batches,
 * deletions, erasures) is never taken for damage; it goes no faster than it may and goes on after a restart.
 * Method: a log in memory whose disk is changed under it, one space of keys after the other; and one under load, whose
 * statements overwrite, delete and erase while several passes run.
 */
import { describe, expect, it } from 'vitest'
import { FOLDS } from '../../src/ledger/contract.ts'
import { LedgerError } from '../../src/ledger/errors.ts'
import type { ScrubPlace } from '../../src/ledger/scrub.ts'
import { StoreError } from '../../src/store/errors.ts'
import { Keys } from '../../src/store/keys.ts'
import { OPERATOR, ORIGIN, OWNER, say, TestLog } from '../support/test-log.ts'

const keys = new Keys(ORIGIN)
const nameOf = (key: Uint8Array): string => Buffer.from(key).toString('latin1')
const forgetful: ScrubPlace = { load: () => undefined, save: () => undefined }
const fast = { bytesPerS: Number.POSITIVE_INFINITY, place: forgetful, restMs: 1 }

/** A log of some batches, opened anew with a scrub. */
async function scrubbed(
  count: number,
  scrub: TestLog['options']['scrub'] = fast,
): Promise<TestLog> {
  const test = await TestLog.create()
  for (let n = 0; n < count; n += 100) {
    const all = Array.from({ length: 100 }, (_, i) =>
      test.submit(say(OWNER, i % 10 === 0 ? { details: `detail ${n + i}` } : { sub: `name-${i}` })),
    )
    await Promise.all(all)
  }
  await test.log.close()
  test.options = { ...test.options, ...(scrub && { scrub }) }
  await test.open()
  return test
}

async function until(holds: () => boolean, ms = 50_000): Promise<void> {
  const end = performance.now() + ms
  while (!holds()) {
    if (performance.now() > end) expect.fail('it did not happen')
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}

const passes = (test: TestLog): number => test.log.stats().scrub?.passes ?? -1

const stopOf = ({ fatal }: TestLog): string | undefined => {
  const [first] = fatal
  const found = first?.cause instanceof StoreError ? first.cause : first
  return found instanceof StoreError || found instanceof LedgerError ? found.code : undefined
}

describe('damage is found by the next pass, and stops the log by name', () => {
  it.each<readonly [string, RegExp, Uint8Array]>([
    ['the first bundle', /batch_record_corrupt/, keys.bundle(0)],
    ['a tile', /batch_record_corrupt/, keys.tile(0, 0)],
    ['an old batch record', /batch_record_corrupt/, keys.batchRecord(2)],
    ['a disclosure', /erasable_mismatch/, keys.erasable(2, 0)],
  ])('%s that was changed', async (_, code, key) => {
    const test = await scrubbed(600)
    await until(() => passes(test) > 0)
    expect(test.fatal).toEqual([])
    const name = nameOf(key)
    // The first entry with a disclosure need not be entry 2.
    const at = test.disk.has(name)
      ? name
      : [...test.disk.keys()].find((one) => one.startsWith(name.slice(0, 10)))
    const value = test.disk.get(at ?? '') ?? expect.fail('there is no such key')
    test.disk.set(
      at ?? '',
      value.map((byte, i) => (i === 20 ? byte ^ 1 : byte)),
    )
    await until(() => test.fatal.length > 0)
    expect(stopOf(test)).toMatch(code)
    await expect(test.log.submit(say(OWNER))).rejects.toMatchObject({ code: 'log_stopped' })
  })

  it('a key of a fold that was lost, changed, put in, or hidden from get', async () => {
    const prefix = nameOf(keys.range('f', Uint8Array.of(FOLDS.dedup.id)).gte)
    const rows = ({ disk }: TestLog) => [...disk.keys()].filter((name) => name.startsWith(prefix))
    const damages: readonly (readonly [string, (test: TestLog) => void])[] = [
      ['set_digest_mismatch', (test) => test.disk.delete(rows(test)[7] ?? '')],
      ['value_corrupt', (test) => test.disk.set(rows(test)[7] ?? '', new Uint8Array(20))],
      [
        'value_corrupt',
        (test) => {
          // A whole row, sealed to another key.
          const [one = '', two = ''] = rows(test)
          test.disk.set(one, test.disk.get(two) ?? new Uint8Array(0))
        },
      ],
      [
        'fold_key_lost',
        (test) => {
          const hidden = rows(test)[7]
          const get = test.store.get.bind(test.store)
          test.store.get = (key) => (nameOf(key) === hidden ? undefined : get(key))
        },
      ],
    ]
    for (const [code, damage] of damages) {
      const test = await scrubbed(100, { ...fast, restMs: 100 })
      await until(() => passes(test) > 0)
      damage(test)
      // The store in memory keeps its keys sorted until it is written to.
      await test.store.write([{ type: 'del', key: keys.lost(0) }])
      await until(() => test.fatal.length > 0)
      expect(stopOf(test)).toBe(code)
      await test.log.close()
    }
  })
})

describe('a log that goes on', () => {
  it('is never taken for damaged, while batches, deletions and erasures come', async () => {
    const test = await scrubbed(300)
    const disclosed: number[] = []
    for (let round = 0; passes(test) < 2 || round < 12; round++) {
      const results = await Promise.all([
        ...Array.from({ length: 8 }, (_, i) =>
          test.submit(say(OWNER, { sub: `name-${i}`, payload: { forget: (round + i) % 2 === 0 } })),
        ),
        test.submit(say(OWNER, { details: `round ${round}` })),
      ])
      disclosed.push(results.at(-1)?.index ?? 0)
      if (round % 3 === 2) {
        const entries = disclosed.splice(0)
        await test.submit(say(OPERATOR, { type: 'erasure', payload: { entries } }))
      }
      if (round % 2 === 1) await new Promise((resolve) => setTimeout(resolve, 3))
      expect(test.fatal).toEqual([])
    }
    await test.log.close()
    expect((await test.audit()).difference).toBeUndefined()
  })

  it('goes no faster than it may, and says how far it is', async () => {
    const test = await scrubbed(1000, { ...fast, bytesPerS: 200_000 })
    await new Promise((resolve) => setTimeout(resolve, 1000))
    const { scrub } = test.log.stats()
    expect(scrub?.bytes).toBeGreaterThan(20_000)
    // What is read at once is paid for afterwards: a batch more than its due at most.
    expect(scrub?.bytes).toBeLessThan(200_000 * 1.5 + 200_000)
    expect(scrub?.position).toBeGreaterThan(0)
    await test.log.close()
  })

  it('goes on after a restart where it was', async () => {
    let kept: number | undefined
    const place: ScrubPlace = {
      load: () => kept,
      save: (size) => {
        kept = size
      },
    }
    const test = await scrubbed(300, { ...fast, place, bytesPerS: 100_000 })
    await until(() => kept !== undefined)
    await test.log.close()
    const bytesOfPass = async (from: ScrubPlace): Promise<number> => {
      test.options = { ...test.options, scrub: { ...fast, place: from, restMs: 20 } }
      await test.open()
      await until(() => passes(test) > 0 || test.fatal.length > 0)
      expect(test.fatal).toEqual([])
      const bytes = test.log.stats().scrub?.bytes ?? 0
      expect(test.fatal).toEqual([])
      await test.log.close()
      return bytes
    }
    const resumed = await bytesOfPass(place)
    expect(kept).toBeUndefined()
    expect(resumed).toBeLessThan(await bytesOfPass(forgetful))
    // Nonsense costs nothing.
    kept = 123_456
    expect(await bytesOfPass(place)).toBeGreaterThan(resumed)
  })

  it('ends between two steps when the log is closed', async () => {
    const test = await scrubbed(600, { ...fast, bytesPerS: 1 })
    await new Promise((resolve) => setTimeout(resolve, 50))
    const since = performance.now()
    await test.log.close()
    expect(performance.now() - since).toBeLessThan(2_000)
  })
})
