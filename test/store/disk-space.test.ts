/**
 * Goal: the reserve holds real space, is whole or gone, and gives it back. Method: real files; a full file system
 * (tmpfs) where one may be mounted.
 */
import { execFileSync, spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { DiskReserve, freeBytes, journalBytes } from '../../src/store/disk-space.ts'

let directory: string
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'trustwarden-reserve-'))
})
afterEach(() => rmSync(directory, { recursive: true, force: true }))

const MIB = 1024 * 1024
const path = (): string => join(directory, 'reserve')

describe('the reserve', () => {
  test('holds blocks and not a hole, is found again, and gives them back', async () => {
    const wanted = 3 * MIB + 5
    const reserve = await DiskReserve.open(directory, wanted)
    expect(reserve.held).toBe(0)
    await reserve.fill()
    const { size, blocks, mode } = statSync(path())
    expect([reserve.held, size, mode & 0o777]).toEqual([wanted, wanted, 0o600])
    expect(blocks * 512).toBeGreaterThanOrEqual(wanted)
    expect((await DiskReserve.open(directory, wanted)).held).toBe(wanted)
    await reserve.release()
    expect([reserve.held, existsSync(path())]).toEqual([0, false])
    await reserve.release()
    await reserve.fill()
    rmSync(path())
    await reserve.measure()
    expect(reserve.held).toBe(0)
  })

  test.each([
    ['shorter, as a crash leaves it', 10, 4096],
    ['longer, of another setting', 2 * MIB, 4096],
    ['of a setting that wants none', 10, 0],
  ])('is made anew where it is %s', async (_, there, wanted) => {
    writeFileSync(path(), Buffer.alloc(there))
    const reserve = await DiskReserve.open(directory, wanted)
    expect(reserve.held).toBe(there)
    await reserve.fill()
    expect(reserve.held).toBe(wanted)
    expect(existsSync(path()) ? statSync(path()).size : 0).toBe(wanted)
  })

  test('stops being made when the service ends', async () => {
    const reserve = await DiskReserve.open(directory, 64 * MIB)
    const filling = reserve.fill()
    await reserve.close()
    await filling
    expect(reserve.held).toBeLessThan(64 * MIB)
    expect(statSync(path()).size).toBe(reserve.held)
  })

  test('counts journals, and no tables', async () => {
    for (const [name, length] of [
      ['000003.log', 5],
      ['000007.log', 6],
      ['000005.ldb', 100],
      ['LOG', 100],
    ] as const)
      writeFileSync(join(directory, name), Buffer.alloc(length))
    expect(await journalBytes(directory)).toBe(11)
  })
})

function mounted(at: string): boolean {
  mkdirSync(at)
  return spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=4m', 'tmpfs', at]).status === 0
}

describe('on a file system that is full', () => {
  test('what was made of it goes again', async (context) => {
    const at = join(directory, 'disk')
    if (!mounted(at)) return context.skip('tmpfs may not be mounted here: root is needed')
    try {
      const before = await freeBytes(at)
      expect(before).toBe(4 * MIB)
      const reserve = await DiskReserve.open(at, 8 * MIB)
      await expect(reserve.fill()).rejects.toMatchObject({ code: 'ENOSPC' })
      expect([reserve.held, await freeBytes(at)]).toEqual([0, before])
    } finally {
      execFileSync('umount', [at])
    }
  })
})
