/**
 * @module Goal: the cache keeps what is used again, at most as many as it may, and nothing that is too large.
 */
import { expect, test } from 'vitest'
import { Cache } from '../../src/ledger/cache.ts'

test('lets go of what was not used again, and of the oldest if all was', () => {
  const made: number[] = []
  const cache = new Cache<number, { readonly n: number }>(2)
  const get = (n: number) =>
    cache.get(n, () => {
      made.push(n)
      return { n }
    })
  for (const n of [1, 2, 2, 1, 1, 3, 1, 2]) expect(get(n)).toEqual({ n })
  expect(made).toEqual([1, 2, 3, 2])
})

test('spares what was used once for each use, and never lets go of what has just come for it', () => {
  const made: number[] = []
  const cache = new Cache<number, { readonly n: number }>(2)
  const get = (n: number) =>
    cache.get(n, () => {
      made.push(n)
      return { n }
    })
  for (const n of [1, 2, 1, 2, 3, 2, 3, 4, 3, 4]) expect(get(n)).toEqual({ n })
  expect(made).toEqual([1, 2, 3, 4])
})

test('answers what is not to be kept, and makes it anew each time; undefined too', () => {
  const made: number[] = []
  const cache = new Cache<number, { readonly n: number }>(9, ({ n }) => n < 5)
  const get = (n: number) =>
    cache.get(n, () => {
      made.push(n)
      return n === 0 ? undefined : { n }
    })
  for (const n of [7, 4, 0, 7, 4, 0]) expect(get(n)).toEqual(n === 0 ? undefined : { n })
  expect(made).toEqual([7, 4, 0, 7, 0])
})
