/**
 * Goal: a full disk costs answers, never an acknowledged entry: the process ends, and the next start decides.
 * Method: data, head record and keys on small file systems of their own (tmpfs); filled under load, so that a batch
 * fails; freed; started again and loaded on; everything acknowledged is held against the log, which is audited.
 * Below a floor intake stops before anything fails, and revocations are taken to the last byte, and by the reserve.
 * Measured: after one ENOSPC, LevelDB's handle acknowledges further batches and loses them all.
 */
import { execFileSync, spawnSync } from 'node:child_process'
import {
  closeSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  statfsSync,
  statSync,
  writeSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { jsonObject, parseReceipt } from '@trustwarden/proofs'
import { bodyOf, isAcknowledged, Load, post, Speaker, submitAll } from '../support/load.ts'
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

const MIB = 1024 * 1024

/** Room for what is written between two looks at the disk, and for the table of it. */
const FLOOR = 64 * MIB
/** Room for what LevelDB merges for reads: all that the log has by then, 7 to 12 MiB. */
const RESERVE = 24 * MIB
const FLOOR_FLAGS = [
  '--open-reads',
  'true',
  '--free-space-floor',
  `${FLOOR}`,
  '--disk-reserve',
  `${RESERVE}`,
]

describe.skipIf(!canMount())(`the floor (skipped where ${NO_MOUNT})`, () => {
  let people: LogDirectory
  let log: LogDirectory
  let disk: string
  let service: RunningService | undefined

  beforeEach(() => {
    people = makeLog()
    disk = join(people.root, 'disk')
    mkdirSync(disk)
    mount(disk, '144m')
    const data = join(disk, 'log')
    cpSync(people.data, data, { recursive: true })
    // The head record on the same disk, as by default: it finds no room either.
    cpSync(people.head, `${data}.head`, { recursive: true })
    log = { ...people, data, head: `${data}.head` }
  })

  afterEach(async () => {
    await service?.stop('SIGKILL')
    service = undefined
    execFileSync('umount', [disk])
    removeLog(people)
  })

  const start = async (): Promise<RunningService> => {
    const flags = [...FLOOR_FLAGS, '--keys', log.keys]
    service = await startService(log, { flags })
    return service
  }
  const reserve = (): number => {
    const path = join(log.data, 'reserve')
    return existsSync(path) ? statSync(path).size : 0
  }
  const left = (): number => {
    const { bavail, bsize } = statfsSync(disk)
    return bavail * bsize
  }
  const isReady = async ({ url }: RunningService): Promise<boolean> =>
    (await fetch(`${url}/readyz`)).status === 200
  const codesOf = (load: Load): ReadonlySet<unknown> =>
    new Set(load.problems.map((one) => jsonObject(one['problem'] ?? one, 'problem')['code']))

  test('stops intake by itself; on a disk that is full to the last byte revocations are taken, and the next start too', async () => {
    const load = new Load(Speaker.of(log))
    const auditor = new Auditor(log.anchor)
    const { speaker } = load
    let running = await start()
    await load.begin(running.url)
    await expect.poll(reserve).toBe(RESERVE)
    const revoke = async (target: string): Promise<void> => {
      const since = performance.now()
      const [result] = await submitAll(running.url, [speaker.revoke(target)])
      expect(performance.now() - since).toBeLessThan(5000)
      if (result === undefined || !isAcknowledged(result)) throw new Error(JSON.stringify(result))
      load.acknowledged.push(result)
    }
    const targets = await Promise.all(
      Array.from({ length: 40 }, async () => {
        const { agent, said } = speaker.requestAgent('load/target')
        const { body } = await post(running.url, '/logs/agents/v1/agents', bodyOf(said))
        const receipt = parseReceipt(body['receipt'] ?? null)
        load.acknowledged.push({ said, receipt, repeated: false })
        return `inst:${agent.principal}`
      }),
    )

    // 1. The log itself takes the disk down to the floor: nothing fails, what is over is refused by name.
    fill(disk, FLOOR + 4 * MIB)
    load.start(running.url, { connections: 4, batch: 16, detailBytes: 4000 })
    await expect.poll(() => isReady(running), { timeout: 120_000, interval: 100 }).toBe(false)
    await load.stop()
    expect(codesOf(load)).toEqual(new Set(['disk_low']))
    expect(running.stderr()).toContain('intake stops')
    expect(running.stderr()).not.toContain('"level":60')
    await auditor.check(httpSource(running.url), load.acknowledged)
    await revoke(targets[0] ?? '')
    expect(reserve()).toBe(RESERVE)

    // 2. Others fill the rest. The reserve is given up for the next revocation, and many more fit.
    fill(disk)
    expect(left()).toBeLessThan(8192)
    expect(await isReady(running)).toBe(false)
    for (const target of targets.slice(1, 20)) await revoke(target)
    expect(reserve()).toBe(0)
    await auditor.check(httpSource(running.url), load.acknowledged)
    const [refused] = await submitAll(running.url, [speaker.report(load.agent, null)])
    expect(refused).toMatchObject({ problem: { code: 'disk_low', status: 503 } })
    expect(await running.stop()).toBe(0)

    // 3. A start on the little that is left serves and takes revocations; one on none at all says so, and loses nothing.
    running = await start()
    expect(await isReady(running)).toBe(false)
    for (const target of targets.slice(20, 30)) await revoke(target)
    await auditor.check(httpSource(running.url), load.acknowledged)
    expect(await running.stop()).toBe(0)

    // 4. Space comes back: intake goes on by itself, the reserve is made again.
    free(disk)
    running = await start()
    rmSync(join(log.data, 'reserve'), { force: true })
    expect(await isReady(running)).toBe(left() > 1.1 * FLOOR)
    execFileSync('mount', ['-o', 'remount,size=256m', disk])
    await expect.poll(() => isReady(running), { timeout: 10_000 }).toBe(true)
    load.problems.length = 0
    const before = load.acknowledged.length
    load.start(running.url)
    await expect
      .poll(() => load.acknowledged.length, { timeout: 30_000 })
      .toBeGreaterThan(before + 50)
    await load.stop()
    await load.repeat(running.url, Number.POSITIVE_INFINITY)
    expect(load.problems).toEqual([])
    await auditor.check(httpSource(running.url), load.acknowledged)
    auditor.checkOnce()
    await expect.poll(reserve, { timeout: 10_000 }).toBe(RESERVE)
    expect(await running.stop()).toBe(0)
    expect(runCli(['audit', '--data', log.data, '--trust', log.anchor])).toMatch(/^holds: /)
  })

  test('a start on a full disk opens by the reserve', async () => {
    let running = await start()
    const load = new Load(Speaker.of(log))
    await load.begin(running.url)
    await expect.poll(reserve).toBe(RESERVE)
    expect(await running.stop('SIGKILL')).toBe('SIGKILL')
    fill(disk)
    running = await start()
    expect(running.stderr()).toContain('the reserve was given up')
    expect([reserve(), await isReady(running)]).toEqual([0, false])
    const said = load.speaker.revoke(`inst:${load.agent.principal}`)
    const [result] = await submitAll(running.url, [said])
    if (result === undefined || !isAcknowledged(result)) throw new Error(JSON.stringify(result))
    load.acknowledged.push(result)
    await new Auditor(log.anchor).check(httpSource(running.url), load.acknowledged)
    expect(await running.stop()).toBe(0)
  })
})
