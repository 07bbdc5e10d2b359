/**
 * @module Goal: an allow exists only where host and policy agree at the entry's own time, is never decided twice, and
 * never outlives what it rests on. Method: a log without disk with the shipped policy in a real worker; each ground of
 * denial, staleness and spending alone.
 */
import {
  actionDigest,
  decodeDecisionPrepared,
  findSaltDisclosure,
  inputCommitment,
  parsePermit,
  policyInput,
  verifyPermit,
} from '@trustwarden/proofs'
import type { JsonObject, JsonValue } from '@trustwarden/proofs'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { nativePrimitives } from '../../src/crypto.ts'
import { findDecision, findHostReason, findMatch } from '../../src/gate/decisions.ts'
import { readDefaultPolicy } from '../../src/gate/default-policy.ts'
import { encodePolicy, policyDigest } from '../../src/gate/policy-pack.ts'
import { policyReader } from '../../src/gate/policy.ts'
import { agentReader } from '../../src/identity/agents.ts'
import { scopeAllows } from '../../src/identity/scope.ts'
import { revocationReader } from '../../src/revocation/revocations.ts'
import { RuleLog, decisionIdOf, entryOf, resultOf } from '../support/rule-harness.ts'
import type { Outcome } from '../support/rule-harness.ts'
import { at } from '../support/rule-party.ts'
import type { TestAgent } from '../support/rule-party.ts'
import { ORIGIN } from '../support/rule-statements.ts'

let log: RuleLog
let root: TestAgent
let agent: TestAgent

beforeEach(async () => {
  log = await RuleLog.create()
  root = await log.agent({ owner: log.owner }, 'a/inst-00001', { scope: ['read:**', 'write:**'] })
  agent = await log.agent({ parent: root }, 'a/b/inst-00001', {
    scope: ['read:transactions', 'write:**'],
  })
})

afterEach(() => log.close())

function contextOf(outcome: Outcome): JsonObject {
  const answer: JsonValue | undefined = outcome.type === 'entry' ? outcome.answer : undefined
  return (answer as { readonly context: JsonObject }).context
}

function permitOf(outcome: Outcome): string {
  const { permit } = contextOf(outcome)
  if (typeof permit !== 'string') throw new Error('no permit')
  return permit
}

/** The shipped policy under another revision: another digest, the same rules. */
function otherPolicy(data: object = {}): { readonly pack: Uint8Array; readonly revision: string } {
  const shipped = readDefaultPolicy()
  const merged = { ...JSON.parse(Buffer.from(shipped.data).toString()), ...data }
  const bytes = new TextEncoder().encode(JSON.stringify(merged))
  return { pack: encodePolicy({ ...shipped, data: bytes, revision: 'next' }), revision: 'next' }
}

describe('an allow', () => {
  it('comes with a permit for exactly what was asked, and is recorded with all that it rests on', async () => {
    const { text, beside, salt, digest } = log.ask(agent)
    const outcome = await log.submit(text, beside)
    const entry = entryOf(outcome)
    expect(resultOf(outcome)).toBe('allow')
    const expiryMs = (Math.floor(log.nowMs / 1000) + 30) * 1000
    expect(entry.outcome.get(1)).toEqual([])
    expect(entry.outcome.get(2)).toBe(expiryMs)
    const permit = verifyPermit(nativePrimitives, permitOf(outcome), {
      permitSpki: log.permit.signer.spki,
      origin: ORIGIN,
      audience: 'https://bank.example/ledger',
      nowS: Math.floor(log.nowMs / 1000),
    })
    const prepared = decodeDecisionPrepared(entry.prepared)
    expect(permit).toMatchObject({
      instance: agent.principal,
      instanceKid: agent.kid,
      decisionId: prepared.decisionId,
      index: entry.index,
      action: 'read:transactions',
      resource: { type: 'ledger', id: 'https://bank.example/ledger' },
      actionDigest: digest,
      salt,
      obligations: [],
      expS: expiryMs / 1000,
    })
    const input = policyInput({
      agent: {
        identity: agent.name,
        instance: agent.principal,
        owner: log.owner.principal,
        depth: 1,
      },
      chain: [
        { instance: root.principal, scope: ['read:**', 'write:**'] },
        { instance: agent.principal, scope: ['read:transactions', 'write:**'] },
      ],
      action: 'read:transactions',
      actionProperties: {},
      resource: { type: 'ledger', id: 'https://bank.example/ledger' },
      resourceProperties: {},
      context: {},
      nowMs: log.nowMs,
      stateSize: prepared.size,
    })
    expect(prepared.inputCommitment).toEqual(
      inputCommitment(nativePrimitives, findSaltDisclosure(beside.disclosures ?? []), input),
    )
    expect(prepared.policyIndex).toBe(policyReader.active(log.state)?.index)
    expect(prepared.policy).toEqual(policyDigest(log.policyPack))
    expect(entry.links.map(({ subject }) => subject)).toEqual([
      `inst:${agent.principal}`,
      `agent:${agent.name}`,
      log.owner.principal,
    ])
    expect(outcome).toMatchObject({ answer: { decision: true, context: { effect: 'allow' } } })
    expect(findDecision(log.state, prepared.decisionId)).toMatchObject({
      index: entry.index,
      instance: agent.principal,
      outcome: 'allow',
      expiryMs,
    })
    expect(findMatch(log.state, prepared.decisionId)).toBeUndefined()
  })

  it('is answered again with the same bytes while it holds', async () => {
    const { text, beside } = log.ask(agent)
    const first = await log.submit(text, beside)
    log.nowMs += 29_000
    const again = await log.submit(text, beside)
    expect(permitOf(again)).toBe(permitOf(first))
    expect(contextOf(again)).toMatchObject({ repeated: true })
    expect(entryOf(again)).toEqual(entryOf(first))
  })
})

describe('a denial', () => {
  it.each([
    ['identity_expired', () => (log.nowMs += 3_601_000)],
    ['identity_revoked', () => log.revoke(log.operator, `inst:${agent.principal}`)],
    ['identity_revoked', () => log.revoke(log.operator, `inst:${root.principal}`)],
    ['identity_revoked', () => log.revoke(log.operator, `agent:${root.name}`)],
    ['identity_revoked', () => log.revoke(log.operator, log.owner.principal)],
  ])('is recorded by the host: %s', async (reason, change) => {
    await change()
    const { outcome } = await log.decide(agent)
    expect(resultOf(outcome)).toBe('deny')
    const { outcome: recorded, prepared } = entryOf(outcome)
    expect(recorded.get(1)).toEqual([reason])
    expect(recorded.has(2)).toBe(false)
    expect(decodeDecisionPrepared(prepared).verdict).toEqual({
      effect: 'deny',
      reasons: [reason],
      matched: [],
      obligations: [],
    })
    expect(outcome).toMatchObject({ answer: { decision: false, context: { reasons: [reason] } } })
    expect(contextOf(outcome)).not.toHaveProperty('permit')
  })

  it('is the host’s where the action is out of any link’s scope', async () => {
    const below = await log.agent({ parent: root }, 'a/c/inst-00001', { scope: ['write:x/*'] })
    const { outcome } = await log.decide(below, 'write:x')
    expect(entryOf(outcome).outcome.get(1)).toEqual(['scope_not_in_chain'])
    expect(resultOf((await log.decide(below, 'write:x/y')).outcome)).toBe('allow')
    expect(resultOf((await log.decide(agent, 'delete:transactions')).outcome)).toBe('deny')
  })

  it('looks at every link, though the rules of issuance leave no child more than its parent', () => {
    const found = agentReader.find(log.state, agent.principal)
    const above = agentReader.find(log.state, root.principal)
    if (found === undefined || above === undefined) throw new Error('not issued')
    const reason = (scopes: readonly (readonly string[])[], depth = 1): string | undefined => {
      const [upper = [], lower = []] = scopes
      const self = { ...found, scope: lower, depth }
      const agents = { find: () => ({ ...above, scope: upper }) }
      const readers = { agents, revocations: revocationReader, scopeAllows }
      const asked = { agent: self, action: 'read:x', timeMs: log.nowMs }
      return findHostReason(readers, log.state, asked)
    }
    expect(reason([['read:x'], ['read:x']])).toBeUndefined()
    expect(reason([['read:y'], ['read:x']])).toBe('scope_not_in_chain')
    expect(reason([['read:x'], ['read:y']])).toBe('scope_not_in_chain')
    expect(reason([['read:x'], ['read:x']], 2)).toBe('scope_not_in_chain')
  })

  it('is the policy’s where a rule denies, and asks for approval where one does', async () => {
    const { pack, revision } = otherPolicy({
      deny_rules: [{ name: 'no-writes', actions: ['write:**'] }],
      approval_rules: [{ name: 'ask', actions: ['read:transactions'], over: 10 }],
    })
    expect(resultOf(await log.activate(log.operator, pack, revision))).toBe('effective')
    const denied = await log.decide(agent, 'write:x')
    expect(resultOf(denied.outcome)).toBe('deny')
    expect(entryOf(denied.outcome).outcome.get(1)).toEqual(['no-writes'])
    const pending = await log.decide(agent)
    expect(resultOf(pending.outcome)).toBe('require_approval')
    expect(entryOf(pending.outcome).outcome.get(1)).toEqual(['ask'])
    expect(pending.outcome).toMatchObject({ answer: { decision: false } })
  })

  it('is answered again as it was, whatever changed', async () => {
    const { text, beside } = log.ask(agent, 'delete:all')
    const first = await log.submit(text, beside)
    await log.revoke(log.operator, `inst:${agent.principal}`)
    log.nowMs += 7_200_000
    const again = await log.submit(text, beside)
    expect(entryOf(again)).toEqual(entryOf(first))
    expect(again).toMatchObject({ answer: { decision: false, context: { repeated: true } } })
  })
})

describe('a request that leaves no leaf', () => {
  it('is one whose digest does not follow', async () => {
    const { text, beside } = log.ask(agent, 'read:transactions', { digest: new Uint8Array(32) })
    expect(await log.submit(text, beside)).toMatchObject({ code: 'digest_mismatch', by: 'prepare' })
  })

  it('is one about another action, or under another salt, than the digest', async () => {
    const resource = { type: 'ledger', id: 'https://bank.example/ledger' }
    const commitment = {
      salt: new Uint8Array(16),
      instance: agent.principal,
      action: 'read:a',
      resource,
    }
    const digest = actionDigest(nativePrimitives, commitment)
    const { text, beside } = log.ask(agent, 'read:a', { digest })
    expect(resultOf(await log.submit(text, beside))).toBe('digest_mismatch')
  })

  it('is one signed more than 5 minutes from ledger time', async () => {
    const seconds = Math.floor(log.nowMs / 1000)
    for (const [iat, expected] of [
      [seconds - 301, 'iat_out_of_window'],
      [seconds + 301, 'iat_out_of_window'],
      [seconds - 299, 'allow'],
      [seconds + 299, 'allow'],
    ] as const) {
      const { text, beside } = log.ask(agent, 'read:transactions', { iat })
      expect([iat - seconds, resultOf(await log.submit(text, beside))]).toEqual([
        iat - seconds,
        expected,
      ])
    }
  })

  it('is one while no policy can be had', async () => {
    const other = await RuleLog.empty()
    expect(resultOf(await other.submit(other.genesis()))).toBe('created')
    expect(resultOf(await other.enrolOwner(other.service, other.owner, ['**']))).toBe('effective')
    const lone = await other.agent({ owner: other.owner }, 'a/inst-00001')
    const { text, beside } = other.ask(lone)
    expect(resultOf(await other.submit(text, beside))).toBe('gate_unavailable')
    await other.close()
  })

  it('is one of a person, or an event of one', async () => {
    const { principal, kid, signer } = log.owner
    const person = { ...agent, principal, kid, signer }
    const { text, beside } = log.ask(person)
    expect(resultOf(await log.submit(text, beside))).toBe('signer_forbidden')
    const event = log.report(person, null)
    expect(resultOf(await log.submit(event.text, event.beside))).toBe('signer_forbidden')
  })
})

describe('register', () => {
  it.each([
    ['a revocation of its agent', () => log.revoke(log.operator, `inst:${agent.principal}`)],
    ['a revocation of an ancestor', () => log.revoke(log.operator, `inst:${root.principal}`)],
    ['a revocation of a name above', () => log.revoke(log.operator, `agent:${root.name}`)],
    ['a revocation of its owner', () => log.revoke(log.operator, log.owner.principal)],
    [
      'another policy',
      () => {
        const { pack, revision } = otherPolicy()
        return log.activate(log.operator, pack, revision)
      },
    ],
    [
      'the same policy anew',
      () => log.activate(log.operator, log.policyPack, readDefaultPolicy().revision),
    ],
  ])('finds a verdict stale after %s', async (_what, change) => {
    const { text, beside } = log.ask(agent)
    const submission = await log.prepare(text, beside)
    await change()
    const size = log.state.size
    expect(resultOf(log.register(submission))).toBe('stale')
    expect(log.state.size).toBe(size)
  })

  it('does not find it stale after other entries', async () => {
    const { text, beside } = log.ask(agent)
    const submission = await log.prepare(text, beside)
    await log.decide(agent)
    const other = await log.agent({ owner: log.owner }, 'c/inst-00001')
    for (const target of [`inst:${other.principal}`, `agent:${other.name}`]) {
      expect(resultOf(await log.revoke(log.operator, target))).toBe('revoked')
    }
    const outcome = log.register(submission)
    expect(resultOf(outcome)).toBe('allow')
    // What was counted is what was in force when the policy ran.
    const { epoch, size } = decodeDecisionPrepared(entryOf(outcome).prepared)
    expect([epoch, revocationReader.epoch(log.state, size)]).toEqual([0, 0])
    expect(revocationReader.epoch(log.state)).toBe(2)
  })

  it.each([
    ['another count of revocations', 5, () => 2],
    ['another entry that activated the policy', 8, () => 1],
    ['a size that the log does not have', 0, () => log.state.size + 1],
    ['a time after that of the entry', 3, () => log.nowMs + 1],
    ['a time more than 60 s before that of the entry', 3, () => log.nowMs - 60_001],
  ])('finds what prepare attached stale with %s', async (_what, key, value) => {
    const { principal } = await log.agent({ owner: log.owner }, 'x/inst-00001')
    await log.revoke(log.operator, `inst:${principal}`)
    const { text, beside } = log.ask(agent)
    const submission = await log.prepare(text, beside)
    const prepared = new Map([...submission.prepared, [key, value()] as const])
    expect(resultOf(log.register({ ...submission, prepared }))).toBe('stale')
    expect(resultOf(log.register(submission))).toBe('allow')
  })

  it('asks the host’s rules again: a certificate that ended on the way is a denial', async () => {
    log.nowMs += 3_599_000
    const { text, beside } = log.ask(agent)
    const submission = await log.prepare(text, beside)
    log.nowMs += 2_000
    const outcome = log.register(submission)
    expect(resultOf(outcome)).toBe('deny')
    expect(entryOf(outcome).outcome.get(1)).toEqual(['identity_expired'])
  })

  it.each([
    [60_000, 'allow'],
    [60_001, 'stale'],
  ])('takes a verdict for %d ms', async (passed, expected) => {
    const { text, beside } = log.ask(agent)
    const submission = await log.prepare(text, beside)
    log.nowMs += passed
    expect(resultOf(log.register(submission))).toBe(expected)
  })

  it('never allows over a verdict that is none, whatever effect it names', async () => {
    const { text, beside } = log.ask(agent)
    const submission = await log.prepare(text, beside)
    const verdict = ['allow', ['a-reason-against'], [], []]
    const prepared = new Map([...submission.prepared, [6, verdict] as const])
    expect(resultOf(log.register({ ...submission, prepared }))).toBe('deny')
    const nothing = log.ask(agent)
    const bare = {
      ...(await log.prepare(nothing.text, nothing.beside)),
      prepared: new Map([[0, 0]]),
    }
    expect(resultOf(log.register(bare))).toBe('stale')
  })

  it('prepares again under a decision id that is taken', async () => {
    const one = log.ask(agent)
    const first = await log.prepare(one.text, one.beside)
    log.register(first)
    const two = log.ask(agent)
    const second = await log.prepare(two.text, two.beside)
    const prepared = new Map([...second.prepared, [1, first.prepared.get(1) ?? ''] as const])
    expect(resultOf(log.register({ ...second, prepared }))).toBe('stale')
  })
})

describe('a recorded allow is spent', () => {
  const spent = { type: 'refuse', code: 'decision_spent', by: 'repeat' }

  it.each([
    ['when its permit has ended', () => (log.nowMs += 30_000)],
    ['by a revocation of its agent', () => log.revoke(log.operator, `inst:${agent.principal}`)],
    ['by a revocation of an ancestor', () => log.revoke(log.operator, `inst:${root.principal}`)],
    [
      'by another policy',
      () => {
        const { pack, revision } = otherPolicy()
        return log.activate(log.operator, pack, revision)
      },
    ],
    [
      'by an erasure of what was disclosed',
      () => {
        const entries = [log.state.size - 1]
        const payload = { entries, reason: 'subject_request' }
        return log.submit(log.sign(log.operator, 'erasure', 'log', payload))
      },
    ],
  ])('%s', async (_when, change) => {
    const { text, beside } = log.ask(agent)
    expect(resultOf(await log.submit(text, beside))).toBe('allow')
    await change()
    const size = log.state.size
    expect(await log.submit(text, beside)).toEqual(spent)
    expect(log.state.size).toBe(size)
  })

  it('by an action that was matched to it, and not by one that was not', async () => {
    const { text, beside, salt } = log.ask(agent)
    const first = await log.submit(text, beside)
    const id = decisionIdOf(first)
    const wrong = log.report(agent, { id, salt }, { action: 'read:other' })
    expect(resultOf(await log.submit(wrong.text, wrong.beside))).toBe('mismatched')
    expect(resultOf(await log.submit(text, beside))).toBe('allow')
    const right = log.report(agent, { id, salt })
    expect(resultOf(await log.submit(right.text, right.beside))).toBe('matched')
    expect(await log.submit(text, beside)).toEqual(spent)
  })

  it('where the salt is gone, though nothing says so yet', async () => {
    const { outcome } = await log.decide(agent)
    if (outcome.type !== 'entry') throw new Error('no entry')
    const handler = log.handler('decision')
    const registered = { ...outcome.registered, repeated: true, disclosed: new Map() }
    expect(() => handler.answer?.(registered)).toThrow(
      expect.objectContaining({ code: 'decision_spent' }),
    )
  })

  it('where its certificate ended before its permit', async () => {
    const short = await log.agent({ owner: log.owner }, 'd/inst-00001', { ttl: 60 })
    log.nowMs += 50_000
    const { text, beside } = log.ask(short)
    expect(resultOf(await log.submit(text, beside))).toBe('allow')
    log.nowMs += 10_500
    expect(await log.submit(text, beside)).toEqual(spent)
  })
})

describe('the policy in force', () => {
  it('is refused where it is not attached, is another, or does not pass its self-test', async () => {
    const { pack, revision } = otherPolicy()
    const payload = { policy: Buffer.from(policyDigest(pack)).toString('base64url'), revision }
    const text = log.sign(log.operator, 'policy.activate', 'policy', payload)
    expect(resultOf(await log.submit(text))).toBe('attachment_invalid')
    expect(resultOf(await log.submit(text, { pinned: [log.policyPack] }))).toBe(
      'attachment_invalid',
    )
    expect(resultOf(await log.submit(text, { pinned: [pack, pack] }))).toBe('attachment_invalid')
    const broken = encodePolicy({
      wasm: new Uint8Array([0, 97, 115, 109]),
      data: new TextEncoder().encode('{}'),
      revision,
    })
    expect(resultOf(await log.activate(log.operator, broken, revision))).toBe('policy_invalid')
    expect(resultOf(await log.activate(log.operator, pack, 'other'))).toBe('policy_invalid')
    expect(resultOf(await log.activate(log.owner, pack, revision))).toBe('signer_forbidden')
    expect(policyReader.active(log.state)?.digest).toEqual(policyDigest(log.policyPack))
  })

  it('is the last that took effect, and the one before can come back', async () => {
    const { pack, revision } = otherPolicy()
    const first = await log.activate(log.operator, pack, revision)
    expect(policyReader.active(log.state)).toEqual({
      digest: policyDigest(pack),
      index: entryOf(first).index,
    })
    const back = await log.activate(log.operator, log.policyPack, readDefaultPolicy().revision)
    expect(resultOf(back)).toBe('effective')
    expect(policyReader.active(log.state)?.digest).toEqual(policyDigest(log.policyPack))
    expect(parsePermit(permitOf((await log.decide(agent)).outcome)).action).toBe(
      'read:transactions',
    )
    expect(at(log.entries, -1).entry.kind).toBe('decision')
  })
})
