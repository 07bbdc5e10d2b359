/**
 * @module Goal: no agent and no owner gets more entries in than its quota, nobody uses up another's, and neither
 * repeats nor revocations count. Method: the buckets under a clock of their own; then a log over them.
 */
import { describe, expect, it } from 'vitest'
import { ServiceError } from '../../src/errors.ts'
import type { Principal } from '../../src/ledger/contract.ts'
import { Quotas } from '../../src/ledger/quotas.ts'
import { OPERATOR, OWNER, say, TestLog } from '../support/test-log.ts'

const NOTHING = new Uint8Array(0)
const agentOf = (name: string, owner = 'owner:a'): Principal => ({
  principal: `spiffe://acme.example/${name}`,
  role: 'agent',
  spki: NOTHING,
  kid: '',
  owner,
})
const ownerOf = (principal: string): Principal => ({
  principal,
  role: 'owner',
  spki: NOTHING,
  kid: '',
})

/** Takes until it is refused, at most `max` times. */
function takeAll(quotas: Quotas, principal: Principal, max = 1000): number {
  for (let taken = 0; taken < max; taken++) {
    try {
      quotas.take(principal)
    } catch (error) {
      if (error instanceof ServiceError && error.code === 'quota_exceeded') return taken
      throw error
    }
  }
  return max
}

describe('quotas', () => {
  it('let a burst through, then the rate, and never more than the burst after a rest', () => {
    let nowMs = 0
    const quotas = new Quotas({ agent: { rate: 10, burst: 30 } }, () => nowMs)
    const agent = agentOf('finance/bot/inst-1')
    expect(takeAll(quotas, agent)).toBe(30)
    nowMs += 100
    expect(takeAll(quotas, agent)).toBe(1)
    nowMs += 2500
    expect(takeAll(quotas, agent)).toBe(25)
    nowMs += 86_400_000
    expect(takeAll(quotas, agent)).toBe(30)
    // A clock that goes back gives nothing and takes nothing away.
    nowMs -= 1000
    expect(takeAll(quotas, agent)).toBe(0)
  })

  it('are of the name: another instance is no way around, another name is another bucket', () => {
    const quotas = new Quotas({ agent: { rate: 1, burst: 5 } }, () => 0)
    expect(takeAll(quotas, agentOf('finance/bot/inst-1'))).toBe(5)
    expect(takeAll(quotas, agentOf('finance/bot/inst-2'))).toBe(0)
    expect(takeAll(quotas, agentOf('finance/bot2/inst-1'))).toBe(5)
    expect(quotas.refused).toEqual({ agent: 3, owner: 0 })
  })

  it('of an owner hold all its agents and itself together, and leave others alone', () => {
    const quotas = new Quotas({ owner: { rate: 1, burst: 6 } }, () => 0)
    expect(takeAll(quotas, agentOf('a/x/inst-1'), 2)).toBe(2)
    expect(takeAll(quotas, agentOf('a/y/inst-1'), 2)).toBe(2)
    expect(takeAll(quotas, ownerOf('owner:a'))).toBe(2)
    expect(takeAll(quotas, agentOf('a/z/inst-1'))).toBe(0)
    expect(takeAll(quotas, agentOf('b/x/inst-1', 'owner:b'))).toBe(6)
    expect(takeAll(quotas, { ...ownerOf('operator:o'), role: 'operator' })).toBe(1000)
  })

  it('take of both buckets or of none, and say whose was empty', () => {
    let nowMs = 0
    const both = { agent: { rate: 1, burst: 3 }, owner: { rate: 1, burst: 4 } }
    const quotas = new Quotas(both, () => nowMs)
    const [one, other] = [agentOf('a/x/inst-1'), agentOf('a/y/inst-1')]
    expect(takeAll(quotas, one)).toBe(3)
    expect(() => quotas.take(one)).toThrow(
      /agent's quota of spiffe:\/\/acme.example\/a\/x is used up/,
    )
    expect(takeAll(quotas, other)).toBe(1)
    expect(() => quotas.take(other)).toThrow(/owner's quota of owner:a .* 1 entries\/s, 4 at once/)
    // What the owner's bucket refused cost the agent nothing: two seconds later two are left to it, and to the owner.
    nowMs += 2000
    expect(takeAll(quotas, other)).toBe(2)
  })

  it('remember so many names and no more, those used last', () => {
    const quotas = new Quotas({ agent: { rate: 1, burst: 1 } }, () => 0, 2)
    for (const name of ['a', 'b', 'a', 'c']) takeAll(quotas, agentOf(`x/${name}/inst-1`), 1)
    expect(takeAll(quotas, agentOf('x/c/inst-1'))).toBe(0)
    expect(takeAll(quotas, agentOf('x/b/inst-1'))).toBe(0)
    expect(takeAll(quotas, agentOf('x/a/inst-1'))).toBe(1)
  })
})

describe('a log with quotas', () => {
  const open = async () => {
    const quotas = new Quotas({ owner: { rate: 1, burst: 3 } }, () => 0)
    const test = await TestLog.create()
    await test.open((one) => {
      one.options = { quotas }
    })
    return { test, quotas }
  }
  const codeOf = (promise: Promise<unknown>): Promise<string> =>
    promise.then(
      () => 'accepted',
      (error: unknown) => (error instanceof ServiceError ? error.code : String(error)),
    )

  it('counts what is registered, not repeats, and not what is urgent', async () => {
    const { test } = await open()
    const first = say(OWNER)
    expect(await codeOf(test.submit(first))).toBe('accepted')
    for (let n = 0; n < 5; n++) expect(await codeOf(test.submit(first))).toBe('accepted')
    expect(await codeOf(test.submit(say(OWNER)))).toBe('accepted')
    expect(await codeOf(test.submit(say(OWNER)))).toBe('accepted')
    const size = test.log.head().size
    expect(await codeOf(test.submit(say(OWNER)))).toBe('quota_exceeded')
    expect(test.log.head().size).toBe(size)
    expect(await codeOf(test.submit(first))).toBe('accepted')
    expect(await codeOf(test.submit(say(OWNER, { type: 'test.urgent' })))).toBe('accepted')
    expect(await codeOf(test.submit(say(OPERATOR)))).toBe('accepted')
    await test.log.close()
  })

  it('is not used up by forgeries in the owner’s name', async () => {
    const { test, quotas } = await open()
    for (let n = 0; n < 10; n++) {
      const { statement } = say(OWNER)
      const text = Buffer.from(statement).toString('latin1')
      const forged = `${text.slice(0, text.lastIndexOf('.'))}.${'A'.repeat(86)}`
      expect(await codeOf(test.submit({ statement: forged }))).toBe('signature_invalid')
    }
    for (let n = 0; n < 3; n++) expect(await codeOf(test.submit(say(OWNER)))).toBe('accepted')
    expect(quotas.refused).toEqual({ agent: 0, owner: 0 })
    await test.log.close()
  })
})
