/**
 * @module Goal: what was signed more than 5 minutes from ledger time is refused without a leaf, whatever its type, but
 * for the three types that are to arrive late or early. Method: each type once, signed at both edges of the window and
 * just beyond them.
 */
import { parseStatement } from '@trustwarden/proofs'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { RuleLog, resultOf } from '../support/rule-harness.ts'
import type { Outcome } from '../support/rule-harness.ts'
import { party } from '../support/rule-party.ts'
import type { Party } from '../support/rule-party.ts'
import type { Beside } from '../support/rule-statements.ts'

/** A statement, its signer and what travels beside it; and what becomes of it in time. */
interface Made {
  readonly by: Party
  readonly text: string
  readonly beside?: Beside
  readonly expected: string
}

let log: RuleLog
let count = 0

/** An id that was never used, under `path`. */
function fresh(path: string): string {
  return `${path}/inst-${String(++count).padStart(5, '0')}`
}

const key = ({ signer }: Party): string => Buffer.from(signer.spki).toString('base64url')

const TYPES: Readonly<Record<string, () => Promise<Made> | Made>> = {
  'operator.enroll': () => {
    const whom = party('operator')
    const payload = { key: key(whom) }
    const text = log.sign(log.operator, 'operator.enroll', whom.principal, payload)
    return { by: log.operator, text, expected: 'effective' }
  },
  'owner.enroll': () => {
    const whom = party('owner')
    const payload = { key: key(whom), patterns: ['w/**'] }
    const text = log.sign(log.operator, 'owner.enroll', whom.principal, payload)
    return { by: log.operator, text, expected: 'effective' }
  },
  'member.enroll': () => {
    const whom = party('reader')
    const payload = { role: 'reader', key: key(whom) }
    const text = log.sign(log.operator, 'member.enroll', whom.principal, payload)
    return { by: log.operator, text, expected: 'effective' }
  },
  'policy.activate': () => {
    const first = log.entries.find(({ entry }) => entry.kind === 'policy.activate')
    if (first === undefined) throw new Error('no policy')
    const { payload } = first.statement
    const text = log.sign(log.operator, 'policy.activate', 'policy', payload)
    return { by: log.operator, text, beside: { pinned: [log.policyPack] }, expected: 'effective' }
  },
  'agent.issue': () => {
    const { agent, text } = log.request({ owner: log.owner }, fresh('b'))
    return { by: log.owner, text, beside: { csr: agent.csr }, expected: 'issued' }
  },
  decision: async () => {
    const agent = await log.agent({ owner: log.owner }, fresh('a'))
    return { by: agent, ...log.ask(agent), expected: 'allow' }
  },
  erasure: () => {
    const payload = { entries: [0], reason: 'error' }
    const text = log.sign(log.operator, 'erasure', 'log', payload)
    return { by: log.operator, text, expected: 'erased' }
  },
}

const EXEMPT: Readonly<Record<string, () => Promise<Made> | Made>> = {
  'agent.revoke': async () => {
    const { principal } = await log.agent({ owner: log.owner }, fresh('a'))
    const target = `inst:${principal}`
    const payload = { target, reason: 'compromised' }
    const text = log.sign(log.operator, 'agent.revoke', target, payload)
    return { by: log.operator, text, expected: 'revoked' }
  },
  'operator.clock': () => {
    const text = log.sign(log.operator, 'operator.clock', 'log', { time_ms: log.nowMs })
    return { by: log.operator, text, expected: 'accepted' }
  },
  action: async () => {
    const agent = await log.agent({ owner: log.owner }, fresh('a'))
    const { id, salt } = await log.decide(agent)
    return { by: agent, ...log.report(agent, { id, salt }), expected: 'late' }
  },
}

/** Signs the statement again, so many seconds from now. */
function shifted(log: RuleLog, { by, text, beside }: Made, seconds: number): Promise<Outcome> {
  const { header, payload } = parseStatement(text)
  const iat = Math.floor(log.nowMs / 1000) + seconds
  const { type, sub, jti, seq } = header
  const claims = { iat, jti, ...(seq === undefined ? {} : { seq }) }
  return log.submit(log.sign(by, type, sub, payload, claims), beside)
}

beforeAll(async () => {
  log = await RuleLog.create()
})

afterAll(() => log.close())

it.each(Object.keys(TYPES))('%s', async (type) => {
  for (const seconds of [-301, 301, -300, 300]) {
    const made = await TYPES[type]?.()
    if (made === undefined) throw new Error('no such type')
    const size = log.state.size
    const isInside = Math.abs(seconds) <= 300
    const outcome = await shifted(log, made, seconds)
    const expected = isInside ? made.expected : 'iat_out_of_window'
    expect([seconds, resultOf(outcome)]).toEqual([seconds, expected])
    expect(log.state.size - size).toBe(isInside ? 1 : 0)
  }
})

it('genesis', async () => {
  for (const [seconds, expected] of [
    [-301, 'iat_out_of_window'],
    [300, 'created'],
  ] as const) {
    const own = await RuleLog.empty()
    const made = { by: own.service, text: own.genesis(), expected }
    expect([seconds, resultOf(await shifted(own, made, seconds))]).toEqual([seconds, expected])
    await own.close()
  }
})

it.each(Object.keys(EXEMPT))('%s has no window', async (type) => {
  for (const seconds of [-86_400, 86_400]) {
    const made = await EXEMPT[type]?.()
    if (made === undefined) throw new Error('no such type')
    expect(resultOf(await shifted(log, made, seconds))).toBe(made.expected)
  }
})
