/**
 * Goal: when an erasure says `gone`, the bytes are in no file; while an older iterator is open, or a kept journal has
 * them, it does not say so; a restart resumes it.
 * Method: real LevelDB directories with a small write buffer, so that values lie in tables of several levels. The test
 * looks for itself: it reads every file under the directory as bytes, and journals also with their 32 KiB framing taken
 * out. That a single compaction is not enough is shown first, so the search is known to be able to find.
 */
import { copyFileSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test, vi } from 'vitest'
import type { Database } from '../../src/store/database.ts'
import { erasuresDone, finishErasures, searchFiles } from '../../src/store/erasure.ts'
import type { Erasure } from '../../src/store/erasure.ts'
import { readJournalRecords, readTableKeys } from '../../src/store/level-files.ts'
import { LevelStore } from '../../src/store/level-store.ts'
import { append, createDatabase, openDatabase } from './database-fixture.ts'
import { temporaryPaths } from './temporary.ts'

const newPath = temporaryPaths()
const SMALL = { writeBufferBytes: 64 * 1024 }

/** Erasable value of an entry: unlike any other, `length` bytes. */
const secretOf = (index: number, length = 700): Uint8Array =>
  new Uint8Array(Buffer.from(`secret ${index} `.repeat(length).slice(0, length)))

/** Names of files that hold `needle`, searched by the test's own means. */
function filesWith(directory: string, needle: Uint8Array): string[] {
  const names = readdirSync(directory, { recursive: true, withFileTypes: true })
  return names
    .filter((entry) => entry.isFile() && entry.name !== 'LOCK')
    .map((entry) => join(entry.parentPath, entry.name))
    .filter((path) => {
      const bytes = readFileSync(path)
      if (bytes.indexOf(needle) >= 0) return true
      return (
        path.endsWith('.log') &&
        readJournalRecords(bytes).records.some((record) => Buffer.from(record).indexOf(needle) >= 0)
      )
    })
}

async function logWithSecrets(
  count: number,
  options = SMALL,
): Promise<{ path: string; store: LevelStore; database: Database }> {
  const path = newPath()
  const store = await LevelStore.create(path, options)
  const database = await createDatabase(store)
  for (let index = 0; index < count; index++) {
    await append(database, 1, (batch) => batch.putErasable(index, 0, secretOf(index)))
  }
  return { path, store, database }
}

/** What the ledger hands over: the first value of each entry, ordered gone by entry `job`. */
const erasureOf = (job: number, ...indexes: number[]): Erasure => ({
  job,
  targets: indexes.map((index) => ({ index, ordinal: 0 })),
})

const erase = (database: Database, ...indexes: number[]): Promise<unknown> =>
  append(database, 1, (batch) => {
    for (const index of indexes) batch.eraseErasable(index, [0], database.size)
  })

describe('erasure', () => {
  test.each([
    ['in the journal still', {}],
    ['in tables', SMALL],
  ])('ends gone, values %s; others stay', async (_, options) => {
    const { path, store, database } = await logWithSecrets(300, {
      ...SMALL,
      ...options,
      ...(options === SMALL ? {} : { writeBufferBytes: 1 << 26 }),
    })
    expect(filesWith(path, secretOf(5)).length).toBeGreaterThan(0)
    await erase(database, 5, 250)
    expect(database.erasableValue(5, 0)).toBeUndefined()
    expect(filesWith(path, secretOf(5)).length).toBeGreaterThan(0)
    const [result] = await finishErasures(database, [erasureOf(300, 5, 250)])
    expect(result).toMatchObject({ job: 300, gone: true, searched: 'values', foundIn: [] })
    expect(result?.targets).toEqual([
      { index: 5, ordinal: 0 },
      { index: 250, ordinal: 0 },
    ])
    for (const index of [5, 250]) expect(filesWith(path, secretOf(index))).toEqual([])
    expect(database.erasableValue(6, 0)).toEqual(secretOf(6))
    expect(filesWith(path, secretOf(6)).length).toBeGreaterThan(0)
    expect(await erasuresDone(database)).toEqual(new Map([[300, 2]]))
    await store.close()
    expect(filesWith(path, secretOf(5))).toEqual([])
  })

  test('waits for an older iterator, which keeps the bytes through compactions', async () => {
    const { path, store, database } = await logWithSecrets(200)
    const scan = store
      .scan({ gte: new Uint8Array(0), lt: Uint8Array.of(255) })
      [Symbol.asyncIterator]()
    await scan.next()
    await erase(database, 7)
    for (let i = 0; i < 4; i++) await store.compact(database.keys.range('x'))
    expect(filesWith(path, secretOf(7)).length).toBeGreaterThan(0)
    let done = false
    const finished = finishErasures(database, [erasureOf(200, 7)]).then((results) => {
      done = true
      return results
    })
    await append(database, 1)
    await new Promise((resolve) => setTimeout(resolve, 100))
    expect(done).toBe(false)
    expect((await erasuresDone(database)).size).toBe(0)
    await scan.return?.()
    expect(await finished).toMatchObject([{ gone: true }])
    expect(filesWith(path, secretOf(7))).toEqual([])
    await store.close()
  })

  test('is resumed by a restart, and then searches for the keys', async () => {
    const { path, store, database } = await logWithSecrets(200)
    await erase(database, 9)
    await store.close()
    const again = await LevelStore.open(path, SMALL)
    const reopened = await openDatabase(again)
    expect((await erasuresDone(reopened)).size).toBe(0)
    const key = reopened.keys.erasable(9, 0)
    expect(await searchFiles(path, [key], [])).toEqual(filesWith(path, secretOf(9)))
    expect(await finishErasures(reopened, [erasureOf(200, 9)])).toMatchObject([
      { gone: true, searched: 'keys' },
    ])
    expect(filesWith(path, secretOf(9))).toEqual([])
    await again.close()
  })

  test('does not say gone while a kept journal has the bytes, and names it', async () => {
    const { path, store, database } = await logWithSecrets(20, { writeBufferBytes: 1 << 26 })
    mkdirSync(join(path, 'kept-1'))
    const [journal = ''] = readdirSync(path).filter((name) => name.endsWith('.log'))
    copyFileSync(join(path, journal), join(path, 'kept-1', journal))
    await erase(database, 3)
    const [result] = await finishErasures(database, [erasureOf(20, 3)])
    expect(result).toMatchObject({ gone: false, foundIn: [join(path, 'kept-1', journal)] })
    expect((await erasuresDone(database)).size).toBe(0)
    // The same without the values: the keys alone show it.
    expect(await searchFiles(path, [database.keys.erasable(3, 0)], [])).toEqual(result?.foundIn)
    await store.close()
  })

  test('the search finds a value that a journal cuts in two, and one in a cut-off write', async () => {
    const path = newPath()
    const store = await LevelStore.create(path)
    const database = await createDatabase(store)
    const long = secretOf(0, 100_000)
    await append(database, 1, (batch) => batch.putErasable(0, 0, long))
    const [journal = ''] = readdirSync(path).filter((name) => name.endsWith('.log'))
    expect(readFileSync(join(path, journal)).indexOf(long)).toBe(-1)
    expect(await searchFiles(path, [], [long])).toEqual([join(path, journal)])
    const cut = newPath('cut')
    mkdirSync(cut)
    const bytes = readFileSync(join(path, journal))
    writeFileSync(join(cut, '000003.log'), bytes.subarray(0, bytes.length - 5000))
    expect(await searchFiles(cut, [database.keys.erasable(0, 0)], [])).toEqual([
      join(cut, '000003.log'),
    ])
    await store.close()
  })

  test('a table is read as LevelDB wrote it: every key, those deleted since included', async () => {
    const { path, store, database } = await logWithSecrets(300)
    await store.compact(database.keys.all())
    const found = new Set<string>()
    for (const name of readdirSync(path).filter((file) => file.endsWith('.ldb'))) {
      for (const key of readTableKeys(readFileSync(join(path, name)))) {
        found.add(Buffer.from(key).toString('hex'))
      }
    }
    const expected: string[] = []
    for await (const { key } of store.scan(database.keys.all()))
      expected.push(Buffer.from(key).toString('hex'))
    expect([...found].sort()).toEqual(expected)
    await store.close()
  })

  test('ends when it is told to, though a scan stays open, and is due again', async () => {
    const { store, database } = await logWithSecrets(20)
    const scan = store.scan(database.keys.all())[Symbol.asyncIterator]()
    await scan.next()
    await erase(database, 3)
    const stop = new AbortController()
    const finished = finishErasures(database, [erasureOf(20, 3)], { signal: stop.signal })
    await append(database, 1)
    stop.abort()
    expect(await finished).toEqual([])
    expect((await erasuresDone(database)).size).toBe(0)
    await scan.return?.()
    expect(await finishErasures(database, [erasureOf(20, 3)])).toMatchObject([{ gone: true }])
    await store.close()
  })

  test('the search lets others run: a large file is no one piece', async () => {
    const path = newPath('large')
    mkdirSync(path)
    writeFileSync(join(path, 'large'), new Uint8Array(64 * 1024 * 1024))
    const turns = vi.spyOn(globalThis, 'setImmediate')
    const needles = Array.from({ length: 20 }, (_, i) => secretOf(i))
    expect(await searchFiles(path, [], needles)).toEqual([])
    // 1.3 GB of comparisons: in one piece there would be none.
    expect(turns.mock.calls.length).toBeGreaterThan(1)
    turns.mockRestore()
    const across = new Uint8Array(2 * 1024 * 1024)
    across.set(secretOf(1), 1024 * 1024 - 5)
    writeFileSync(join(path, 'across'), across)
    expect(await searchFiles(path, [], needles)).toEqual([join(path, 'across')])
  })

  test('a mark that is not the one written is refused', async () => {
    const { store, database } = await logWithSecrets(3)
    await erase(database, 1)
    await finishErasures(database, [erasureOf(3, 1)])
    const key = database.keys.erasureDone(3)
    const mark = store.get(key) ?? new Uint8Array(0)
    await store.write([
      { type: 'put', key, value: mark.map((byte, i) => (i === 7 ? byte ^ 1 : byte)) },
    ])
    await expect(erasuresDone(database)).rejects.toMatchObject({ code: 'value_corrupt' })
    await store.close()
  })

  test('a file that cannot be taken apart counts as not searched', async () => {
    const path = newPath('odd')
    mkdirSync(path)
    writeFileSync(join(path, '000005.ldb'), 'not a table')
    expect(await searchFiles(path, [], [])).toEqual([join(path, '000005.ldb')])
  })
})
