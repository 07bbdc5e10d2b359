/**
 * @module Goal: a revoked signer's reports, requests and refused delegations are recorded up to a bound, and then leave
 * no leaf, whatever made it revoked and whatever the verdict says; nobody else is bounded, and no revocation is.
 * Method: statements of every kind over the real rules, the count read from the fold and kept here a second time.
 */
import { utf8Encode } from '@trustwarden/proofs'
import { beforeEach, describe, expect, it } from 'vitest'
import { FOLDS } from '../../src/ledger/contract.ts'
import { u64At } from '../../src/ledger/layout.ts'
import { ALLOWANCE_MAX } from '../../src/revocation/allowance.ts'
import { resultOf, RuleLog } from '../support/rule-harness.ts'
import { at } from '../support/rule-party.ts'
import type { Party, TestAgent } from '../support/rule-party.ts'

let log: RuleLog
let parent: TestAgent
let child: TestAgent
let stranger: TestAgent

beforeEach(async () => {
  log = await RuleLog.create({ owners: [['a/**'], ['z/**']] })
  parent = await log.agent({ owner: log.owner }, 'a/inst-00001')
  child = await log.agent({ parent }, 'a/b/inst-00001')
  stranger = await log.agent({ owner: at(log.owners, 1) }, 'z/inst-00001')
  return () => log.close()
})

const used = ({ principal }: Party | TestAgent): number => {
  const value = log.state.get(FOLDS.allowances, utf8Encode(principal))
  return value === undefined ? 0 : u64At(value, 0)
}

async function report(
  agent: TestAgent,
  decision: Parameters<RuleLog['report']>[1] = null,
): Promise<string> {
  const { text, beside } = log.report(agent, decision)
  return resultOf(await log.submit(text, beside))
}

const ask = async (agent: TestAgent): Promise<string> => resultOf((await log.decide(agent)).outcome)

const delegate = async (from: TestAgent): Promise<string> =>
  resultOf((await log.issue({ parent: from }, `${from.name.slice(17)}/c/inst-00001`)).outcome)

describe('what counts', () => {
  it('is every entry that a revoked instance signs, whatever its verdict, and nothing before', async () => {
    const before = await log.decide(child)
    const open = await log.decide(child)
    expect(await report(child, before)).toBe('matched')
    expect(await report(child)).toBe('absent')
    expect(used(child)).toBe(0)
    expect(resultOf(await log.revoke(log.operator, `inst:${child.principal}`))).toBe('revoked')
    const signed = [
      [() => report(child, open), 'revoked'],
      [() => report(child, before), 'spent'],
      [() => report(child), 'absent'],
      [() => ask(child), 'deny'],
      [() => delegate(child), 'name_not_permitted'],
    ] as const
    for (const [n, [submit, result]] of signed.entries()) {
      expect(await submit()).toBe(result)
      expect(used(child)).toBe(n + 1)
    }
    // Lapsed as well, it is denied for that: it is revoked all the same.
    log.nowMs += 7_200_000
    expect(await ask(child)).toBe('deny')
    expect(await report(child, open)).toBe('revoked')
    expect(used(child)).toBe(signed.length + 2)
    expect([used(parent), used(stranger)]).toEqual([0, 0])
  })

  it.each([
    ['an ancestor', () => `inst:${parent.principal}`],
    ['its name', () => `agent:${child.name}`],
    ['its owner', () => log.owner.principal],
  ])('is the same whether the revocation names %s', async (_what, target) => {
    await log.revoke(log.operator, target())
    expect(await report(child)).toBe('absent')
    expect(await report(stranger)).toBe('absent')
    expect([used(child), used(stranger)]).toEqual([1, 0])
  })

  it('is what a revoked owner delegates, and not what it revokes', async () => {
    const { owner } = log
    await log.revoke(log.operator, owner.principal)
    const { outcome } = await log.issue({ owner }, 'a/inst-00002')
    expect([resultOf(outcome), used(owner)]).toEqual(['revoked', 1])
    expect(resultOf(await log.revoke(owner, `inst:${child.principal}`))).toBe('revoked')
    expect(resultOf(await log.revoke(owner, `inst:${child.principal}`))).toBe('already_revoked')
    expect(used(owner)).toBe(1)
  })
})

describe('the bound', () => {
  it('ends reports, requests and delegations of that one signer, in prepare and in register', async () => {
    const first = log.report(child, null)
    await log.revoke(log.operator, `inst:${child.principal}`)
    expect(resultOf(await log.submit(first.text, first.beside))).toBe('absent')
    const late = log.report(child, null)
    const prepared = await log.prepare(late.text, late.beside)
    // What an audit does: each entry once more over the state before it.
    const before = log.state.copy()
    expect(await report(child)).toBe('absent')
    expect(log.reregister(before, log.size - 1)).toMatchObject({ type: 'entry', kind: 'action' })
    for (let n = used(child); n < ALLOWANCE_MAX; n++) expect(await report(child)).toBe('absent')
    expect(used(child)).toBe(ALLOWANCE_MAX)
    const { size } = log
    expect(log.reregister(log.state, size - 1)).toMatchObject({ code: 'allowance_spent' })
    expect([await report(child), await ask(child), await delegate(child)]).toEqual(
      Array(3).fill('allowance_spent'),
    )
    const after = { type: 'refuse', code: 'allowance_spent', by: 'register' }
    expect(log.register(prepared)).toEqual(after)
    expect([log.size, used(child)]).toEqual([size, ALLOWANCE_MAX])
    // What is recorded is answered again, and others go on.
    expect(resultOf(await log.submit(first.text, first.beside))).toBe('absent')
    expect([await report(parent), await ask(parent)]).toEqual(['absent', 'allow'])
  })
})
