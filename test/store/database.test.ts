/**
 * Goal: what is committed is read back, in this process and after a restart, wherever it lies; a batch sees itself and
 * can be taken back; contradictions are refused before anything is written.
 * Method: a made-up log on the store in memory, its entries known by index.
 */
import { describe, expect, test } from 'vitest'
import { formatRun } from '../../src/store/entry-run.ts'
import { Database } from '../../src/store/database.ts'
import { Keys } from '../../src/store/keys.ts'
import { MemoryStore } from '../../src/store/memory-store.ts'
import { checkBatchRecords, checkSetDigests } from '../../src/store/start-checks.ts'
import {
  DEDUP,
  FOLDS,
  NAMES,
  ORIGIN,
  REVOCATIONS,
  append,
  bytesOf,
  createDatabase,
  digest,
  entryAt,
  inputFor,
  leafHashOf,
  openDatabase,
  rootAt,
} from './database-fixture.ts'

const key = bytesOf('key')

/** Collects an async iterable. */
async function all<T>(items: AsyncIterable<T>): Promise<T[]> {
  const list: T[] = []
  for await (const item of items) list.push(item)
  return list
}

describe('entries', () => {
  test('of batches of every size are read back by index, in ranges and as bundles, before and after a restart', async () => {
    const disk = new Map<string, Uint8Array>()
    const database = await createDatabase(new MemoryStore(disk))
    for (const count of [1, 254, 1, 1, 300, 256, 255, 700, 3]) await append(database, count)
    const size = 1771
    for (const reader of [database, await openDatabase(new MemoryStore(disk))]) {
      expect(reader.size).toBe(size)
      for (let index = 0; index < size; index++) expect(reader.entry(index)).toEqual(entryAt(index))
      expect(reader.entry(size)).toBeUndefined()
      expect(reader.entry(-1)).toBeUndefined()
      expect([...reader.entries(250, 20)]).toEqual(
        Array.from({ length: 20 }, (_, i) => entryAt(250 + i)),
      )
      expect([...reader.entries(size - 2, 20)].length).toBe(2)
      const second = Array.from({ length: 256 }, (_, i) => entryAt(256 + i))
      expect(reader.bundle(1)).toEqual(formatRun(second))
      expect(reader.bundle(1, 7)).toEqual(formatRun(second.slice(0, 7)))
      expect(reader.bundle(6, size - 1536)).toBeDefined()
      expect(reader.bundle(6, size - 1536 + 1)).toBeUndefined()
      expect(reader.tile(0, 5)?.length).toBe(8192)
      expect(reader.tile(0, 6)).toBeUndefined()
      expect(reader.tile(1, 0)).toBeUndefined()
      expect(reader.pendingLeafHashes()).toEqual(
        Array.from({ length: size - 1536 }, (_, i) => leafHashOf(entryAt(1536 + i))),
      )
    }
  })

  test('runs go when their bundle is full', async () => {
    const disk = new Map<string, Uint8Array>()
    const database = await createDatabase(new MemoryStore(disk))
    const spaceOf = (name: string): string | undefined => name[9]
    const runs = (): number => [...disk.keys()].filter((name) => spaceOf(name) === 'e').length
    for (let i = 0; i < 5; i++) await append(database, 51)
    expect(runs()).toBe(5)
    await append(database, 1)
    expect(runs()).toBe(0)
    await append(database, 300)
    expect(runs()).toBe(1)
  })
})

describe('batches', () => {
  test('read their own writes; nothing is committed before commit', async () => {
    const database = await createDatabase(new MemoryStore())
    await append(database, 1, (batch) => {
      batch.put(DEDUP, key, bytesOf('old'))
      batch.put(REVOCATIONS, key, bytesOf('old'))
    })
    const batch = database.begin()
    for (const fold of [DEDUP, REVOCATIONS]) {
      expect(batch.get(fold, key)).toEqual(bytesOf('old'))
      batch.put(fold, key, bytesOf('new'))
      expect(batch.get(fold, key)).toEqual(bytesOf('new'))
      expect(database.folds.reader(fold).get(key)).toEqual(bytesOf('old'))
      batch.delete(fold, key)
      expect(batch.has(fold, key)).toBe(false)
    }
    const pinned = batch.putPinned(bytesOf('policy'))
    expect(batch.pinned(pinned)).toEqual(bytesOf('policy'))
    expect(database.pinned(pinned)).toBeUndefined()
    await database.commit(batch, inputFor(1, 1))
    expect(database.folds.reader(DEDUP).get(key)).toBeUndefined()
    expect(database.folds.reader(REVOCATIONS).get(key)).toBeUndefined()
    expect(database.pinned(pinned)).toEqual(bytesOf('policy'))
  })

  test('are taken back to a mark, whatever happened since', async () => {
    const disk = new Map<string, Uint8Array>()
    const database = await createDatabase(new MemoryStore(disk))
    await append(database, 2, (batch) => {
      batch.put(DEDUP, key, bytesOf('committed'))
      batch.putErasable(0, 0, bytesOf('secret'))
    })
    const batch = database.begin()
    batch.put(DEDUP, bytesOf('kept'), bytesOf('1'))
    const mark = batch.snapshot()
    batch.put(DEDUP, bytesOf('kept'), bytesOf('2'))
    batch.delete(DEDUP, key)
    batch.put(NAMES, key, bytesOf('3'))
    const dropped = batch.putPinned(bytesOf('dropped'))
    batch.putErasable(2, 1, bytesOf('dropped'))
    batch.eraseErasable(0, [0], 2)
    batch.rollbackTo(mark)
    expect(batch.get(DEDUP, bytesOf('kept'))).toEqual(bytesOf('1'))
    expect(batch.get(DEDUP, key)).toEqual(bytesOf('committed'))
    await database.commit(batch, inputFor(2, 1))
    expect(database.folds.reader(NAMES).count()).toBe(0)
    expect(database.pinned(dropped)).toBeUndefined()
    expect((await database.erasable(2)).size).toBe(0)
    expect(database.erasableValue(0, 0)).toEqual(bytesOf('secret'))
    await checkSetDigests(await openDatabase(new MemoryStore(disk)))
  })

  test('scan a resident fold in order, their own changes included, and refuse to scan another', async () => {
    const database = await createDatabase(new MemoryStore())
    const put = (text: string): [Uint8Array, Uint8Array] => [bytesOf(text), bytesOf(text)]
    await append(database, 1, (batch) => {
      for (const text of ['b/2', 'a/1', 'b/1']) batch.put(REVOCATIONS, ...put(text))
    })
    const batch = database.begin()
    batch.put(REVOCATIONS, ...put('b/0'))
    batch.delete(REVOCATIONS, bytesOf('b/2'))
    const rows = [...batch.scan(REVOCATIONS, bytesOf('b/'))]
    expect(rows.map((row) => row.key)).toEqual([bytesOf('b/0'), bytesOf('b/1')])
    expect(() => batch.scan(DEDUP)).toThrow(expect.objectContaining({ code: 'fold_unknown' }))
    database.drop(batch)
    const committed = await all(database.folds.reader(REVOCATIONS).scan(bytesOf('b/')))
    expect(committed.map((row) => row.key)).toEqual([bytesOf('b/1'), bytesOf('b/2')])
  })

  test('come one at a time, and end with commit or drop', async () => {
    const database = await createDatabase(new MemoryStore())
    const batch = database.begin()
    expect(() => database.begin()).toThrow(expect.objectContaining({ code: 'batch_invalid' }))
    database.drop(batch)
    expect(() => batch.put(DEDUP, key, key)).toThrow(
      expect.objectContaining({ code: 'batch_invalid' }),
    )
    await expect(database.commit(batch, inputFor(0, 1))).rejects.toMatchObject({
      code: 'batch_invalid',
    })
    await append(database, 1)
    expect(database.size).toBe(1)
  })

  const good = inputFor(0, 256)
  const flipped = (bytes: Uint8Array): Uint8Array =>
    bytes.map((byte, i) => (i === 5 ? byte ^ 1 : byte))
  const wrong: Record<string, Partial<typeof good>> = {
    'another first index': { firstIndex: 1 },
    'another size': { size: 257 },
    'a missing entry': { entries: good.entries.slice(1) },
    'a missing leaf hash': { leafHashes: good.leafHashes.slice(1) },
    'a missing tile': { tiles: [] },
    'a tile twice': { tiles: [...good.tiles, ...good.tiles] },
    'a tile that is not full': {
      tiles: [...good.tiles, { level: 0, index: 1, bytes: new Uint8Array(8192) }],
    },
    'a tile of other hashes': {
      tiles: good.tiles.map((tile) => ({ ...tile, bytes: flipped(tile.bytes) })),
    },
    'a root of 31 bytes': { root: new Uint8Array(31) },
    'a time before the last': { timeMs: -1 },
    'an entry of 65,536 bytes': {
      entries: good.entries.map((e, i) => (i === 9 ? new Uint8Array(65_536) : e)),
    },
    'an entry that was not hashed': {
      entries: good.entries.map((e, i) => (i === 9 ? bytesOf('x') : e)),
    },
  }
  test.each(Object.entries(wrong))(
    'with %s are refused, and nothing is written',
    async (_, part) => {
      const disk = new Map<string, Uint8Array>()
      const database = await createDatabase(new MemoryStore(disk))
      const before = new Map(disk)
      const code = expect.stringMatching(/^(batch_invalid|entry_mismatch)$/)
      await expect(database.commit(database.begin(), { ...good, ...part })).rejects.toMatchObject({
        code,
      })
      expect(disk).toEqual(before)
      await append(database, 256)
      expect(database.size).toBe(256)
    },
  )
})

describe('records, pinned and erasable values', () => {
  test('a batch record says what its batch wrote, and names the one before', async () => {
    const database = await createDatabase(new MemoryStore())
    expect(database.lastBatch()).toBeUndefined()
    await append(database, 3)
    const first = database.lastBatchDigest()
    const record = await append(database, 254, (batch) => void batch.putPinned(bytesOf('policy')))
    expect(record).toMatchObject({ first: 3, size: 257, timeMs: 1_000_257, previous: first })
    expect(record.root).toEqual(rootAt(257))
    expect(record.head).toEqual(bytesOf('head 257'))
    expect(record.onceKeys.map((rest) => String.fromCharCode(rest[0] ?? 0)).sort()).toEqual([
      'b',
      'p',
      't',
    ])
    const leaves = Array.from({ length: 254 }, (_, i) => leafHashOf(entryAt(3 + i)))
    expect(record.leavesDigest).toEqual(digest(...leaves))
    expect(database.lastBatch()).toEqual(record)
    expect(database.batchRecord(257)).toEqual(record)
    expect(database.batchRecord(256)).toBeUndefined()
    expect((await all(database.batchRecords())).map(({ size }) => size)).toEqual([3, 257])
    expect((await all(database.batchRecords(0, true))).map(({ size }) => size)).toEqual([257, 3])
    expect((await all(database.batchRecords(3))).map(({ size }) => size)).toEqual([257])
  })

  test('a pinned value is written once', async () => {
    const database = await createDatabase(new MemoryStore())
    await append(database, 1, (batch) => void batch.putPinned(bytesOf('policy')))
    const again = await append(database, 1, (batch) => void batch.putPinned(bytesOf('policy')))
    expect(again.onceKeys).toEqual([])
  })

  test('erasable values belong to their entry alone', async () => {
    const database = await createDatabase(new MemoryStore())
    await append(database, 3, (batch) => {
      batch.putErasable(1, 0, bytesOf('a'))
      batch.putErasable(1, 300, bytesOf('b'))
      batch.putErasable(2, 0, bytesOf('c'))
    })
    expect(await database.erasable(1)).toEqual(
      new Map([
        [0, bytesOf('a')],
        [300, bytesOf('b')],
      ]),
    )
    expect((await database.erasable(0)).size).toBe(0)
    expect(database.erasableValue(2, 0)).toEqual(bytesOf('c'))
  })
})

describe('opening', () => {
  test('create refuses a store that has anything, open one that has nothing', async () => {
    const store = new MemoryStore()
    await expect(openDatabase(store)).rejects.toMatchObject({ code: 'meta_missing' })
    await createDatabase(store)
    await expect(createDatabase(store)).rejects.toMatchObject({ code: 'store_exists' })
  })

  test('another log, layout or set of folds is refused by name', async () => {
    const store = new MemoryStore()
    await createDatabase(store)
    const open = (origin: string, folds = FOLDS): Promise<Database> =>
      Database.open({ store, origin, folds })
    await expect(open('example.com/logs/other')).rejects.toMatchObject({
      code: 'store_origin_mismatch',
    })
    await expect(open(ORIGIN, FOLDS.slice(1))).rejects.toMatchObject({ code: 'fold_unknown' })
    const more = [...FOLDS, { id: 20, name: 'later', resident: false }]
    await expect(open(ORIGIN, more)).rejects.toMatchObject({
      code: 'fold_missing',
      message: expect.stringContaining('new fold later: run `trustwarden rebuild`'),
    })
    await append(await openDatabase(store), 1)
    await expect(open(ORIGIN, more)).rejects.toMatchObject({ code: 'fold_missing' })
    await expect(open(ORIGIN, FOLDS.slice(1))).rejects.toMatchObject({
      code: 'fold_unknown',
      message: expect.stringContaining('a newer release wrote this'),
    })
    const later = new MemoryStore()
    await later.write([{ type: 'put', key: Uint8Array.of(2, 1), value: Uint8Array.of(1) }])
    await expect(
      Database.open({ store: later, origin: ORIGIN, folds: FOLDS }),
    ).rejects.toMatchObject({ code: 'store_version_unknown' })
  })

  test('two logs can share a store', async () => {
    const store = new MemoryStore()
    const database = await createDatabase(store)
    await append(database, 300, (batch) => batch.put(DEDUP, key, key))
    const prefix = new Keys(ORIGIN).prefix
    expect(prefix.length).toBe(9)
    for await (const row of store.scan({ gte: new Uint8Array(0), lt: Uint8Array.of(255) })) {
      expect(row.key.subarray(0, 9)).toEqual(prefix)
    }
  })

  test('a sound database passes all checks, to its beginning', async () => {
    const disk = new Map<string, Uint8Array>()
    const database = await createDatabase(new MemoryStore(disk))
    for (let i = 0; i < 12; i++) {
      await append(database, 77, (batch) => {
        batch.put(DEDUP, bytesOf(`key ${i}`), bytesOf(`${i}`))
        batch.put(DEDUP, key, bytesOf(`${i}`))
        batch.putPinned(bytesOf(`pinned ${i}`))
      })
    }
    const again = await openDatabase(new MemoryStore(disk))
    const check = await checkBatchRecords(again, { minBytes: Number.POSITIVE_INFINITY })
    expect(check).toMatchObject({ records: 12, fromIndex: 0 })
    expect((await checkBatchRecords(again, { minBytes: 1 })).records).toBe(1)
    await checkSetDigests(again)
  })
})
