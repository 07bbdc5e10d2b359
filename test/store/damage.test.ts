/**
 * Goal: one changed bit or one lost key in anything that is stored is found, by name (DESIGN §5).
 * Method: a small log on the store in memory, and for each of its keys in turn: one bit of the value flipped at several
 * places, then the key taken away. After each, opening and the checks of a start must refuse; and where a key is hidden
 * from `get` alone, as a flipped bit of a Bloom filter does, the scrub must say so.
 */
import { beforeAll, describe, expect, test } from 'vitest'
import { StoreError } from '../../src/store/errors.ts'
import { MemoryStore } from '../../src/store/memory-store.ts'
import { checkBatchRecords, checkErasables, checkSetDigests } from '../../src/store/start-checks.ts'
import {
  DEDUP,
  REVOCATIONS,
  append,
  bytesOf,
  createDatabase,
  digest,
  entryAt,
  openDatabase,
} from './database-fixture.ts'

type Disk = Map<string, Uint8Array>

const SECRET = bytesOf('a salted disclosure')
const disk: Disk = new Map()

beforeAll(async () => {
  const database = await createDatabase(new MemoryStore(disk))
  for (let i = 0; i < 4; i++) {
    await append(database, 80, (batch) => {
      batch.put(DEDUP, bytesOf(`event ${i}`), bytesOf(`index ${i}`))
      batch.put(REVOCATIONS, bytesOf(`agent ${i}`), bytesOf(`epoch ${i}`))
      batch.put(DEDUP, bytesOf('head'), bytesOf(`${i}`))
      batch.putPinned(bytesOf(`certificate ${i}`))
    })
  }
  await append(database, 1, (batch) => batch.putErasable(320, 0, SECRET))
})

/** What the leaves say: entry 320 has one erasable value, the others none. */
const expectedAt = (erased: ReadonlySet<number>) => (index: number) =>
  index === 320
    ? {
        digests: new Map([[0, digest(SECRET)]]),
        digestOf: (value: Uint8Array) => digest(value),
        erased,
      }
    : undefined

/** A start, with everything it checks. */
async function start(store: MemoryStore): Promise<void> {
  const database = await openDatabase(store)
  await checkBatchRecords(database, { minBytes: Number.POSITIVE_INFINITY })
  await checkSetDigests(database)
  await checkErasables(database, 0, expectedAt(new Set()))
}

async function codeOf(run: () => Promise<void>): Promise<string> {
  try {
    await run()
  } catch (error) {
    if (error instanceof StoreError) return error.code
    throw error
  }
  return 'nothing'
}

const nameOf = (key: string): string =>
  `${key[9]}:${Buffer.from(key.slice(10), 'latin1').toString('hex')}`

describe('damage', () => {
  test('an undamaged log starts', async () => {
    expect(await codeOf(() => start(new MemoryStore(new Map(disk))))).toBe('nothing')
  })

  test('one flipped bit in any value is found', async () => {
    const missed: string[] = []
    for (const [key, value] of disk) {
      for (const at of new Set([0, 1, value.length >> 1, value.length - 9, value.length - 1])) {
        if (at < 0 || at >= value.length) continue
        const damaged: Disk = new Map(disk)
        damaged.set(
          key,
          value.map((byte, i) => (i === at ? byte ^ 0x10 : byte)),
        )
        if ((await codeOf(() => start(new MemoryStore(damaged)))) === 'nothing')
          missed.push(`${nameOf(key)} at ${at}`)
      }
    }
    expect(missed).toEqual([])
  })

  test('any one lost key is found', async () => {
    const missed: string[] = []
    for (const key of disk.keys()) {
      const damaged: Disk = new Map(disk)
      damaged.delete(key)
      if ((await codeOf(() => start(new MemoryStore(damaged)))) === 'nothing')
        missed.push(nameOf(key))
    }
    expect(missed).toEqual([])
  })

  test('any one lost batch in the middle, and an old value in place of a new one, are found', async () => {
    const old: Disk = new Map()
    const database = await createDatabase(new MemoryStore(old))
    await append(database, 3, (batch) => batch.put(DEDUP, bytesOf('k'), bytesOf('1')))
    const first = new Map(old)
    await append(database, 3, (batch) => batch.put(DEDUP, bytesOf('k'), bytesOf('2')))
    const second = new Map(old)
    await append(database, 3, (batch) => batch.put(DEDUP, bytesOf('l'), bytesOf('3')))
    for (const [key, value] of first) {
      if (key[9] !== 'f') continue
      const damaged = new Map(old)
      damaged.set(key, value)
      const run = async (): Promise<void> =>
        checkSetDigests(await openDatabase(new MemoryStore(damaged)))
      expect(await codeOf(run)).toBe('set_digest_mismatch')
    }
    const without: Disk = new Map(old)
    for (const [key, value] of second) {
      const before = first.get(key)
      if (before === undefined) without.delete(key)
      else if (!Buffer.from(before).equals(value) && old.get(key) === value)
        without.set(key, before)
    }
    const run = async (): Promise<void> => {
      await checkBatchRecords(await openDatabase(new MemoryStore(without)))
    }
    expect(await codeOf(run)).not.toBe('nothing')
  })

  test('a key of a resident fold that is lost is missed at opening, before anything reads the fold', async () => {
    const [lost] = [...disk.keys()].filter((name) => name[9] === 'f' && name.includes('agent 2'))
    const damaged: Disk = new Map(disk)
    damaged.delete(lost ?? '')
    await expect(openDatabase(new MemoryStore(damaged))).rejects.toMatchObject({
      code: 'set_digest_mismatch',
      message: 'fold revocations has 3 keys, 4 were written',
    })
  })

  test('a fold that went back together with its set digest is found', async () => {
    const now: Disk = new Map()
    const database = await createDatabase(new MemoryStore(now))
    await append(database, 1, (batch) => batch.put(DEDUP, bytesOf('k'), bytesOf('1')))
    const before = new Map(now)
    await append(database, 1, (batch) => batch.put(DEDUP, bytesOf('k'), bytesOf('2')))
    for (const [key, value] of before) if (key[9] === 'f' || key[9] === 's') now.set(key, value)
    await expect(openDatabase(new MemoryStore(now))).rejects.toMatchObject({
      code: 'set_digest_missing',
    })
  })

  test('a record of another history is refused by the chain', async () => {
    const other: Disk = new Map()
    const database = await createDatabase(new MemoryStore(other))
    await append(database, 80, (batch) => void batch.putPinned(bytesOf('something else')))
    const damaged: Disk = new Map(disk)
    const [key] = [...other.keys()].filter((name) => name[9] === 'r')
    damaged.set(key ?? '', other.get(key ?? '') ?? new Uint8Array(0))
    expect(await codeOf(() => start(new MemoryStore(damaged)))).toBe('batch_record_chain')
  })

  test('a key of a fold that scan shows and get hides is named', async () => {
    const [hidden] = [...disk.keys()].filter((name) => name[9] === 'f' && name.includes('event 2'))
    class HidingStore extends MemoryStore {
      override get(key: Uint8Array): Uint8Array | undefined {
        return Buffer.from(key).toString('latin1') === hidden ? undefined : super.get(key)
      }
    }
    const database = await openDatabase(new HidingStore(new Map(disk)))
    await expect(checkSetDigests(database)).rejects.toMatchObject({
      code: 'fold_key_lost',
      message: expect.stringContaining(`fold dedup: key ${nameOf(hidden ?? '')}`),
    })
  })

  test('a changed value of a fold is refused when it is read, by fold and key', async () => {
    const [key] = [...disk.keys()].filter((name) => name[9] === 'f' && name.includes('event 1'))
    const damaged: Disk = new Map(disk)
    damaged.set(
      key ?? '',
      (disk.get(key ?? '') ?? new Uint8Array(0)).map((byte, i) => (i === 0 ? byte ^ 1 : byte)),
    )
    const database = await openDatabase(new MemoryStore(damaged))
    expect(() => database.folds.reader(DEDUP).get(bytesOf('event 1'))).toThrow(
      expect.objectContaining({
        code: 'value_corrupt',
        fatal: true,
        message: expect.stringContaining('dedup'),
      }),
    )
  })

  test('a changed entry of a full bundle is refused when it is read, and its neighbours are not', async () => {
    const [key = ''] = [...disk.keys()].filter((name) => name[9] === 'b')
    const bundle = Buffer.from(disk.get(key) ?? new Uint8Array(0))
    const damaged: Disk = new Map(disk)
    bundle[bundle.indexOf('entry 77 ') + 6] = 0x38
    damaged.set(key, bundle)
    const database = await openDatabase(new MemoryStore(damaged))
    expect(() => database.entry(77)).toThrow(expect.objectContaining({ code: 'entry_mismatch' }))
    expect(() => database.bundle(0)).toThrow(expect.objectContaining({ code: 'entry_mismatch' }))
    expect(database.entry(78)).toEqual(entryAt(78))
  })

  test('an erasable value that is erased and still there is refused', async () => {
    const database = await openDatabase(new MemoryStore(new Map(disk)))
    await expect(checkErasables(database, 0, expectedAt(new Set([0])))).rejects.toMatchObject({
      code: 'erasable_mismatch',
    })
  })

  test('an erasable value that is gone, changed, or belongs to nothing is refused, each by its name', async () => {
    const codeWith = async (change: (damaged: Disk, name: string) => void): Promise<string> => {
      const damaged: Disk = new Map(disk)
      const [name = ''] = [...disk.keys()].filter((key) => key[9] === 'x')
      change(damaged, name)
      const database = await openDatabase(new MemoryStore(damaged))
      return codeOf(() => checkErasables(database, 300, expectedAt(new Set())))
    }
    expect(await codeWith(() => undefined)).toBe('nothing')
    expect(await codeWith((damaged, name) => damaged.delete(name))).toBe('erasable_missing')
    expect(await codeWith((damaged, name) => damaged.set(name, bytesOf('x')))).toBe(
      'erasable_mismatch',
    )
    for (const [from, to] of [
      [17, '\u0030'],
      [19, '\u0007'],
    ] as const) {
      const stray = (damaged: Disk, name: string): void => {
        damaged.set(name.slice(0, from) + to + name.slice(from + 1), SECRET)
      }
      expect(await codeWith(stray)).toBe('erasable_mismatch')
    }
  })
})
