/**
 * @module Goal: the cache answers what was set last or nothing, keeps what is used, and lets the rest go.
 */
import { expect, test } from 'vitest'
import { FoldCache, nameOfFoldKey } from '../../src/store/fold-cache.ts'
import { createDatabase, DEDUP, append, bytesOf } from './database-fixture.ts'
import { MemoryStore } from '../../src/store/memory-store.ts'

const keyOf = (n: number): Uint8Array => bytesOf(`key ${n}`)
const committed = (text: string) => ({ value: bytesOf(text), digest: undefined })

test('answers what was set last, apart for each fold, and nothing for what was deleted', () => {
  const cache = new FoldCache()
  cache.set(nameOfFoldKey(1, keyOf(1)), committed('a'))
  cache.set(nameOfFoldKey(2, keyOf(1)), committed('b'))
  expect(cache.get(nameOfFoldKey(1, keyOf(1)))?.value).toEqual(bytesOf('a'))
  expect(cache.get(nameOfFoldKey(2, keyOf(1)))?.value).toEqual(bytesOf('b'))
  cache.set(nameOfFoldKey(1, keyOf(1)), committed('c'))
  expect(cache.get(nameOfFoldKey(1, keyOf(1)))?.value).toEqual(bytesOf('c'))
  cache.set(nameOfFoldKey(1, keyOf(1)), undefined)
  expect(cache.get(nameOfFoldKey(1, keyOf(1)))).toBeUndefined()
  expect(cache.get(nameOfFoldKey(2, keyOf(1)))?.value).toEqual(bytesOf('b'))
})

test('keeps what is used and is bounded: of 10,000 values in room for 100 a few are left', () => {
  const cache = new FoldCache(100 * 300)
  for (let n = 0; n < 10_000; n++) {
    cache.set(nameOfFoldKey(1, keyOf(n)), committed(`${n}`))
    expect(cache.get(nameOfFoldKey(1, keyOf(0)))?.value).toEqual(bytesOf('0'))
  }
  const kept = Array.from({ length: 10_000 }, (_, n) =>
    cache.get(nameOfFoldKey(1, keyOf(n))),
  ).filter(Boolean)
  expect(kept.length).toBeGreaterThan(1)
  expect(kept.length).toBeLessThanOrEqual(100)
})

test('a value that was deleted does not come back with an older generation', () => {
  const cache = new FoldCache(4 * 600)
  cache.set(nameOfFoldKey(1, keyOf(0)), committed('old'))
  for (let n = 1; n < 4; n++) cache.set(nameOfFoldKey(1, keyOf(n)), committed(`${n}`))
  cache.set(nameOfFoldKey(1, keyOf(0)), undefined)
  for (let n = 1; n < 9; n++) expect(cache.get(nameOfFoldKey(1, keyOf(0)))).toBeUndefined()
})

test('a read of a kept value does not reach the disk; without a cache each does', async () => {
  for (const [bytes, reads] of [
    [0, 2],
    [1_000_000, 0],
  ] as const) {
    const store = new MemoryStore()
    const database = await createDatabase(store, bytes)
    await append(database, 1, (batch) => batch.put(DEDUP, keyOf(1), bytesOf('1')))
    const get = store.get.bind(store)
    let count = 0
    store.get = (key) => {
      count++
      return get(key)
    }
    for (let n = 0; n < 2; n++)
      expect(database.folds.reader(DEDUP).get(keyOf(1))).toEqual(bytesOf('1'))
    expect(count).toBe(reads)
  }
})

test('a key that no filter has is absent without a look at the disk', async () => {
  const store = new MemoryStore()
  const database = await createDatabase(store)
  store.get = () => {
    throw new Error('the disk was read')
  }
  expect(database.folds.reader(DEDUP).get(keyOf(1))).toBeUndefined()
})
