/**
 * Goal: a log whose key was rotated comes back from its copies like any other, with the heads that earlier keys signed and
 * those that both did: from backups of before, in and beyond the overlap, and by a mirror.
 * Method: the real service and commands; a restored log is audited, served, added to, and held against every receipt.
 */
import { cpSync, existsSync, mkdirSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import {
  followRotations,
  formatTrust,
  parseNote,
  parseTrust,
  utf8Encode,
} from '@trustwarden/proofs'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { nativePrimitives } from '../../src/crypto.ts'
import { type Ended, trustwarden } from '../support/command-line.ts'
import { enrolReaders } from '../support/readers.ts'
import {
  type LogDirectory,
  removeLog,
  runCli,
  type RunningService,
  startService,
} from '../support/service.ts'
import { makeTwoOperatorLog, type TwoOperators } from '../support/two-operators.ts'

vi.setConfig({ testTimeout: 180_000, hookTimeout: 180_000 })

/** Entries of the overlap. */
const OVERLAP = 1100

let log: TwoOperators
let service: RunningService
/** The trust file after the rotation. */
let updated: string
/** Receipts by the service, and files of entries, before, in and beyond the overlap. */
const receipts: string[] = []

const path = (name: string): string => join(log.root, name)

const fill = ({ url }: RunningService, count: number, trust: string): Promise<void> =>
  enrolReaders({ url, trust, operator: log.operator }, count)

const trustText = (): string => readFileSync(updated, 'utf8')

async function noteOf(at: RunningService): Promise<string> {
  return (await fetch(`${at.url}/logs/agents/checkpoint`)).text()
}
const lines = async (at: RunningService): Promise<number> =>
  parseNote(utf8Encode(await noteOf(at))).signatures.length

const by = (trust: string): readonly string[] => [
  '--url',
  service.url,
  '--trust',
  trust,
  '--key',
  log.operator,
  '--as',
  'operator',
]

function copy(command: 'backup' | 'mirror', to: string, trust: string): Ended {
  return trustwarden([command, '--to', path(to), ...by(trust)])
}

/** What it prints beside is progress, if it takes long. */
const expectDone = ({ code, err }: Ended): void => expect([code, err]).toEqual([0, err])

/** Keeps a receipt of the last entry. */
function keep(trust: string): void {
  const file = path(`receipt-${receipts.length}.json`)
  const index = String(Number(service === undefined ? 0 : lastIndex))
  runCli(['entry', index, '--out', file, ...by(trust)])
  receipts.push(file)
}

let lastIndex = 0
async function note(trust: string): Promise<void> {
  lastIndex = Number((await noteOf(service)).split('\n')[1]) - 1
  keep(trust)
}

beforeAll(async () => {
  log = makeTwoOperatorLog()
  service = await startService(log)
  await fill(service, 5, log.anchor)
  await note(log.anchor)
  for (const to of ['before', 'continued']) expectDone(copy('backup', to, log.anchor))
  expectDone(copy('mirror', 'mirror', log.anchor))
  const proposal = path('rotation.json')
  const made = ['--overlap', String(OVERLAP), '--out', proposal]
  runCli(['keys', 'rotate-log', '--data', log.data, ...made])
  await service.stop()
  service = await startService(log)
  for (const operator of log.operators)
    runCli(['keys', 'activate', proposal, '--key', operator, ...by(log.anchor).slice(0, 4)])
  expect(await lines(service)).toBe(2)
  await fill(service, 5, log.anchor)
  await note(log.anchor)
  // In the overlap whoever has the anchor alone copies on.
  for (const to of ['overlap', 'continued']) expectDone(copy('backup', to, log.anchor))
  cpSync(path('mirror'), path('mirror-overlap'), { recursive: true })
  expectDone(copy('mirror', 'mirror-overlap', log.anchor))
  updated = path('updated.json')
  const update = ['--trust', log.anchor, '--url', service.url, '--out', updated]
  runCli(['trust', 'update', ...update])
  await fill(service, OVERLAP, trustText())
  await note(updated)
  expect(await lines(service)).toBe(1)
  for (const to of ['beyond', 'continued']) expectDone(copy('backup', to, updated))
  expectDone(copy('mirror', 'mirror', updated))
  await service.stop()
}, 180_000)

afterAll(async () => {
  await service.stop('SIGKILL')
  removeLog(log)
})

/** A place for a log that comes back: its keys are the log's, and a head record of its own, as it was last. */
function place(name: string): LogDirectory {
  const data = path(name)
  cpSync(log.head, `${data}.head`, { recursive: true })
  cpSync(log.keys, `${data}.keys`, { recursive: true })
  return { ...log, data, head: `${data}.head`, keys: `${data}.keys` }
}

const restore = (from: string, to: LogDirectory, trust: string): Ended =>
  trustwarden(['restore', '--from', path(from), '--to', to.data, '--trust', trust])

const recover = (to: LogDirectory, from: string, ...more: readonly string[]): Ended =>
  trustwarden(['recover', '--data', to.data, '--from', path(from), ...more])

/** Audited, served, added to, and audited again; every receipt is of this log. */
async function expectWhole(back: LogDirectory): Promise<void> {
  const audit = (): string => runCli(['audit', '--data', back.data, '--trust', updated, '--json'])
  expect(JSON.parse(audit())).toMatchObject({ ok: true })
  const served = await startService(back)
  for (const file of receipts) {
    const { index, entry } = JSON.parse(readFileSync(file, 'utf8')) as {
      index: number
      entry: string
    }
    const again = path('again.json')
    rmSync(again, { force: true })
    const at = ['--url', served.url, '--trust', updated, '--key', log.operator, '--as', 'operator']
    runCli(['entry', String(index), '--out', again, ...at])
    expect(JSON.parse(readFileSync(again, 'utf8'))).toMatchObject({ index, entry })
    expectDone(trustwarden(['verify', file, '--trust', updated]))
  }
  await fill(served, 1, trustText())
  expect(await served.stop()).toBe(0)
  expect(JSON.parse(audit())).toMatchObject({ ok: true })
}

describe('a backup', () => {
  test('of before the rotation comes back by the anchor, and is completed by who trusts the new key', async () => {
    const back = place('back-before')
    expectDone(restore('before', back, log.anchor))
    const stale = recover(back, 'mirror')
    expect([stale.code, stale.err]).toEqual([2, expect.stringContaining('key_unknown')])
    expect(stale.err).toContain('--trust')
    expectDone(recover(back, 'mirror', '--trust', updated))
    await expectWhole(back)
    // A mirror has no head of the overlap any more, and without one nothing is proven to who knows the anchor alone.
    const served = await startService(back)
    const update = ['--trust', log.anchor, '--url', served.url]
    const refused = trustwarden(['trust', 'update', ...update])
    const message = expect.stringContaining('no signature by a trusted key')
    expect([refused.code, refused.err]).toEqual([1, message])
    expect(await served.stop()).toBe(0)
  })

  test('of the overlap comes back by the anchor or the new file, as whoever made it', async () => {
    for (const [name, trust] of [
      ['anchor', log.anchor],
      ['updated', updated],
    ] as const) {
      const back = place(`back-overlap-${name}`)
      expectDone(restore('overlap', back, trust))
      // What the new file says was put beside the data.
      expectDone(recover(back, 'mirror', ...(name === 'anchor' ? ['--trust', updated] : [])))
      await expectWhole(back)
    }
  })

  test('of beyond it needs the new file; its heads prove the rotation to who knows the anchor alone', async () => {
    for (const from of ['beyond', 'continued']) {
      const back = place(`back-${from}`)
      const stale = restore(from, back, log.anchor)
      expect([stale.code, stale.err]).toEqual([2, expect.stringContaining('key_unknown')])
      expect(existsSync(back.data)).toBe(false)
      expectDone(restore(from, back, updated))
      const served = await startService(back)
      const rotations = await (await fetch(`${served.url}/logs/agents/v1/rotations`)).text()
      const anchor = parseTrust(nativePrimitives, utf8Encode(log.anchor))
      const followed = followRotations(nativePrimitives, utf8Encode(rotations), anchor)
      expect(formatTrust(nativePrimitives, followed)).toBe(trustText())
      expect(runCli(['trust', 'show', '--data', back.data])).toBe(trustText())
      expect(await served.stop()).toBe(0)
      await expectWhole(back)
    }
  })

  test('of a stopped log is the same', async () => {
    const stopped = path('stopped')
    expectDone(trustwarden(['backup', '--to', stopped, '--data', log.data]))
    const back = place('back-stopped')
    expectDone(restore('stopped', back, updated))
    await expectWhole(back)
  })
})

describe('a mirror', () => {
  test('of the overlap brings a head that both keys signed', async () => {
    const back = place('back-mirror')
    rmSync(back.head, { recursive: true })
    expectDone(restore('before', back, log.anchor))
    mkdirSync(back.head)
    const checkpoint = readFileSync(join(path('mirror-overlap'), 'checkpoint'), 'utf8').split('\n')
    const accept = ['--accept-head', `${checkpoint[1]}:${checkpoint[2]}`]
    expectDone(recover(back, 'mirror-overlap', ...accept))
    const served = await startService(back, { flags: accept })
    expect(await lines(served)).toBe(2)
    expect(await served.stop()).toBe(0)
    const audit = runCli(['audit', '--data', back.data, '--trust', updated, '--json'])
    expect(JSON.parse(audit)).toMatchObject({ ok: true })
  })
})
