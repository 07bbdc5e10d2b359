/**
 * @module Goal: an agent is issued exactly where FORMAT §9.2 permits it, a refusal by a known caller is an entry with
 * its reason and without a certificate, and what the CA signed is what the record says. Method: a log without disk,
 * real keys, requests and certificates; each rule broken alone.
 */
import { createHash } from 'node:crypto'
import {
  decodeSvidExtension,
  parseCertificate,
  SVID_EXTENSION_OID,
  toBase64url,
} from '@trustwarden/proofs'
import type { JsonObject } from '@trustwarden/proofs'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { nativePrimitives } from '../../src/crypto.ts'
import { agentReader, findKeyHolder, findNameUse } from '../../src/identity/agents.ts'
import { RuleLog, entryOf, resultOf } from '../support/rule-harness.ts'
import { at, drawSigner, makeCsr, party } from '../support/rule-party.ts'
import type { TestAgent } from '../support/rule-party.ts'
import { START_MS, TRUST_DOMAIN } from '../support/rule-statements.ts'

let log: RuleLog
let root: TestAgent
let count = 0

/** An id that was never used, under `path`. */
function fresh(path: string): string {
  return `${path}/inst-${String(++count).padStart(5, '0')}`
}

beforeAll(async () => {
  log = await RuleLog.create({ owners: [['finance/**'], ['legal/**', 'finance/audit/**']] })
  root = await log.agent({ owner: log.owner }, fresh('finance/pay'), {
    scope: ['read:**', 'write:reports/**'],
    max_depth: 2,
    may_create: ['finance/pay/**'],
  })
})

afterAll(() => log.close())

describe('an issuance that holds', () => {
  it('has a certificate that says what the record says', async () => {
    const { agent, outcome } = await log.issue({ parent: root }, fresh('finance/pay/reader'))
    const entry = entryOf(outcome)
    expect(entry.kind).toBe('agent.issue')
    const certificate = parseCertificate(entry.prepared.get(1) as Uint8Array)
    expect(certificate.uris).toEqual([agent.principal])
    expect(certificate.spki).toEqual(agent.signer.spki)
    expect(entry.outcome.get(1)).toBe(certificate.notAfterMs)
    const value = certificate.otherExtensions.get(SVID_EXTENSION_OID)?.value ?? new Uint8Array()
    const extension = decodeSvidExtension(nativePrimitives, value)
    expect(extension.recordDigest).toEqual(agent.record)
    expect(extension.owner).toBe(log.owner.principal)
    expect(extension.ancestors).toEqual([
      { instance: root.principal, size: Number(root.payload['size']) },
    ])
    expect(extension.scope.texts).toEqual(['read:transactions'])
    expect(extension.size).toBe(agent.payload['size'])
    expect(entry.links.map(({ subject }) => subject)).toEqual([
      `inst:${agent.principal}`,
      `inst:${root.principal}`,
      `agent:${agent.name}`,
      log.owner.principal,
    ])
    expect(outcome).toMatchObject({
      answer: { certificate: toBase64url(entry.prepared.get(1) as Uint8Array) },
    })
  })

  it('is found as it was recorded, with its name, key and chain', async () => {
    const child = await log.agent({ parent: root }, fresh('finance/pay/reader'))
    const found = agentReader.find(log.state, child.principal)
    expect(found).toMatchObject({
      name: child.name,
      owner: log.owner.principal,
      kid: child.kid,
      depth: 1,
      scope: ['read:transactions'],
      mayCreate: [],
      record: child.record,
      root: root.record,
      issuedAt: log.state.size - 1,
      ancestors: [{ instance: root.principal, size: root.payload['size'] }],
    })
    expect(findKeyHolder(log.state, child.kid)).toBe(child.principal)
    expect(findNameUse(log.state, ['finance', 'pay', 'reader'])?.owner).toBe(log.owner.principal)
  })

  it('ends with the ttl, the ceiling or the parent, whichever is first, in whole seconds', async () => {
    const end = async (path: string, patch: JsonObject): Promise<number> =>
      Number(entryOf((await log.issue({ owner: log.owner }, path, patch)).outcome).outcome.get(1))
    const now = log.nowMs
    const seconds = Math.floor(now / 1000)
    expect(await end(fresh('finance/a'), { ttl: 600 })).toBe(now + 600_000)
    expect(await end(fresh('finance/a'), { ttl: 600, ceiling: seconds + 300 })).toBe(now + 300_000)
    const short = await log.agent({ owner: log.owner }, fresh('finance/short'), { ttl: 120 })
    const child = await log.issue({ parent: short }, fresh('finance/short'), { ttl: 600 })
    expect(entryOf(child.outcome).outcome.get(1)).toBe(now + 120_000)
  })
})

/** Rule → what breaks it alone, from an owner. */
const OWNER_CASES: readonly [code: string, path: string, patch: () => JsonObject][] = [
  ['spiffe_id_invalid', 'finance/x', () => ({ trust_domain: 'other.org' })],
  ['name_not_permitted', 'sales/x', () => ({})],
  ['name_not_permitted', 'finance/audit/x', () => ({})],
  ['ceiling_exceeded', 'finance/x', () => ({ ceiling: Math.floor(START_MS / 1000) + 2_592_001 })],
  ['depth_exceeded', 'finance/x', () => ({ max_depth: 9 })],
  ['life_too_short', 'finance/x', () => ({ ttl: 59 })],
  ['life_too_short', 'finance/x', () => ({ ttl: 86_401 })],
  ['life_too_short', 'finance/x', () => ({ ceiling: Math.floor(START_MS / 1000) + 59 })],
  ['size_ahead', 'finance/x', () => ({ size: log.state.size + 1 })],
  ['delegation_invalid', 'finance/x', () => ({ authorization: toBase64url(new Uint8Array(32)) })],
  ['delegation_invalid', 'finance/x', () => ({ depth: 1 })],
  ['delegation_invalid', 'finance/x', () => ({ owner: at(log.owners, 1).principal })],
]

/** Rule → what breaks it alone, from an instance of depth 0, `max_depth` 2 and `may_create` finance/pay/**. */
const PARENT_CASES: readonly [code: string, path: string, patch: () => JsonObject][] = [
  ['name_not_permitted', 'finance/other', () => ({})],
  ['name_not_permitted', 'finance/pay/x', () => ({ may_create: ['finance/**'] })],
  ['depth_exceeded', 'finance/pay/x', () => ({ max_depth: 3 })],
  ['delegation_invalid', 'finance/pay/x', () => ({ depth: 2 })],
  ['delegation_invalid', 'finance/pay/x', () => ({ owner: at(log.owners, 1).principal })],
  ['delegation_invalid', 'finance/pay/x', () => ({ authorization: digest(1) })],
  [
    'delegation_invalid',
    'finance/pay/x',
    () => ({ parent: parentOf(root, { record: digest(1) }) }),
  ],
  ['delegation_invalid', 'finance/pay/x', () => ({ parent: parentOf(root, { key: digest(1) }) })],
  ['scope_not_contained', 'finance/pay/x', () => ({ scope: ['read:**', 'write:reports/**'] })],
  ['scope_not_contained', 'finance/pay/x', () => ({ scope: ['write:**'] })],
  ['ceiling_exceeded', 'finance/pay/x', () => ({ ceiling: Number(root.payload['ceiling']) + 1 })],
  ['size_ahead', 'finance/pay/x', () => ({ size: log.state.size + 1 })],
]

function digest(byte: number): string {
  return toBase64url(new Uint8Array(32).fill(byte))
}

function parentOf({ principal, kid, record }: TestAgent, patch: JsonObject): JsonObject {
  return { instance: principal, key: kid, record: toBase64url(record), ...patch }
}

describe('an issuance that breaks one rule', () => {
  it.each(OWNER_CASES)('of an owner is refused with %s (%s)', async (code, path, patch) => {
    const { outcome } = await log.issue({ owner: log.owner }, fresh(path), patch())
    const entry = entryOf(outcome)
    expect(entry.outcome.get(0)).toBe(code)
    expect(entry.kind).toBe('agent.refuse')
    expect([...entry.prepared.keys()]).toEqual([0])
    expect(entry.links.map(({ subject }) => subject)).toEqual([log.owner.principal])
  })

  it.each(PARENT_CASES)('of an instance is refused with %s (%s)', async (code, path, patch) => {
    const { agent, outcome } = await log.issue({ parent: root }, fresh(path), patch())
    const entry = entryOf(outcome)
    expect(entry.outcome.get(0)).toBe(code)
    expect(entry.links.map(({ subject }) => subject)).toEqual([
      `inst:${root.principal}`,
      log.owner.principal,
    ])
    expect(agentReader.find(log.state, agent.principal)).toBeUndefined()
  })

  it('is refused beyond the depth that the parent permits', async () => {
    const patch = { max_depth: 2, may_create: ['finance/pay/**'], scope: ['read:a/**'] }
    const one = await log.agent({ parent: root }, fresh('finance/pay/one'), patch)
    const two = await log.agent({ parent: one }, fresh('finance/pay/two'), {
      ...patch,
      scope: ['read:a/b/**'],
    })
    const three = await log.issue({ parent: two }, fresh('finance/pay/three'), {
      ...patch,
      scope: ['read:a/b/c'],
    })
    expect(resultOf(three.outcome)).toBe('depth_exceeded')
  })

  it('is refused for an instance id or key that was used before, by whomever', async () => {
    const path = fresh('finance/b')
    const first = await log.agent({ owner: log.owner }, path)
    const again = await log.issue({ owner: log.owner }, path)
    expect(resultOf(again.outcome)).toBe('instance_used')
    const sameKey = await log.issue(
      { owner: log.owner },
      fresh('finance/b'),
      {},
      { key: first.signer },
    )
    expect(resultOf(sameKey.outcome)).toBe('key_used')
    const person = party('operator', 'ES256')
    expect(resultOf(await log.enrolOperator(log.operator, person))).toBe('effective')
    const personal = await log.issue(
      { owner: log.owner },
      fresh('finance/b'),
      {},
      { key: person.signer },
    )
    expect(resultOf(personal.outcome)).toBe('key_used')
    const authority = await log.issue({ owner: log.owner }, fresh('finance/b'), {}, { key: log.ca })
    expect(resultOf(authority.outcome)).toBe('key_used')
  })

  it('is refused at every depth for a name that another owner has by a longer pattern', async () => {
    const granted = { may_create: ['**'], max_depth: 8 }
    const top = await log.agent({ owner: log.owner }, fresh('finance/top'), granted)
    const below = await log.agent({ parent: top }, fresh('finance/below'), {
      ...granted,
      scope: ['read:x/**'],
    })
    const scope = ['read:x/y']
    for (const path of ['finance/audit', 'finance/audit/x', 'legal', 'legal/x', 'sales']) {
      for (const parent of [top, below]) {
        const { outcome } = await log.issue({ parent }, fresh(path), { scope })
        expect([path, resultOf(outcome)]).toEqual([path, 'name_not_permitted'])
      }
    }
    const own = await log.issue({ parent: below }, fresh('finance/audits'), { scope })
    expect(resultOf(own.outcome)).toBe('issued')
  })

  it("is refused once the parent's certificate has ended, and once a link is revoked", async () => {
    const own = await RuleLog.create()
    const parent = await own.agent({ owner: own.owner }, 'a/inst-00001', { ttl: 60 })
    const child = await own.agent({ owner: own.owner }, 'b/inst-00001', { scope: ['read:**'] })
    own.nowMs += 60_001
    const late = await own.issue({ parent }, 'a/inst-00002')
    expect(resultOf(late.outcome)).toBe('certificate_expired')
    await own.revoke(own.operator, `inst:${child.principal}`)
    const revoked = await own.issue({ parent: child }, 'b/inst-00002')
    expect(resultOf(revoked.outcome)).toBe('revoked')
    await own.revoke(own.owner, own.owner.principal)
    const closed = await own.issue({ owner: own.owner }, 'c/inst-00001')
    expect(resultOf(closed.outcome)).toBe('revoked')
    await own.close()
  })
})

describe('an issuance without a leaf', () => {
  it.each([
    ['scope_invalid', 'a scope out of its grammar', { scope: ['read'] }],
    ['statement_malformed', 'a grant that another covers', { scope: ['read:**', 'read:x'] }],
    ['statement_malformed', 'a member that is not listed', { details: 'somebody' }],
    ['statement_malformed', 'a pattern out of its grammar', { may_create: ['A'] }],
    [
      'statement_malformed',
      '65 name patterns',
      { may_create: Array.from({ length: 65 }, (_, at) => `n${at}`) },
    ],
    ['statement_malformed', 'a list with an element twice', { may_create: ['a', 'a'] }],
    ['spiffe_id_invalid', 'an id that is none', { parent: { instance: 'x', key: '', record: '' } }],
  ])('is refused with %s for %s', async (code, _what, patch) => {
    const size = log.state.size
    const { agent, text } = log.request({ owner: log.owner }, fresh('finance/x'), patch)
    const outcome = await log.submit(text, { csr: agent.csr })
    expect(outcome).toMatchObject({ type: 'refuse', code, by: 'prepare' })
    // Neither from register alone, as an audit runs it.
    const incoming = log.read(log.request({ owner: log.owner }, fresh('finance/x'), patch).text)
    const bare = { ...incoming, prepared: new Map([[0, size]]) }
    expect(log.register(bare)).toMatchObject({ type: 'refuse', code, by: 'register' })
    expect(log.state.size).toBe(size)
  })

  it('is refused with the limit named where the certificate would be over 16 KiB', async () => {
    const size = log.state.size
    const word = (at: number) => `n${at + 100}`.padEnd(60, 'x')
    const scope = Array.from(
      { length: 64 },
      (_, at) => `read:${[1, 2, 3, 4, 5].map((n) => word(n + at * 10)).join('/')}`,
    )
    const { outcome } = await log.issue({ owner: log.owner }, fresh('finance/big'), { scope })
    expect(outcome).toMatchObject({ type: 'refuse', code: 'entry_too_large', by: 'prepare' })
    expect(log.state.size).toBe(size)
    const half = { scope: scope.slice(0, 32) }
    const fits = await log.issue({ owner: log.owner }, fresh('finance/big'), half)
    expect(entryOf(fits.outcome).kind).toBe('agent.issue')
  })

  it('is refused for its request: missing, of another hash, of another key, signed by another', async () => {
    const { agent, text } = log.request({ owner: log.owner }, fresh('finance/c'))
    expect(resultOf(await log.submit(text))).toBe('attachment_invalid')
    expect(resultOf(await log.submit(text, { csr: makeCsr(agent.signer) }))).toBe(
      'attachment_invalid',
    )
    const size = log.state.size
    const other = drawSigner('ES256')
    for (const csr of [makeCsr(other), makeCsr(agent.signer, other)]) {
      const hash = new Uint8Array(createHash('sha256').update(csr).digest())
      const child = { instance: agent.principal, key: agent.kid, csr: toBase64url(hash) }
      const payload = { ...agent.payload, child }
      const signed = log.sign(log.owner, 'agent.issue', agent.principal, payload)
      expect(resultOf(await log.submit(signed, { csr }))).toBe('csr_invalid')
    }
    expect(log.state.size).toBe(size)
  })

  it('is refused outside of 5 minutes from ledger time', async () => {
    const seconds = Math.floor(log.nowMs / 1000)
    for (const iat of [seconds - 301, seconds + 301]) {
      const { outcome } = await log.issue({ owner: log.owner }, fresh('finance/d'), {}, { iat })
      expect(resultOf(outcome)).toBe('iat_out_of_window')
    }
  })

  it('is refused to operators', async () => {
    const { agent } = log.request({ owner: log.owner }, fresh('finance/e'))
    const text = log.sign(log.operator, 'agent.issue', agent.principal, agent.payload)
    expect(resultOf(await log.submit(text, { csr: agent.csr }))).toBe('signer_forbidden')
  })
})

describe('register', () => {
  it('finds a submission stale that has no certificate, or that of another record', async () => {
    const one = log.request({ owner: log.owner }, fresh('finance/f'))
    const two = log.request({ owner: log.owner }, fresh('finance/f'))
    const first = await log.prepare(one.text, { csr: one.agent.csr })
    const second = await log.prepare(two.text, { csr: two.agent.csr })
    const bare = { ...first, prepared: new Map([[0, log.state.size]]) }
    expect(resultOf(log.register(bare))).toBe('stale')
    expect(resultOf(log.register({ ...first, prepared: second.prepared }))).toBe('stale')
    const junk = new Map<number, number | Uint8Array>([
      [0, log.state.size],
      [1, new Uint8Array(40)],
    ])
    expect(resultOf(log.register({ ...first, prepared: junk }))).toBe('stale')
    // Of the same instance and key, but of a record that gives less.
    const { signer, principal } = one.agent
    const path = principal.slice(`spiffe://${TRUST_DOMAIN}/`.length)
    const less = log.request({ owner: log.owner }, path, { scope: ['read:x'] }, { key: signer })
    const third = await log.prepare(less.text, { csr: less.agent.csr })
    expect(third.prepared.has(1)).toBe(true)
    expect(resultOf(log.register({ ...first, prepared: third.prepared }))).toBe('stale')
    expect(resultOf(log.register(first))).toBe('issued')
  })

  it('finds a certificate stale that would outlive what ledger time permits now', async () => {
    const own = await RuleLog.create()
    const { agent, text } = own.request({ owner: own.owner }, 'a/inst-00001', { ttl: 60 })
    // By less than it is backdated, so that its end alone is wrong; then by more.
    for (const ms of [5_000, 30_000]) {
      own.nowMs += ms
      const ahead = await own.prepare(text, { csr: agent.csr })
      own.nowMs -= ms
      expect([ms, resultOf(own.register(ahead))]).toEqual([ms, 'stale'])
    }
    await own.close()
  })

  it('refuses what was prepared to be issued if the state has changed, and keeps no certificate', async () => {
    const own = await RuleLog.create()
    const { agent, text } = own.request({ owner: own.owner }, 'a/inst-00001')
    const submission = await own.prepare(text, { csr: agent.csr })
    expect(submission.prepared.has(1)).toBe(true)
    await own.revoke(own.operator, own.owner.principal)
    const outcome = own.register(submission)
    expect(resultOf(outcome)).toBe('revoked')
    expect([...entryOf(outcome).prepared.keys()]).toEqual([0])
    await own.close()
  })

  it('lets a certificate lose 5 s of its shortest life on the way, and no more', async () => {
    for (const [ms, expected] of [
      [5_000, 'issued'],
      [5_001, 'life_too_short'],
    ] as const) {
      const own = await RuleLog.create()
      const ceiling = Math.floor(own.nowMs / 1000) + 60
      const { agent, text } = own.request({ owner: own.owner }, 'a/inst-00001', { ceiling })
      const submission = await own.prepare(text, { csr: agent.csr })
      expect(submission.prepared.has(1)).toBe(true)
      own.nowMs += ms
      expect([ms, resultOf(own.register(submission))]).toEqual([ms, expected])
      await own.close()
    }
  })

  it('answers a repeat with the same entry and the same certificate', async () => {
    const { agent, text } = log.request({ owner: log.owner }, fresh('finance/g'))
    const first = await log.submit(text, { csr: agent.csr })
    const again = await log.submit(text)
    expect(again).toMatchObject({ type: 'entry', repeated: true })
    expect(entryOf(again)).toEqual(entryOf(first))
  })
})
