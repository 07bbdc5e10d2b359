/**
 * Goal: nobody reads or writes what the roles table does not give them. Method: the table is written here a second time;
 * every cell of route × role is driven over HTTP with real credentials and statements, own objects and others', closed
 * and open; whatever is not in the table is denied.
 */
import { toBase64url } from '@trustwarden/proofs'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { ROLES, type Role, ROUTES, type RouteName } from '../../src/http/roles.ts'
import { findPerson } from '../../src/ledger/principals.ts'
import { outcomeOf, type Made, type Reply, TestClient } from '../support/client.ts'
import { drawPerson, type OpenedService, openTestService } from '../support/opened-service.ts'

type Cell = 'all' | 'own' | '-'

/** none, agent, owner, operator, reader. */
const TABLE: Readonly<Record<RouteName, readonly [Cell, Cell, Cell, Cell, Cell]>> = {
  wellKnown: ['all', 'all', 'all', 'all', 'all'],
  spiffeBundle: ['all', 'all', 'all', 'all', 'all'],
  authzenConfiguration: ['all', 'all', 'all', 'all', 'all'],
  livez: ['all', 'all', 'all', 'all', 'all'],
  readyz: ['all', 'all', 'all', 'all', 'all'],
  openapi: ['all', 'all', 'all', 'all', 'all'],
  metrics: ['-', '-', '-', 'all', 'all'],
  checkpoint: ['all', 'all', 'all', 'all', 'all'],
  rotations: ['all', 'all', 'all', 'all', 'all'],
  hashTile: ['all', 'all', 'all', 'all', 'all'],
  entryBundle: ['-', '-', '-', 'all', 'all'],
  entry: ['-', 'own', 'own', 'all', 'all'],
  inclusion: ['-', 'all', 'all', 'all', 'all'],
  consistency: ['-', 'all', 'all', 'all', 'all'],
  supplement: ['-', '-', '-', 'all', 'all'],
  pinned: ['-', '-', '-', 'all', 'all'],
  erasures: ['-', '-', '-', 'all', 'all'],
  range: ['-', 'all', 'all', 'all', 'all'],
  agent: ['-', 'own', 'own', 'all', 'all'],
  chain: ['-', 'own', 'own', 'all', 'all'],
  agents: ['-', 'all', 'all', '-', '-'],
  statements: ['-', 'all', 'all', 'all', '-'],
  evaluation: ['-', 'all', '-', '-', '-'],
}

const READS = (Object.keys(TABLE) as RouteName[]).filter((name) => ROUTES[name].by === 'read')
const WRITES = (Object.keys(TABLE) as RouteName[]).filter((name) => ROUTES[name].by !== 'read')

interface World {
  readonly opened: OpenedService
  readonly by: Readonly<Record<Role, TestClient>>
  readonly foreignAgent: TestClient
  /** Index of the issuance of the role's own agent, and of another owner's. */
  readonly ownIndex: number
  readonly foreignIndex: number
}

let closed: World
let open: World

async function makeWorld(openReads: boolean): Promise<World> {
  const opened = await openTestService({ openReads })
  const { owner, operator } = opened
  const other = opened.as(drawPerson('owner'))
  const reader = opened.as(drawPerson('reader'))
  expect(outcomeOf(await operator.enroll('owner', other.identity, ['other/**']))).toBe('effective')
  expect(outcomeOf(await operator.enroll('reader', reader.identity))).toBe('effective')
  const own = await owner.issue('finance/bot/inst-00001')
  const foreign = await other.issue('other/bot/inst-00001')
  expect([own.reply.status, foreign.reply.status]).toEqual([201, 201])
  return {
    opened,
    by: {
      none: opened.as(drawPerson('owner')),
      agent: own.agent,
      owner,
      operator,
      reader,
    },
    foreignAgent: foreign.agent,
    ownIndex: Number(own.reply.json()['index']),
    foreignIndex: Number(foreign.reply.json()['index']),
  }
}

beforeAll(async () => {
  closed = await makeWorld(false)
  open = await makeWorld(true)
})
afterAll(async () => {
  await closed.opened.close()
  await open.opened.close()
})

/** A path of the route that is there; for objects, one's own or another's. */
function pathFor(route: RouteName, world: World, whose: 'own' | 'foreign'): string {
  const log = '/logs/main'
  const own = whose === 'own'
  const agent = own ? world.by.agent : world.foreignAgent
  const paths: Readonly<Partial<Record<RouteName, string>>> = {
    checkpoint: `${log}/checkpoint`,
    rotations: `${log}/v1/rotations`,
    hashTile: `${log}/tile/0/000.p/3`,
    entryBundle: `${log}/tile/entries/000.p/3`,
    entry: `${log}/v1/entries/${own ? world.ownIndex : world.foreignIndex}`,
    inclusion: `${log}/v1/proofs/inclusion?index=0&size=3`,
    consistency: `${log}/v1/proofs/consistency?from=1&to=3`,
    supplement: `${log}/v1/supplements/0?size=3`,
    pinned: `${log}/v1/pinned/${toBase64url(world.opened.service.genesis.policy)}`,
    erasures: `${log}/v1/erasures?from=0`,
    range: `${log}/v1/proofs/range?start=1&end=3&size=3`,
    agent: `${log}/v1/agents/${encodeURIComponent(agent.principal)}`,
    chain: `${log}/v1/chains/${encodeURIComponent(`inst:${agent.principal}`)}`,
    agents: `${log}/v1/agents`,
    statements: `${log}/v1/statements`,
  }
  return paths[route] ?? ROUTES[route].path
}

function readAs(role: Role, world: World, path: string): Promise<Reply> {
  const client = world.by[role]
  return role === 'none' ? client.ask('GET', path) : client.read(path)
}

function cellOf(route: RouteName, role: Role): Cell {
  return TABLE[route][ROLES.indexOf(role)] ?? '-'
}

function expectDenied(reply: Reply, role: Role): void {
  expect([reply.status, reply.json()['code']]).toEqual(
    role === 'none' ? [401, 'credential_missing'] : [403, 'role_forbidden'],
  )
  expect(reply.headers['content-type']).toContain('application/problem+json')
}

describe('reads', () => {
  for (const route of READS) {
    for (const role of ROLES) {
      test(`${route} as ${role}: ${cellOf(route, role)}`, async () => {
        const cell = cellOf(route, role)
        const own = await readAs(role, closed, pathFor(route, closed, 'own'))
        const foreign = await readAs(role, closed, pathFor(route, closed, 'foreign'))
        if (cell === '-') expectDenied(own, role)
        else expect(own.status).toBe(200)
        if (cell === 'all') expect(foreign.status).toBe(200)
        else expectDenied(foreign, role)
      })

      test(`${route} as ${role} of an open log: all`, async () => {
        for (const whose of ['own', 'foreign'] as const) {
          const reply = await readAs(role, open, pathFor(route, open, whose))
          expect(reply.status).toBe(200)
        }
      })
    }
  }

  test('an agent and an owner do not learn which other agents there are', async () => {
    for (const role of ['agent', 'owner'] as const) {
      const path = `/logs/main/v1/agents/${encodeURIComponent('spiffe://example.org/no/inst-00000')}`
      expectDenied(await readAs(role, closed, path), role)
    }
    const path = `/logs/main/v1/agents/nobody`
    expect((await closed.by.operator.read(path)).json()['code']).toBe('not_found')
  })

  test('a chain is its own subject alone for an agent, and an owner sees those of its agents', async () => {
    const { by, foreignAgent } = closed
    const name = (agent: TestClient): string => agent.principal.slice(0, -'/inst-00001'.length)
    const endOf = async (role: Role, subject: string): Promise<unknown> => {
      const path = `/logs/main/v1/chains/${encodeURIComponent(subject)}`
      const reply = await readAs(role, closed, path)
      return reply.status === 200 ? reply.json()['length'] : reply.json()['code']
    }
    const own = [`agent:${name(by.agent)}`, by.owner.principal]
    for (const subject of own) {
      expect(await endOf('agent', subject)).toBe('role_forbidden')
      expect(await endOf('owner', subject)).toBeGreaterThan(0)
      expect(await endOf('reader', subject)).toBeGreaterThan(0)
    }
    for (const subject of [`agent:${name(foreignAgent)}`, 'log', 'policy', 'inst:', 'nobody']) {
      expect(await endOf('agent', subject)).toBe('role_forbidden')
      expect(await endOf('owner', subject)).toBe('role_forbidden')
    }
    expect(await endOf('operator', 'policy')).toBe(1)
    expect(await endOf('operator', 'nobody')).toBe('not_found')
  })

  test('a refusal says to whoever is known which role is needed and which was shown, to nobody else', async () => {
    const detail = async (role: Role): Promise<string> =>
      JSON.stringify((await readAs(role, closed, '/metrics')).json())
    for (const role of ['agent', 'owner'] as const) {
      expect(await detail(role)).toMatch(
        new RegExp(`the roles operator, reader, .* of the role ${role}: sign with a key`),
      )
    }
    expect(await detail('none')).not.toMatch(/role|operator|reader|owner/)
    const posted = await closed.by.owner.post('/access/v1/evaluation', closed.by.owner.makeAction())
    expect(JSON.stringify(posted.json())).not.toContain('role')
    const { made } = closed.by.owner.makeDecision()
    const refused = await closed.by.owner.post('/access/v1/evaluation', made)
    expect(JSON.stringify(refused.json())).toMatch(/of the roles agent .* of the role owner/)
    const forged = { ...made, statement: `${made.statement.slice(0, -8)}AAAAAAAA` }
    const unknown = await closed.by.owner.post('/access/v1/evaluation', forged)
    expect(JSON.stringify(unknown.json())).not.toContain('role')
  })

  test('a revoked agent reads nothing of its own any more', async () => {
    const { owner } = closed.by
    const { agent, reply } = await owner.issue('finance/gone/inst-00001')
    const path = `/logs/main/v1/entries/${Number(reply.json()['index'])}`
    expect((await agent.read(path)).status).toBe(200)
    expect(outcomeOf(await owner.revoke(`inst:${agent.principal}`))).toBe('revoked')
    const refused = await agent.read(path)
    expect([refused.status, refused.json()['code']]).toEqual([403, 'revoked'])
  })

  test('a revoked or expired agent and a revoked owner read nothing at all, even of an open log', async () => {
    let nowMs = Date.now()
    const opened = await openTestService({
      openReads: true,
      clock: { nowMs: () => nowMs, bootMs: () => nowMs },
    })
    try {
      const at = (one: TestClient): TestClient =>
        new TestClient({ ...one.target, identity: one.identity, nowMs: () => nowMs })
      const other = opened.as(drawPerson('owner'))
      expect(outcomeOf(await opened.operator.enroll('owner', other.identity, ['other/**']))).toBe(
        'effective',
      )
      const { agent } = await opened.owner.issue('finance/gone/inst-00001')
      const { agent: old } = await opened.owner.issue('finance/old/inst-00001', { ttl: 600 })
      expect(outcomeOf(await opened.owner.revoke(`inst:${agent.principal}`))).toBe('revoked')
      const paths = [
        '/livez',
        '/logs/main/checkpoint',
        '/logs/main/v1/proofs/inclusion?index=0&size=3',
      ]
      const codesOf = (one: TestClient): Promise<unknown[]> =>
        Promise.all(
          paths.map(async (path) => {
            const reply = await at(one).read(path)
            return reply.status === 200 ? 200 : reply.json()['code']
          }),
        )
      expect(await codesOf(agent)).toEqual(paths.map(() => 'revoked'))
      expect(await codesOf(old)).toEqual(paths.map(() => 200))
      expect(await codesOf(other)).toEqual(paths.map(() => 200))
      expect(outcomeOf(await opened.operator.revoke(other.principal))).toBe('revoked')
      expect(await codesOf(other)).toEqual(paths.map(() => 'revoked'))
      nowMs += 700_000
      expect(await codesOf(old)).toEqual(paths.map(() => 'certificate_expired'))
    } finally {
      await opened.close()
    }
  })

  test('a credential of no principal is refused, whatever its issuer says', async () => {
    const { by, opened } = closed
    for (const principal of ['\u0000', '\u0001', '', 'operator:', 'log', 'owner:\u0000']) {
      const nobody = opened.as({ ...by.operator.identity, principal })
      const reply = await nobody.read('/logs/main/v1/entries/0')
      expect([reply.status, reply.json()['code']]).toEqual([401, 'credential_invalid'])
    }
    expect(findPerson(opened.service.log.view(), '\u0000')).toBeUndefined()
    expect(findPerson(opened.service.log.view(), by.operator.principal)?.role).toBe('operator')
  })

  test('HEAD is a read of its own: a credential for GET does not pass', async () => {
    const { reader } = closed.by
    const path = `/logs/main/v1/entries/0`
    const head = (method: string) =>
      reader.ask('HEAD', path, { headers: { authorization: reader.credential(path, { method }) } })
    expect((await head('GET')).status).toBe(401)
    const reply = await head('HEAD')
    expect([reply.status, reply.bytes.length]).toEqual([200, 0])
  })
})

/** Something that the role signs and that belongs to the route. */
function makeFor(route: RouteName, role: Role, world: World): Made {
  const client = world.by[role]
  if (route === 'agents') return client.makeIssue('finance/new/inst-00009').made
  if (route === 'evaluation') return client.makeDecision().made
  return role === 'agent'
    ? client.makeAction()
    : client.makeRevocation('agent:spiffe://example.org/no')
}

describe('writes', () => {
  for (const world of ['closed', 'open'] as const) {
    for (const route of WRITES) {
      for (const role of ROLES) {
        test(`${route} as ${role}, ${world} reads: ${cellOf(route, role)}`, async () => {
          const here = world === 'closed' ? closed : open
          const made = makeFor(route, role, here)
          const path = pathFor(route, here, 'own')
          const sizeBefore = here.opened.service.log.head().size
          const reply = await here.by[role].post(
            path,
            route === 'statements' ? { statements: [made] } : made,
          )
          const code = route === 'statements' ? outcomeOf(reply) : reply.json()['code']
          if (cellOf(route, role) === '-') {
            expect(code).toBe(role === 'none' ? 'signer_unknown' : 'role_forbidden')
            expect(here.opened.service.log.head().size).toBe(sizeBefore)
          } else expect(['signer_unknown', 'role_forbidden']).not.toContain(code)
        })
      }
    }
  }
})

describe('what is not in the table', () => {
  test('the table here and the table there have the same rows, and one cell for each role', () => {
    expect(Object.keys(TABLE).sort()).toEqual(Object.keys(ROUTES).sort())
    expect(ROLES).toEqual(['none', 'agent', 'owner', 'operator', 'reader'])
  })

  test('no other method of a route is answered, whoever asks', async () => {
    const { operator } = open.by
    for (const route of Object.keys(TABLE) as RouteName[]) {
      const path = pathFor(route, open, 'own')
      const known: readonly string[] = ROUTES[route].method === 'GET' ? ['GET', 'HEAD'] : ['POST']
      for (const method of ['GET', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'TRACE']) {
        // `/v1/agents` with a POST is one route and `/v1/agents/{id}` another.
        if (known.includes(method)) continue
        const headers = { authorization: operator.credential(path, { method }) }
        const reply = await operator.ask(method, path, { headers })
        expect([route, method, reply.status]).toEqual([route, method, 404])
        expect(reply.json()['code']).toBe('route_unknown')
      }
    }
  })

  test('no other path is answered', async () => {
    const { operator } = open.by
    for (const path of [
      '/',
      '/logs',
      '/logs/main',
      '/logs/other/checkpoint',
      '/logs/main/v1',
      '/logs/main/v1/entries',
      '/logs/main/v1/entries/0/',
      '/logs/main/v1/entries/0/extra',
      '/logs/main/v2/entries/0',
      '/LIVEZ',
      '/livez/',
      '//livez',
      '/.well-known/other',
      '/v1/entries/0',
    ]) {
      const reply = await operator.read(path)
      expect([path, reply.status, reply.json()['code']]).toEqual([path, 404, 'route_unknown'])
    }
  })
})
