/**
 * Goal: a full disk costs answers, never an acknowledged entry: the process ends, and the next start decides.
 * Method: data, head record and keys on small file systems of their own (tmpfs); filled under load, so that a batch
 * fails; freed; started again and loaded on; everything acknowledged is held against the log, which is audited.
 * Measured: after one ENOSPC, LevelDB's handle acknowledges further batches and loses them all.
 */
import { execFileSync, spawnSync } from 'node:child_process'
import {
  closeSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  statfsSync,
  writeSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { Load, Speaker } from '../support/load.ts'
import {
  type LogDirectory,
  makeLog,
  removeLog,
  runCli,
  type RunningService,
  startService,
} from '../support/service.ts'
import { Auditor, httpSource } from './auditor.ts'

// No floor: what a batch that fails leaves is the subject. The floor's own test is below.
const FLAGS = ['--open-reads', 'true', '--free-space-floor', '0']
const NO_MOUNT = 'tmpfs may not be mounted here: root is needed'

const mount = (path: string, size: string): void => {
  execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${size}`, 'tmpfs', path])
}

function canMount(): boolean {
  const path = mkdtempSync(join(tmpdir(), 'trustwarden-mount-'))
  const { status } = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=64k', 'tmpfs', path])
  if (status === 0) execFileSync('umount', [path])
  rmSync(path, { recursive: true })
  return status === 0
}

/** Fills a file system but for `left` bytes. */
function fill(path: string, left = 0): void {
  const file = openSync(join(path, 'filler'), 'w')
  const page = Buffer.alloc(4096)
  try {
    for (;;) {
      const { bavail, bsize } = statfsSync(path)
      if (bavail * bsize <= left) return
      writeSync(file, page)
    }
  } catch (error) {
    expect(error).toMatchObject({ code: 'ENOSPC' })
  } finally {
    closeSync(file)
  }
}

const free = (path: string): void => rmSync(join(path, 'filler'))

describe.skipIf(!canMount())(`a full disk (skipped where ${NO_MOUNT})`, () => {
  let people: LogDirectory
  let log: LogDirectory
  let disk: string
  let headDisk: string
  let service: RunningService | undefined

  beforeEach(() => {
    people = makeLog()
    disk = join(people.root, 'disk')
    headDisk = join(people.root, 'head-disk')
    for (const [path, size] of [
      [disk, '24m'],
      [headDisk, '1m'],
    ] as const) {
      mkdirSync(path)
      mount(path, size)
    }
    const data = join(disk, 'log')
    const [head, keys] = [join(headDisk, 'head'), `${data}.keys`]
    const names = ['--origin', 'acme.example/logs/agents', '--trust-domain', 'acme.example']
    const persons = ['--owner', `${people.owner}.pub`, '--operator', `${people.operator}.pub`]
    const paths = ['--data', data, '--head', head, '--keys', keys]
    runCli(['init', ...paths, ...names, ...persons, '--plain-keys'])
    const anchor = readFileSync(join(data, 'trust-anchor'), 'utf8').trim()
    log = { ...people, data, head, keys, anchor }
  })

  afterEach(async () => {
    await service?.stop('SIGKILL')
    service = undefined
    for (const path of [disk, headDisk]) execFileSync('umount', [path])
    removeLog(people)
  })

  const start = async (): Promise<RunningService> => {
    service = await startService(log, { flags: [...FLAGS, '--head', log.head] })
    return service
  }
  const audit = (): string =>
    runCli(['audit', '--data', log.data, '--head', log.head, '--trust', log.anchor])

  test('of the data: three times full, the process ends each time and nothing acknowledged is lost', async () => {
    const load = new Load(Speaker.of(log))
    const auditor = new Auditor(log.anchor)
    let running = await start()
    await load.begin(running.url)
    for (const left of [400_000, 200_000, 0]) {
      const before = load.acknowledged.length
      fill(disk, left)
      load.start(running.url, { batch: 2, detailBytes: 400 })
      await load.ended()
      // Nobody stopped it: the failed batch did.
      expect(await running.stop('SIGTERM')).toBe(1)
      expect(running.stderr()).toMatch(/could not be committed/)
      if (left > 0) expect(load.acknowledged.length).toBeGreaterThan(before)
      // A start on the full disk refuses or serves what is there; it never serves less.
      const onFull = await startService(log, { flags: [...FLAGS, '--head', log.head] }).then(
        (one) => one,
        (error: unknown) => (error instanceof Error ? error.message : 'unknown'),
      )
      if (typeof onFull === 'string') expect(onFull).toMatch(/journals_not_kept|store_open_failed/)
      else {
        await auditor.check(httpSource(onFull.url), load.acknowledged)
        await onFull.stop('SIGKILL')
      }
      free(disk)
      running = await start()
      await auditor.check(httpSource(running.url), load.acknowledged)
      await load.repeat(running.url, Number.POSITIVE_INFINITY)
      expect(load.unanswered.size).toBe(0)
    }
    await auditor.check(httpSource(running.url), load.acknowledged)
    auditor.checkOnce()
    expect(await running.stop()).toBe(0)
    expect(audit()).toMatch(/^holds: /)
  })

  test('of the head record: its slots are there already, so the service goes on; a start says what it lacks', async () => {
    const load = new Load(Speaker.of(log))
    const auditor = new Auditor(log.anchor)
    let running = await start()
    await load.begin(running.url)
    fill(headDisk)
    load.start(running.url)
    while (load.acknowledged.length < 50) await new Promise((resolve) => setTimeout(resolve, 10))
    await load.stop()
    expect(load.problems).toEqual([])
    expect(await running.stop()).toBe(0)
    // The lock of the record is a LevelDB of its own, which writes when it opens.
    await expect(start()).rejects.toThrow(/store_open_failed|head_record_failed/)
    free(headDisk)
    running = await start()
    await auditor.check(httpSource(running.url), load.acknowledged)
    expect(await running.stop()).toBe(0)
    expect(audit()).toMatch(/^holds: /)
  })

  test.each([
    ['data', () => disk, /journals_not_kept|store_open_failed/],
    ['head record', () => headDisk, /store_open_failed|head_record_failed/],
  ] as const)('a read-only %s is refused by name, and nothing is lost', async (_, pathOf, name) => {
    const load = new Load(Speaker.of(log))
    const auditor = new Auditor(log.anchor)
    let running = await start()
    await load.begin(running.url)
    await auditor.check(httpSource(running.url), load.acknowledged)
    expect(await running.stop()).toBe(0)
    execFileSync('mount', ['-o', 'remount,ro', pathOf()])
    await expect(start()).rejects.toThrow(name)
    execFileSync('mount', ['-o', 'remount,rw', pathOf()])
    running = await start()
    await auditor.check(httpSource(running.url), load.acknowledged)
  })
})
