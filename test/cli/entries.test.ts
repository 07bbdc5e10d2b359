/**
 * Goal: whoever has an enrolled key and the name of an agent finds what the log holds about it, keeps a receipt of it
 * that verifies offline, and is told what to do where a role does not suffice. Method: the built CLI against the real
 * service; what it lists is compared with what was sent.
 */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Target, TestClient } from '../support/client.ts'
import { type Ended, scratchDirectory, trustwarden } from '../support/command-line.ts'
import { makeLog, removeLog, type RunningService, startService } from '../support/service.ts'

let scratch: ReturnType<typeof scratchDirectory>
let service: RunningService
let instance: string

beforeAll(async () => {
  scratch = scratchDirectory()
  service = await startService(makeLog())
  const target: Target = {
    url: service.url,
    origin: 'acme.example/logs/agents',
    trustDomain: 'acme.example',
  }
  const { agent } = await TestClient.owner(service.owner, target).issue('finance/bot/inst-00001')
  await agent.act(await agent.decide())
  instance = agent.principal
})

afterAll(async () => {
  await service?.stop()
  if (service !== undefined) removeLog(service)
  scratch.remove()
})

function call(command: string, operand: string, ...more: readonly string[]): Ended {
  const common = ['--url', service.url, '--trust', service.anchor]
  const key = more.includes('--key') ? [] : ['--key', service.operator, '--as', 'operator']
  return trustwarden([command, operand, ...common, ...key, ...more])
}

describe('entries', () => {
  test('lists an instance, its name and its owner, newest first, and how many are older', () => {
    const ended = call('entries', instance)
    expect([ended.code, ended.err]).toEqual([0, ''])
    const kinds = ended.out.match(/(action|decision|agent\.issue) +(matched|allow|issued)/g)
    expect(kinds?.map((one) => one.replace(/ +/, ' '))).toEqual([
      'action matched',
      'decision allow',
      'agent.issue issued',
    ])
    const name = instance.slice(0, -'/inst-00001'.length)
    const limited = call('entries', name, '--limit', '2', '--json')
    const { subject, entries, older } = JSON.parse(limited.out) as {
      subject: string
      entries: readonly Readonly<Record<string, unknown>>[]
      older: number
    }
    expect([subject, entries.map(({ kind }) => kind), older]).toEqual([
      `agent:${name}`,
      ['action', 'decision'],
      1,
    ])
    expect(entries[0]).toMatchObject({ seq: 2, outcome: 'matched', about: 'read:transactions' })
    expect(call('entries', name, '--limit', '2').out).toContain('1 older ones: --limit 3 shows all')
    const asOwner = call('entries', instance, '--key', service.owner, '--as', 'owner')
    expect([asOwner.code, asOwner.out]).toEqual([0, ended.out])
  })

  test('says which call is wrong, and what a role would need', () => {
    const said = (ended: Ended) => [ended.code, ended.err]
    expect(said(call('entries', instance, '--limit', '0'))).toEqual([
      2,
      expect.stringContaining('1 to 100000 is needed'),
    ])
    expect(said(call('entries', 'spiffe://x'))).toEqual([2, expect.stringContaining('spiffe')])
    const none = call('entries', instance.replace('inst-00001', 'inst-00009'))
    expect(said(none)).toEqual([1, expect.stringContaining('not_found')])
    const foreign = call('entries', 'policy', '--key', service.owner, '--as', 'owner')
    expect(said(foreign)).toEqual([
      1,
      expect.stringMatching(/an owner those of its agents.*enroll/s),
    ])
  })
})

describe('entry --out', () => {
  test('keeps a receipt that verifies offline, and overwrites nothing', () => {
    const out = join(scratch.path, 'receipt.json')
    const { entries } = JSON.parse(call('entries', instance, '--json').out) as {
      entries: readonly { readonly index: number }[]
    }
    const index = String(entries[0]?.index)
    const kept = call('entry', index, '--out', out)
    expect([kept.code, kept.out]).toEqual([0, expect.stringContaining('trustwarden verify')])
    const verified = trustwarden(['verify', out, '--trust', service.anchor])
    expect([verified.code, verified.out]).toEqual([0, expect.stringContaining(`entry    ${index}`)])
    const bytes = readFileSync(out)
    expect(call('entry', '0', '--out', out).code).toBe(1)
    expect(readFileSync(out)).toEqual(bytes)
  })
})

test('verify and explain have one text, as the kit prints it', () => {
  const [verify, explain] = ['verify', 'explain'].map((one) => trustwarden([one, '--help']))
  expect(verify).toEqual(explain)
  expect([verify?.code, verify?.err]).toEqual([0, ''])
  expect(verify?.out).toMatch(/--genesis FILE.*exit status: 0 holds/s)
})
