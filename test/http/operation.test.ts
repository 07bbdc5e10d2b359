/**
 * Goal: an operator sees what happens and nothing that is secret; short of space and over a quota the service says so
 * by name and goes on with the rest. Method: the opened service, with settings that bring each about.
 */
import { afterEach, describe, expect, test } from 'vitest'
import { outcomeOf, type Reply, resultsOf } from '../support/client.ts'
import { type OpenedService, openTestService } from '../support/opened-service.ts'

let opened: OpenedService
afterEach(() => opened.close())

const codeOfReply = (reply: Reply): unknown => reply.json()['code']

const open = async (flags: Readonly<Record<string, string>> = {}) => {
  opened = await openTestService({ flags })
  return opened
}

/** Value of a sample, by its whole name with labels. */
async function sample(name: string): Promise<number | undefined> {
  const { bytes } = await opened.operator.read('/metrics')
  const line = bytes
    .toString()
    .split('\n')
    .find((one) => one.startsWith(`${name} `))
  return line === undefined ? undefined : Number(line.slice(name.length + 1))
}

interface Line {
  readonly msg: string
  readonly [member: string]: unknown
}
const lines = (): readonly Line[] =>
  opened
    .logged()
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as Line)

describe('a wall clock that is set', () => {
  test('stops intake, and the log says when and by how much, and when it goes on', async () => {
    let offsetMs = 0
    const clock = { nowMs: () => Date.now() + offsetMs, bootMs: () => performance.now() }
    opened = await openTestService({ clock })
    const told = async (text: RegExp): Promise<Line> => {
      for (let look = 0; look < 500; look++) {
        const line = lines().find(({ msg }) => text.test(msg))
        if (line !== undefined) return line
        await new Promise((resolve) => setTimeout(resolve, 20))
      }
      return expect.fail(`nothing says ${String(text)}`)
    }
    offsetMs = -3_600_000
    const stopped = await told(/^intake stops/)
    expect(stopped).toMatchObject({
      level: 40,
      msg: 'intake stops: the wall clock is 3600 s behind the time since boot',
    })
    offsetMs = 0
    expect(await told(/^intake goes on/)).toMatchObject({ level: 40 })
    expect(lines().filter(({ msg }) => msg.startsWith('intake'))).toHaveLength(2)
  })

  test('is told to whom it makes wrong: by how much, and what the service’s says', async () => {
    const nowMs = Date.parse('2026-11-28T12:00:00Z')
    opened = await openTestService({ clock: { nowMs: () => nowMs, bootMs: () => 0 } })
    const { operator } = opened
    const authorization = operator.credential('/metrics', { iat: nowMs / 1000 + 3600 })
    const reply = await operator.ask('GET', '/metrics', {
      headers: { authorization },
    })
    expect([reply.status, reply.json()]).toMatchObject([
      401,
      {
        code: 'credential_expired',
        detail:
          "credential was signed 3600 s ahead of the service's clock, which says 2026-11-28T12:00:00.000Z; at most 60 s",
      },
    ])
  })
})

describe('below the free-space floor', () => {
  test('intake is 503 and not ready, while heads, proofs and reads are served and revocations taken', async () => {
    // More than any disk has: the real file system is short of it.
    await open({ 'free-space-floor': '8000TiB' })
    const { owner, operator, service } = opened
    const { reply } = await owner.issue('finance/bot/inst-00001')
    expect([reply.status, codeOfReply(reply)]).toEqual([503, 'disk_low'])
    expect(reply.headers['retry-after']).toBe('30')
    const ready = await operator.ask('GET', '/readyz')
    expect([ready.status, ready.json()['reason']]).toEqual([
      503,
      expect.stringMatching(
        /^\d+ bytes are free on the data disk, 8796093022208000 are kept free$/,
      ),
    ])
    expect((await operator.ask('GET', '/livez')).status).toBe(200)
    const size = service.log.head().size
    expect(outcomeOf(await operator.revoke(owner.principal))).toBe('revoked')
    expect(service.log.head().size).toBe(size + 1)
    expect((await operator.ask('GET', '/logs/main/checkpoint')).status).toBe(200)
    expect((await operator.read('/logs/main/v1/entries/1')).status).toBe(200)
    const path = `/logs/main/v1/proofs/inclusion?index=1&size=${size}`
    expect((await operator.read(path)).status).toBe(200)
    expect([await sample('trustwarden_disk_low'), await sample('trustwarden_ready')]).toEqual([
      1, 0,
    ])
    expect(await sample('trustwarden_refusals_total{code="disk_low"}')).toBe(1)
  })
})

describe('a quota', () => {
  test('of an agent is 429 by name for it, leaves others alone, and never stops a revocation', async () => {
    await open({ 'agent-quota': '1:3', 'owner-quota': '1000:1000' })
    const { owner } = opened
    const known = await owner.ask('GET', '/.well-known/trustwarden')
    expect(known.json()['limits']).toMatchObject({
      agent_quota: { rate: 1, burst: 3 },
      owner_quota: { rate: 1000, burst: 1000 },
    })
    const { agent: busy } = await owner.issue('finance/busy/inst-00001')
    const { agent: quiet } = await owner.issue('finance/quiet/inst-00001')
    const made = Array.from({ length: 5 }, () => busy.makeAction())
    const results = resultsOf(await busy.submit(made))
    const problems = results.flatMap((result) => {
      const problem = result['problem'] as { code: string; detail: string } | undefined
      return problem === undefined ? [] : [problem]
    })
    expect(problems.map(({ code }) => code)).toEqual(['quota_exceeded', 'quota_exceeded'])
    expect(problems[0]?.detail).toBe(
      "the agent's quota of spiffe://example.org/finance/busy is used up: 1 entries/s, 3 at once",
    )
    const { reply } = await busy.decide()
    expect([reply.status, codeOfReply(reply), reply.headers['retry-after']]).toEqual([
      429,
      'quota_exceeded',
      '1',
    ])
    const first = made.slice(0, 1)
    expect(resultsOf(await busy.submit(first))[0]?.['repeated']).toBe(true)
    expect(outcomeOf(await quiet.submit([quiet.makeAction()]))).toBe('absent')
    expect(outcomeOf(await owner.revoke(`inst:${busy.principal}`))).toBe('revoked')
    expect(await sample('trustwarden_quota_refusals_total{quota="agent"}')).toBe(3)
    expect(await sample('trustwarden_refusals_total{code="quota_exceeded"}')).toBe(3)
  })

  test('of an owner holds its agents and its own issuances together', async () => {
    await open({ 'owner-quota': '1:4' })
    const { owner } = opened
    const { agent } = await owner.issue('finance/a/inst-00001')
    const made = Array.from({ length: 5 }, () => agent.makeAction())
    const words = resultsOf(await agent.submit(made)).map((result) => result['outcome'])
    expect(words.filter((word) => word === 'absent')).toHaveLength(3)
    const { reply } = await owner.issue('finance/b/inst-00001')
    expect([reply.status, codeOfReply(reply)]).toEqual([429, 'quota_exceeded'])
    expect(reply.json()['detail']).toEqual(expect.stringMatching(/^the owner's quota of owner:/))
  })
})

describe('the log of the process', () => {
  test('has one line a request: its id, its route as a pattern, status, code, time and bytes, and no more', async () => {
    await open()
    const { agent, reply } = await opened.owner.issue('finance/bot/inst-00001')
    expect(reply.status).toBe(201)
    const before = lines().length
    const secret = 'SECRET-7f3a'
    const id = `trace/${'1'.repeat(20)}`
    await agent.ask('GET', `/logs/main/v1/agents/${secret}?q=${secret}`, {
      headers: { 'x-request-id': id, authorization: `TrustWarden ${secret}` },
    })
    await agent.ask('GET', `/nowhere/${secret}`)
    await agent.submit([agent.makeAction(null, { details: `card ${secret}` })])
    const added = lines().slice(before)
    expect(added.map(({ msg }) => msg)).toEqual(['answered', 'answered', 'answered'])
    const [refused, unknown, submitted] = added
    expect(refused).toMatchObject({
      level: 30,
      request_id: id,
      method: 'GET',
      route: '/logs/main/v1/agents/:id',
      status: 401,
      code: 'credential_invalid',
    })
    expect(unknown).toMatchObject({ route: 'unknown', status: 404, code: 'route_unknown' })
    expect(submitted).toMatchObject({
      method: 'POST',
      route: '/logs/main/v1/statements',
      status: 200,
    })
    expect(submitted).not.toHaveProperty('code')
    for (const member of ['ms', 'bytes_in', 'bytes_out'])
      expect([member, Number(submitted?.[member]) > 0]).toEqual([member, true])
    expect(opened.logged()).not.toContain(secret)
  })

  test('says with which code an issuance was refused, recorded as the refusal is', async () => {
    await open()
    const { owner } = opened
    const { agent } = await owner.issue('finance/bot/inst-00001')
    const before = lines().length
    const scope = ['write:everything']
    const { reply } = await agent.issue('finance/bot/rogue/inst-00001', { scope })
    expect([reply.status, codeOfReply(reply)]).toEqual([403, 'scope_not_contained'])
    expect(reply.json()).toHaveProperty('receipt')
    expect(lines().slice(before)).toEqual([
      expect.objectContaining({
        route: '/logs/main/v1/agents',
        status: 403,
        code: 'scope_not_contained',
      }),
    ])
    expect(await sample('trustwarden_refusals_total{code="scope_not_contained"}')).toBe(1)
    expect(
      await sample(
        'trustwarden_statements_total{kind="agent.refuse",result="scope_not_contained"}',
      ),
    ).toBe(1)
  })

  test('takes a caller’s request id only if it is short and printable, and gives it back everywhere', async () => {
    await open()
    const idOf = async (given: string | undefined) => {
      const headers = given === undefined ? {} : { 'x-request-id': given }
      const reply = await opened.operator.ask('GET', '/nowhere', { headers })
      expect(reply.json()['request_id']).toBe(reply.headers['x-request-id'])
      return reply.headers['x-request-id']
    }
    expect(await idOf('a'.repeat(128))).toBe('a'.repeat(128))
    for (const given of [undefined, '', 'a'.repeat(129), 'a b', 'ä', '"\t'])
      expect(await idOf(given)).toMatch(/^[0-9a-f]{8}-[0-9a-f-]{27}$/)
  })

  test('shows the questions of machines at debug alone', async () => {
    await open({ 'log-level': 'info' })
    for (const path of ['/livez', '/readyz']) await opened.operator.ask('GET', path)
    await opened.operator.read('/metrics')
    expect(opened.logged()).not.toContain('answered')
    await opened.operator.ask('GET', '/logs/main/checkpoint')
    expect(lines().map(({ msg }) => msg)).toEqual(['answered'])
  })
})

describe('metrics', () => {
  test('are closed to strangers, unless they alone are opened', async () => {
    await open()
    expect((await opened.operator.ask('GET', '/metrics')).status).toBe(401)
    await opened.close()
    await open({ 'open-metrics': 'true' })
    expect((await opened.operator.ask('GET', '/metrics')).status).toBe(200)
    expect((await opened.operator.ask('GET', '/logs/main/v1/entries/1')).status).toBe(401)
  })

  test('count batches, commits and both synced writes, refusals by code, and what is left of the disk', async () => {
    await open()
    const { agent } = await opened.owner.issue('finance/bot/inst-00001')
    await agent.submit([agent.makeAction(), agent.makeAction()])
    await agent.submit([{ statement: 'none' }])
    const commits = (await sample('trustwarden_commit_seconds_count')) ?? 0
    expect(commits).toBeGreaterThan(1)
    expect(await sample('trustwarden_batch_entries_count')).toBe(commits)
    expect(await sample('trustwarden_batch_entries_sum')).toBe(3)
    expect(await sample('trustwarden_fsync_seconds_count{file="database"}')).toBe(commits)
    expect(await sample('trustwarden_fsync_seconds_count{file="head_record"}')).toBe(commits)
    expect(await sample('trustwarden_refusals_total{code="statement_malformed"}')).toBe(1)
    for (const disk of ['data', 'head'])
      expect(await sample(`trustwarden_disk_free_bytes{disk="${disk}"}`)).toBeGreaterThan(0)
    expect(await sample('trustwarden_ca_expiry_days')).toBeGreaterThan(3000)
    expect(await sample('trustwarden_tls_expiry_days')).toBeUndefined()
    expect(await sample('trustwarden_log_size')).toBe(opened.service.log.head().size)
    // Two answers show two readings.
    await agent.submit([agent.makeAction()])
    expect(await sample('trustwarden_log_size')).toBe(opened.service.log.head().size)
    expect(await sample('trustwarden_ready')).toBe(1)
    opened.service.drain()
    expect(await sample('trustwarden_ready')).toBe(0)
    expect((await opened.operator.ask('GET', '/readyz')).status).toBe(503)
    expect(outcomeOf(await agent.submit([agent.makeAction()]))).toBe('absent')
  })
})
