/**
 * Goal: a backup of a log that is served is the log at one head, and comes back as the same log; a mirror brings back what a
 * backup lacks; whatever is wrong with either is refused by name, and what is missing is named.
 * Method: the real service under real statements, its copies made, continued, damaged and restored by the real commands; what
 * comes back is audited, started, and held against every receipt.
 */
import { spawnSync } from 'node:child_process'
import {
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { cborArray, decodeCbor, encodeCbor, parseTrust, utf8Encode } from '@trustwarden/proofs'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { databaseSource } from '../../src/archive/database-source.ts'
import { openDirectory } from '../../src/archive/directory.ts'
import type { LogSource } from '../../src/archive/source.ts'
import { nativePrimitives } from '../../src/crypto.ts'
import { databasePath } from '../../src/directory.ts'
import { foldSpecs } from '../../src/ledger/rebuild.ts'
import { decodeSupplement } from '../../src/ledger/supplement.ts'
import {
  recoverLog,
  type RecoverReport,
  restoreLog,
  type RestoreReport,
} from '../../src/restore.ts'
import { ALL_FOLDS } from '../../src/rules.ts'
import { Database } from '../../src/store/database.ts'
import { HeadRecord, readHeadRecord } from '../../src/store/head-record.ts'
import { LevelStore } from '../../src/store/level-store.ts'
import { Auditor, httpSource } from '../e2e/auditor.ts'
import { TamperingProxy } from '../sdk/tampering-proxy.ts'
import {
  type Ended,
  scratchDirectory,
  trustwarden,
  trustwardenAsync,
} from '../support/command-line.ts'
import {
  type Acknowledged,
  isAcknowledged,
  Load,
  type Said,
  Speaker,
  submitAll,
} from '../support/load.ts'
import {
  type LogDirectory,
  makeLog,
  removeLog,
  runCli,
  runCliAsync,
  type RunningService,
  startService,
} from '../support/service.ts'

vi.setConfig({ testTimeout: 180_000, hookTimeout: 180_000 })

const ORIGIN = 'acme.example/logs/agents'

let scratch: ReturnType<typeof scratchDirectory>
let log: LogDirectory
let load: Load
let reader: string
let service: RunningService
/** As it was before it was continued. */
let early: string
let backup: string
let backupSize: number
let mirror: string
/** Its disclosure was erased after the first backup; one in the tail that only the mirror has; one that nobody erased. */
let erased: number
let kept: number
let tail: number
let size: number

async function say(all: readonly Said[]): Promise<readonly Acknowledged[]> {
  const acknowledged = (await submitAll(service.url, all)).filter(isAcknowledged)
  expect(acknowledged.length).toBe(all.length)
  load.acknowledged.push(...acknowledged)
  return acknowledged
}

const actions = (count: number): readonly Said[] =>
  Array.from({ length: count }, (_, n) =>
    load.speaker.report(load.agent, null, n % 2 === 0 ? `detail ${n}` : undefined),
  )

/** What a data directory has that a service alone did not make. */
const isRestored = (name: string): boolean => !/^(?:reserve|scrub-place)$/.test(name)

const indexAt = (all: readonly Acknowledged[], at: number): number =>
  all[at]?.receipt.index ?? expect.fail('not acknowledged')

function online(command: 'backup' | 'mirror', to: string): string {
  const place = ['--to', to, '--url', service.url, '--trust', log.anchor, '--key', reader]
  return runCli([command, ...place])
}

function copied(from: string, name: string): string {
  const to = join(scratch.path, name)
  cpSync(from, to, { recursive: true })
  return to
}

/** Entries that have disclosures in the full bundles of a backup. */
function disclosedIn(path: string, bundles = 2): ReadonlySet<number> {
  const found = [0, 1].slice(0, bundles).map((n) => {
    const bytes = readFileSync(join(path, `supplement/00${n}`))
    return [...decodeSupplement(bytes, n, 512).disclosures.keys()]
  })
  return new Set(found.flat())
}

/** Files of a directory, those of the copy's own time left out. */
function filesOf(path: string): ReadonlyMap<string, string> {
  const names = readdirSync(path, { recursive: true, encoding: 'utf8' })
  const files = names.filter(
    (name) => statSync(join(path, name)).isFile() && name !== 'backup.json',
  )
  return new Map(files.sort().map((name) => [name, readFileSync(join(path, name), 'base64')]))
}

/** A restore beside a copy of the real head record. */
function restore(from: string, name: string): Ended & { readonly data: string } {
  const data = join(scratch.path, name)
  cpSync(log.head, `${data}.head`, { recursive: true })
  const ended = trustwarden(['restore', '--from', from, '--to', data, '--trust', log.anchor])
  return { ...ended, data }
}

const trust = () => parseTrust(nativePrimitives, utf8Encode(log.anchor))

/** The same in this process. */
const restoreHere = async (from: string, to: string): Promise<RestoreReport> =>
  restoreLog({ source: await openDirectory(from), to, trust: trust() })

const recoverHere = async (data: string, from: string): Promise<RecoverReport> => {
  const source = await openDirectory(from)
  return recoverLog({ data, head: `${data}.head`, source, trust: trust(), pinned: new Map() })
}

/** Code and message of what a step throws. */
async function failureOf(step: () => Promise<unknown>): Promise<string> {
  try {
    await step()
  } catch (error) {
    if (error instanceof Error && 'code' in error) return `${String(error.code)}: ${error.message}`
    throw error
  }
  return 'no failure'
}

const recover = (data: string, from: string, ...more: readonly string[]): Ended =>
  trustwarden(['recover', '--data', data, '--from', from, ...more])

/** The same without what only a backup has. */
function mirrorOf(source: LogSource): LogSource {
  return {
    name: source.name,
    isWhole: false,
    head: () => source.head(),
    leafTile: (index, width) => source.leafTile(index, width),
    bundle: (index, width) => source.bundle(index, width),
    supplement: () => Promise.reject(new Error('a mirror has none')),
    pinned: (digest) => source.pinned(digest),
    erasedSince: () => Promise.reject(new Error('a mirror knows none')),
  }
}

/** Opens the database of a log that nobody serves. */
async function inDatabase<T>(data: string, use: (database: Database) => Promise<T>): Promise<T> {
  const store = await LevelStore.open(databasePath(data))
  try {
    return await use(await Database.open({ store, origin: ORIGIN, folds: foldSpecs(ALL_FOLDS) }))
  } finally {
    await store.close()
  }
}

async function start(data: string): Promise<RunningService> {
  const flags = ['--keys', log.keys, '--open-reads', 'true']
  return startService({ ...log, data, head: `${data}.head` }, { flags })
}

/** A start, held against every receipt; then a stop, and an audit. */
async function expectWhole(data: string): Promise<void> {
  const running = await start(data)
  await new Auditor(log.anchor).check(httpSource(running.url), load.acknowledged)
  expect(await running.stop()).toBe(0)
  expect(runCli(['audit', '--data', data, '--trust', log.anchor])).toMatch(/^holds: /)
}

beforeAll(async () => {
  scratch = scratchDirectory()
  log = makeLog()
  load = new Load(Speaker.of(log))
  reader = join(log.root, 'reader.key')
  runCli(['keygen', '--out', reader, '--plain-key'])
  service = await startService(log)
  const place = ['--url', service.url, '--trust', log.anchor]
  runCli(['enroll', 'reader', `${reader}.pub`, ...place, '--key', log.operator])
  await load.begin(service.url)
  const said = await say(actions(400))
  // Entries do not come in the order of their request.
  erased = Math.min(indexAt(said, 0), indexAt(said, 2), indexAt(said, 4))
  kept = Math.max(indexAt(said, 0), indexAt(said, 2), indexAt(said, 4))
  backup = join(scratch.path, 'backup')
  online('backup', backup)
  expect(disclosedIn(backup, 1).has(erased)).toBe(true)
  early = copied(backup, 'early')
  await say([load.speaker.erase([erased])])
  await say(actions(300))
  expect(online('backup', backup)).toMatch(/gone from [12] of its files/)
  backupSize = Number(readFileSync(join(backup, 'checkpoint'), 'utf8').split('\n')[1])
  mirror = join(scratch.path, 'mirror')
  online('mirror', mirror)
  tail = indexAt(await say(actions(120)), 0)
  expect(online('mirror', mirror)).toMatch(/, 120 of them new/)
  expect(await service.stop()).toBe(0)
  ;({ size } = await readHeadRecord(log.head))
  expect(backupSize).toBe(size - 120)
}, 120_000)

afterAll(async () => {
  await service.stop('SIGKILL')
  scratch.remove()
  removeLog(log)
})

describe('backup', () => {
  test('of a stopped log is byte for byte what one through the service is', () => {
    const stopped = join(scratch.path, 'stopped')
    const said = runCli(['backup', '--to', stopped, '--data', log.data])
    expect(said).toMatch(/neither keys nor head record/)
    const continued = copied(backup, 'continued')
    runCli(['backup', '--to', continued, '--data', log.data])
    expect(filesOf(continued)).toEqual(filesOf(stopped))
    expect(JSON.parse(readFileSync(join(stopped, 'backup.json'), 'utf8'))).toMatchObject({
      format: 'trustwarden-backup/1',
      origin: ORIGIN,
      size,
      head: readFileSync(join(stopped, 'checkpoint'), 'utf8'),
    })
  })

  test('holds no erased value once it was continued', () => {
    expect(disclosedIn(backup).has(erased)).toBe(false)
    expect(disclosedIn(backup).has(kept)).toBe(true)
  })

  test('restores to the same log, which a service takes', async () => {
    const whole = join(scratch.path, 'whole')
    runCli(['backup', '--to', whole, '--data', log.data])
    const { code, out, data } = restore(whole, 'restored')
    expect([code, out]).toEqual([0, expect.stringContaining('It ends where the head record ends')])
    await expectWhole(data)
    // It can be backed up again, and comes out the same.
    const again = join(scratch.path, 'again')
    runCli(['backup', '--to', again, '--data', data])
    const records = filesOf(again)
    expect([...filesOf(whole)].filter(([name, bytes]) => records.get(name) !== bytes)).toEqual([])
  })

  test('goes on while statements come in, and is whole at its head', async () => {
    const data = copied(log.data, 'served')
    cpSync(log.head, `${data}.head`, { recursive: true })
    const running = await start(data)
    const other = new Load(load.speaker)
    await other.begin(running.url)
    other.start(running.url)
    const to = join(scratch.path, 'under-load')
    const place = ['--to', to, '--url', running.url, '--trust', log.anchor, '--key', reader]
    for (let n = 0; n < 3; n++) await runCliAsync(['backup', ...place])
    await other.stop()
    expect(other.problems).toEqual([])
    expect(await running.stop()).toBe(0)
    expect(restore(to, 'from-load').code).toBe(0)
    expect(runCli(['backup', '--to', to, '--data', data])).toMatch(/of them new/)
  })

  test('takes no more bytes of a service than what it asks for can have', async () => {
    const data = copied(log.data, 'over')
    cpSync(log.head, `${data}.head`, { recursive: true })
    const running = await start(data)
    const proxy = new TamperingProxy(running.url)
    proxy.script = async (seen, forward) => {
      const reply = await forward()
      return seen.path.endsWith('/tile/0/000') ? { ...reply, body: `${reply.body}x` } : reply
    }
    const place = ['--url', await proxy.listen(), '--trust', log.anchor, '--key', reader]
    const to = join(scratch.path, 'over-copy')
    const ended = await trustwardenAsync(['backup', '--to', to, ...place])
    expect([ended.code, ended.err]).toEqual([1, expect.stringContaining('over 8192 bytes')])
    await proxy.close()
    expect(await running.stop()).toBe(0)
  })

  test('is refused for a served directory, with the way through the service', async () => {
    const data = copied(log.data, 'busy')
    cpSync(log.head, `${data}.head`, { recursive: true })
    const busy = await start(data)
    const ended = trustwarden(['backup', '--to', join(scratch.path, 'none'), '--data', data])
    expect([ended.code, ended.err]).toEqual([1, expect.stringContaining('--url URL')])
    expect(await busy.stop()).toBe(0)
  })

  test.each([
    [
      'a directory of something else',
      'target_exists',
      (to: string) => writeFileSync(join(to, 'letter.txt'), 'x'),
    ],
    [
      'a mirror',
      'archive_foreign',
      (to: string) =>
        rmSync(join(to, 'backup.json')) ?? rmSync(join(to, 'supplement'), { recursive: true }),
    ],
  ])('into %s is refused', (name, code, change) => {
    const to = copied(backup, `into ${name}`)
    change(to)
    const ended = trustwarden(['backup', '--to', to, '--data', log.data])
    expect([ended.code, ended.err]).toEqual([1, expect.stringContaining(code)])
  })

  test('into a backup of another history is refused, and nothing of it is changed', () => {
    const to = copied(backup, 'forked')
    const other = makeLog()
    const ended = trustwarden(['backup', '--to', to, '--data', other.data])
    expect([ended.code, ended.err]).toEqual([2, expect.stringMatching(/origin|key_unknown/)])
    expect(filesOf(to)).toEqual(filesOf(backup))
    removeLog(other)
  })
})

describe('restore', () => {
  test('of an older backup says what is missing, and a start is refused until it is recovered', async () => {
    const { code, out, data } = restore(backup, 'old')
    expect(code).toBe(0)
    expect(out).toMatch(/120 acknowledged entries are missing.*recover --data/s)
    await expect(start(data)).rejects.toThrow(/store_behind_record.*recover/s)
    const ended = recover(data, mirror)
    expect([ended.code, ended.out]).toEqual([0, expect.stringMatching(/are there again/)])
    // The mirror has no disclosures: those of the tail are named.
    expect(ended.out).toContain(`Disclosures of 60 entries are not there`)
    await expectWhole(data)
    const report = JSON.parse(runCli(['audit', '--data', data, '--json'])) as Record<string, number>
    expect([report['lost'], report['erased']]).toEqual([60, 1])
    const running = await start(data)
    const read = await fetch(`${running.url}/logs/agents/v1/entries/${tail}`)
    expect(await read.json()).toMatchObject({ index: tail, disclosures: [] })
    // The log goes on, and what was lost can still be ordered gone.
    const [done] = await submitAll(running.url, [load.speaker.erase([tail])])
    expect(done !== undefined && isAcknowledged(done)).toBe(true)
    expect(await running.stop()).toBe(0)
    const after = JSON.parse(runCli(['audit', '--data', data, '--json'])) as Record<string, number>
    expect([after['ok'], after['lost'], after['erased']]).toEqual([true, 59, 2])
  })

  test('without a head record says so, and makes none', () => {
    const data = join(scratch.path, 'headless')
    const ended = trustwarden(['restore', '--from', backup, '--to', data, '--trust', log.anchor])
    expect([ended.code, ended.out]).toEqual([0, expect.stringContaining('There is no head record')])
    expect(existsSync(`${data}.head`)).toBe(false)
    const served = trustwarden(['serve', '--data', data, '--keys', log.keys, '--port', '0'])
    expect([served.code, served.err]).toEqual([1, expect.stringContaining('head_record_missing')])
  })

  test('overwrites nothing', () => {
    const ended = trustwarden([
      'restore',
      '--from',
      backup,
      '--to',
      log.data,
      '--trust',
      log.anchor,
    ])
    expect([ended.code, ended.err]).toEqual([1, expect.stringContaining('target_exists')])
  })

  test('takes the place of an empty directory', async () => {
    const to = join(scratch.path, 'empty')
    mkdirSync(to)
    expect((await restoreHere(backup, to)).size).toBe(backupSize)
    expect(existsSync(join(to, 'trust-anchor'))).toBe(true)
  })

  test.each(['a file', 'a link to an empty directory'])('overwrites nothing: %s', async (what) => {
    const to = join(scratch.path, what)
    mkdirSync(`${to}.empty`)
    if (what === 'a file') writeFileSync(to, '')
    else symlinkSync(`${to}.empty`, to)
    expect(await failureOf(() => restoreHere(backup, to))).toMatch(/target_exists/)
    expect(existsSync(`${to}.partial`)).toBe(false)
  })

  // A mount point on every system that this runs on.
  test('says before it begins that a mount point cannot be replaced, and where to', () => {
    const ended = trustwarden(['restore', '--from', backup, '--to', '/dev', '--trust', log.anchor])
    expect([ended.code, ended.err]).toEqual([
      1,
      expect.stringMatching(/^target_is_mount: .*give --to a directory below/s),
    ])
    expect(existsSync('/dev.partial')).toBe(false)
  })

  test('says the same of a directory that is mounted from the same disk, where mounting is allowed', ({
    skip,
  }) => {
    const [from, to] = [join(scratch.path, 'bound'), join(scratch.path, 'bound here')]
    for (const path of [from, to]) mkdirSync(path)
    const mounted = spawnSync('mount', ['--bind', from, to])
    if (mounted.status !== 0) skip('needs the right to mount (root, or CAP_SYS_ADMIN)')
    try {
      expect(statSync(to).dev).toBe(statSync(scratch.path).dev)
      const ended = trustwarden(['restore', '--from', backup, '--to', to, '--trust', log.anchor])
      expect([ended.code, ended.err]).toEqual([1, expect.stringMatching(/^target_is_mount: /)])
      const left = readdirSync(scratch.path).filter((name) => name.startsWith('bound'))
      expect(left.sort()).toEqual(['bound', 'bound here'])
    } finally {
      spawnSync('umount', [to])
    }
  })

  test('under another anchor is refused', () => {
    const other = makeLog()
    const to = join(scratch.path, 'foreign')
    const ended = trustwarden(['restore', '--from', backup, '--to', to, '--trust', other.anchor])
    expect([ended.code, existsSync(to)]).toEqual([2, false])
    removeLog(other)
  })

  const change = (name: string, at: number) => (path: string) => {
    const file = join(path, name)
    const bytes = readFileSync(file)
    const place = at < 0 ? bytes.length + at : at
    bytes[place] = (bytes[place] ?? 0) ^ 1
    writeFileSync(file, bytes)
  }
  const last = (path: string): string =>
    readdirSync(join(path, 'tile/entries'), { recursive: true, encoding: 'utf8' }).find((name) =>
      name.includes('.p/'),
    ) ?? expect.fail('no partial bundle')
  test.each<readonly [string, RegExp, (path: string) => void]>([
    ['no marker', /archive_incomplete/, (path) => rmSync(join(path, 'backup.json'))],
    [
      'a changed marker',
      /archive_corrupt|signature_invalid|malformed/,
      (path) => {
        const file = join(path, 'backup.json')
        writeFileSync(
          file,
          readFileSync(file, 'utf8').replace(`\\n${backupSize}\\n`, `\\n${backupSize + 1}\\n`),
        )
      },
    ],
    ['a changed leaf', /archive_forked/, change('tile/0/000', 40)],
    ['a changed entry', /archive_corrupt: .*bundle 1/, change('tile/entries/001', 5000)],
    [
      'a cut bundle',
      /archive_corrupt/,
      (path) => {
        const file = join(path, 'tile/entries', last(path))
        writeFileSync(file, readFileSync(file).subarray(0, -1))
      },
    ],
    [
      'a missing bundle',
      /archive_corrupt: .*is not there/,
      (path) => rmSync(join(path, 'tile/entries/001')),
    ],
    ['a changed disclosure', /archive_corrupt/, change('supplement/001', -20)],
    ['a changed batch record', /archive_corrupt|batch_record/, change('supplement/000', 60)],
    ['a missing supplement', /archive_corrupt/, (path) => rmSync(join(path, 'supplement/001'))],
    ['no policy', /policy_missing/, (path) => rmSync(join(path, 'pinned'), { recursive: true })],
    [
      'nothing in it',
      /archive_missing/,
      (path) => {
        for (const name of readdirSync(path)) rmSync(join(path, name), { recursive: true })
      },
    ],
  ])('of a backup with %s is refused by name, and leaves nothing', async (name, said, damage) => {
    const from = copied(backup, `damaged ${name}`)
    damage(from)
    const to = join(scratch.path, `from damaged ${name}`)
    expect(await failureOf(() => restoreHere(from, to))).toMatch(said)
    expect(existsSync(to)).toBe(false)
    // The next run is not hindered by what this one left.
    expect((await restoreHere(backup, to)).size).toBe(backupSize)
    expect(existsSync(`${to}.partial`)).toBe(false)
  })

  test('is run again after a crash right before the directory gets its name, and right after it was made', async () => {
    const to = join(scratch.path, 'nearly')
    const source = await openDirectory(backup)
    // The name is taken meanwhile: everything is made, and the last step fails.
    const onProgress = (): void => {
      mkdirSync(join(to, 'taken'), { recursive: true })
    }
    const cutOff = restoreLog({ source, to, trust: trust(), onProgress })
    await expect(cutOff).rejects.toMatchObject({ code: 'ENOTEMPTY' })
    expect(existsSync(join(`${to}.partial`, 'trust-anchor'))).toBe(true)
    rmSync(to, { recursive: true })
    expect((await restoreHere(backup, to)).size).toBe(backupSize)
    rmSync(to, { recursive: true })
    mkdirSync(`${to}.partial`)
    expect((await restoreHere(backup, to)).size).toBe(backupSize)
    expect(readdirSync(to).toSorted()).toEqual(readdirSync(log.data).filter(isRestored).toSorted())
    expect(existsSync(`${to}.partial`)).toBe(false)
  })

  test('removes nothing that no restore made', async () => {
    const to = join(scratch.path, 'somebody')
    mkdirSync(join(`${to}.partial`, 'theirs'), { recursive: true })
    expect(await failureOf(() => restoreHere(backup, to))).toMatch(/target_exists/)
    expect(existsSync(join(`${to}.partial`, 'theirs'))).toBe(true)
  })

  test('of a backup from which a disclosure was cut says whose', () => {
    const from = copied(backup, 'cut')
    const bytes = readFileSync(join(from, 'supplement/000'))
    const index = Math.max(...[...disclosedIn(from)].filter((one) => one < 256))
    const cut = withoutLast(bytes)
    writeFileSync(join(from, 'supplement/000'), cut)
    const { code, out } = restore(from, 'from cut')
    const said = new RegExp(`Disclosures of 1 entries are not there.*: ${index}\n`)
    expect([code, out]).toEqual([0, expect.stringMatching(said)])
  })
})

describe('recover', () => {
  const old = (name: string): string => restore(backup, name).data
  const oldHere = async (name: string): Promise<string> => {
    const data = join(scratch.path, name)
    cpSync(log.head, `${data}.head`, { recursive: true })
    await restoreHere(backup, data)
    return data
  }

  test('from a URL that any server may serve, tail and policy included', async () => {
    const server = createServer((request, response) => {
      const file = join(mirror, decodeURIComponent(request.url ?? ''))
      if (existsSync(file) && statSync(file).isFile()) response.end(readFileSync(file))
      else response.writeHead(404).end()
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    const { port } = server.address() as AddressInfo
    const data = old('by-url')
    try {
      await runCliAsync(['recover', '--data', data, '--from', `http://127.0.0.1:${port}`])
    } finally {
      server.close()
    }
    await expectWhole(data)
  })

  test('from a newer backup brings the disclosures too, and the batches as they were', async () => {
    const newer = copied(backup, 'newer')
    runCli(['backup', '--to', newer, '--data', log.data])
    const data = old('by-backup')
    const head = `${data}-elsewhere`
    renameSync(`${data}.head`, head)
    const ended = recover(data, newer, '--head', head)
    renameSync(head, `${data}.head`)
    expect([ended.code, ended.out]).toEqual([0, expect.not.stringContaining('Disclosures of')])
    expect(ended.out).toContain(
      `\nNext: trustwarden audit --data ${data} --head ${head}, and a start\n`,
    )
    const again = join(scratch.path, 'recovered-again')
    runCli(['backup', '--to', again, '--data', data])
    expect(filesOf(again)).toEqual(filesOf(newer))
    await expectWhole(data)
  })

  test('from a backup that ends before the head record, and then from a mirror, loses what came after the backup alone', async () => {
    const { data } = restore(early, 'snapshot')
    const first = recover(data, backup)
    expect([first.code, first.out]).toEqual([
      0,
      expect.stringMatching(
        /are there again.*120 acknowledged entries are missing.*--from MIRROR/s,
      ),
    ])
    expect(first.out).not.toContain('Disclosures')
    await expect(start(data)).rejects.toThrow(/store_behind_record.*--from BACKUP/s)
    const second = recover(data, mirror)
    expect([second.code, second.out]).toEqual([
      0,
      expect.stringContaining('Disclosures of 60 entries are not there'),
    ])
    await expectWhole(data)
  })

  test('cut off between two batches: a source that ends exactly there brings the head', async () => {
    const data = join(scratch.path, 'cut off')
    const { root, size: first } = await restoreHere(early, data)
    const head = `${data}.head`
    const record = await HeadRecord.create(head, { origin: ORIGIN })
    await record.write({ size: first, root, timeMs: 1 })
    await record.close()
    const whole = await openDirectory(mirror)
    const cut: LogSource = {
      ...mirrorOf(whole),
      bundle: (index, width) =>
        index === 3 ? Promise.reject(new Error('cut off')) : whole.bundle(index, width),
    }
    const options = { data, head, trust: trust(), pinned: new Map() }
    await expect(recoverLog({ ...options, source: cut })).rejects.toThrow('cut off')
    await expect(start(data)).rejects.toThrow(/recovery_unfinished/)
    const ended = await inDatabase(data, (database) => Promise.resolve(database.size))
    expect(ended).toBeGreaterThan(first)
    const report = await inDatabase(log.data, (database) => {
      const at = database.batchRecord(ended) ?? expect.fail('no batch ended there')
      const source = mirrorOf(databaseSource(database, at, 'the log as it was'))
      return recoverLog({ ...options, source })
    })
    expect([report.before, report.size, report.batches]).toEqual([ended, ended, 0])
    expect((await readHeadRecord(head)).size).toBe(ended)
    const running = await start(data)
    expect(await running.stop()).toBe(0)
    expect(runCli(['audit', '--data', data, '--trust', log.anchor])).toMatch(/^holds: /)
  })

  test('from an older backup that lacks the same disclosures is none', () => {
    const [from, older] = [copied(backup, 'lacks'), copied(early, 'lacks too')]
    for (const path of [from, older]) {
      const file = join(path, 'supplement/000')
      writeFileSync(file, withoutLast(readFileSync(file)))
    }
    const { data } = restore(from, 'lacking')
    const ended = recover(data, older)
    const why = expect.stringMatching(/^source_behind: .*not all disclosures of any of the 1 /)
    expect([ended.code, ended.err]).toEqual([1, why])
  })

  test('from a backup after a mirror brings the disclosures that it has, and none that was erased', async () => {
    const { data } = restore(early, 'mirror first')
    const first = recover(data, mirror)
    expect(first.out).toMatch(/Disclosures of 210 entries.*now or later:\n.*--from BACKUP/s)
    // Of another value under the same entry nothing is taken.
    const damaged = copied(backup, 'other value')
    flipEnd(join(damaged, 'supplement/001'))
    expect(await failureOf(() => recoverHere(data, damaged))).toMatch(/archive_corrupt/)
    const second = recover(data, backup)
    expect([second.code, second.out]).toEqual([
      0,
      expect.stringMatching(/none were to be fetched\nDisclosures of 150 entries.*again\n.* 60 /),
    ])
    const newer = copied(backup, 'newer still')
    runCli(['backup', '--to', newer, '--data', log.data])
    expect(recover(data, newer).out).toContain('Disclosures of 60 entries that were missing')
    const again = recover(data, mirror)
    expect([again.code, again.out]).toEqual([
      0,
      expect.not.stringMatching(/Disclosures|entries \d+ to/),
    ])
    const report = JSON.parse(runCli(['audit', '--data', data, '--json'])) as object
    expect(report).toMatchObject({ ok: true, lost: 0, erased: 1 })
    const whole = join(scratch.path, 'whole again')
    runCli(['backup', '--to', whole, '--data', data])
    expect(disclosedIn(whole)).toEqual(disclosedIn(newer))
    expect(disclosedIn(whole).has(erased)).toBe(false)
    await expectWhole(data)
  })

  test('from a backup of another history is refused, though it has what is missing', async () => {
    const { data } = restore(early, 'not forked')
    const forked = restore(early, 'fork').data
    rmSync(`${forked}.head`, { recursive: true })
    const note = readFileSync(join(early, 'checkpoint'), 'utf8').split('\n')
    const flags = ['--keys', log.keys, '--accept-head', `${note[1]}:${note[2]}`]
    const place = { ...log, data: forked, head: `${forked}.head` }
    const running = await startService(place, { flags })
    await submitAll(running.url, actions(4))
    expect(await running.stop()).toBe(0)
    const other = join(scratch.path, 'other history')
    runCli(['backup', '--to', other, '--data', forked])
    expect(recover(data, mirror).code).toBe(0)
    expect(await failureOf(() => recoverHere(data, other))).toMatch(/archive_forked/)
  })

  test('from a mirror that ends too early writes nothing and says what is lost', () => {
    const short = join(scratch.path, 'short-mirror')
    cpSync(backup, short, { recursive: true })
    const data = old('short')
    const ended = recover(data, short)
    expect(ended.code).toBe(1)
    expect(ended.err).toContain(
      `120 acknowledged entries are not in it (${size - 120} to ${size - 1})`,
    )
    expect(ended.err).toContain('nothing was written')
    expect(recover(data, mirror).code).toBe(0)
  })

  test('without a head record goes up to the head that the operator names', async () => {
    const note = readFileSync(join(mirror, 'checkpoint'), 'utf8').split('\n')
    const accept = ['--accept-head', `${note[1]}:${note[2]}`]
    const data = old('named-head')
    rmSync(`${data}.head`, { recursive: true })
    expect(recover(data, mirror).err).toContain('head_record_missing')
    const wrong = recover(data, mirror, '--accept-head', `${note[1]}:${'A'.repeat(43)}=`)
    expect([wrong.code, wrong.err]).toEqual([1, expect.stringContaining('archive_forked')])
    expect(recover(data, mirror, ...accept).code).toBe(0)
    const flags = ['--keys', log.keys, ...accept]
    const running = await startService({ ...log, data, head: `${data}.head` }, { flags })
    expect(await running.stop()).toBe(0)
  })

  test('says what to do next where no head record is, and before a start where a mirror may have more', () => {
    const headOf = (path: string): string => {
      const [, entries, root] = readFileSync(join(path, 'checkpoint'), 'utf8').split('\n')
      return `${entries}:${root}`
    }
    const { data } = restore(early, 'no record')
    rmSync(`${data}.head`, { recursive: true })
    const last = `--accept-head ${headOf(mirror)}`
    const short = recover(data, backup, ...last.split(' '))
    const fetch = (accept: string): string =>
      `\n  trustwarden recover --data ${data} ${accept} --from MIRROR\n`
    expect([short.code, short.out]).toEqual([0, expect.stringContaining(fetch(last))])
    expect(short.out).toContain(`The accepted head says ${size}: 120 acknowledged`)
    const first = `--accept-head ${headOf(early)}`
    const newest = join(scratch.path, 'newest')
    runCli(['backup', '--to', newest, '--data', log.data])
    const beyond = recover(data, newest, ...first.split(' '))
    expect([beyond.code, beyond.out]).toEqual([
      0,
      expect.stringMatching(/may have more.*First:.*--from MIRROR\nNext: .* and a start\n$/s),
    ])
    expect(beyond.out).toContain(fetch(first))
  })

  test.each<readonly [string, RegExp, (path: string) => void]>([
    ['a changed entry', /archive_corrupt/, (path) => flipLast(join(path, 'tile/entries'))],
    ['a changed leaf', /archive_forked/, (path) => flipLast(join(path, 'tile/0'))],
    [
      'a changed head',
      /signature_invalid|key_unknown/,
      (path) => {
        const file = join(path, 'checkpoint')
        writeFileSync(file, readFileSync(file, 'utf8').replace(`\n${size}\n`, `\n${size + 1}\n`))
      },
    ],
  ])('from a mirror with %s writes nothing', async (name, said, damage) => {
    const from = copied(mirror, `mirror with ${name}`)
    damage(from)
    const data = await oldHere(`recover ${name}`)
    expect(await failureOf(() => recoverHere(data, from))).toMatch(said)
    expect((await recoverHere(data, mirror)).size).toBe(size)
  })

  test('of data that reaches further than the mirror says so', () => {
    const data = copied(log.data, 'further')
    cpSync(log.head, `${data}.head`, { recursive: true })
    const ended = recover(data, backup)
    expect([ended.code, ended.err]).toEqual([1, expect.stringContaining('source_behind')])
  })
})

/** A supplement without its last disclosure. */
function withoutLast(bytes: Uint8Array): Uint8Array {
  const limits = { maxBytes: bytes.length }
  const [version = 1, records = [], disclosures = []] = cborArray(
    decodeCbor(bytes, limits),
    'supplement',
  )
  return encodeCbor([version, records, cborArray(disclosures, 'disclosures').slice(0, -1)])
}

function flipLast(folder: string): void {
  const names = readdirSync(folder, { recursive: true, encoding: 'utf8' })
  const name = names.filter((one) => one.includes('.p/')).at(-1) ?? expect.fail('no partial file')
  flipEnd(join(folder, name))
}

function flipEnd(file: string): void {
  const bytes = readFileSync(file)
  bytes[bytes.length - 1] = (bytes.at(-1) ?? 0) ^ 1
  writeFileSync(file, bytes)
}
