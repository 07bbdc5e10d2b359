/**
 * Goal: backup, restore and recover, killed at any moment or out of space, end complete, or are refused by name and
 * repeatable; what a backup was it stays until it is the new one.
 * Method: real processes; SIGKILL at many moments; file systems of a few MiB, filled and freed.
 */
import { execFileSync, spawnSync } from 'node:child_process'
import {
  closeSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  rmSync,
  statfsSync,
  writeSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { scratchDirectory, trustwarden } from '../support/command-line.ts'
import {
  type Copies,
  killBackups,
  killRecovers,
  killRestores,
  makeCopies,
  removeCopies,
} from './backup-rounds.ts'
import { seededRandom } from './random.ts'

const ROUNDS = 12

let copies: Copies

beforeAll(async () => {
  copies = await makeCopies(3000)
}, 240_000)
afterAll(() => removeCopies(copies))

test('killed backups', async () => {
  const cut = await killBackups(copies, ROUNDS, seededRandom('killed backups'))
  expect(cut).toBeGreaterThan(ROUNDS / 4)
})

test('killed restores', async () => {
  const cut = await killRestores(copies, ROUNDS, seededRandom('killed restores'))
  expect(cut).toBeGreaterThan(ROUNDS / 4)
})

test('killed recovers', async () => {
  const cut = await killRecovers(copies, ROUNDS / 2, seededRandom('killed recovers'))
  expect(cut).toBeGreaterThan(ROUNDS / 4)
})

function canMount(): boolean {
  const path = mkdtempSync(join(tmpdir(), 'trustwarden-mount-'))
  const { status } = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=64k', 'tmpfs', path])
  if (status === 0) execFileSync('umount', [path])
  rmSync(path, { recursive: true })
  return status === 0
}

describe.skipIf(!canMount())(
  'a full disk (skipped where tmpfs may not be mounted: root is needed)',
  () => {
    let disk: string
    let scratch: ReturnType<typeof scratchDirectory>

    beforeAll(() => {
      scratch = scratchDirectory()
      disk = join(scratch.path, 'disk')
      mkdirSync(disk)
      execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=48m', 'tmpfs', disk])
    })
    afterAll(() => {
      execFileSync('umount', [disk])
      scratch.remove()
    })

    /** Fills the disk but for `left` bytes. */
    const fill = (left: number): void => {
      const file = openSync(join(disk, 'filler'), 'w')
      const page = Buffer.alloc(4096)
      for (;;) {
        const { bavail, bsize } = statfsSync(disk)
        if (bavail * bsize <= left) break
        writeSync(file, page)
      }
      closeSync(file)
    }
    const free = (): void => rmSync(join(disk, 'filler'))

    test.each([40_000, 400_000, 1_500_000])('under a backup, %s bytes left', (left) => {
      const { log } = copies
      const to = join(disk, 'backup')
      const args = ['backup', '--to', to, '--data', log.data]
      fill(left)
      const full = trustwarden(args)
      expect([full.code, full.err]).toEqual([
        1,
        expect.stringMatching(/archive_failed.*make room/s),
      ])
      free()
      expect(trustwarden(args).code).toBe(0)
      const data = join(scratch.path, `restored-${left}`)
      const restored = trustwarden(['restore', '--from', to, '--to', data, '--trust', log.anchor])
      expect(restored.code).toBe(0)
      rmSync(to, { recursive: true })
    })

    test('under a backup that continues another leaves that one as it was', () => {
      const { log, backup } = copies
      const to = join(disk, 'continued')
      cpSync(backup, to, { recursive: true })
      fill(40_000)
      expect(trustwarden(['backup', '--to', to, '--data', log.data]).code).toBe(1)
      const data = join(scratch.path, 'from-continued')
      const args = ['restore', '--from', to, '--to', data, '--trust', log.anchor]
      expect(trustwarden(args).out).toContain(`at size ${copies.backupSize},`)
      free()
      rmSync(to, { recursive: true })
    })

    test.each([40_000, 400_000, 3_000_000])('under a restore, %s bytes left', (left) => {
      const { log, backup } = copies
      const to = join(disk, 'restored')
      const args = ['restore', '--from', backup, '--to', to, '--trust', log.anchor]
      fill(left)
      const full = trustwarden(args)
      expect(full.code).toBe(1)
      expect(full.err).toMatch(/ENOSPC|store_failed|store_open_failed|No space/)
      expect(existsSync(to)).toBe(false)
      free()
      expect(trustwarden(args).code).toBe(0)
      rmSync(to, { recursive: true })
    })

    test('under a recover', () => {
      const { log, backup, mirror } = copies
      const to = join(disk, 'recovered')
      expect(
        trustwarden(['restore', '--from', backup, '--to', to, '--trust', log.anchor]).code,
      ).toBe(0)
      cpSync(log.head, `${to}.head`, { recursive: true })
      const args = ['recover', '--data', to, '--from', mirror]
      fill(600_000)
      const full = trustwarden(args)
      expect([full.code, full.err]).toEqual([
        1,
        expect.stringMatching(/store_failed|store_open_failed|journals_not_kept/),
      ])
      free()
      expect(trustwarden(args).code).toBe(0)
      expect(trustwarden(['audit', '--data', to, '--trust', log.anchor]).out).toMatch(/^holds: /)
    })
  },
)
