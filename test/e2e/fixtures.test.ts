/**
 * Goal: what a release wrote, every later release opens, audits, goes on with, restores and verifies. Method: each directory of
 * `test/fixtures`, unpacked, with the real commands; what is there is compared with what its `expected.json` says, and the
 * log, grown by this release, is audited again from its first entry.
 */
import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { gunzipSync } from 'node:zlib'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { TestClient } from '../support/client.ts'
import { scratchDirectory, trustwarden } from '../support/command-line.ts'
import { runCliAsync, startService } from '../support/service.ts'

vi.setConfig({ testTimeout: 180_000, hookTimeout: 60_000 })

const FIXTURES = fileURLToPath(new URL('../fixtures', import.meta.url))
const ORIGIN = 'fixture.example/logs/agents'
const BYTES_MAX = 500 * 1024

interface Expected {
  readonly version: string
  readonly anchor: string
  readonly size: number
  readonly root: string
  readonly backup_size: number
  readonly acted: number
  readonly erased: number
}

const versions = readdirSync(FIXTURES).filter((name) => /^\d/.test(name))
const filesOf = (version: string): readonly string[] =>
  readdirSync(join(FIXTURES, version), { recursive: true, encoding: 'utf8' }).filter((name) =>
    statSync(join(FIXTURES, version, name)).isFile(),
  )

test('there is one for the first release, and each is small', () => {
  expect(versions).toContain('0.1.0')
  for (const version of versions) {
    const sizes = filesOf(version).map((name) => statSync(join(FIXTURES, version, name)).size)
    expect(sizes.reduce((sum, size) => sum + size, 0)).toBeLessThan(BYTES_MAX)
  }
})

describe.each(versions)('a log of release %s', (version) => {
  let scratch: ReturnType<typeof scratchDirectory>
  let at: (name: string) => string
  let expected: Expected

  beforeEach(() => {
    scratch = scratchDirectory()
    at = (name) => join(scratch.path, name)
    for (const name of filesOf(version).filter((one) => one.endsWith('.gz'))) {
      const to = at(name.slice(0, -'.gz'.length))
      mkdirSync(dirname(to), { recursive: true, mode: 0o700 })
      writeFileSync(to, gunzipSync(readFileSync(join(FIXTURES, version, name))), { mode: 0o600 })
    }
    const text = readFileSync(join(FIXTURES, version, 'expected.json'), 'utf8')
    expected = JSON.parse(text) as Expected
  })
  afterEach(() => scratch.remove())

  const audit = (data: string) =>
    trustwarden([
      'audit',
      '--data',
      data,
      '--head',
      at('log.head'),
      '--trust',
      expected.anchor,
      '--json',
    ])

  test('opens, audits, goes on, and audits again', async () => {
    const before = JSON.parse(audit(at('log')).out) as Record<string, unknown>
    expect(before).toMatchObject({ ok: true, size: expected.size, erased: 2, lost: 0 })
    const log = { root: scratch.path, data: at('log'), head: at('log.head'), keys: at('log.keys') }
    const people = { owner: at('owner.key'), operator: at('operator.key'), anchor: expected.anchor }
    // It lay longer than a log may be idle without anybody's word.
    const flags = ['--passphrase-file', at('passphrase.txt'), '--accept-clock']
    const service = await startService({ ...log, ...people }, { flags })
    const target = { url: service.url, origin: ORIGIN, trustDomain: 'fixture.example' }
    const reader = TestClient.reader(at('reader.key'), target)
    const { receipt } = (await reader.read(`/logs/agents/v1/entries/${expected.acted}`)).json()
    expect(receipt).toMatchObject({ index: expected.acted })
    const { disclosures } = (await reader.read(`/logs/agents/v1/entries/${expected.erased}`)).json()
    expect(disclosures).toEqual([])
    const path = `/logs/agents/v1/proofs/consistency?from=${expected.size}&to=${expected.size}`
    expect((await reader.read(path)).status).toBe(200)
    const { agent } = await TestClient.owner(at('owner.key'), target).issue('later/bot/inst-00001')
    expect((await agent.submit([agent.makeAction(), agent.makeAction()])).status).toBe(200)
    const place = ['--url', service.url, '--trust', expected.anchor, '--key', at('operator.key')]
    await runCliAsync(['erase', String(expected.acted), ...place])
    expect(await service.stop()).toBe(0)
    const after = JSON.parse(audit(at('log')).out) as Record<string, unknown>
    expect(after).toMatchObject({ ok: true, size: expected.size + 4 })
    expect(Number(after['erased'])).toBeGreaterThan(2)
  })

  test('has evidence that verifies, and does not with a byte changed', () => {
    const verify = () => trustwarden(['verify', at('evidence.json'), '--trust', at('anchor.txt')])
    expect(verify().code).toBe(0)
    const text = readFileSync(at('evidence.json'), 'latin1')
    const place = text.indexOf('"entry":"') + 200
    const changed = text[place] === 'A' ? 'B' : 'A'
    writeFileSync(at('evidence.json'), text.slice(0, place) + changed + text.slice(place + 1))
    expect(verify().code).not.toBe(0)
  })

  test('has a backup that is restored, and continued from the log', () => {
    const restore = (name: string) =>
      trustwarden([
        'restore',
        '--from',
        at('backup'),
        '--to',
        at(name),
        '--trust',
        at('anchor.txt'),
        '--head',
        at('log.head'),
        '--json',
      ])
    const early = JSON.parse(restore('restored').out) as Record<string, unknown>
    expect([early['size'], early['anchor']]).toEqual([expected.backup_size, expected.anchor])
    expect(
      trustwarden(['backup', '--to', at('backup'), '--data', at('log'), '--head', at('log.head')])
        .code,
    ).toBe(0)
    const whole = JSON.parse(restore('whole').out) as Record<string, unknown>
    expect([whole['size'], whole['root']]).toEqual([expected.size, expected.root])
    expect(JSON.parse(audit(at('whole')).out)).toMatchObject({ ok: true, size: expected.size })
  })
})
