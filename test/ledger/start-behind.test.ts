/**
 * Goal: what a start leaves to be checked behind it is damage to nobody: while it is not checked nothing is registered
 * twice and nothing is taken for absent, whatever `get` hides; it is checked, by name, whether the log is scrubbed or not;
 * and a start after one that met damage answers nothing before it has checked everything.
 * Method: a log in memory whose scans of whole folds are held, so that the check behind the start does not get on, over a
 * store that bends `get`; then the same let go.
 */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { ServiceError } from '../../src/errors.ts'
import { FOLDS } from '../../src/ledger/contract.ts'
import { LedgerError } from '../../src/ledger/errors.ts'
import type { Submitted } from '../../src/ledger/prepare.ts'
import { StoreError } from '../../src/store/errors.ts'
import { Keys } from '../../src/store/keys.ts'
import type { ScanRange } from '../../src/store/store.ts'
import { OPERATOR, ORIGIN, OWNER, say, TestLog } from '../support/test-log.ts'

const keys = new Keys(ORIGIN)
const FOLD_KEY_BYTES = keys.fold(1, new Uint8Array(0)).length
const nameOf = (key: Uint8Array): string => Buffer.from(key).toString('latin1')
const isFoldKey = (name: string): boolean => name[FOLD_KEY_BYTES - 2] === 'f'
const isOf = (id: number) => (name: string) =>
  isFoldKey(name) && name.charCodeAt(FOLD_KEY_BYTES - 1) === id

async function until(holds: () => boolean): Promise<void> {
  const end = performance.now() + 20_000
  while (!holds()) {
    if (performance.now() > end) expect.fail('it did not happen')
    await new Promise((resolve) => setTimeout(resolve, 2))
  }
}

/** What stopped a log, as the store or the ledger named it. */
const stopOf = ({ fatal }: TestLog): string | undefined => {
  const cause = fatal[0]?.cause ?? fatal[0]
  return cause instanceof StoreError || cause instanceof LedgerError ? cause.code : undefined
}

/** Ids of the folds that are not in memory, and so are left by a start. */
const LEFT: ReadonlySet<number> = new Set(
  Object.values(FOLDS).flatMap(({ id, resident }) => (resident ? [] : [id])),
)

/** Holds every scan of a whole such fold behind its first step, which has seen what there is. Returns what lets go. */
function holdFoldScans(test: TestLog): () => void {
  let letGo = (): void => undefined
  const held = new Promise<void>((resolve) => {
    letGo = resolve
  })
  const { store } = test
  const scan = store.scan.bind(store)
  store.scan = async function* (range: ScanRange) {
    const rows = scan(range)[Symbol.asyncIterator]()
    const first = rows.next()
    const isWhole = range.gte.length === FOLD_KEY_BYTES && range.limit === undefined
    if (isWhole && isFoldKey(nameOf(range.gte)) && LEFT.has(range.gte.at(-1) ?? 0)) await held
    try {
      for (let step = await first; step.done !== true; step = await rows.next()) yield step.value
    } finally {
      await rows.return?.()
    }
  }
  return letGo
}

/** Bends what `get` finds under keys of folds. */
function bendGet(
  test: TestLog,
  bend: (name: string, value: Uint8Array | undefined) => Uint8Array | undefined,
): void {
  const { store } = test
  const get = store.get.bind(store)
  store.get = (key) => {
    const name = nameOf(key)
    return isFoldKey(name) ? bend(name, get(key)) : get(key)
  }
}

/** A log of statements of several subjects, some disclosed, and what they were. */
async function written(count: number): Promise<{ test: TestLog; said: readonly Submitted[] }> {
  const test = await TestLog.create()
  const said = Array.from({ length: count }, (_, n) =>
    say(OWNER, {
      sub: `name-${n % 5}`,
      payload: { forget: n % 3 === 0 },
      ...(n % 4 === 0 && { details: `detail ${n}` }),
    }),
  )
  for (const one of said) await test.submit(one)
  await test.log.close()
  return { test, said }
}

/** Submits again; undefined if the log had stopped, or stopped over it. */
async function again(test: TestLog, one: Submitted): Promise<number | undefined> {
  try {
    const { index } = await test.log.submit(one)
    return index
  } catch (thrown) {
    if (thrown instanceof ServiceError && thrown.code === 'outcome_unknown') return undefined
    if (thrown instanceof LedgerError && thrown.code === 'log_stopped') return undefined
    throw thrown
  }
}

describe('right after a start, while no fold is checked', () => {
  it('nothing is registered twice, whatever keys get hides', async () => {
    const { test, said } = await written(24)
    const disk = new Map(test.disk)
    const { head } = test.record
    const isLeft = (name: string): boolean =>
      isFoldKey(name) && LEFT.has(name.charCodeAt(FOLD_KEY_BYTES - 1))
    const names = [...disk.keys()].filter(isLeft)
    const { size } = test.log.head()
    const hidden = fc.uniqueArray(fc.constantFrom(...names), { minLength: 1, maxLength: 12 })
    const order = fc.shuffledSubarray([...said.keys()], { minLength: 8 })
    await fc.assert(
      fc.asyncProperty(hidden, order, async (chosen, statements) => {
        const one = new TestLog()
        for (const [name, value] of disk) one.disk.set(name, value.slice())
        one.record.head = head
        let letGo = (): void => undefined
        await one.open(() => {
          letGo = holdFoldScans(one)
        })
        bendGet(one, (name, value) => (chosen.includes(name) ? undefined : value))
        for (const at of statements) {
          const index = await again(one, said[at] ?? say(OWNER))
          if (index === undefined) expect(stopOf(one)).toBe('fold_key_lost')
          else expect(index).toBe(at + 2)
          if (one.fatal.length === 0) await again(one, say(OWNER, { sub: `name-${at % 5}` }))
        }
        // Every entry is its chain's next: had a lost end been taken for none, a link would say 0 twice.
        const seen = new Set<string>()
        for (let index = 0; index < one.database.size; index++) {
          for (const { subject, seq } of one.log.reader.registered(index)?.entry.links ?? []) {
            expect(seen.has(`${subject} ${seq}`)).toBe(false)
            seen.add(`${subject} ${seq}`)
          }
        }
        expect(one.database.size).toBeGreaterThanOrEqual(size)
        letGo()
        await until(() => one.fatal.length > 0)
        expect(stopOf(one)).toBe('fold_key_lost')
        await one.log.close()
      }),
      { numRuns: 25 },
    )
  })

  it('an older value under a key that was written again is named by the check', async () => {
    const { test } = await written(3)
    const older = new Map(test.disk)
    await test.open()
    await test.submit(say(OWNER))
    await test.log.close()
    let letGo = (): void => undefined
    await test.open(() => {
      letGo = holdFoldScans(test)
    })
    bendGet(test, (name, value) => (isOf(FOLDS.chains.id)(name) ? older.get(name) : value))
    letGo()
    await until(() => test.fatal.length > 0)
    expect(stopOf(test)).toBe('value_corrupt')
    await test.log.close()
  })

  it('statements are taken, and each key is looked for once', async () => {
    const { test, said } = await written(40)
    let letGo = (): void => undefined
    let looks = 0
    await test.open(() => {
      letGo = holdFoldScans(test)
      const { store } = test
      const scan = store.scan.bind(store)
      store.scan = (range) => {
        if (range.limit === 1) looks++
        return scan(range)
      }
    })
    // Everything is asked for again and again, as if nothing were kept in memory.
    for (let round = 0; round < 3; round++)
      for (const [at, one] of said.entries()) expect(await again(test, one)).toBe(at + 2)
    const forOld = looks
    expect(forOld).toBeLessThanOrEqual(2 * said.length)
    await Promise.all(Array.from({ length: 50 }, () => test.submit(say(OWNER))))
    // Dedup, by view and writer together, and what the entry writes without having read it.
    expect((looks - forOld) / 50).toBeLessThan(4)
    expect(test.log.stats().startChecked).toBeLessThan(1)
    letGo()
    await until(() => test.log.stats().startChecked === 1)
    looks = 0
    await Promise.all(Array.from({ length: 50 }, () => test.submit(say(OWNER))))
    expect(looks).toBeLessThan(10)
    expect(test.fatal).toEqual([])
    test.check()
    await test.log.close()
    expect((await test.audit()).difference).toBeUndefined()
  })

  it('what is committed beside the check is known to it: hidden later, it is missed', async () => {
    const { test } = await written(10)
    let letGo = (): void => undefined
    await test.open(() => {
      letGo = holdFoldScans(test)
    })
    const late = say(OWNER)
    const { index } = await test.submit(late)
    letGo()
    await until(() => test.log.stats().startChecked === 1)
    expect(await again(test, late)).toBe(index)
    bendGet(test, (name, value) => (isOf(FOLDS.dedup.id)(name) ? undefined : value))
    expect(await again(test, late)).toBeUndefined()
    expect(stopOf(test)).toBe('fold_key_lost')
    await test.log.close()
  })
})

describe('the check behind a start', () => {
  it('is done once, says so, and says how far it is, without a scrub', async () => {
    const { test } = await written(30)
    const took: number[] = []
    let letGo = (): void => undefined
    test.options = { onStartChecked: (ms) => took.push(ms) }
    await test.open(() => {
      letGo = holdFoldScans(test)
    })
    expect(test.log.stats()).toMatchObject({ startChecked: 0, scrub: undefined })
    expect(took).toEqual([])
    letGo()
    await until(() => took.length > 0)
    expect(test.log.stats().startChecked).toBe(1)
    await test.log.close()
    expect(took).toHaveLength(1)
  })

  it('has nothing to do for a new log', async () => {
    const test = await TestLog.create()
    expect(test.log.stats().startChecked).toBe(1)
  })

  it('ends with the log, whatever is left', async () => {
    const { test } = await written(30)
    await test.open()
    await test.log.close()
    expect(test.fatal).toEqual([])
  })

  it.each<readonly [string, string, (test: TestLog) => void]>([
    [
      'a value of a fold that was changed',
      'value_corrupt',
      ({ disk }) => flip(disk, [...disk.keys()].find(isOf(FOLDS.dedup.id))),
    ],
    [
      'a key of a fold that is gone',
      'set_digest_mismatch',
      ({ disk }) => disk.delete([...disk.keys()].findLast(isOf(FOLDS.chains.id)) ?? ''),
    ],
    [
      'a disclosure that was changed',
      'erasable_mismatch',
      ({ disk }) =>
        flip(
          disk,
          [...disk.keys()].find((name) => name[FOLD_KEY_BYTES - 2] === 'x'),
        ),
    ],
    [
      'a disclosure that is gone',
      'erasable_missing',
      ({ disk }) =>
        disk.delete([...disk.keys()].find((name) => name[FOLD_KEY_BYTES - 2] === 'x') ?? ''),
    ],
  ])('finds %s, stops the log, and the next start answers nothing', async (_, code, damage) => {
    const { test } = await written(30)
    const whole = new Map([...test.disk].map(([name, value]) => [name, value.slice()]))
    damage(test)
    await test.open()
    await until(() => test.fatal.length > 0)
    expect(stopOf(test)).toBe(code)
    await expect(test.log.submit(say(OWNER))).rejects.toMatchObject({ code: 'log_stopped' })
    await test.log.close()
    for (let n = 0; n < 2; n++) await expect(test.open()).rejects.toThrow(code)
    // Put back what was there: the start passes, and the one after it leaves the check behind it again.
    test.disk.clear()
    for (const [name, value] of whole) test.disk.set(name, value)
    test.fatal.length = 0
    await test.open()
    expect([test.log.stats().startChecked, test.isDamaged]).toEqual([1, false])
    await test.log.close()
    let letGo = (): void => undefined
    await test.open(() => {
      letGo = holdFoldScans(test)
    })
    expect(test.log.stats().startChecked).toBe(0)
    letGo()
    await until(() => test.log.stats().startChecked === 1)
    await test.submit(say(OPERATOR))
    await test.log.close()
    expect(test.fatal).toEqual([])
  })
})

function flip(disk: TestLog['disk'], name: string | undefined): void {
  const value = disk.get(name ?? '') ?? expect.fail('there is no such key')
  disk.set(
    name ?? '',
    value.map((byte, at) => (at === 5 ? byte ^ 1 : byte)),
  )
}
