/**
 * Goal: what the README of the SDK promises holds against the real service: identity, permission, record, revocation,
 * refusal, evidence. Method: the service as a process of its own, made by the real CLI; owner, agents, operator and
 * auditor as clients over HTTP; the evidence verified by the kit.
 */
import { createHash } from 'node:crypto'
import { mkdtempSync, readFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import {
  noblePrimitives,
  parseActionEvent,
  parseEntryStatement,
  parseTrust,
  utf8Encode,
  verifyEvidence,
  toBase64url,
} from '@trustwarden/proofs'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { encodePolicy } from '../../src/gate/policy-pack.ts'
import { readDefaultPolicy } from '../../src/gate/default-policy.ts'
import {
  activatePolicy,
  AgentIdentity,
  enrollOwner,
  enrollReader,
  erase,
  joinProposal,
  PersonKey,
  Reader,
  revoke,
  TrustWarden,
  TrustWardenError,
} from '../../src/sdk/index.ts'
import {
  makeLog,
  removeLog,
  runCli,
  type RunningService,
  startService,
} from '../support/service.ts'

let service: RunningService
let client: TrustWarden
let owner: PersonKey
let operator: PersonKey
let orchestrator: AgentIdentity

async function codeOf(work: Promise<unknown>): Promise<TrustWardenError> {
  const error = await work.then(
    () => undefined,
    (thrown: unknown) => thrown,
  )
  if (error instanceof TrustWardenError) return error
  throw new Error('a TrustWardenError was expected', { cause: error })
}

beforeAll(async () => {
  service = await startService(makeLog())
  owner = PersonKey.fromFile(service.owner)
  operator = PersonKey.fromFile(service.operator)
  client = await TrustWarden.connect({
    url: service.url,
    trust: service.anchor,
    headIntervalMs: 0,
  })
  orchestrator = await AgentIdentity.create({
    client,
    owner,
    name: 'finance/orchestrator',
    scope: ['write:reports', 'read:transactions'],
  })
}, 60_000)

afterAll(async () => {
  await service?.stop()
  if (service !== undefined) removeLog(service)
})

describe('identity', () => {
  test('an owner starts an agent, the agent a child under its own name', async () => {
    expect(orchestrator.id).toMatch(
      /^spiffe:\/\/acme\.example\/finance\/orchestrator\/inst-[0-9a-f]{32}$/,
    )
    expect(orchestrator.owner).toBe(`owner:${owner.kid}`)
    expect(orchestrator.depth).toBe(0)
    const child = await orchestrator.startChild({
      name: 'data-fetcher',
      scope: ['read:transactions'],
      ttl: '15m',
    })
    expect(child.name).toBe('spiffe://acme.example/finance/orchestrator/data-fetcher')
    expect(child.parent).toBe(orchestrator.id)
    expect(child.lineage.receipts).toHaveLength(2)
    expect(child.notAfter.getTime() - Date.now()).toBeLessThanOrEqual(900_000)
  })

  test('a wider scope is refused, and the refusal is recorded and proven', async () => {
    const error = await codeOf(
      orchestrator.startChild({ name: 'rogue', scope: ['delete:transactions'] }),
    )
    expect(error.code).toBe('scope_not_contained')
    expect(error.status).toBe(403)
    expect(error.receipt).toBeDefined()
  })

  test('a key that is not enrolled starts nothing', async () => {
    const stranger = PersonKey.generate()
    const error = await codeOf(
      AgentIdentity.create({ client, owner: stranger, name: 'x', scope: ['read:x'] }),
    )
    expect(error.code).toBe('signer_unknown')
    expect(error.receipt).toBeUndefined()
  })
})

describe('permission and record', () => {
  test('allowed, recorded, matched; a second report on it is spent', async () => {
    const permission = await orchestrator.authorize({
      action: 'read:transactions',
      resource: { type: 'table', id: 'db/transactions' },
      actionProperties: { limit: 10 },
      context: { ticket: 'T-1' },
    })
    expect(permission).toMatchObject({ allowed: true, effect: 'allow', reasons: [] })
    expect(permission.permit).toMatch(/^[\w-]+\.[\w-]+\.[\w-]+$/)
    const recorded = await orchestrator.record({
      permission,
      outcome: 'success',
      details: { rows: 10 },
    })
    expect(recorded.verdict).toBe('matched')
    const again = await orchestrator.record({ permission, outcome: 'success' })
    expect(again.verdict).toBe('spent')
    const read = await orchestrator.entry(recorded.index)
    expect(read.disclosures).toHaveLength(3)
    const event = parseActionEvent(parseEntryStatement(read.entry))
    expect(event.decision?.id).toBe(permission.decisionId)
  })

  test('out of scope: denied by the host, and an action all the same is a violation', async () => {
    const permission = await orchestrator.authorize({
      action: 'delete:transactions',
      resource: 'db/transactions',
    })
    expect(permission).toMatchObject({
      allowed: false,
      effect: 'deny',
      reasons: ['scope_not_in_chain'],
      permit: undefined,
      expiresAt: undefined,
    })
    const recorded = await orchestrator.record({ permission, outcome: 'success' })
    expect(recorded.verdict).toBe('denied')
    const alone = { action: 'delete:transactions', resource: 'db', outcome: 'success' } as const
    expect((await orchestrator.record(alone)).verdict).toBe('absent')
  })

  test('what was done is not what was permitted: mismatched', async () => {
    const permission = await orchestrator.authorize({
      action: 'write:reports',
      resource: 'reports/1',
    })
    const recorded = await orchestrator.record({
      permission,
      resource: 'reports/2',
      outcome: 'success',
    })
    expect(recorded.verdict).toBe('mismatched')
  })

  test('perform: result, failure recorded and rethrown, denied without a run', async () => {
    const request = { action: 'read:transactions', resource: 'db/transactions' }
    expect(await orchestrator.perform(request, () => 42)).toBe(42)
    const broken = new Error('the database is away')
    await expect(orchestrator.perform(request, () => Promise.reject(broken))).rejects.toBe(broken)
    let ran = false
    const error = await codeOf(
      orchestrator.perform({ ...request, action: 'delete:transactions' }, () => {
        ran = true
      }),
    )
    expect(error).toMatchObject({ code: 'denied', reasons: ['scope_not_in_chain'] })
    expect(error.receipt).toBeDefined()
    expect(ran).toBe(false)
    const unrecordable = { details: { at: Number.NaN } }
    const refused = await codeOf(
      orchestrator.perform(
        request,
        () => {
          ran = true
        },
        unrecordable,
      ),
    )
    expect(refused).toMatchObject({ code: 'argument_invalid' })
    expect(ran).toBe(false)
    const told: number[] = []
    await orchestrator.perform(request, () => 1, { onRecorded: ({ index }) => told.push(index) })
    expect((await orchestrator.entry(told[0] ?? -1)).kind).toBe('action')
  })

  test('many agents at work at once: every answer is its own', async () => {
    const asked = Array.from({ length: 24 }, (_, at) => `row/${at}`)
    const permissions = await Promise.all(
      asked.map((resource) => orchestrator.authorize({ action: 'read:transactions', resource })),
    )
    expect(permissions.map(({ request }) => request.resource.id)).toEqual(asked)
    expect(permissions.every(({ allowed }) => allowed)).toBe(true)
    expect(new Set(permissions.map(({ index }) => index)).size).toBe(24)
    await orchestrator.confirmHeads()
  })

  test('many at once, in order', async () => {
    const events = Array.from({ length: 40 }, (_, at) => ({
      action: 'read:transactions',
      resource: `row/${at}`,
      outcome: 'partial' as const,
    }))
    const results = await orchestrator.recordMany(events)
    expect(results).toHaveLength(40)
    for (const result of results) expect(result).toMatchObject({ verdict: 'absent' })
  })
})

describe('people', () => {
  test('a parent revokes its child; the next request is denied, and so is a record', async () => {
    const child = await orchestrator.startChild({ name: 'brief', scope: ['read:transactions'] })
    const request = { action: 'read:transactions', resource: 'db/transactions' }
    const permission = await child.authorize(request)
    expect(permission.allowed).toBe(true)
    const revocation = await orchestrator.revoke(child, { reason: 'compromised', details: 'lost' })
    expect(revocation.outcome).toBe('revoked')
    expect(await child.authorize(request)).toMatchObject({
      allowed: false,
      reasons: ['identity_revoked'],
    })
    expect((await child.record({ permission, outcome: 'success' })).verdict).toBe('revoked')
    const error = await codeOf(child.startChild({ name: 'heir', scope: [] }))
    expect(error.code).toBe('name_not_permitted')
  })

  test('an operator enrols an owner, who starts agents under its patterns alone', async () => {
    const second = PersonKey.generate('ES256')
    const enrolled = await enrollOwner(client, operator, {
      key: second,
      patterns: ['sales/**'],
      details: { name: 'S. Ample' },
    })
    expect(enrolled.outcome).toBe('effective')
    const make = (name: string) =>
      AgentIdentity.create({ client, owner: second, name, scope: ['read:leads'] })
    expect((await make('sales/caller')).owner).toBe(`owner:${second.kid}`)
    expect((await codeOf(make('finance/intruder'))).code).toBe('name_not_permitted')
  })

  test('an operator activates a policy, an owner may not', async () => {
    const pack = encodePolicy(readDefaultPolicy())
    expect((await activatePolicy(client, operator, pack)).outcome).toBe('effective')
    expect((await codeOf(activatePolicy(client, owner, pack))).code).toBe('signer_unknown')
  })

  test('evidence of an action verifies offline, survives erasure, and shows a later revocation', async () => {
    const auditor = PersonKey.generate()
    await enrollReader(client, operator, { key: auditor })
    const reader = new Reader(client, auditor.as('reader'))
    const child = await orchestrator.startChild({ name: 'watched', scope: ['read:transactions'] })
    const permission = await child.authorize({ action: 'read:transactions', resource: 'db' })
    const { index, verdict } = await child.record({ permission, outcome: 'success', details: 'x' })
    expect(verdict).toBe('matched')
    const trust = parseTrust(noblePrimitives, utf8Encode(service.anchor))
    const report = verifyEvidence(noblePrimitives, await reader.evidence(index), trust)
    expect(report.action.index).toBe(index)
    await revoke(client, owner.as('owner'), `inst:${child.id}`, { reason: 'ceased' })
    const erased = await erase(client, { key: owner, role: 'owner' }, [index])
    expect(erased.outcome).toBe('erased')
    const later = verifyEvidence(noblePrimitives, await reader.evidence(index), trust)
    expect(later.steps.map(({ name }) => name)).toContain('revocation')
    expect((await reader.entry(index)).disclosures).toEqual([])
    await reader.confirmHeads()
    expect(client.heads.unproven).toEqual([])
  })

  test('the entries of an agent, newest first, for itself, its owner and an operator, and for no other', async () => {
    const child = await orchestrator.startChild({ name: 'listed', scope: ['read:transactions'] })
    const permission = await child.authorize({ action: 'read:transactions', resource: 'db' })
    await child.record({ permission, outcome: 'success' })
    const listed = async (entries: AsyncIterable<{ seq: number; kind: string }>) => {
      const all: string[] = []
      for await (const { seq, kind } of entries) all.push(`${seq} ${kind}`)
      return all
    }
    const expected = ['2 action', '1 decision', '0 agent.issue']
    expect(await listed(child.entries())).toEqual(expected)
    for (const signer of [owner.as('owner'), operator.as('operator')]) {
      const reader = new Reader(client, signer)
      expect(await listed(reader.chain(`inst:${child.id}`))).toEqual(expected)
      expect(await listed(reader.chain(`agent:${child.name}`))).toEqual(expected)
    }
    const reader = new Reader(client, operator.as('operator'))
    expect(await listed(reader.chain('policy'))).not.toEqual([])
    expect((await codeOf(listed(reader.chain('inst:x')))).code).toBe('argument_invalid')
    const nobody = `owner:${PersonKey.generate().kid}`
    expect((await codeOf(listed(reader.chain(nobody)))).code).toBe('not_found')
    const asOwner = new Reader(client, owner.as('owner'))
    expect((await codeOf(listed(asOwner.chain(nobody)))).code).toBe('role_forbidden')
  })

  test('a pinned policy is read by its digest', async () => {
    const digest = toBase64url(client.genesis.policy)
    const reader = new Reader(client, operator.as('operator'))
    const pack = await reader.pinned(digest)
    expect(toBase64url(new Uint8Array(createHash('sha256').update(pack).digest()))).toBe(digest)
    const other = toBase64url(new Uint8Array(32))
    expect((await codeOf(reader.pinned(other))).code).toBe('not_found')
    const asOwner = new Reader(client, owner.as('owner'))
    expect((await codeOf(asOwner.pinned(digest))).code).toBe('role_forbidden')
  })

  test('who is not enrolled reads nothing; an owner reads its own agents alone', async () => {
    const stranger = new Reader(client, PersonKey.generate().as('reader'))
    expect((await codeOf(stranger.entry(0))).code).toBe('credential_invalid')
    const asOwner = new Reader(client, owner.as('owner'))
    expect((await asOwner.entry(orchestrator.lineage.receipts[0]?.index ?? -1)).kind).toBe(
      'agent.issue',
    )
    expect((await codeOf(asOwner.entry(0))).code).toBe('role_forbidden')
  })
})

test('a log of two operators: the second joins the proposal of the first, and evidence shows both', async () => {
  const root = mkdtempSync(join(tmpdir(), 'trustwarden-two-'))
  const at = (name: string) => join(root, name)
  const names = ['owner', 'first', 'second']
  for (const name of names) runCli(['keygen', '--out', at(name), '--plain-key'])
  runCli([
    'init',
    `--data=${at('log')}`,
    '--origin=acme.example/logs/two',
    '--trust-domain=acme.example',
    `--owner=${at('owner')}.pub`,
    `--operator=${at('first')}.pub`,
    `--operator=${at('second')}.pub`,
    '--threshold=2',
    '--plain-keys',
  ])
  const anchor = readFileSync(at('log/trust-anchor'), 'utf8')
  const [data, head, keys] = [at('log'), at('log.head'), at('log.keys')]
  const [own, first, second] = names.map((name) => PersonKey.fromFile(at(name)))
  if (own === undefined || first === undefined || second === undefined) throw new Error('no keys')
  const log = { root, data, head, keys, owner: at('owner'), operator: at('first'), anchor }
  const two = await startService(log)
  try {
    const session = await TrustWarden.connect({ url: two.url, trust: anchor })
    const newcomer = PersonKey.generate('ES256')
    const enrolment = { key: newcomer, patterns: ['sales/**'], details: { name: 'N. Ewcomer' } }
    const proposal = await enrollOwner(session, first, enrolment)
    expect(proposal.outcome).toBe('pending')
    const start = () =>
      AgentIdentity.create({
        client: session,
        owner: newcomer,
        name: 'sales/caller',
        scope: ['read:leads'],
      })
    expect((await codeOf(start())).code).toBe('signer_unknown')
    // A proposal is its payload: the envelopes of its signatures may differ.
    const inCose = await TrustWarden.connect({ url: two.url, trust: anchor, envelope: 'cose' })
    const joined = await joinProposal(inCose, second, proposal.index)
    expect(joined.entry.media).toBe('application/cose')
    expect(joined.outcome).toBe('effective')
    const agent = await start()
    const permission = await agent.authorize({ action: 'read:leads', resource: 'leads' })
    const { index } = await agent.record({ permission, outcome: 'success' })
    const evidence = await new Reader(session, second.as('operator')).evidence(index)
    const trust = parseTrust(noblePrimitives, utf8Encode(anchor))
    const report = verifyEvidence(noblePrimitives, evidence, trust)
    expect(new Set(report.owner.signers)).toEqual(
      new Set([first, second].map((key) => key.principal('operator'))),
    )
  } finally {
    await two.stop()
    removeLog(log)
  }
})

test('the anchor of another log is refused', async () => {
  const [prefix, vkey, , bundle] = service.anchor.split(',')
  const other = [prefix, vkey, 'A'.repeat(43), bundle].join(',')
  const error = await codeOf(TrustWarden.connect({ url: service.url, trust: other }))
  expect(error.code).toBe('service_untrusted')
})
