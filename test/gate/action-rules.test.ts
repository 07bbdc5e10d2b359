/**
 * @module Goal: every action event of a known agent is recorded with the first verdict of FORMAT §10.7 that holds, and
 * only one that contradicts its own signer is refused. Method: each verdict alone, then every pair of conditions that
 * can hold together, to fix their order.
 */
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { ACTION_VERDICTS } from '../../src/gate/act.ts'
import { findDecision, findMatch } from '../../src/gate/decisions.ts'
import { RuleLog, entryOf, resultOf } from '../support/rule-harness.ts'
import type { Outcome } from '../support/rule-harness.ts'
import { party } from '../support/rule-party.ts'
import type { TestAgent } from '../support/rule-party.ts'

let log: RuleLog
let root: TestAgent
let agent: TestAgent

beforeEach(async () => {
  log = await RuleLog.create()
  root = await log.agent({ owner: log.owner }, 'a/inst-00001', { ttl: 3600 })
  agent = await log.agent({ parent: root }, 'a/b/inst-00001', { ttl: 1800 })
})

afterEach(() => log.close())

interface Scene {
  readonly by: TestAgent
  readonly decision: { readonly id: string; readonly salt: Uint8Array } | null
  readonly patch: { readonly [name: string]: string }
  readonly iat: number | undefined
}

/** What makes a verdict hold, applied to an event that would be matched. In the order of the verdicts. */
const conditions: Readonly<Record<string, (scene: Scene) => Promise<Scene> | Scene>> = {
  absent: (scene) => ({ ...scene, decision: null }),
  mismatched: (scene) => ({ ...scene, patch: { action: 'read:other' } }),
  denied: async (scene) => {
    const { id, salt } = await log.decide(agent, 'delete:transactions')
    return {
      ...scene,
      decision: { id, salt },
      patch: { action: 'delete:transactions', ...scene.patch },
    }
  },
  spent: async (scene) => {
    if (scene.decision !== null) {
      const { text, beside } = log.report(agent, scene.decision)
      expect(resultOf(await log.submit(text, beside))).toBe('matched')
    }
    return scene
  },
  revoked: async (scene) => {
    await log.revoke(log.operator, `inst:${root.principal}`)
    return scene
  },
  late: (scene) => {
    const iat = scene.iat ?? Math.floor(log.nowMs / 1000)
    const timestamp = new Date(log.nowMs).toISOString()
    log.nowMs += 301_000
    return { ...scene, iat, patch: { timestamp, ...scene.patch } }
  },
  // It began just as the permit ended, which is when no ledger need have heard of it yet.
  expired: (scene) => {
    const expiryMs = (Math.floor(log.nowMs / 1000) + 30) * 1000
    return { ...scene, patch: { timestamp: new Date(expiryMs).toISOString(), ...scene.patch } }
  },
}

/** In this order each condition can be arranged beside any other: what changes the log or the time goes first. */
const ARRANGED = ['denied', 'spent', 'revoked', 'expired', 'late', 'mismatched', 'absent']

async function scene(): Promise<Scene> {
  const { id, salt, outcome } = await log.decide(agent)
  expect(resultOf(outcome)).toBe('allow')
  return { by: agent, decision: { id, salt }, patch: {}, iat: undefined }
}

function act({ by, decision, patch, iat }: Scene): Promise<Outcome> {
  const { text, beside } = log.report(by, decision, patch, iat)
  return log.submit(text, beside)
}

describe('the verdict', () => {
  it('is matched for what was allowed, and the decision knows it', async () => {
    const ready = await scene()
    const outcome = await act(ready)
    expect(resultOf(outcome)).toBe('matched')
    const { index, links, outcome: recorded } = entryOf(outcome)
    const id = ready.decision?.id ?? ''
    expect(findMatch(log.state, id)).toBe(index)
    expect(recorded.get(1)).toBe(findDecision(log.state, id)?.index)
    expect(links.map(({ subject }) => subject)).toEqual([
      `inst:${agent.principal}`,
      `agent:${agent.name}`,
      log.owner.principal,
    ])
  })

  it.each(Object.keys(conditions))('is %s where that alone holds', async (verdict) => {
    const ready = await conditions[verdict]?.(await scene())
    if (ready === undefined) throw new Error('no such verdict')
    const outcome = await act(ready)
    expect(resultOf(outcome)).toBe(verdict)
    expect(entryOf(outcome).kind).toBe('action')
    expect(entryOf(outcome).outcome.has(1)).toBe(verdict !== 'absent')
  })

  const names = Object.keys(conditions)
  const pairs = names.flatMap((first, n) => names.slice(n + 1).map((second) => [first, second]))
  // No action is ever matched to a denial, so no decision is both denied and spent.
  const possible = pairs.filter((pair) => pair.join(' ') !== 'denied spent')

  it.each(possible)('is %s where %s holds too', async (first = '', second = '') => {
    const early = ARRANGED.filter((name) => name === first || name === second)
    let ready = await scene()
    for (const name of early) ready = (await conditions[name]?.(ready)) ?? ready
    expect(resultOf(await act(ready))).toBe(first)
  })

  it('is mismatched for another instance’s decision, resource or digest', async () => {
    const sibling = await log.agent({ parent: root }, 'a/c/inst-00001')
    const ready = await scene()
    expect(resultOf(await act({ ...ready, by: sibling }))).toBe('mismatched')
    const decision = ready.decision && { ...ready.decision, salt: new Uint8Array(16).fill(7) }
    expect(resultOf(await act({ ...ready, decision }))).toBe('mismatched')
    const { text, beside } = log.report(agent, ready.decision, {
      resource: { type: 'ledger', id: 'https://bank.example/other' },
    })
    expect(resultOf(await log.submit(text, beside))).toBe('mismatched')
    expect(resultOf(await act(ready))).toBe('matched')
  })

  it('is absent for a decision that nobody made', async () => {
    const ready = await scene()
    const decision = { id: Buffer.alloc(16, 1).toString('base64url'), salt: new Uint8Array(16) }
    expect(resultOf(await act({ ...ready, decision }))).toBe('absent')
  })

  it('is late when the certificate has ended, even if it is signed now', async () => {
    const ready = await scene()
    log.nowMs += 1_801_000
    expect(resultOf(await act(ready))).toBe('late')
  })

  const began = (ready: Scene, ms: number): Scene => ({
    ...ready,
    patch: { timestamp: new Date(ms).toISOString() },
  })

  it('is matched for what began in the permit’s life by its signer’s claim, and expired before and after', async () => {
    for (const [fromDecision, fromExpiry, verdict] of [
      [-4_999, undefined, 'matched'],
      [-5_000, undefined, 'expired'],
      [undefined, -1, 'matched'],
      [undefined, 0, 'expired'],
    ] as const) {
      log.nowMs += 1_234
      const decidedMs = log.nowMs
      const ready = await scene()
      const expiryMs = (Math.floor(decidedMs / 1000) + 30) * 1000
      const ms = fromDecision === undefined ? expiryMs + fromExpiry : decidedMs + fromDecision
      expect([fromDecision, resultOf(await act(began(ready, ms)))]).toEqual([fromDecision, verdict])
    }
  })

  it('is matched for what is delivered up to 300 s after the permit, whenever it was signed', async () => {
    for (const [after, verdict] of [
      [300_000, 'matched'],
      [300_001, 'late'],
    ] as const) {
      const decidedMs = log.nowMs
      const ready = await scene()
      log.nowMs = (Math.floor(decidedMs / 1000) + 30) * 1000 + after
      const outcome = await act(began(ready, decidedMs))
      expect([after, resultOf(outcome)]).toEqual([after, verdict])
    }
  })

  it('is late for what was signed more than 300 s from ledger time, on either side', async () => {
    const ready = await scene()
    const seconds = Math.ceil(log.nowMs / 1000)
    expect(resultOf(await act({ ...ready, iat: seconds + 301 }))).toBe('late')
    expect(resultOf(await act({ ...ready, iat: seconds - 302 }))).toBe('late')
    expect(resultOf(await act({ ...ready, iat: seconds - 299 }))).toBe('matched')
  })

  it('knows no other word than FORMAT’s', () => {
    expect([...ACTION_VERDICTS]).toEqual([...Object.keys(conditions), 'matched'])
  })
})

describe('an event is refused', () => {
  it.each([
    ['another parent', { parent_agent_id: null }],
    ['another owner', { authorized_by: party('owner').principal }],
    ['another name', { agent_id: 'spiffe://example.org/x' }],
  ])('that claims %s than its issuance says', async (_what, patch) => {
    const size = log.state.size
    const ready = await scene()
    const { text, beside } = log.report(agent, ready.decision, patch)
    expect(resultOf(await log.submit(text, beside))).toBe('statement_malformed')
    expect(log.state.size).toBe(size + 1)
  })

  it('whose digest does not follow', async () => {
    const ready = await scene()
    const digest = Buffer.alloc(32, 1).toString('base64url')
    const { text, beside } = log.report(agent, ready.decision, { action_digest: digest })
    expect(await log.submit(text, beside)).toMatchObject({ code: 'digest_mismatch', by: 'prepare' })
  })
})
