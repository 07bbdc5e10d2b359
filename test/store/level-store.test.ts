/**
 * Goal: the LevelDB store keeps the contract, refuses what it must, and is not used again after a failed write.
 * Method: the shared contract on real directories; a failed write is provoked by making LevelDB's next journal
 * impossible (its name is taken by a directory). That a write is synced is seen in the option that reaches LevelDB:
 * killing the process would not show it, since the page cache outlives it.
 */
import { execFile } from 'node:child_process'
import {
  cpSync,
  mkdirSync,
  readdirSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { Level } from 'level'
import { describe, expect, test, vi } from 'vitest'
import { searchFiles } from '../../src/store/erasure.ts'
import { LevelStore } from '../../src/store/level-store.ts'
import type { Store } from '../../src/store/store.ts'
import { describeStore } from './store.contract.ts'
import { temporaryPaths } from './temporary.ts'

const newPath = temporaryPaths()

describeStore('LevelStore', {
  create: () => LevelStore.create(newPath()),
  reopen: (store: Store) => LevelStore.open(store.directory ?? ''),
})

describe('LevelStore on disk', () => {
  test('create refuses an existing database, open a missing one, and makes nothing', async () => {
    const path = newPath()
    await expect(LevelStore.open(path)).rejects.toMatchObject({ code: 'store_missing' })
    expect(() => readdirSync(path)).toThrow()
    const store = await LevelStore.create(path)
    await store.close()
    await expect(LevelStore.create(path)).rejects.toMatchObject({ code: 'store_exists' })
  })

  test('a database that does not open says what LevelDB says of it', async () => {
    const path = newPath()
    await (await LevelStore.create(path)).close()
    writeFileSync(join(path, 'CURRENT'), 'MANIFEST-000099\n')
    await expect(LevelStore.open(path)).rejects.toMatchObject({
      code: 'store_open_failed',
      message: expect.stringMatching(
        /^the database in .* does not open: .*MANIFEST-000099: No such file or directory$/,
      ),
    })
  })

  test('a second opener is refused by name', async () => {
    const path = newPath()
    const store = await LevelStore.create(path)
    await expect(LevelStore.open(path)).rejects.toMatchObject({ code: 'store_locked', fatal: true })
    // And the refused attempt has not unlocked it for other processes, nor has a search of the files.
    await searchFiles(path, [], [])
    const script = `import { Level } from 'level'
      const db = new Level(process.argv[1])
      await db.open().then(() => console.log('opened'), (e) => console.log(e.cause?.code))`
    const args = ['--input-type=module', '-e', script, path]
    const { stdout } = await promisify(execFile)(process.execPath, args)
    expect(stdout.trim()).toBe('LEVEL_LOCKED')
    await store.close()
    await (await LevelStore.open(path)).close()
  })

  test('after a failed write every read and write is refused until reopened', async () => {
    const path = newPath()
    const store = await LevelStore.create(path, { writeBufferBytes: 64 * 1024 })
    const key = Uint8Array.of(1)
    await store.write([{ type: 'put', key, value: Uint8Array.of(42) }])
    // The write buffer is full at the next write or two: LevelDB must then begin a new journal, and cannot.
    for (let n = 4; n < 60; n++) mkdirSync(join(path, `${String(n).padStart(6, '0')}.log`))
    const value = new Uint8Array(80 * 1024)
    const fill = async (): Promise<void> => {
      for (let i = 0; i < 20; i++) {
        await store.write([{ type: 'put', key: Uint8Array.of(2, i), value }])
      }
    }
    await expect(fill()).rejects.toMatchObject({ code: 'store_failed', fatal: true })
    expect(() => store.get(key)).toThrow(expect.objectContaining({ code: 'store_failed' }))
    await expect(store.write([{ type: 'del', key }])).rejects.toMatchObject({
      code: 'store_failed',
    })
    const scan = store.scan({ gte: Uint8Array.of(0), lt: Uint8Array.of(9) })[Symbol.asyncIterator]()
    await expect(scan.next()).rejects.toMatchObject({ code: 'store_failed' })
    await store.close()
  })

  describe('what is written where the next start does not look is not acknowledged', () => {
    const op = { type: 'put', key: Uint8Array.of(1), value: Uint8Array.of(1) } as const

    test.each<readonly [what: string, away: (path: string) => void]>([
      ['moved', (path) => renameSync(path, `${path}.old`)],
      ['removed', (path) => rmSync(path, { recursive: true })],
      [
        'moved, and a copy is in its place',
        (path) => {
          renameSync(path, `${path}.old`)
          cpSync(`${path}.old`, path, { recursive: true })
        },
      ],
      [
        'removed, and a copy is in its place',
        (path) => {
          cpSync(path, `${path}.copy`, { recursive: true })
          rmSync(path, { recursive: true })
          renameSync(`${path}.copy`, path)
        },
      ],
    ])('%s', async (_what, away) => {
      const path = newPath()
      const store = await LevelStore.create(path)
      await store.write([op])
      away(path)
      await expect(store.write([op])).rejects.toMatchObject({ code: 'store_moved', fatal: true })
      await expect(store.write([op])).rejects.toMatchObject({ code: 'store_failed' })
      await store.close()
    })

    test('moved while it is written', async () => {
      const path = newPath()
      const probe = new Level(newPath())
      await probe.open()
      const chained = probe.batch()
      type Writes = { write: (options: unknown) => Promise<void> }
      const prototype = Object.getPrototypeOf(Object.getPrototypeOf(chained)) as Writes
      const store = await LevelStore.create(path)
      const original = prototype.write
      const write = vi.spyOn(prototype, 'write').mockImplementation(async function (
        this: unknown,
        options: unknown,
      ) {
        await original.call(this, options)
        renameSync(path, `${path}.old`)
      })
      await expect(store.write([op])).rejects.toMatchObject({ code: 'store_moved' })
      write.mockRestore()
      await chained.close()
      await probe.close()
      await store.close()
    })

    test('moved before it is compacted, or read where a file has to be opened', async () => {
      for (const use of [
        (store: LevelStore) => store.compact({ gte: Uint8Array.of(0), lt: Uint8Array.of(9) }),
        async (store: LevelStore) => {
          for (let key = 0; key < 8; key++) store.get(Uint8Array.of(key))
        },
      ]) {
        const path = newPath()
        const before = await LevelStore.create(path, { writeBufferBytes: 64 * 1024 })
        for (let key = 0; key < 8; key++)
          await before.write([
            { type: 'put', key: Uint8Array.of(key), value: new Uint8Array(40_000) },
          ])
        await before.close()
        const store = await LevelStore.open(path)
        renameSync(path, `${path}.old`)
        await expect(use(store)).rejects.toMatchObject({ code: 'store_moved' })
        await store.close()
      }
    })

    test('a link leads elsewhere', async () => {
      const [path, link, other] = [newPath(), newPath(), newPath()]
      await (await LevelStore.create(path)).close()
      await (await LevelStore.create(other)).close()
      symlinkSync(path, link)
      const store = await LevelStore.open(link)
      await store.write([op])
      rmSync(link)
      symlinkSync(other, link)
      await expect(store.write([op])).rejects.toMatchObject({ code: 'store_moved' })
      await store.close()
    })
  })

  test('each write is synced, unless a test asks otherwise', async () => {
    const probe = new Level(newPath())
    await probe.open()
    const chained = probe.batch()
    const write = vi.spyOn(Object.getPrototypeOf(Object.getPrototypeOf(chained)), 'write')
    const op = { type: 'put', key: Uint8Array.of(1), value: Uint8Array.of(1) } as const
    for (const options of [{}, { durable: false }]) {
      const store = await LevelStore.create(newPath(), options)
      await store.write([op])
      await store.close()
    }
    expect(write.mock.calls).toEqual([[{ sync: true }], [{ sync: false }]])
    write.mockRestore()
    await chained.close()
    await probe.close()
  })
})
