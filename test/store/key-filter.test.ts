/**
 * Goal: the filter never forgets a key, is seldom wrong about one it never had, and grows; rows in memory are in the
 * order of their keys whatever is done to them.
 * Method: many random keys beyond the first capacity; a model of sorted rows checked by random operations.
 */
import { createHash } from 'node:crypto'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { KeyDoubt, KeyFilter, keyedHash } from '../../src/store/key-filter.ts'
import { Database } from '../../src/store/database.ts'
import { Keys } from '../../src/store/keys.ts'
import { MemoryStore } from '../../src/store/memory-store.ts'
import type { MemoryDisk } from '../../src/store/memory-store.ts'
import type { KeyRange } from '../../src/store/store.ts'
import { SortedRows } from '../../src/store/sorted-rows.ts'
import { beginFold, checkFold } from '../../src/store/start-checks.ts'
import { StoredKeys } from '../../src/store/stored-keys.ts'
import {
  DEDUP,
  FOLDS,
  ORIGIN,
  REVOCATIONS,
  append,
  bytesOf,
  createDatabase,
} from './database-fixture.ts'

/** Of filters that are filled by hashes. */
const SEED = 7

const keyAt = (index: number): Uint8Array =>
  new Uint8Array(createHash('sha256').update(`key ${index}`).digest())

describe('the filter of keys', () => {
  test('has every key that was added, over several slices, and few others', () => {
    const filter = new KeyFilter()
    expect(filter.mayHave(keyAt(0))).toBe(false)
    const count = 60_000
    for (let i = 0; i < count; i++) filter.add(keyAt(i))
    let wrong = 0
    for (let i = 0; i < count; i++) expect(filter.mayHave(keyAt(i))).toBe(true)
    for (let i = 0; i < count; i++) if (filter.mayHave(keyAt(count + i))) wrong++
    // Three slices of 0.5 % each at the most; a filter that says yes to everything would have all.
    expect(wrong / count).toBeLessThan(0.02)
  })

  test('has every key, whatever number was expected: added one by one, or by their hashes', () => {
    const hashOf = (key: Uint8Array, seed: number): number => keyedHash(key, 0, key.length, seed)
    fc.assert(
      fc.property(fc.nat(40_000), fc.integer(), fc.nat(1_000_000), (expected, seed, first) => {
        const keys = Array.from({ length: 3000 }, (_, n) => keyAt(first + n))
        const filter = new KeyFilter(expected, seed)
        for (const key of keys) filter.add(key)
        const hashes = Uint32Array.from(keys, (key) => hashOf(key, seed))
        // As if there were more of them: the size of the filter is that of all hashes, equal ones too.
        const more = new Uint32Array(hashes.length + expected).fill(hashes[0] ?? 0)
        more.set(hashes, expected)
        const filled = KeyFilter.of(more, seed)
        expect(keys.filter((key) => !filter.mayHave(key) || !filled.mayHave(key))).toEqual([])
      }),
      { numRuns: 40 },
    )
  })
})

describe('a commit', () => {
  test('settles what it writes without having read it: a key deleted before is no doubt', async () => {
    const database = await createDatabase(new MemoryStore())
    for (let round = 0; round < 4; round++) {
      await append(database, 1, (batch) => {
        for (let i = 0; i < 50; i++) {
          if (round % 2 === 0) batch.put(DEDUP, keyAt(i), bytesOf(`${round}`))
          else batch.delete(DEDUP, keyAt(i))
        }
      })
    }
    expect(database.folds.reader(DEDUP).count()).toBe(0)
  })

  test('that would write over a key lost to get is refused', async () => {
    const store = new MemoryStore()
    const database = await createDatabase(store)
    await append(database, 1, (batch) => batch.put(DEDUP, keyAt(1), bytesOf('1')))
    const hidden = database.keys.fold(DEDUP, keyAt(1))
    const get = store.get.bind(store)
    store.get = (key) => (Buffer.compare(key, hidden) === 0 ? undefined : get(key))
    await expect(
      append(database, 1, (batch) => batch.put(DEDUP, keyAt(1), bytesOf('2'))),
    ).rejects.toMatchObject({ code: 'fold_key_lost', fatal: true })
    expect(database.size).toBe(1)
  })
})

describe('a fold that was opened', () => {
  /**
   * Keys 1 and 2, opened anew without a cache, after the files were read or not; `get` may be told to hide both. Counts how
   * often it is asked for a key of a fold.
   */
  const opened = async (
    isRead: boolean,
    isOverlooked: (key: Uint8Array) => boolean = () => false,
  ) => {
    const disk: MemoryDisk = new Map()
    await append(await createDatabase(new MemoryStore(disk)), 1, (batch) => {
      for (const at of [1, 2]) batch.put(DEDUP, keyAt(at), bytesOf(`${at}`))
    })
    const store = new MemoryStore(disk)
    const get = store.get.bind(store)
    const bent = { isHidden: false, gets: 0 }
    store.get = (key) => {
      const isOfFold = key[9] === 0x66
      if (isOfFold) bent.gets++
      return bent.isHidden && isOfFold ? undefined : get(key)
    }
    const storedKeys = new StoredKeys(new Keys(ORIGIN), SEED)
    if (isRead)
      for await (const { key } of store.scan(new Keys(ORIGIN).range('f')))
        if (!isOverlooked(key)) storedKeys.add(key, key.length)
    const compared = Promise.resolve(storedKeys.filters())
    const tables = { seed: SEED, compared, checkKey: () => undefined, checkRange: () => undefined }
    const options = { store, origin: ORIGIN, folds: FOLDS, foldCacheBytes: 0 }
    const database = await Database.open(isRead ? { ...options, tables } : options)
    await database.folds.compared()
    const damage: Error[] = []
    database.folds.onDamage((error) => damage.push(error))
    return { database, bent, damage, store }
  }
  const doubtOf = (read: () => unknown): KeyDoubt => {
    try {
      read()
    } catch (thrown) {
      if (thrown instanceof KeyDoubt) return thrown
      throw thrown
    }
    return expect.fail('it was believed')
  }
  const readIn = (database: Database, at: number) => () => database.folds.read(DEDUP, keyAt(at))
  const textIn = (database: Database, at: number): string =>
    Buffer.from(database.folds.read(DEDUP, keyAt(at))?.value ?? []).toString()
  const check = async (database: Database): Promise<void> => {
    for (const spec of database.folds.specs()) await checkFold(database, beginFold(database, spec))
  }

  test('after its files were read, misses what get loses from then on, and knows what is new without asking it', async () => {
    const { database, bent } = await opened(true)
    expect([textIn(database, 1), textIn(database, 3)]).toEqual(['1', ''])
    expect(bent.gets).toBe(1)
    bent.isHidden = true
    const lost = database.folds.settle(doubtOf(readIn(database, 1)))
    await expect(lost).rejects.toMatchObject({ code: 'fold_key_lost', fatal: true })
  })

  test('is not taken for one without a key that whoever read its files has overlooked, once it is checked', async () => {
    const second = new Keys(ORIGIN).fold(DEDUP, keyAt(2))
    const { database } = await opened(true, (key) => Buffer.compare(key, second) === 0)
    expect(textIn(database, 2)).toBe('')
    await expect(check(database)).rejects.toMatchObject({ code: 'fold_key_lost', fatal: true })
    expect(textIn(database, 2)).toBe('2')
  })

  test('while its files are compared, has them compared for each key and each scan first', async () => {
    const asked: string[] = []
    const tables = {
      seed: SEED,
      compared: new Promise<never>(() => undefined),
      checkKey: (key: Uint8Array) => asked.push(Buffer.from(key).toString('hex')),
      checkRange: ({ gte }: KeyRange) => asked.push(Buffer.from(gte).toString('hex')),
    }
    const store = new MemoryStore()
    await append(await createDatabase(store), 1, (batch) =>
      batch.put(DEDUP, keyAt(1), bytesOf('1')),
    )
    const database = await Database.open({ store, origin: ORIGIN, folds: FOLDS, tables })
    expect([textIn(database, 1), textIn(database, 2)]).toEqual(['1', ''])
    const shown: Uint8Array[] = []
    for await (const { key } of database.folds.reader(DEDUP).scan()) shown.push(key)
    expect(shown).toEqual([keyAt(1)])
    const keys = [database.keys.fold(DEDUP, keyAt(1)), database.keys.fold(DEDUP, keyAt(2))]
    const whole = database.keys.range('f', Uint8Array.of(DEDUP)).gte
    expect(asked).toEqual([...keys, whole].map((key) => Buffer.from(key).toString('hex')))
  })

  test('whose files nobody read has each key that is not found looked for until all were seen', async () => {
    const { database, bent } = await opened(false)
    expect(textIn(database, 1)).toBe('1')
    await database.folds.settle(doubtOf(readIn(database, 3)))
    expect(textIn(database, 3)).toBe('')
    bent.isHidden = true
    const lost = database.folds.settle(doubtOf(readIn(database, 1)))
    await expect(lost).rejects.toMatchObject({ code: 'fold_key_lost' })
  })

  test('is watched whole once all of it was seen: a view hears of a loss behind it', async () => {
    const { database, bent, damage } = await opened(false)
    await check(database)
    expect([textIn(database, 1), textIn(database, 3)]).toEqual(['1', ''])
    bent.isHidden = true
    expect(database.folds.view(DEDUP, keyAt(2))).toBeUndefined()
    await expect.poll(() => damage).toMatchObject([{ code: 'fold_key_lost' }])
    for (const at of [1, 2]) {
      const lost = database.folds.settle(doubtOf(readIn(database, at)))
      await expect(lost).rejects.toMatchObject({ code: 'fold_key_lost' })
    }
  })

  test('what a scan shows to be gone is settled until a commit writes it', async () => {
    const { database } = await opened(false)
    await check(database)
    await append(database, 1, (batch) => batch.delete(DEDUP, keyAt(2)))
    await database.folds.settle(doubtOf(readIn(database, 2)))
    expect(textIn(database, 2)).toBe('')
    await append(database, 1, (batch) => batch.put(DEDUP, keyAt(2), bytesOf('two')))
    expect(textIn(database, 2)).toBe('two')
    await append(database, 1, (batch) => batch.delete(DEDUP, keyAt(2)))
    await database.folds.settle(doubtOf(readIn(database, 2)))
  })

  test('is looked at once by all who doubt the same key', async () => {
    const { database, store } = await opened(false)
    await check(database)
    await append(database, 1, (batch) => batch.delete(DEDUP, keyAt(2)))
    let looks = 0
    const scan = store.scan.bind(store)
    store.scan = (range) => {
      looks++
      return scan(range)
    }
    const doubt = doubtOf(readIn(database, 2))
    await Promise.all([
      database.folds.settle(doubt),
      database.folds.settle(doubt),
      database.folds.settle(doubt),
    ])
    expect(looks).toBe(1)
  })
})

describe('sorted rows', () => {
  test('agree with a sorted list, and what was given out does not change', () => {
    const key = fc.uint8Array({ maxLength: 3 })
    const step = fc.record({
      key,
      value: fc.option(fc.nat(9), { nil: undefined }),
      look: fc.boolean(),
    })
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), key, (steps, prefix) => {
        const rows = new SortedRows<{ readonly key: Uint8Array; readonly value: number }>()
        const model = new Map<string, { readonly key: Uint8Array; readonly value: number }>()
        const looked: [given: readonly unknown[], copy: readonly unknown[]][] = []
        const name = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex')
        for (const one of steps) {
          if (one.look) {
            const given = rows.rows(new Uint8Array(0))
            looked.push([given, [...given]])
          }
          if (one.value === undefined) {
            rows.delete(one.key)
            model.delete(name(one.key))
          } else {
            const row = { key: one.key, value: one.value }
            rows.set(row)
            model.set(name(one.key), row)
          }
          expect(rows.get(one.key)).toEqual(model.get(name(one.key)))
        }
        const sorted = [...model.values()].sort((a, b) => Buffer.compare(a.key, b.key))
        expect(rows.rows(new Uint8Array(0))).toEqual(sorted)
        expect(rows.rows(prefix)).toEqual(
          sorted.filter((row) => name(row.key).startsWith(name(prefix))),
        )
        for (const [given, copy] of looked) expect(given).toEqual(copy)
      }),
    )
  })

  test('of a batch and of what is committed are one walk, rolled back or not', async () => {
    const operation = fc.record({
      key: fc.uint8Array({ minLength: 1, maxLength: 2, max: 3 }),
      value: fc.option(fc.nat(9), { nil: undefined }),
      scan: fc.boolean(),
      mark: fc.boolean(),
    })
    const operations = fc.array(operation, { maxLength: 20 })
    await fc.assert(
      fc.asyncProperty(operations, operations, async (committed, pending) => {
        const database = await createDatabase(new MemoryStore())
        const model = new Map<string, string>()
        const put = (into: Map<string, string>, one: (typeof committed)[number]): void => {
          const name = Buffer.from(one.key).toString('hex')
          if (one.value === undefined) into.delete(name)
          else into.set(name, `${one.value}`)
        }
        await append(database, 1, (batch) => {
          for (const one of committed) {
            if (one.value === undefined) batch.delete(REVOCATIONS, one.key)
            else batch.put(REVOCATIONS, one.key, bytesOf(`${one.value}`))
            put(model, one)
          }
        })
        const batch = database.begin()
        const shown = (): [string, string][] =>
          [...batch.scan(REVOCATIONS)].map(({ key, value }) => [
            Buffer.from(key).toString('hex'),
            Buffer.from(value).toString(),
          ])
        let mark = batch.snapshot()
        let marked = new Map(model)
        for (const one of pending) {
          if (one.mark) {
            mark = batch.snapshot()
            marked = new Map(model)
          }
          if (one.value === undefined) batch.delete(REVOCATIONS, one.key)
          else batch.put(REVOCATIONS, one.key, bytesOf(`${one.value}`))
          put(model, one)
          if (one.scan) expect(new Map(shown())).toEqual(model)
        }
        batch.rollbackTo(mark)
        model.clear()
        for (const [name, value] of marked) model.set(name, value)
        expect(new Map(shown())).toEqual(model)
        const names = shown().map(([name]) => name)
        expect(names).toEqual([...names].sort())
        database.drop(batch)
      }),
      { numRuns: 60 },
    )
  })
})
