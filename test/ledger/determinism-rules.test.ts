/**
 * @module Goal: every fold equals its rebuild from the leaves, and register gives the same outcome for the same entry
 * on the same state, from what the entry alone holds. Method: random histories of issuances, revocations, decisions,
 * actions, enrolments and erasures; afterwards the entries are replayed through fresh folds, and register runs again
 * in front of each.
 */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { agentReader, ISSUE_KIND } from '../../src/identity/agents.ts'
import { RuleLog, decisionIdOf, withoutSequence, word } from '../support/rule-harness.ts'
import { at, party } from '../support/rule-party.ts'
import type { TestAgent } from '../support/rule-party.ts'
import { MapState } from '../support/rule-state.ts'
import { ALL_FOLDS } from '../../src/rules.ts'

type Step =
  | { readonly type: 'issue'; readonly by: number; readonly name: number; readonly ttl: number }
  | { readonly type: 'revoke'; readonly who: number; readonly what: 'inst' | 'agent' | 'owner' }
  | { readonly type: 'decide'; readonly who: number; readonly action: string }
  | {
      readonly type: 'act'
      readonly who: number
      readonly decision: number
      readonly late: boolean
    }
  | { readonly type: 'repeat'; readonly of: number }
  | { readonly type: 'enrol'; readonly pattern: string }
  | { readonly type: 'erase'; readonly index: number }
  | { readonly type: 'wait'; readonly ms: number }

const place = fc.nat({ max: 40 })
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      type: fc.constant('issue' as const),
      by: fc.integer({ min: -2, max: 12 }),
      name: fc.nat({ max: 3 }),
      ttl: fc.constantFrom(30, 60, 600, 3600),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      type: fc.constant('revoke' as const),
      who: place,
      what: fc.constantFrom('inst' as const, 'inst' as const, 'agent' as const, 'owner' as const),
    }),
  },
  {
    weight: 5,
    arbitrary: fc.record({
      type: fc.constant('decide' as const),
      who: place,
      action: fc.constantFrom('read:x/y', 'read:x', 'write:x', 'delete:x'),
    }),
  },
  {
    weight: 5,
    arbitrary: fc.record({
      type: fc.constant('act' as const),
      who: place,
      decision: place,
      late: fc.boolean(),
    }),
  },
  { weight: 1, arbitrary: fc.record({ type: fc.constant('repeat' as const), of: place }) },
  {
    weight: 1,
    arbitrary: fc.record({
      type: fc.constant('enrol' as const),
      pattern: fc.constantFrom('**', 'n0/**', 'n1', '*', 'other/**'),
    }),
  },
  { weight: 1, arbitrary: fc.record({ type: fc.constant('erase' as const), index: place }) },
  {
    weight: 2,
    arbitrary: fc.record({
      type: fc.constant('wait' as const),
      ms: fc.constantFrom(1, 999, 31_000, 301_000),
    }),
  },
)

interface Asked {
  readonly agent: TestAgent
  readonly id: string
  readonly salt: Uint8Array
  readonly action: string
  readonly text: string
  readonly disclosures: readonly string[]
}

/**
 * A history under way. Whatever a step comes to, an entry or a refusal, is right here: the rules have their own tests.
 */
class History {
  readonly log: RuleLog
  readonly agents: TestAgent[] = []
  readonly asked: Asked[] = []
  #issued = 0

  constructor(log: RuleLog) {
    this.log = log
  }

  async take(step: Step): Promise<void> {
    const { log } = this
    switch (step.type) {
      case 'issue':
        return this.#issue(step)
      case 'revoke': {
        const agent = this.#agent(step.who)
        if (agent === undefined) return
        const owner = agentReader.find(log.state, agent.principal)?.owner ?? ''
        const targets = { inst: `inst:${agent.principal}`, agent: `agent:${agent.name}`, owner }
        await log.revoke(log.operator, targets[step.what])
        return
      }
      case 'decide':
        return this.#decide(step)
      case 'act':
        return this.#act(step)
      case 'repeat': {
        const asked = this.asked[step.of % Math.max(1, this.asked.length)]
        if (asked !== undefined) await log.submit(asked.text, { disclosures: asked.disclosures })
        return
      }
      case 'enrol':
        await log.enrolOwner(log.operator, party('owner'), [step.pattern])
        return
      case 'erase': {
        const payload = { entries: [step.index], reason: 'error' }
        await log.submit(log.sign(log.operator, 'erasure', 'log', payload))
        return
      }
      case 'wait':
        log.nowMs += step.ms
    }
  }

  #agent(place: number): TestAgent | undefined {
    return this.agents[place % Math.max(1, this.agents.length)]
  }

  async #issue({ by, name, ttl }: Extract<Step, { readonly type: 'issue' }>): Promise<void> {
    const { log } = this
    const path = `n${name}/inst-${String(++this.#issued).padStart(5, '0')}`
    const parent = by < 0 ? undefined : this.#agent(by)
    const from = parent === undefined ? { owner: at(log.owners, Math.abs(by) % 2) } : { parent }
    const depth = parent === undefined ? 0 : Number(parent.payload['depth']) + 1
    const scope = ['read:**', 'read:x/**', 'read:x/y'].slice(depth, depth + 1)
    const patch = { ttl, scope: depth === 0 ? ['read:**', 'write:**'] : scope, may_create: ['**'] }
    const { agent, outcome } = await log.issue(from, path, patch)
    if (outcome.type === 'entry' && outcome.result === 'issued') this.agents.push(agent)
  }

  async #decide({ who, action }: Extract<Step, { readonly type: 'decide' }>): Promise<void> {
    const agent = this.#agent(who)
    if (agent === undefined) return
    const { text, beside, salt } = this.log.ask(agent, action)
    const outcome = await this.log.submit(text, beside)
    if (outcome.type !== 'entry') return
    const id = decisionIdOf(outcome)
    this.asked.push({ agent, id, salt, action, text, disclosures: beside.disclosures ?? [] })
  }

  async #act({ who, decision, late }: Extract<Step, { readonly type: 'act' }>): Promise<void> {
    const asked = this.asked[decision % Math.max(1, this.asked.length)]
    const agent = who % 4 === 0 ? this.#agent(who) : asked?.agent
    if (agent === undefined) return
    const iat = late ? Math.floor(this.log.nowMs / 1000) - 400 : undefined
    const action = asked?.action ?? 'read:x'
    const { text, beside } = this.log.report(agent, asked ?? null, { action }, iat)
    await this.log.submit(text, beside)
  }
}

describe('a random history', () => {
  it('replays to the same state, and register decides every entry again as it did', async () => {
    const kinds = new Map<string, number>()
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 20, maxLength: 60 }), async (steps) => {
        const log = await RuleLog.create({ owners: [['**'], ['n1/**']] })
        try {
          const history = new History(log)
          for (const one of steps) await history.take(one)
          checkReplay(log)
          for (const { entry } of log.entries) {
            const name = `${entry.kind} ${word(entry.outcome.get(0))}`
            kinds.set(name, (kinds.get(name) ?? 0) + 1)
          }
        } finally {
          await log.close()
        }
      }),
      { numRuns: 25 },
    )
    // The histories reach what they are meant to reach.
    for (const name of [
      'agent.issue issued',
      'agent.refuse life_too_short',
      'agent.revoke revoked',
      'decision allow',
      'decision deny',
      'action matched',
      'action late',
      'erasure erased',
    ]) {
      expect([name, kinds.get(name) ?? 0]).not.toEqual([name, 0])
    }
  })
})

function checkReplay(log: RuleLog): void {
  const fresh = new MapState()
  for (const [index, registered] of log.entries.entries()) {
    const { entry } = registered
    fresh.timeMs = entry.timeMs
    const again = log.reregister(fresh, index)
    expect(again).toMatchObject({ type: 'entry', kind: entry.kind })
    if (again.type !== 'entry') return
    expect(again.outcome).toEqual(withoutSequence(entry.outcome))
    expect(again.subjects).toEqual(entry.links.map(({ subject }) => subject))
    if (entry.kind === ISSUE_KIND) expect(again.prepared.get(1)).toEqual(entry.prepared.get(1))
    fresh.apply(ALL_FOLDS, registered)
  }
  expect(fresh.dump()).toEqual(log.state.dump())
  expect(fresh.dump().length).toBeGreaterThan(0)
}
