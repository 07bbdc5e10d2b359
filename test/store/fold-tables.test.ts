/**
 * Goal: a bit that flipped in a table of LevelDB, anywhere that a key of a fold, the way to it or the filter over it lies,
 * is found by file: before LevelDB opens, or behind it and before whoever reads the key believes what it is given; what a
 * crash leaves beside the tables in force is not taken for damage.
 * Method: a store of several small tables over three spaces of keys; every bit of every table flipped in turn, and for
 * each that is not found LevelDB itself is asked for all keys of folds, by scan and by `get`; files cut, lost and added;
 * tables merged by LevelDB while they are held.
 */
import {
  cpSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { beforeAll, describe, expect, test } from 'vitest'
import { crc32c, masked } from '../../src/store/crc32c.ts'
import { Keys } from '../../src/store/keys.ts'
import { StoreError } from '../../src/store/errors.ts'
import { LevelStore } from '../../src/store/level-store.ts'
import type { CheckProgress } from '../../src/store/start-checks.ts'
import type { Op } from '../../src/store/store.ts'
import { FoldTables, type FoldTablesOptions, checkTables } from '../../src/store/fold-tables.ts'
import { KeyFilter, type StoredFilters } from '../../src/store/key-filter.ts'
import { bytesOf, ORIGIN } from './database-fixture.ts'
import { temporaryPaths } from './temporary.ts'

const newPath = temporaryPaths()
const keys = new Keys(ORIGIN)
const tablesOf = (path: string): readonly string[] =>
  readdirSync(path).filter((name) => name.endsWith('.ldb'))

/** What only a bundle in the midst of others holds. */
const bundle = Buffer.alloc(100, 30)

const foldKeys = Array.from({ length: 300 }, (_, n) => keys.fold(n % 3, bytesOf(`key ${n}`)))

/** Bundles, folds and records over several tables: each opening turns a journal into one. */
async function writeStore(): Promise<string> {
  const path = newPath()
  await (await LevelStore.create(path)).close()
  for (let part = 0; part < 3; part++) {
    const store = await LevelStore.open(path)
    const ops: Op[] = []
    for (let n = 0; n < 60; n++) {
      const number = 60 * part + n
      ops.push({ type: 'put', key: keys.bundle(number), value: new Uint8Array(300).fill(number) })
      ops.push({ type: 'put', key: keys.batchRecord(number), value: bytesOf(`record ${number}`) })
    }
    for (const [at, key] of foldKeys.entries())
      if (at % 3 <= part) ops.push({ type: 'put', key, value: bytesOf(`${part} of key ${at}`) })
    await store.write(ops)
    await store.close()
  }
  await (await LevelStore.open(path)).close()
  return path
}

/** What a store answers about every key of a fold: by `get`, and by scan. */
async function answersOf(path: string): Promise<string> {
  const store = await LevelStore.open(path)
  try {
    const shown: string[] = []
    for await (const { key, value } of store.scan(keys.range('f')))
      shown.push(`${keys.nameOf(key)} ${Buffer.from(value).toString('latin1')}`)
    const found = foldKeys.map((key) => Buffer.from(store.get(key) ?? []).toString('latin1'))
    return JSON.stringify([shown, found])
  } finally {
    await store.close()
  }
}

interface Compared {
  readonly tables: number
  readonly filters: StoredFilters
  readonly seed: number
}

/** Compares all files of a store: before LevelDB would open them, or where they are held, behind it. */
async function compareAll(path: string, options: FoldTablesOptions = {}): Promise<Compared> {
  let told = 0
  const onProgress = () => told++
  const tables = await FoldTables.open(path, ORIGIN, { ...options, onProgress })
  const filters = await tables.begin(onProgress)
  return { tables: told, filters, seed: tables.seed }
}

/** Descriptors of this process for files under a path. */
const descriptorsOf = (path: string): number =>
  readdirSync('/proc/self/fd').filter((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`).startsWith(path)
    } catch {
      return false
    }
  }).length

/** Tables are held whatever their size. */
const HELD = { heldBytes: 0 }

/** The filter of a fold, as whoever opens the database has it. */
function filterOf({ filters, seed }: Compared, fold: number): KeyFilter {
  const filter = new KeyFilter(0, seed)
  filter.adopt(filters.get(fold) ?? [])
  return filter
}

let whole = ''
beforeAll(async () => {
  whole = await writeStore()
})

const copyOf = (): string => {
  const path = newPath()
  cpSync(whole, path, { recursive: true })
  return path
}

describe('CRC-32C', () => {
  test('is that of RFC 3720 B.4, over any part', () => {
    const zeros = new Uint8Array(40)
    expect(crc32c(zeros, 4, 36)).toBe(0x8a9136aa)
    expect(crc32c(new Uint8Array(32).fill(0xff), 0, 32)).toBe(0x62a8ab43)
    expect(
      crc32c(
        Uint8Array.from({ length: 32 }, (_, i) => i),
        0,
        32,
      ),
    ).toBe(0x46dd794e)
    expect(crc32c(bytesOf('123456789'), 0, 9)).toBe(0xe3069283)
  })
})

describe('the checksums of tables', () => {
  test('hold where nothing changed, and progress is told a table', async () => {
    for (const options of [{}, HELD]) {
      const told: CheckProgress[] = []
      const onProgress = (progress: CheckProgress) => told.push(progress)
      const tables = await FoldTables.open(whole, ORIGIN, { ...options, onProgress })
      expect(tables.isCompared).toBe(options !== HELD)
      await tables.begin(onProgress)
      expect(told.length).toBeGreaterThanOrEqual(3)
      expect(told.at(-1)?.done).toBe(told[0]?.total)
    }
  })

  test('find every flipped bit that changes an answer about a fold, and name the file', async () => {
    const before = await answersOf(copyOf())
    const path = copyOf()
    let found = 0
    let passed = 0
    for (const name of tablesOf(whole)) {
      const bytes = readFileSync(join(whole, name))
      // Steps that have no factor in common with the lengths of rows, and a different bit each time.
      for (let at = 0; at < bytes.length; at += 37) {
        const bit = 1 << (at % 8)
        bytes[at] = (bytes[at] ?? 0) ^ bit
        writeFileSync(join(path, name), bytes)
        bytes[at] = (bytes[at] ?? 0) ^ bit
        try {
          await compareAll(path)
          passed++
          // Not all of them: each is an opening of LevelDB, which changes what it opens.
          if (passed % 20 === 0) {
            const opened = newPath()
            cpSync(path, opened, { recursive: true })
            expect(await answersOf(opened), `${name} byte ${at}`).toBe(before)
          }
        } catch (error) {
          expect(error).toMatchObject({ code: 'table_corrupt', fatal: true })
          expect(String(error)).toContain(name)
          found++
        }
      }
      writeFileSync(join(path, name), bytes)
    }
    // The rest lies in blocks of bundles and records alone, or means nothing: what a footer is filled up with.
    expect(found).toBeGreaterThan(100)
    expect(passed).toBeGreaterThan(20)
  })

  test('find every flipped bit of filter, index and what leads to them', async () => {
    const path = copyOf()
    for (const name of tablesOf(whole)) {
      const bytes = readFileSync(join(whole, name))
      // The filter lies in front of the block that names it, and all that follows leads to something.
      const named = bytes.indexOf('filter.leveldb.BuiltinBloomFilter2')
      expect(named).toBeGreaterThan(0)
      for (let at = named - 48; at < bytes.length - 48; at++) {
        const changed = Buffer.from(bytes)
        changed[at] = (changed[at] ?? 0) ^ (1 << (at % 8))
        writeFileSync(join(path, name), changed)
        await expect(FoldTables.open(path, ORIGIN), `byte ${at}`).rejects.toMatchObject({
          code: 'table_corrupt',
        })
      }
      writeFileSync(join(path, name), bytes)
    }
  })

  test('are right in a table that stands in another one of its size: its first and last key are not', async () => {
    const path = newPath()
    await (await LevelStore.create(path)).close()
    for (let part = 0; part < 2; part++) {
      const store = await LevelStore.open(path)
      const ops = foldKeys.map((key): Op => ({ type: 'put', key, value: bytesOf(`part ${part}`) }))
      await store.write(ops)
      await store.close()
    }
    await (await LevelStore.open(path)).close()
    const [one = '', other = ''] = tablesOf(path).map((name) => join(path, name))
    const bytes = [readFileSync(one), readFileSync(other)] as const
    expect(bytes[0].length).toBe(bytes[1].length)
    expect((await compareAll(path)).tables).toBe(2)
    writeFileSync(one, bytes[1])
    writeFileSync(other, bytes[0])
    await expect(FoldTables.open(path, ORIGIN)).rejects.toMatchObject({
      code: 'table_corrupt',
      message: expect.stringContaining('first or last key'),
    })
  })

  test('are compared of every block, whatever it holds, where somebody checks all tables', async () => {
    const path = copyOf()
    const told: CheckProgress[] = []
    await checkTables(path, (progress) => told.push(progress))
    expect(told.at(-1)?.done).toBe(told[0]?.total)
    const name = tablesOf(path).find((one) => readFileSync(join(path, one)).includes(bundle)) ?? ''
    const bytes = readFileSync(join(path, name))
    const at = bytes.indexOf(bundle)
    bytes[at] = (bytes[at] ?? 0) ^ 1
    writeFileSync(join(path, name), bytes)
    await expect(checkTables(path, () => undefined)).rejects.toMatchObject({
      code: 'table_corrupt',
      message: expect.stringContaining(name),
    })
    await compareAll(path)
  })

  test('are missed where a table is cut off or gone', async () => {
    for (const damage of [
      (path: string) => writeFileSync(path, readFileSync(path).subarray(0, -60)),
      (path: string) => writeFileSync(path, ''),
      (path: string) => rmSync(path),
    ]) {
      const path = copyOf()
      const [name = ''] = tablesOf(path)
      damage(join(path, name))
      await expect(FoldTables.open(path, ORIGIN)).rejects.toMatchObject({ code: 'table_corrupt' })
    }
  })

  test('are not asked of what a crash left, nor of a database that is not there', async () => {
    const path = copyOf()
    writeFileSync(join(path, '009999.ldb'), 'half a table')
    expect((await compareAll(path)).tables).toBeGreaterThanOrEqual(3)
    const { tables, filters } = await compareAll(newPath())
    expect([tables, filters.size]).toEqual([0, 0])
  })

  test.each(['CURRENT', 'MANIFEST'])('are missed where %s cannot be read', async (start) => {
    const path = copyOf()
    const name = readdirSync(path).find((one) => one.startsWith(start)) ?? ''
    rmSync(join(path, name))
    mkdirSync(join(path, name))
    await expect(FoldTables.open(path, ORIGIN)).rejects.toMatchObject({ code: 'store_open_failed' })
  })

  test('are read of the tables that a MANIFEST says are in force, whatever was merged', async () => {
    const path = copyOf()
    const store = await LevelStore.open(path)
    await store.compact(keys.all())
    await store.close()
    const { tables } = await compareAll(path)
    expect(tables).toBeGreaterThanOrEqual(1)
    expect(tables).toBeLessThanOrEqual(tablesOf(path).length)
    const manifest = readdirSync(path).find((name) => name.startsWith('MANIFEST')) ?? ''
    const bytes = readFileSync(join(path, manifest))
    for (let at = 0; at < bytes.length; at += 3) {
      const changed = Buffer.from(bytes)
      changed[at] = (changed[at] ?? 0) ^ (1 << (at % 8))
      writeFileSync(join(path, manifest), changed)
      const code = await compareAll(path).then(
        () => 'passed',
        (error: unknown) => (error instanceof StoreError ? error.code : error),
      )
      if (code === 'store_open_failed') continue
      // A length that leads beyond the end is how a crash leaves it: what is in force then may name a table that is gone.
      expect(['table_corrupt', 'passed'], `byte ${at}`).toContain(code)
      await expect(LevelStore.open(path), `byte ${at}`).rejects.toThrow()
    }
    // A tag that nobody knows, in the first record, as if it had been written so.
    const length = bytes.readUInt16LE(4)
    bytes[7] = 0x3f
    bytes.writeUInt32LE(masked(crc32c(bytes, 6, 7 + length)), 0)
    writeFileSync(join(path, manifest), bytes)
    await expect(FoldTables.open(path, ORIGIN)).rejects.toMatchObject({
      code: 'store_open_failed',
      cause: { message: expect.stringContaining('does not read') },
    })
  })
})

describe('tables that are held', () => {
  /** What `get` says of a key once the blocks were compared in which LevelDB looks for it. */
  const compared = (tables: FoldTables, store: LevelStore, key: Uint8Array): string => {
    tables.checkKey(key)
    return Buffer.from(store.get(key) ?? []).toString('latin1')
  }

  test('give nobody another answer than before, whichever bit has flipped', async () => {
    // In two levels, and the younger one in several tables.
    const levels = copyOf()
    const first = await LevelStore.open(levels)
    await first.compact(keys.all())
    for (const part of [3, 4]) {
      const ops = foldKeys
        .filter((_, n) => n % 5 === part)
        .map((key): Op => ({ type: 'put', key, value: bytesOf(`${part} again`) }))
      await first.write(ops)
    }
    await first.close()
    await (await LevelStore.open(levels)).close()
    const store = await LevelStore.open(levels)
    const before = foldKeys.map((key) => Buffer.from(store.get(key) ?? []).toString('latin1'))
    await store.close()
    let found = 0
    let passed = 0
    for (const name of tablesOf(levels)) {
      const bytes = readFileSync(join(levels, name))
      for (let at = 11; at < bytes.length; at += 1501) {
        const path = newPath()
        cpSync(levels, path, { recursive: true })
        const changed = Buffer.from(bytes)
        changed[at] = (changed[at] ?? 0) ^ (1 << (at % 8))
        writeFileSync(join(path, name), changed)
        let tables: FoldTables | undefined
        try {
          tables = await FoldTables.open(path, ORIGIN, HELD)
          const opened = await LevelStore.open(path)
          for (const [n, key] of foldKeys.entries()) {
            try {
              const answer = compared(tables, opened, key)
              expect(answer, `${name} byte ${at} key ${n}`).toBe(before[n])
              passed++
            } catch (error) {
              expect(error).toMatchObject({ code: 'table_corrupt' })
              found++
            }
          }
          await opened.close()
        } catch (error) {
          expect(error).toMatchObject({ code: 'table_corrupt' })
          found++
        } finally {
          await tables?.close()
          expect(descriptorsOf(path)).toBe(0)
        }
      }
    }
    expect(found).toBeGreaterThan(100)
    expect(passed).toBeGreaterThan(100)
  })

  test('are compared for a key and for a range with the blocks beside theirs', async () => {
    const path = newPath()
    const store = await LevelStore.create(path)
    await store.write(
      foldKeys.map((key): Op => ({ type: 'put', key, value: new Uint8Array(500).fill(7) })),
    )
    await store.close()
    await (await LevelStore.open(path)).close()
    const [name = ''] = tablesOf(path)
    const bytes = readFileSync(join(path, name))
    const [middle = new Uint8Array(0)] = [...foldKeys]
      .sort((a, b) => Buffer.compare(a, b))
      .slice(150)
    for (const check of [
      (tables: FoldTables) => tables.checkKey(middle),
      (tables: FoldTables) => tables.checkRange({ gte: middle, lt: middle }),
    ]) {
      const found = new Set<string>()
      for (let at = 0; at < bytes.length; at += 4000) {
        const changed = Buffer.from(bytes)
        changed[at] = (changed[at] ?? 0) ^ 1
        writeFileSync(join(path, name), changed)
        const tables = await FoldTables.open(path, ORIGIN, HELD).catch(() => undefined)
        try {
          if (tables !== undefined) check(tables)
        } catch (error) {
          found.add(String(error))
        }
        await tables?.close()
      }
      expect([...found]).toHaveLength(3)
      writeFileSync(join(path, name), bytes)
    }
  })

  test('are read once LevelDB has merged and removed them, for a key, a range, and all', async () => {
    const path = copyOf()
    const tables = await FoldTables.open(path, ORIGIN, HELD)
    const store = await LevelStore.open(path)
    const before = tablesOf(path)
    await store.compact(keys.all())
    expect(tablesOf(path).filter((name) => before.includes(name))).toEqual([])
    for (const key of foldKeys)
      expect(compared(tables, store, key)).toBe(`2 of key ${foldKeys.indexOf(key)}`)
    tables.checkRange(keys.range('f'))
    const { seed } = tables
    const all = { tables: 0, filters: await tables.begin(), seed }
    for (const key of foldKeys)
      expect(filterOf(all, keys.rest(key)[0] ?? -1).mayHave(keys.rest(key, 1))).toBe(true)
    await store.close()
    expect([tables.isCompared, descriptorsOf(path)]).toEqual([true, 0])
  })

  test('are damaged for everybody once they are for one, and let go all the same', async () => {
    for (const finds of [
      (tables: FoldTables) => tables.begin(),
      (tables: FoldTables) => foldKeys.map((key) => tables.checkKey(key)),
      (tables: FoldTables) => tables.checkRange(keys.range('f')),
    ]) {
      const path = copyOf()
      const [name = ''] = tablesOf(path)
      const bytes = readFileSync(join(path, name))
      // In a value of a fold, in no block at an end of the table.
      const at = bytes.indexOf('of key 150')
      bytes[at] = (bytes[at] ?? 0) ^ 1
      writeFileSync(join(path, name), bytes)
      const tables = await FoldTables.open(path, ORIGIN, HELD)
      const corrupt = { code: 'table_corrupt', message: expect.stringContaining(name) }
      await expect((async () => finds(tables))()).rejects.toMatchObject(corrupt)
      await expect(tables.compared).rejects.toMatchObject(corrupt)
      expect(() => tables.checkKey(bytesOf('any'))).toThrow(name)
      expect(tables.isCompared).toBe(false)
      await tables.close()
      expect(descriptorsOf(path)).toBe(0)
    }
  })

  test('are compared before they are let go, begun or not', async () => {
    for (const begins of [true, false]) {
      const path = copyOf()
      const tables = await FoldTables.open(path, ORIGIN, HELD)
      if (begins) void tables.begin()
      await tables.close()
      await tables.close()
      expect([tables.isCompared, descriptorsOf(path)]).toEqual([true, 0])
    }
  })

  test('are no more than may be: the others are compared before', async () => {
    const path = copyOf()
    const tables = await FoldTables.open(path, ORIGIN, { ...HELD, heldTables: 1 })
    expect(descriptorsOf(path)).toBe(2)
    const compared = { tables: 0, filters: await tables.begin(), seed: tables.seed }
    for (const key of foldKeys)
      expect(filterOf(compared, keys.rest(key)[0] ?? -1).mayHave(keys.rest(key, 1))).toBe(true)
    const name = tablesOf(path).at(-1) ?? ''
    const bytes = readFileSync(join(path, name))
    bytes[100] = (bytes[100] ?? 0) ^ 1
    writeFileSync(join(path, name), bytes)
    const found = FoldTables.open(path, ORIGIN, { ...HELD, heldTables: 1 })
    await expect(found).rejects.toMatchObject({ code: 'table_corrupt' })
    expect(descriptorsOf(path)).toBe(0)
  })
})

describe('the keys that the files have', () => {
  test('are those of tables and journals, by fold, and no others', async () => {
    const path = copyOf()
    const store = await LevelStore.open(path)
    const late = keys.fold(1, bytesOf('late'))
    const long = keys.fold(2, new Uint8Array(3000).fill(7))
    await store.write([late, long].map((key) => ({ type: 'put', key, value: bytesOf('value') })))
    await store.write([{ type: 'del', key: keys.fold(0, bytesOf('never')) }])
    await store.close()
    // What was written last lies in a journal alone.
    const compared = await compareAll(path, HELD)
    expect([...compared.filters.keys()].toSorted((a, b) => a - b)).toEqual([0, 1, 2])
    const has = (key: Uint8Array): boolean =>
      filterOf(compared, keys.rest(key)[0] ?? -1).mayHave(keys.rest(key, 1))
    for (const key of [...foldKeys, late, long]) expect(has(key), keys.nameOf(key)).toBe(true)
    let wrong = 0
    for (let n = 0; n < 300; n++) if (has(keys.fold(n % 3, bytesOf(`other ${n}`)))) wrong++
    if (has(keys.fold(0, bytesOf('never')))) wrong++
    expect(wrong).toBeLessThan(5)
    // Now in a table.
    await (await LevelStore.open(path)).close()
    for (const options of [{}, HELD])
      expect(filterOf(await compareAll(path, options), 2).mayHave(keys.rest(long, 1))).toBe(true)
  })

  test('are those of a journal whose end is missing, as far as it goes', async () => {
    const path = copyOf()
    const store = await LevelStore.open(path)
    for (let n = 0; n < 40; n++)
      await store.write([
        { type: 'put', key: keys.fold(1, bytesOf(`late ${n}`)), value: new Uint8Array(2000) },
      ])
    await store.close()
    const [journal = ''] = readdirSync(path).filter((name) => name.endsWith('.log'))
    const bytes = readFileSync(join(path, journal))
    for (let cut = bytes.length; cut > bytes.length - 4100; cut -= 97) {
      writeFileSync(join(path, journal), bytes.subarray(0, cut))
      const filter = filterOf(await compareAll(path), 1)
      for (let n = 0; n < 37; n++) expect(filter.mayHave(bytesOf(`late ${n}`))).toBe(true)
    }
  })
})
