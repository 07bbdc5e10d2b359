/**
 * Goal: agents and people who sign in COSE get what those get who sign in JWS, every receipt verified, a retry the same
 * bytes, and one file of evidence that holds both. Method: the real service as a process of its own; two clients of one
 * log, one for each envelope, the second behind a proxy that drops answers and forges them.
 */
import {
  decodeCbor,
  decodeEntry,
  encodeCbor,
  fromBase64url,
  type JsonObject,
  MEDIA_COSE,
  MEDIA_JOSE,
  noblePrimitives,
  parseEvidence,
  parseStatement,
  parseTrust,
  receiptObject,
  toBase64url,
  utf8Encode,
  verifyEvidence,
} from '@trustwarden/proofs'
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest'
import {
  AgentIdentity,
  enrollReader,
  erase,
  PersonKey,
  Reader,
  revoke,
  type StatementDraft,
  signStatement,
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
import { otherSignature } from '../support/statement-signer.ts'
import { changed, flipped, TamperingProxy } from './tampering-proxy.ts'

const EVALUATION = '/access/v1/evaluation'
const REQUEST = { action: 'read:transactions', resource: 'db/transactions' } as const

let service: RunningService
let owner: PersonKey
let operator: PersonKey
let proxy: TamperingProxy
let inJws: TrustWarden
let inCose: TrustWarden

beforeAll(async () => {
  service = await startService(makeLog())
  owner = PersonKey.fromFile(service.owner)
  operator = PersonKey.fromFile(service.operator)
}, 60_000)

beforeEach(async () => {
  proxy = new TamperingProxy(service.url)
  const fast = { backoffMs: 1, backoffMaxMs: 5, attempts: 3 }
  const { anchor: trust } = service
  inJws = await TrustWarden.connect({ url: service.url, trust })
  inCose = await TrustWarden.connect({
    url: await proxy.listen(),
    trust,
    envelope: 'cose',
    ...fast,
  })
})

afterEach(() => proxy.close())

afterAll(async () => {
  await service?.stop()
  if (service !== undefined) removeLog(service)
})

function agentOf(client: TrustWarden, name: string): Promise<AgentIdentity> {
  const scope = ['read:transactions', 'write:reports']
  return AgentIdentity.create({ client, owner, name: `finance/${name}`, scope })
}

async function codeOf(work: Promise<unknown>): Promise<string> {
  const error = await work.then(
    () => undefined,
    (thrown: unknown) => thrown,
  )
  return error instanceof TrustWardenError ? error.code : `no TrustWardenError: ${String(error)}`
}

function mediaOf({ receipt }: { readonly receipt: { readonly entry: Uint8Array } }): string {
  return decodeEntry(receipt.entry).media
}

test('an agent is issued, asks, acts, starts a child and revokes it, each entry in COSE', async () => {
  const agent = await agentOf(inCose, 'whole')
  const permission = await agent.authorize({ ...REQUEST, context: { ticket: 'T-1' } })
  expect(permission.allowed).toBe(true)
  const recorded = await agent.record({ permission, outcome: 'success', details: { rows: 1 } })
  expect(recorded.verdict).toBe('matched')
  const child = await agent.startChild({ name: 'below', scope: ['read:transactions'] })
  const revoked = await agent.revoke(child)
  expect(revoked.outcome).toBe('revoked')
  expect([agent, permission, recorded, child, revoked].map(mediaOf)).toEqual(
    Array.from({ length: 5 }, () => MEDIA_COSE),
  )
  expect(await child.authorize(REQUEST)).toMatchObject({ reasons: ['identity_revoked'] })
  const event = { ...REQUEST, outcome: 'success' } as const
  const many = await agent.recordMany([event, event, event])
  expect(many).toMatchObject(Array.from({ length: 3 }, () => ({ verdict: 'absent' })))
  expect(await agent.perform(REQUEST, () => 42)).toBe(42)
  await agent.confirmHeads()
})

test('envelopes meet in one chain, and the evidence of both holds', async () => {
  const parent = await agentOf(inJws, 'mixed')
  const child = await AgentIdentity.create({
    client: inCose,
    parent,
    name: 'below',
    scope: ['read:transactions'],
  })
  expect([parent, child].map(mediaOf)).toEqual([MEDIA_JOSE, MEDIA_COSE])
  const permission = await child.authorize(REQUEST)
  const { index } = await child.record({ permission, outcome: 'success', details: 'x' })
  const auditor = PersonKey.generate()
  expect(mediaOf(await enrollReader(inCose, operator, { key: auditor }))).toBe(MEDIA_COSE)
  const reader = new Reader(inJws, auditor.as('reader'))
  const trust = parseTrust(noblePrimitives, utf8Encode(service.anchor))
  const bundle = await reader.evidence(index)
  const report = verifyEvidence(noblePrimitives, bundle, trust)
  expect([report.authorized, report.instance]).toEqual([true, child.id])
  const kept = parseEvidence(bundle).entries.map(({ entry }) => decodeEntry(entry))
  expect(new Set(kept.map(({ media }) => media))).toEqual(new Set([MEDIA_COSE, MEDIA_JOSE]))
  const erased = await erase(inCose, { key: owner, role: 'owner' }, [index])
  expect([erased.outcome, mediaOf(erased)]).toEqual(['erased', MEDIA_COSE])
  const later = verifyEvidence(noblePrimitives, await reader.evidence(index), trust)
  expect(later.authorized).toBe(true)
  expect((await revoke(inCose, owner.as('owner'), `inst:${child.id}`)).outcome).toBe('revoked')
})

test('a retry repeats the same bytes, and the receipt of another signature over them counts', async () => {
  const agent = await agentOf(inCose, 'again')
  proxy.script = async (seen, forward, count) => {
    if (seen.path !== EVALUATION || count > 2) return forward()
    if (count === 1) return 'drop'
    const body = JSON.parse(seen.body) as { statement: string }
    const [header, , payload, signature] = decodeCbor(
      fromBase64url(body.statement).subarray(1),
    ) as [Uint8Array, unknown, Uint8Array, Uint8Array]
    const array = encodeCbor([header, new Map(), payload, otherSignature(signature)])
    const statement = toBase64url(Buffer.concat([Buffer.of(0xd2), array]))
    await fetch(service.url + EVALUATION, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ ...body, statement }),
    })
    return 'drop'
  }
  const permission = await agent.authorize(REQUEST)
  expect(permission.allowed).toBe(true)
  const bodies = proxy.bodies(EVALUATION)
  expect([bodies.length, new Set(bodies).size]).toEqual([3, 1])
  const sent = JSON.parse(bodies[0] ?? '') as { statement: string; media: string }
  expect(sent.media).toBe(MEDIA_COSE)
  const held = parseStatement(decodeEntry(permission.receipt.entry).statement, MEDIA_COSE)
  const ours = parseStatement(fromBase64url(sent.statement), MEDIA_COSE)
  expect(held.bytes).not.toEqual(ours.bytes)
  expect(held.signingInput).toEqual(ours.signingInput)
})

test('a receipt with a bit changed, or of another statement, is refused', async () => {
  const agent = await agentOf(inCose, 'doubts')
  const first = receiptObject((await agent.authorize(REQUEST)).receipt)
  const lies: readonly ((receipt: JsonObject) => JsonObject)[] = [
    (receipt) => ({ ...receipt, entry: flipped(String(receipt['entry'] as string), 300) }),
    () => first,
  ]
  const codes: string[] = []
  for (const lie of lies) {
    proxy.script = async (seen, forward) => {
      const reply = await forward()
      if (seen.path !== EVALUATION) return reply
      return changed(reply, (body) => {
        const context = body['context'] as JsonObject
        return { ...body, context: { ...context, receipt: lie(context['receipt'] as JsonObject) } }
      })
    }
    codes.push(await codeOf(agent.authorize(REQUEST)))
  }
  expect(codes).toEqual(['receipt_invalid', 'receipt_mismatch'])
})

test('another envelope is refused where it is asked for, and signed nowhere', async () => {
  const options = { url: service.url, trust: service.anchor, envelope: 'dsse' }
  expect(await codeOf(TrustWarden.connect(options as never))).toBe('argument_invalid')
  const draft = { type: 'x', subject: 'x', payload: {}, envelope: 'dsse' }
  expect(() =>
    signStatement(owner.as('owner'), inCose.origin, draft as unknown as StatementDraft),
  ).toThrow('envelope')
})

test('people choose it at the command line', () => {
  const target = ['--url', service.url, '--trust', service.anchor, '--key', service.operator]
  const at = (envelope: string) =>
    runCli(['clock', 'accept', ...target, '--json', '--envelope', envelope])
  const { index } = JSON.parse(at('cose')) as { index: number }
  expect(index).toBeGreaterThan(0)
  expect(() => at('dsse')).toThrow(/jws or cose/)
})
