/**
 * Goal: a log that lost acknowledged entries for good ends at its last known head, and a successor goes on that verifiers
 * follow: the CLI says what was lost, nothing is founded on the same origin or a head that does not verify, and evidence of
 * either log holds up to where each is the log. Method: the real CLI and service; the old data is deleted, a checkpoint and the
 * head record survive.
 */
import { existsSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { AgentIdentity, PersonKey, TrustWarden } from 'trustwarden'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { trustwarden } from '../support/command-line.ts'
import { removeLog, runCli, type RunningService, startService } from '../support/service.ts'
import { makeTwoOperatorLog, type TwoOperators } from '../support/two-operators.ts'

const OLD = 'acme.example/logs/agents'
const NEW = 'acme.example/logs/agents-2'

let old: TwoOperators
let next: TwoOperators
let service: RunningService | undefined
let known: string
let size: number
let lost: number

const path = (name: string): string => join(old.root, name)
const verify = (file: string, trust: string) => trustwarden(['verify', file, '--trust', trust])

/** Lets an agent act, and collects the evidence. */
async function act(log: TwoOperators, url: string, trust: string, out: string): Promise<string> {
  const text = trust.startsWith('twtrust') ? trust : readFileSync(trust, 'utf8')
  const client = await TrustWarden.connect({ url, trust: text })
  const owner = PersonKey.fromFile(log.owner)
  const scope = ['read:transactions']
  const agent = await AgentIdentity.create({ client, owner, name: 'finance/bot', scope, ttl: '1h' })
  let index = -1
  await agent.perform(
    { action: 'read:transactions', resource: { type: 'table', id: 'bank/transactions' } },
    () => Promise.resolve(1),
    {
      onRecorded: (recorded) => {
        index = recorded.index
      },
    },
  )
  const by = ['--as', 'operator', '--key', log.operator, '--url', url, '--trust', trust]
  runCli(['evidence', String(index), '--out', out, ...by])
  return out
}

async function checkpointOf(url: string): Promise<string> {
  return (await fetch(`${url}/logs/agents/checkpoint`)).text()
}

function init(origin: string, head: string, more: readonly string[] = []) {
  const data = join(old.root, 'next')
  const people = ['--owner', `${old.owner}.pub`, '--operator', `${old.operators[0]}.pub`]
  const names = ['--origin', origin, '--trust-domain', 'acme.example']
  const ended = ['--succeeds', head, '--predecessor', old.anchor]
  return trustwarden([
    'init',
    '--data',
    data,
    ...names,
    ...people,
    '--plain-keys',
    ...ended,
    ...more,
  ])
}

beforeAll(async () => {
  old = makeTwoOperatorLog(OLD)
  service = await startService(old)
  await act(old, service.url, old.anchor, path('kept.json'))
  const checkpoint = await checkpointOf(service.url)
  known = path('checkpoint')
  writeFileSync(known, checkpoint)
  size = Number(checkpoint.split('\n')[1])
  await act(old, service.url, old.anchor, path('lost.json'))
  lost = Number((await checkpointOf(service.url)).split('\n')[1]) - size
  await service.stop('SIGKILL')
  service = undefined
  // The disk is lost; head record and one checkpoint in other hands are not.
  rmSync(old.data, { recursive: true })
}, 120_000)

afterAll(async () => {
  await service?.stop('SIGKILL')
  removeLog(old)
})

test('nothing is founded on the same origin, or on a head that does not verify, and nothing is left of it', () => {
  const forged = path('forged')
  writeFileSync(forged, readFileSync(known, 'utf8').replace(/\n\d+\n/, `\n${size + 1}\n`))
  const refused = [
    [init(OLD, known), "origin of its own, and acme.example/logs/agents is the predecessor's"],
    [init(NEW, forged), 'signature_invalid'],
    [init(NEW, known, ['--predecessor', `${old.anchor}x`]), ''],
    [trustwarden(['init', '--data', path('next'), '--predecessor', old.anchor]), ''],
  ] as const
  for (const [{ code, err }, message] of refused) {
    expect([code === 0, err]).toEqual([false, expect.stringContaining(message)])
    expect(existsSync(path('next'))).toBe(false)
  }
})

test('what was lost is said, and the trust file follows both logs', () => {
  const made = init(NEW, known, ['--predecessor-head', old.head])
  expect([made.code, made.err]).toEqual([0, ''])
  expect(lost).toBeGreaterThan(0)
  expect(made.out).toContain(`LOST: entries ${size} to ${size + lost - 1}, ${lost} in all`)
  const data = path('next')
  next = {
    ...old,
    data,
    head: `${data}.head`,
    keys: `${data}.keys`,
    anchor: readFileSync(join(data, 'trust-anchor'), 'utf8').trim(),
  }
  const file = JSON.parse(runCli(['trust', 'show', '--data', data])) as {
    logs: readonly { readonly anchor: string; readonly end?: { readonly size: number } }[]
  }
  expect(file.logs.map(({ anchor, end }) => [anchor, end?.size])).toEqual([
    [old.anchor, size],
    [next.anchor, undefined],
  ])
})

test('evidence of the old log holds up to the named head, of the new one after', async () => {
  service = await startService(next)
  const trust = join(next.data, 'trust.json')
  const evidence = await act(next, service.url, trust, path('new.json'))
  for (const file of [path('kept.json'), evidence]) expect(verify(file, trust).code).toBe(0)
  const above = verify(path('lost.json'), trust)
  expect([above.code, above.err]).toEqual([1, expect.stringContaining('head_out_of_range')])
  expect(verify(path('lost.json'), old.anchor).code).toBe(0)
  const said = runCli(['explain', evidence, '--trust', trust])
  expect(said.replaceAll('\n', ' ')).toContain(
    `The log succeeds ${OLD}, which ended at size ${size}`,
  )
  const updated = ['trust', 'update', '--trust', old.anchor, '--successor', next.anchor]
  expect(runCli([...updated, '--url', service.url])).toBe(readFileSync(trust, 'utf8'))
})

test('a backup of the new log comes back with the trust in both, given by who restores it', async () => {
  const trust = readFileSync(join(next.data, 'trust.json'), 'utf8')
  const by = ['--url', service?.url ?? '', '--key', next.operator, '--as', 'operator']
  writeFileSync(path('both.json'), trust)
  runCli(['backup', '--to', path('backup'), '--trust', path('both.json'), ...by])
  const restore = (to: string, given: string): void =>
    void runCli(['restore', '--from', path('backup'), '--to', path(to), '--trust', given])
  restore('back', path('both.json'))
  expect(runCli(['trust', 'show', '--data', path('back')])).toBe(trust)
  const log = { ...next, data: path('back'), head: path('back.head') }
  renameSync(next.head, log.head)
  await service?.stop()
  const flags = ['--keys', next.keys, '--head', log.head]
  service = await startService(log, { flags })
  expect(runCli(['trust', 'show', '--data', path('back')])).toBe(trust)
  restore('alone', next.anchor)
  expect(runCli(['trust', 'show', '--data', path('alone')]).trim()).toBe(next.anchor)
})
