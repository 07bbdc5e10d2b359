/**
 * Goal: what LevelDB would delete at opening is kept until the start's checks have passed; damage that LevelDB passes
 * over in silence is refused by ours, and the refusal names the copy.
 * Method: a real database with one bit of its journal flipped (LevelDB opens it without an error, and loses batches).
 */
import {
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  renameSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import files from 'node:fs/promises'
import { syncBuiltinESMExports } from 'node:module'
import { join } from 'node:path'
import { describe, expect, test, vi } from 'vitest'
import { StoreError } from '../../src/store/errors.ts'
import {
  bytesToKeep,
  checkKeepingJournals,
  keepJournals,
  openKeepingJournals,
} from '../../src/store/journals.ts'
import { LevelStore } from '../../src/store/level-store.ts'
import { checkBatchRecords, checkSetDigests } from '../../src/store/start-checks.ts'
import { DEDUP, append, bytesOf, createDatabase, openDatabase } from './database-fixture.ts'
import { temporaryPaths } from './temporary.ts'

const newPath = temporaryPaths()

async function makeLog(): Promise<string> {
  const path = newPath()
  const store = await LevelStore.create(path)
  const database = await createDatabase(store)
  for (let i = 0; i < 30; i++) {
    await append(database, 30, (batch) => batch.put(DEDUP, bytesOf(`key ${i}`), bytesOf(`${i}`)))
  }
  await store.close()
  return path
}

const copies = (path: string): string[] =>
  readdirSync(path)
    .filter((name) => name.startsWith('kept'))
    .sort()

const journalOf = (path: string): string =>
  readdirSync(path).find((name) => name.endsWith('.log')) ?? 'none'

/** A start as the ledger does it: journals aside, open, check, discard. */
async function start(path: string): Promise<number> {
  const { store, journals } = await openKeepingJournals(path)
  try {
    return await checkKeepingJournals(journals, async () => {
      const database = await openDatabase(store)
      await checkBatchRecords(database)
      await checkSetDigests(database)
      return database.size
    })
  } finally {
    await store.close()
  }
}

describe('journals', () => {
  test('are kept while the start checks, and discarded when it passes', async () => {
    const path = await makeLog()
    const journal = readFileSync(join(path, journalOf(path)))
    const { store, journals } = await openKeepingJournals(path)
    expect(journals.path).toBe(join(path, 'kept-1'))
    expect(readFileSync(join(path, 'kept-1', journalOf(join(path, 'kept-1'))))).toEqual(journal)
    expect(readdirSync(join(path, 'kept-1')).sort()).toContain('CURRENT')
    await journals.discard()
    expect(existsSync(join(path, 'kept-1'))).toBe(false)
    await store.close()
    expect(await start(path)).toBe(900)
    expect(readdirSync(path).filter((name) => name.startsWith('kept'))).toEqual([])
  })

  test('an earlier copy is never touched', async () => {
    const path = await makeLog()
    const first = await keepJournals(path)
    const kept = readFileSync(join(path, 'kept-1', journalOf(path)))
    await (await LevelStore.open(path)).close()
    const second = await keepJournals(path)
    expect([first.path, second.path]).toEqual([join(path, 'kept-1'), join(path, 'kept-2')])
    expect(readFileSync(join(path, 'kept-1', journalOf(join(path, 'kept-1'))))).toEqual(kept)
  })

  test('the same bytes are not copied twice, and a start that fails leaves the earlier copy', async () => {
    const path = await makeLog()
    const first = await keepJournals(path)
    const second = await keepJournals(path)
    expect([first.path, second.path]).toEqual([join(path, 'kept-1'), join(path, 'kept-1')])
    await second.discard()
    expect(copies(path)).toEqual(['kept-1'])
    await first.discard()
    expect(copies(path)).toEqual([])
  })

  test('a start that fails for another reason than what is stored leaves none', async () => {
    const path = await makeLog()
    for (let i = 0; i < 3; i++) {
      const { store, journals } = await openKeepingJournals(path)
      const wrong = checkKeepingJournals(journals, () => Promise.reject(new Error('passphrase')))
      await expect(wrong).rejects.toThrow('passphrase')
      await store.close()
      expect(copies(path)).toEqual([])
    }
  })

  test('a start whose checks passed removes all copies, whole and begun', async () => {
    const path = await makeLog()
    await keepJournals(path)
    await (await LevelStore.open(path)).close()
    await keepJournals(path)
    mkdirSync(join(path, 'kept-7.partial'))
    expect(copies(path)).toEqual(['kept-1', 'kept-2', 'kept-7.partial'])
    expect(await start(path)).toBe(900)
    expect(copies(path)).toEqual([])
  })

  test('of two checks in each other the inner one decides', async () => {
    const path = await makeLog()
    const { store, journals } = await openKeepingJournals(path)
    const inner = (): Promise<never> =>
      checkKeepingJournals(journals, () =>
        Promise.reject(new StoreError('value_corrupt', 'damaged')),
      )
    const outer = checkKeepingJournals(journals, () =>
      inner().catch(() => Promise.reject(new Error('in other words'))),
    )
    await expect(outer).rejects.toThrow('in other words')
    expect(copies(path)).toEqual(['kept-1'])
    await store.close()
  })

  test('a directory with no database has none to keep', async () => {
    const kept = await keepJournals(newPath())
    expect(kept.path).toBeUndefined()
    await kept.discard()
  })

  /** Bytes of what a copy has, by its names, in blocks. */
  const bytesOfKept = (path: string): number =>
    readdirSync(path)
      .filter((name) => /\.log$|^MANIFEST|^CURRENT$/.test(name))
      .reduce((sum, name) => sum + 4096 * Math.ceil(statSync(join(path, name)).size / 4096), 0)

  test('that cannot be copied: the refusal has the system code and how much a full disk needs, and leaves nothing', async () => {
    const path = await makeLog()
    const needed = bytesOfKept(path)
    const { copyFile } = files
    const refusalOf = async (code: string): Promise<string> => {
      const copy = vi.spyOn(files, 'copyFile').mockImplementation(async (from, to, mode) => {
        await copyFile(from, to, mode)
        if (String(from).includes('MANIFEST')) throw Object.assign(new Error(code), { code })
      })
      syncBuiltinESMExports()
      try {
        await keepJournals(path)
        return 'kept'
      } catch (error) {
        expect(error).toMatchObject({ code: 'journals_not_kept', cause: { code } })
        return error instanceof Error ? error.message : 'unknown'
      } finally {
        copy.mockRestore()
        syncBuiltinESMExports()
      }
    }
    const why = `the journals of ${path} could not be copied`
    const room = `at least ${needed} bytes have to be free on that disk`
    expect(await refusalOf('ENOSPC')).toBe(`${why} (ENOSPC): ${room}`)
    expect(await refusalOf('EDQUOT')).toBe(`${why} (EDQUOT): ${room}`)
    expect(await refusalOf('EIO')).toBe(`${why} (EIO)`)
    expect(copies(path)).toEqual([])
    expect((await keepJournals(path)).path).toBe(join(path, 'kept-1'))
  })

  test('need as many bytes as they have, but for a copy that is there or was cut off', async () => {
    const path = await makeLog()
    const needed = bytesOfKept(path)
    expect(await bytesToKeep(path)).toBe(needed)
    mkdirSync(join(path, 'kept-1.partial'))
    writeFileSync(join(path, 'kept-1.partial', 'CURRENT'), new Uint8Array(10))
    expect(await bytesToKeep(path)).toBe(needed - 4096)
    truncateSync(join(path, 'kept-1.partial', 'CURRENT'), needed + 1)
    expect(await bytesToKeep(path)).toBe(0)
    await keepJournals(path)
    expect(await bytesToKeep(path)).toBe(0)
    // A journal that LevelDB removes between the listing and the look at it.
    const journal = readdirSync(path).find((name) => name.endsWith('.log')) ?? expect.fail()
    renameSync(join(path, journal), join(path, 'elsewhere'))
    symlinkSync(join(path, 'nowhere'), join(path, journal))
    expect(await bytesToKeep(path)).toBeLessThan(needed)
    renameSync(join(path, 'elsewhere'), join(path, journal))
    await (await LevelStore.open(path)).close()
    expect(await bytesToKeep(path)).toBe(bytesOfKept(path))
    expect(await bytesToKeep(newPath())).toBe(0)
  })

  test('one flipped bit anywhere in a journal: refused by our checks, and the refusal names the copy', async () => {
    const silent: number[] = []
    const outcomes = new Set<string>()
    for (let step = 1; step < 12; step++) {
      const path = await makeLog()
      const file = join(path, journalOf(path))
      const bytes = readFileSync(file)
      const at = Math.floor((bytes.length * step) / 12)
      bytes[at] = (bytes[at] ?? 0) ^ 1
      writeFileSync(file, bytes)
      const outcome = await start(path).then(
        (size) => `started at ${size}`,
        (error: Error) => {
          expect(error.message).toContain(join(path, 'kept-1'))
          return 'refused'
        },
      )
      outcomes.add(outcome)
      // Where LevelDB drops all that follows, a shorter log is whole in itself: that is the head record's to find.
      if (outcome === 'started at 900') silent.push(at)
      if (outcome === 'refused') {
        expect(readFileSync(join(path, 'kept-1', journalOf(join(path, 'kept-1'))))).toEqual(bytes)
      }
    }
    expect(silent).toEqual([])
    expect(outcomes.has('refused')).toBe(true)
  })

  test('if another process holds the database nothing is kept', async () => {
    const path = await makeLog()
    const store = await LevelStore.open(path)
    await expect(openKeepingJournals(path)).rejects.toMatchObject({ code: 'store_locked' })
    expect(readdirSync(path).filter((name) => name.startsWith('kept'))).toEqual([])
    await store.close()
  })
})
