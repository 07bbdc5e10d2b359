/**
 * Goal: the head record survives a write torn at any byte, never goes back, is held by one process, and notices when
 * somebody else changed it; a missing or unreadable one is refused by name.
 * Method: real files; a torn write is made by putting the first bytes of the newer slot over the older file, at every
 * length; a second process is a real one.
 */
import { execFile } from 'node:child_process'
import { copyFileSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { describe, expect, test } from 'vitest'
import { HeadRecord, checkAgainstRecord, readHeadRecord } from '../../src/store/head-record.ts'
import { ORIGIN, digest, rootAt } from './database-fixture.ts'
import { temporaryPaths } from './temporary.ts'

const newPath = temporaryPaths()
const options = { origin: ORIGIN }
const headAt = (size: number): { size: number; root: Uint8Array; timeMs: number } => ({
  size,
  root: rootAt(size),
  timeMs: 1000 + size,
})

async function recordAt(...sizes: number[]): Promise<string> {
  const path = newPath('head')
  const record = await HeadRecord.create(path, options)
  for (const size of sizes) await record.write(headAt(size))
  await record.close()
  return path
}

describe('a head record', () => {
  test('begins at size 0, holds what was written last, over restarts', async () => {
    const path = newPath('head')
    let record = await HeadRecord.create(path, options)
    expect(record.current()).toEqual({ size: 0, root: digest(), timeMs: 0 })
    for (const size of [1, 2, 300]) {
      await record.write(headAt(size))
      expect(record.current()).toEqual(headAt(size))
      expect(await readHeadRecord(path)).toEqual(headAt(size))
      await record.close()
      record = await HeadRecord.open(path, options)
      expect(record.current()).toEqual(headAt(size))
      expect(record.slotLost).toBe(false)
    }
    await record.close()
  })

  test('a write torn at any byte leaves the record before or the new one', async () => {
    const path = await recordAt(7)
    const file = join(path, 'record')
    const before = readFileSync(file)
    const record = await HeadRecord.open(path, options)
    await record.write(headAt(8))
    await record.close()
    const after = readFileSync(file)
    const changed = [...after.keys()].filter((i) => before[i] !== after[i])
    const [start = 0] = changed
    const slot = start - (start % 4096)
    expect(changed.every((i) => i >= slot && i < slot + 128)).toBe(true)
    for (let torn = 0; torn <= 128; torn++) {
      const image = Buffer.from(before)
      after.copy(image, slot, slot, slot + torn)
      writeFileSync(file, image)
      const reopened = await HeadRecord.open(path, options)
      const written = reopened.current().size
      expect(written).toBe(image.equals(after) ? 8 : 7)
      expect(reopened.slotLost).toBe(!image.equals(after) && !image.equals(before))
      if (torn % 16 === 0) {
        // It goes on from there, and the torn slot is the one that is written next.
        await reopened.write(headAt(9))
        await reopened.close()
        const next = await HeadRecord.open(path, options)
        expect(next.current()).toEqual(headAt(9))
        expect(next.slotLost).toBe(false)
        await next.close()
      } else {
        await reopened.close()
      }
    }
  })

  test('one flipped bit anywhere in a slot voids that slot and no other', async () => {
    const path = await recordAt(7, 8)
    const file = join(path, 'record')
    const image = readFileSync(file)
    for (const slot of [0, 4096]) {
      for (let at = 0; at < 128; at += 5) {
        const damaged = Buffer.from(image)
        damaged[slot + at] = (damaged[slot + at] ?? 0) ^ 4
        writeFileSync(file, damaged)
        const record = await HeadRecord.open(path, options)
        expect(record.slotLost).toBe(true)
        expect([7, 8]).toContain(record.current().size)
        await record.close()
      }
    }
  })

  test('size and time do not go back, and one size has one root', async () => {
    const path = await recordAt(5)
    const record = await HeadRecord.open(path, options)
    const refused = [headAt(4), { ...headAt(6), timeMs: 1004 }, { ...headAt(5), root: rootAt(6) }]
    for (const head of refused) {
      await expect(record.write(head)).rejects.toMatchObject({ code: 'head_record_backwards' })
    }
    await record.write(headAt(5))
    await record.write(headAt(6))
    expect(record.current()).toEqual(headAt(6))
    await record.close()
  })

  test('missing, unreadable, of another log, or there already: refused by name', async () => {
    const missing = newPath('head')
    await expect(HeadRecord.open(missing, options)).rejects.toMatchObject({
      code: 'head_record_missing',
    })
    await expect(readHeadRecord(missing)).rejects.toMatchObject({ code: 'head_record_missing' })
    const path = await recordAt(5)
    await expect(HeadRecord.create(path, options)).rejects.toMatchObject({
      code: 'head_record_exists',
    })
    await expect(HeadRecord.open(path, { origin: 'other' })).rejects.toMatchObject({
      code: 'head_record_origin',
    })
    const image = readFileSync(join(path, 'record'))
    const corrupt = [
      Buffer.alloc(0),
      Buffer.alloc(8192),
      Buffer.alloc(100, 1),
      // One whole slot is left, or both and more.
      image.subarray(0, 4096),
      image.subarray(0, 8191),
      Buffer.concat([image, Buffer.alloc(1)]),
    ]
    for (const bytes of corrupt) {
      writeFileSync(join(path, 'record'), bytes)
      const code = 'head_record_corrupt'
      await expect(HeadRecord.open(path, options)).rejects.toMatchObject({ code })
      await expect(readHeadRecord(path)).rejects.toMatchObject({ code })
    }
    rmSync(join(path, 'record'))
    await expect(HeadRecord.open(path, options)).rejects.toMatchObject({
      code: 'head_record_missing',
    })
  })

  test('changed or replaced by somebody else: the next write is refused, and every later one', async () => {
    const changes: ((file: string) => void)[] = [
      (file) => {
        const bytes = readFileSync(file)
        bytes[20] = (bytes[20] ?? 0) ^ 1
        writeFileSync(file, bytes)
      },
      (file) => {
        copyFileSync(file, `${file}.copy`)
        renameSync(`${file}.copy`, file)
      },
      (file) => rmSync(file),
    ]
    for (const change of changes) {
      const path = await recordAt(5)
      const record = await HeadRecord.open(path, options)
      change(join(path, 'record'))
      await expect(record.write(headAt(6))).rejects.toMatchObject({
        code: 'head_record_foreign',
        fatal: true,
      })
      await expect(record.write(headAt(6))).rejects.toMatchObject({
        code: 'head_record_failed',
        fatal: true,
      })
      await record.close()
    }
  })

  test('slots that do not follow each other are refused', async () => {
    const path = await recordAt(5, 6)
    const old = readFileSync(join(path, 'record'))
    const record = await HeadRecord.open(path, options)
    for (const size of [7, 8, 9]) await record.write(headAt(size))
    await record.close()
    const mixed = readFileSync(join(path, 'record'))
    old.copy(mixed, 0, 0, 128)
    writeFileSync(join(path, 'record'), mixed)
    await expect(HeadRecord.open(path, options)).rejects.toMatchObject({
      code: 'head_record_corrupt',
    })
  })

  test('is held by one: a second opener is refused, in this process and in another', async () => {
    const path = await recordAt(5)
    const record = await HeadRecord.open(path, options)
    await expect(HeadRecord.open(path, options)).rejects.toMatchObject({
      code: 'head_record_locked',
    })
    // LevelDB's lock would be gone after the refused attempt, had it seen it.
    const script = `import { Level } from 'level'
      const db = new Level(process.argv[1])
      await db.open().then(() => console.log('opened'), (e) => console.log(e.cause?.code))`
    const run = (): Promise<{ stdout: string }> =>
      promisify(execFile)(process.execPath, [
        '--input-type=module',
        '-e',
        script,
        join(path, 'lock'),
      ])
    expect((await run()).stdout.trim()).toBe('LEVEL_LOCKED')
    await record.close()
    expect((await run()).stdout.trim()).toBe('opened')
    await (await HeadRecord.open(path, options)).close()
  })

  test('the operator can name a head: the old file stays beside it', async () => {
    const path = await recordAt(5)
    writeFileSync(join(path, 'record'), 'damaged')
    const record = await HeadRecord.replace(path, { ...options, head: headAt(3) })
    expect(record.current()).toEqual(headAt(3))
    await record.write(headAt(4))
    await record.close()
    expect(readFileSync(join(path, 'record.replaced-1'), 'utf8')).toBe('damaged')
  })

  test('a database behind it, or with another root at its size, is refused', () => {
    const recorded = headAt(5)
    expect(() => checkAgainstRecord(recorded, 4, rootAt)).toThrow(
      expect.objectContaining({ code: 'store_behind_record' }),
    )
    expect(() => checkAgainstRecord(recorded, 5, () => rootAt(9))).toThrow(
      expect.objectContaining({ code: 'store_differs_from_record' }),
    )
    checkAgainstRecord(recorded, 5, rootAt)
    checkAgainstRecord(recorded, 6, rootAt)
  })
})
