/**
 * @module The contract of `Store` (src/store/store.ts), run against each implementation by its own test file.
 */
import { describe, expect, test } from 'vitest'
import type { Op, Row, ScanRange, Store } from '../../src/store/store.ts'

/** A store that can be closed and opened again on the same bytes. */
export interface StoreUnderTest {
  /** An empty store. */
  readonly create: () => Promise<Store>
  /** The store again, after `close`. */
  readonly reopen: (store: Store) => Promise<Store>
}

const bytes = (...values: number[]): Uint8Array => Uint8Array.from(values)
const put = (key: Uint8Array, value: Uint8Array): Op => ({ type: 'put', key, value })
const del = (key: Uint8Array): Op => ({ type: 'del', key })

/** Collects a scan as plain arrays. */
async function rowsOf(store: Store, range: ScanRange): Promise<[number[], number[]][]> {
  const rows: [number[], number[]][] = []
  for await (const { key, value } of store.scan(range)) rows.push([[...key], [...value]])
  return rows
}

/** Registers the tests of the contract. */
export function describeStore(name: string, { create, reopen }: StoreUnderTest): void {
  describe(name, () => {
    const everything = { gte: bytes(), lt: bytes(255, 255) }

    test('a write is there at once, and after reopening; a delete removes', async () => {
      let store = await create()
      await store.write([
        put(bytes(1), bytes(10)),
        put(bytes(2), bytes(20)),
        put(bytes(3), bytes()),
      ])
      await store.write([del(bytes(2)), put(bytes(1), bytes(11))])
      await store.close()
      store = await reopen(store)
      expect([...(store.get(bytes(1)) ?? [])]).toEqual([11])
      expect(store.get(bytes(2))).toBeUndefined()
      expect([...(store.get(bytes(3)) ?? [99])]).toEqual([])
      await store.close()
    })

    test('ops of one write apply in their order', async () => {
      const store = await create()
      await store.write([put(bytes(1), bytes(1)), del(bytes(1)), put(bytes(1), bytes(2))])
      await store.write([put(bytes(2), bytes(2)), del(bytes(2))])
      expect(await rowsOf(store, everything)).toEqual([[[1], [2]]])
      await store.close()
    })

    test('scans go by bytes, half-open, both ways, limited, and without values', async () => {
      const store = await create()
      const keys = [[0], [0, 0], [1], [1, 255], [2], [127], [128], [128, 0], [255]]
      await store.write(keys.map((key) => put(Uint8Array.from(key), bytes(key.length))))
      const all = await rowsOf(store, everything)
      expect(all.map(([key]) => key)).toEqual(keys)
      const some = await rowsOf(store, { gte: bytes(1), lt: bytes(128) })
      expect(some.map(([key]) => key)).toEqual([[1], [1, 255], [2], [127]])
      const last = await rowsOf(store, { ...everything, reverse: true, limit: 2 })
      expect(last).toEqual([
        [[255], [1]],
        [[128, 0], [2]],
      ])
      const bare = await rowsOf(store, { gte: bytes(2), lt: bytes(3), keysOnly: true })
      expect(bare).toEqual([[[2], []]])
      expect(await rowsOf(store, { gte: bytes(3), lt: bytes(4) })).toEqual([])
      await store.close()
    })

    test('a long scan is whole, in both directions', async () => {
      const store = await create()
      const count = 2600
      const keyOf = (i: number): Uint8Array => bytes(Math.floor(i / 256), i % 256)
      await store.write(Array.from({ length: count }, (_, i) => put(keyOf(i), new Uint8Array(300))))
      const forward = await rowsOf(store, everything)
      const backward = await rowsOf(store, { ...everything, reverse: true })
      expect(forward.length).toBe(count)
      expect(backward.reverse()).toEqual(forward)
      await store.close()
    })

    test('a scan sees the store as at its first step', async () => {
      const store = await create()
      await store.write([put(bytes(1), bytes(1)), put(bytes(3), bytes(3))])
      const scan = store.scan(everything)[Symbol.asyncIterator]()
      const first = await scan.next()
      await store.write([put(bytes(2), bytes(2)), del(bytes(3)), put(bytes(1), bytes(9))])
      const rest: Row[] = []
      for (let step = await scan.next(); step.done !== true; step = await scan.next()) {
        rest.push(step.value)
      }
      expect([...first.value.value]).toEqual([1])
      expect(rest.map(({ key, value }) => [[...key], [...value]])).toEqual([[[3], [3]]])
      await store.close()
    })

    test('arrays given in and got out are the caller’s', async () => {
      const store = await create()
      // A Buffer, since its slice() is no copy.
      const value = Buffer.from([1, 2, 3])
      await store.write([put(bytes(1), value)])
      value.fill(0)
      store.get(bytes(1))?.fill(7)
      for await (const row of store.scan(everything)) {
        row.value.fill(8)
        row.key.fill(8)
      }
      expect([...(store.get(bytes(1)) ?? [])]).toEqual([1, 2, 3])
      await store.close()
    })

    test('open scans are counted; scansEnded waits for those open at the call', async () => {
      const store = await create()
      await store.write([put(bytes(1), bytes(1)), put(bytes(2), bytes(2))])
      const old = store.scan(everything)[Symbol.asyncIterator]()
      await old.next()
      expect(store.openScans()).toBe(1)
      let ended = false
      const wait = store.scansEnded().then(() => {
        ended = true
      })
      const later = store.scan(everything)[Symbol.asyncIterator]()
      await later.next()
      expect(store.openScans()).toBe(2)
      expect(ended).toBe(false)
      await old.return?.()
      await wait
      expect(store.openScans()).toBe(1)
      await later.return?.()
      for await (const _row of store.scan(everything)) break
      expect(store.openScans()).toBe(0)
      await store.close()
    })

    test('after close everything is refused, and a second close does nothing', async () => {
      const store = await create()
      await store.close()
      await store.close()
      expect(() => store.get(bytes(1))).toThrow(expect.objectContaining({ code: 'store_closed' }))
      await expect(store.write([put(bytes(1), bytes(1))])).rejects.toMatchObject({
        code: 'store_closed',
      })
      await expect(rowsOf(store, everything)).rejects.toMatchObject({ code: 'store_closed' })
      await expect(store.compact(everything)).rejects.toMatchObject({ code: 'store_closed' })
    })

    test('compacting changes nothing that is read', async () => {
      const store = await create()
      await store.write([put(bytes(1), bytes(1)), put(bytes(2), bytes(2))])
      await store.write([del(bytes(1))])
      await store.compact(everything)
      expect(await rowsOf(store, everything)).toEqual([[[2], [2]]])
      await store.close()
    })
  })
}
