/**
 * Goal: a mirror that runs on follows its log over a rotation of the log key once its trust file names the new key, says
 * so, and ends, with what it had, where the file does not.
 * Method: the real service and `mirror --every 1` twice beside it, from before the rotation to beyond the overlap; one
 * trust file is replaced meanwhile, the other is not.
 */
import { spawn } from 'node:child_process'
import { readFileSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseHeadBody, parseNote, utf8Encode } from '@trustwarden/proofs'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { enrolReaders } from '../support/readers.ts'
import {
  cleanEnvironment,
  removeLog,
  runCli,
  type RunningService,
  startService,
} from '../support/service.ts'
import { makeTwoOperatorLog, type TwoOperators } from '../support/two-operators.ts'

vi.setConfig({ testTimeout: 120_000, hookTimeout: 120_000 })

const MAIN = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url))

interface Mirror {
  readonly printed: () => string
  readonly ended: Promise<number | null>
  readonly stop: () => void
  readonly size: () => number
}

let log: TwoOperators
let service: RunningService
let proposal: string
const mirrors: Mirror[] = []

const path = (name: string): string => join(log.root, name)

/** Starts `mirror --every 1` of a log that anybody may read. */
function startMirror(name: string, trust: string, ...more: readonly string[]): Mirror {
  const to = path(name)
  const url = `${service.url}/logs/agents`
  const args = ['mirror', '--to', to, '--url', url, '--trust', trust, '--every', '1', ...more]
  const child = spawn(process.execPath, [MAIN, ...args], { env: cleanEnvironment() })
  let printed = ''
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (chunk: Buffer) => {
      printed += chunk.toString()
    })
  const ended = new Promise<number | null>((resolve) => child.once('close', resolve))
  const size = (): number =>
    parseHeadBody(parseNote(readFileSync(join(to, 'checkpoint'))).text).size
  const mirror = { printed: () => printed, ended, stop: () => void child.kill('SIGTERM'), size }
  mirrors.push(mirror)
  return mirror
}

async function headSize(): Promise<number> {
  const note = await (await fetch(`${service.url}/logs/agents/checkpoint`)).text()
  return parseHeadBody(parseNote(utf8Encode(note)).text).size
}

const fill = (count: number): Promise<void> =>
  enrolReaders({ url: service.url, trust: log.anchor, operator: log.operator }, count)

beforeAll(async () => {
  log = makeTwoOperatorLog()
  proposal = path('rotation.json')
  runCli(['keys', 'rotate-log', '--data', log.data, '--overlap', '1100', '--out', proposal])
  service = await startService(log, { flags: ['--open-reads', 'true'] })
  for (const name of ['followed', 'as-json', 'left']) writeFileSync(path(name), log.anchor)
})

afterAll(async () => {
  for (const one of mirrors) one.stop()
  await Promise.all(mirrors.map(({ ended }) => ended))
  await service.stop('SIGKILL')
  removeLog(log)
})

test('beyond the overlap a mirror goes on by the trust file of now, and ends by one that is old', async () => {
  const followed = startMirror('mirror', path('followed'))
  const json = startMirror('json', path('as-json'), '--json')
  const left = startMirror('old', path('left'))
  const given = startMirror('given', log.anchor)
  const all = [followed, json, left, given]
  for (const one of all) await vi.waitFor(() => expect(one.size()).toBeGreaterThan(0), 20_000)
  const by = ['--url', service.url, '--trust', log.anchor]
  for (const operator of log.operators)
    runCli(['keys', 'activate', proposal, '--key', operator, ...by])
  const both = await headSize()
  // Both keys sign: everybody goes on, and reads nothing again.
  for (const one of all) await vi.waitFor(() => expect(one.size()).toBe(both), 20_000)
  expect(all.map((one) => one.printed().includes('read'))).toEqual([false, false, false, false])
  runCli(['trust', 'update', ...by, '--out', path('new')])
  for (const name of ['followed', 'as-json']) {
    writeFileSync(path(`${name}.new`), readFileSync(path('new')))
    renameSync(path(`${name}.new`), path(name))
  }
  await fill(1200)
  const beyond = await headSize()
  for (const one of [followed, json])
    await vi.waitFor(() => expect(one.size()).toBe(beyond), 20_000)
  // Said once the new checkpoint is written.
  await vi.waitFor(() => {
    expect(followed.printed()).toContain(`${path('followed')} read again`)
    expect(json.printed()).toContain(`"reread":"${path('as-json')}"`)
  }, 20_000)
  for (const one of [left, given]) {
    expect(await one.ended).toBe(2)
    expect(one.printed()).toContain('key_unknown')
    expect(one.size()).toBeLessThan(beyond)
  }
  // The next rounds go by what was read.
  const once = followed.printed()
  await fill(1)
  await vi.waitFor(() => expect(followed.size()).toBe(beyond + 1), 20_000)
  expect(followed.printed().slice(once.length)).not.toContain('read again')
})
