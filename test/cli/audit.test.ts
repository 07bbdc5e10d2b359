/**
 * Goal: `audit` says of a sound log that it holds and names the first thing that does not; `rebuild` gives the same folds
 * again; neither touches a log that is served. Method: a small log made by the real service, damaged on disk.
 */
import { cpSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Target, TestClient } from '../support/client.ts'
import { type Ended, scratchDirectory, trustwarden } from '../support/command-line.ts'
import { type LogDirectory, makeLog, removeLog, startService } from '../support/service.ts'

let scratch: ReturnType<typeof scratchDirectory>
let log: LogDirectory
let size: number

beforeAll(async () => {
  scratch = scratchDirectory()
  log = makeLog()
  const service = await startService(log)
  const target: Target = {
    url: service.url,
    origin: 'acme.example/logs/agents',
    trustDomain: 'acme.example',
  }
  const owner = TestClient.owner(log.owner, target)
  const { agent } = await owner.issue('finance/bot/inst-00001')
  const { agent: child } = await agent.issue('finance/bot/reader/inst-00001')
  await agent.act(await agent.decide())
  await child.act(await child.decide('write:everything'))
  await owner.revoke(`inst:${child.principal}`)
  await agent.submit(Array.from({ length: 300 }, () => agent.makeAction()))
  const checkpoint = await (await fetch(`${service.url}/logs/agents/checkpoint`)).text()
  size = Number(checkpoint.split('\n')[1])
  expect(await service.stop()).toBe(0)
})
afterAll(() => {
  scratch.remove()
  removeLog(log)
})

function copied(name: string): string {
  const data = join(scratch.path, name)
  cpSync(log.data, data, { recursive: true })
  cpSync(log.head, `${data}.head`, { recursive: true })
  return data
}

/** Changes bytes of statements of a stopped log: still base64url, and others. One a file, behind its first third, or all. */
function changeStatements(data: string, where: 'one a file' | 'all'): void {
  const db = join(data, 'db')
  let changed = 0
  for (const name of readdirSync(db).filter((one) => /\.(log|ldb)$/.test(one))) {
    const path = join(db, name)
    const bytes = readFileSync(path)
    let at = bytes.indexOf(STATEMENT, where === 'all' ? 0 : Math.floor(bytes.length / 3))
    while (at >= 0) {
      bytes[at + 200] = bytes[at + 200] === 65 ? 66 : 65
      changed++
      at = where === 'all' ? bytes.indexOf(STATEMENT, at + 1) : -1
    }
    writeFileSync(path, bytes)
  }
  expect(changed).toBeGreaterThan(0)
}

/** How the payload of an action begins. */
const STATEMENT = 'eyJhY3Rpb24i'

describe('audit', () => {
  test('of a sound log holds, under the anchor that somebody kept, and leaves nothing behind', () => {
    const beside = join(scratch.path, 'beside')
    mkdirSync(beside)
    const args = ['--data', log.data, '--trust', log.anchor, '--scratch', beside, '--json']
    const ended = trustwarden(['audit', ...args])
    expect([ended.code, ended.err]).toEqual([0, ''])
    const report = JSON.parse(ended.out) as Record<string, unknown>
    expect([report['ok'], report['size'], report['entries']]).toEqual([true, size, size])
    const told = trustwarden(['audit', '--data', log.data])
    expect([told.code, told.out]).toEqual([0, expect.stringMatching(/^holds: /)])
    expect(readdirSync(beside)).toEqual([])
  })

  test('of hashes alone says what it did not check, and finds a changed byte all the same', () => {
    const told = trustwarden(['audit', '--data', log.data, '--trust', log.anchor, '--hashes'])
    expect([told.code, told.out]).toEqual([0, expect.stringMatching(/^holds: entries 0 to /)])
    expect(told.out).toContain('not checked: statements, their signatures and event ids, outcomes')
    const data = copied('damaged-hashes')
    changeStatements(data, 'one a file')
    const found = trustwarden(['audit', '--data', data, '--hashes', '--json'])
    expect(found.code).not.toBe(0)
  })

  test('under another anchor differs', () => {
    const other = makeLog()
    const ended = trustwarden(['audit', '--data', log.data, '--trust', other.anchor])
    expect([ended.code, ended.out]).toEqual([1, expect.stringMatching(/^DIFFERS: /)])
    removeLog(other)
  })

  test('of a log with changed bytes does not hold', () => {
    const data = copied('damaged')
    changeStatements(data, 'one a file')
    const ended = trustwarden(['audit', '--data', data])
    expect(ended.code).toBe(1)
    expect(ended.out + ended.err).toMatch(/DIFFERS|_/)
    expect(ended.err).not.toMatch(/^\s+at /m)
  })

  test('of a part holds without all before it, and says what it did not read', () => {
    const part = (...args: readonly string[]): Ended =>
      trustwarden(['audit', '--data', log.data, '--trust', log.anchor, ...args])
    const told = part('--from', '200', '--to', '290')
    expect([told.code, told.err]).toEqual([0, ''])
    expect(told.out).toContain('holds: entries 200 to 289')
    expect(told.out).toContain('not checked: outcomes')
    expect(told.out).toContain('not read: disclosures')
    const report = JSON.parse(part('--from', '250', '--json').out) as Record<string, unknown>
    expect(report).toMatchObject({ ok: true, size, from: 250, to: size, replayed: false })
    expect([report['entries'], report['signatures']]).toEqual([size - 250, size - 250])
    const begin = JSON.parse(part('--to', '100', '--json').out) as Record<string, unknown>
    expect(begin).toMatchObject({ ok: true, to: 100, replayed: true, entries: 100 })
    expect(part('--to', String(size + 1)).err).toContain(`--to is ${size + 1}`)
    expect(part('--from', '9', '--to', '9').code).toBe(2)
  })

  test('of a part under another anchor does not hold', () => {
    const other = makeLog()
    const ended = trustwarden(['audit', '--data', log.data, '--trust', other.anchor, '--from', '5'])
    expect([ended.code, ended.err]).toEqual([1, expect.stringContaining('head_invalid')])
    removeLog(other)
  })

  test('of a part with changed bytes does not hold', () => {
    const data = copied('part')
    changeStatements(data, 'all')
    const ended = trustwarden(['audit', '--data', data, '--from', '100', '--to', '200'])
    expect(ended.code).toBe(1)
    expect(ended.out + ended.err).toMatch(/DIFFERS|_/)
    expect(ended.err).not.toMatch(/^\s+at /m)
  })

  test('and rebuild are for a stopped log', async () => {
    const service = await startService(log)
    for (const command of ['audit', 'rebuild']) {
      const ended = trustwarden([command, '--data', log.data])
      expect([ended.code, ended.err]).toEqual([1, expect.stringContaining('stop it first')])
    }
    expect(await service.stop()).toBe(0)
  })

  test('says which call is wrong', () => {
    const check = (ended: Ended, code: number, said: string) =>
      expect([ended.code, ended.err]).toEqual([code, expect.stringContaining(said)])
    check(trustwarden(['audit']), 2, '--data is missing')
    check(trustwarden(['audit', '--data', log.data, '--trust', 'x']), 2, 'ENOENT')
    check(trustwarden(['audit', '--data', scratch.path]), 1, 'there is no log')
    check(trustwarden(['rebuild', '--data', scratch.path]), 1, 'there is no log')
  })
})

describe('rebuild', () => {
  test('gives folds that the audit finds right, and a service starts over them', async () => {
    const data = copied('rebuilt')
    const ended = trustwarden(['rebuild', '--data', data, '--json'])
    expect([ended.code, ended.err]).toEqual([0, ''])
    const report = JSON.parse(ended.out) as {
      size: number
      folds: { name: string; count: number }[]
    }
    expect(report.size).toBe(size)
    expect(report.folds.find(({ name }) => name === 'agents')?.count).toBe(2)
    expect(trustwarden(['audit', '--data', data]).code).toBe(0)
    const service = await startService(
      { ...log, data, head: `${data}.head` },
      { flags: ['--keys', log.keys] },
    )
    expect((await fetch(`${service.url}/readyz`)).status).toBe(200)
    expect(await service.stop()).toBe(0)
  })
})
