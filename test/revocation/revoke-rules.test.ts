/**
 * @module Goal: whoever may stop a subject can, nobody else, and what is stopped includes everything below it. Method:
 * one chain owner → a → b → c beside another owner's agent; each kind of signer against each kind of target; the state
 * root computed again here from the set.
 */
import { encodeCbor } from '@trustwarden/proofs'
import fc from 'fast-check'
import { beforeEach, describe, expect, it } from 'vitest'
import { nativePrimitives } from '../../src/crypto.ts'
import { agentReader } from '../../src/identity/agents.ts'
import type { Agent } from '../../src/ledger/contract.ts'
import { u64Bytes } from '../../src/ledger/layout.ts'
import {
  BOUND_CLOSED,
  encodeRevocation,
  listRevocations,
  revocationReader,
  revocationRoot,
  revocationsFold,
} from '../../src/revocation/revocations.ts'
import { RuleLog, entryOf, resultOf } from '../support/rule-harness.ts'
import { at, party } from '../support/rule-party.ts'
import type { Party, TestAgent } from '../support/rule-party.ts'
import { MapState } from '../support/rule-state.ts'

let log: RuleLog
let a: TestAgent
let b: TestAgent
let c: TestAgent
let stranger: TestAgent

beforeEach(async () => {
  log = await RuleLog.create({ owners: [['a/**'], ['z/**']] })
  a = await log.agent({ owner: log.owner }, 'a/inst-00001')
  b = await log.agent({ parent: a }, 'a/b/inst-00001', {
    scope: ['read:x/**'],
    may_create: ['a/**'],
  })
  c = await log.agent({ parent: b }, 'a/b/c/inst-00001', { scope: ['read:x/y'] })
  stranger = await log.agent({ owner: at(log.owners, 1) }, 'z/inst-00001')
  return () => log.close()
})

function governed(): string {
  const all: Readonly<Record<string, TestAgent>> = { a, b, c, s: stranger }
  return Object.entries(all)
    .filter(([, { principal }]) => revocationReader.governs(log.state, found(principal)))
    .map(([name]) => name)
    .join('')
}

function found(principal: string): Agent {
  const agent = agentReader.find(log.state, principal)
  if (agent === undefined) throw new Error(`${principal} is not there`)
  return agent
}

function root(targets: readonly string[]): Uint8Array {
  const rows = targets
    .toSorted((x, y) => Buffer.compare(Buffer.from(x), Buffer.from(y)))
    .map((target) => [target, BOUND_CLOSED])
  return nativePrimitives.sha256(encodeCbor(rows))
}

describe('what a revocation stops', () => {
  it.each([
    ['an instance and all below it', () => `inst:${b.principal}`, 'bc'],
    ['the last of a chain alone', () => `inst:${c.principal}`, 'c'],
    ['a name, its instances and all below them', () => `agent:${b.name}`, 'bc'],
    ['an owner: every agent under it', () => log.owner.principal, 'abc'],
    ['the root of a chain: the whole chain', () => `inst:${a.principal}`, 'abc'],
  ])('is %s', async (_what, target, expected) => {
    expect(governed()).toBe('')
    expect(resultOf(await log.revoke(log.operator, target()))).toBe('revoked')
    expect(governed()).toBe(expected)
  })

  it('leaves another instance of the name alone, if only one instance is revoked', async () => {
    const second = await log.agent({ owner: log.owner }, 'a/inst-00002')
    await log.revoke(log.operator, `inst:${a.principal}`)
    expect(revocationReader.governs(log.state, found(second.principal))).toBe(false)
  })

  it('counts the size in a record, its own and its ancestors’, against the bound', () => {
    const state = new MapState()
    const agent = found(c.principal)
    const [first, second] = agent.ancestors
    if (first === undefined || second === undefined) throw new Error('no ancestors')
    const ancestors = [
      { ...first, size: 10 },
      { ...second, size: 30 },
    ]
    const sized: Agent = { ...agent, recordSize: 50, ancestors }
    const cases: readonly (readonly [string, number, boolean])[] = [
      [`agent:${c.name}`, 50, false],
      [`agent:${c.name}`, 51, true],
      [`agent:${b.name}`, 30, false],
      [`agent:${b.name}`, 31, true],
      [log.owner.principal, 10, false],
      [log.owner.principal, 11, true],
      [`agent:${stranger.name}`, BOUND_CLOSED, false],
    ]
    for (const [target, bound, expected] of cases) {
      const rows = new Map<string, readonly [Uint8Array, Uint8Array]>()
      const write = (key: Uint8Array, value: Uint8Array): void => {
        rows.set(Buffer.from(key).toString('hex'), [key, value])
      }
      write(Uint8Array.of(0), u64Bytes(1))
      const revocation = { target, bound, index: 0, reason: 'unspecified' }
      write(new TextEncoder().encode(target), encodeRevocation(revocation))
      state.values.set(revocationsFold.spec.id, rows)
      const found = revocationReader.governs(state, sized)
      expect([target, bound, found]).toEqual([target, bound, expected])
    }
  })
})

describe('who may revoke', () => {
  const signers: Readonly<Record<string, () => Party>> = {
    operator: () => log.operator,
    owner: () => log.owner,
    'other owner': () => at(log.owners, 1),
    a: () => a,
    b: () => b,
    c: () => c,
    stranger: () => stranger,
  }
  const targets: Readonly<Record<string, () => string>> = {
    'instance b': () => `inst:${b.principal}`,
    'name of b': () => `agent:${b.name}`,
    owner: () => log.owner.principal,
  }
  const permitted: Readonly<Record<string, readonly string[]>> = {
    'instance b': ['operator', 'owner', 'a'],
    'name of b': ['operator', 'owner'],
    owner: ['operator', 'owner'],
  }
  const cells = Object.keys(targets).flatMap((target) =>
    Object.keys(signers).map((signer) => [target, signer] as const),
  )

  it.each(cells)('%s by %s', async (target, signer) => {
    const [by, what] = [signers[signer], targets[target]]
    if (by === undefined || what === undefined) throw new Error('no such cell')
    const expected = permitted[target]?.includes(signer) === true ? 'revoked' : 'signer_forbidden'
    expect(resultOf(await log.revoke(by(), what()))).toBe(expected)
  })

  it('is no ancestor that has expired', async () => {
    const parent = await log.agent({ owner: log.owner }, 'a/p/inst-00001', { ttl: 60 })
    const child = await log.agent({ parent }, 'a/p/q/inst-00001')
    log.nowMs += 61_000
    const outcome = await log.revoke(parent, `inst:${child.principal}`)
    expect(outcome).toMatchObject({ type: 'refuse', code: 'certificate_expired' })
  })

  it('is no ancestor that is revoked itself: refused without a leaf', async () => {
    await log.revoke(log.operator, `inst:${a.principal}`)
    const size = log.state.size
    const outcome = await log.revoke(a, `inst:${c.principal}`)
    expect(outcome).toMatchObject({ type: 'refuse', code: 'revoked', by: 'register' })
    expect(log.state.size).toBe(size)
  })

  it('is an owner who is revoked, for what is below it, and for nothing else', async () => {
    const { index } = entryOf((await log.decide(c)).outcome)
    await log.revoke(log.operator, log.owner.principal)
    const size = log.state.size
    const erasure = { entries: [index], reason: 'error' }
    const erase = await log.submit(log.sign(log.owner, 'erasure', 'log', erasure))
    expect(erase).toMatchObject({ type: 'refuse', code: 'revoked', by: 'register' })
    expect(log.state.size).toBe(size)
    const { outcome } = await log.issue({ owner: log.owner }, 'a/new/inst-00001')
    expect(entryOf(outcome).kind).toBe('agent.refuse')
    expect(resultOf(outcome)).toBe('revoked')
    expect(resultOf(await log.revoke(log.owner, `inst:${b.principal}`))).toBe('revoked')
    expect(resultOf(await log.revoke(log.owner, log.owner.principal))).toBe('already_revoked')
    // Whoever is not revoked goes on.
    const other = await log.decide(stranger)
    const entries = [entryOf(other.outcome).index]
    const mine = log.sign(at(log.owners, 1), 'erasure', 'log', { entries, reason: 'error' })
    expect(resultOf(await log.submit(mine))).toBe('erased')
  })

  it('finds no target that the log does not know', async () => {
    const unknown = [
      `inst:${a.name}/inst-99999`,
      'agent:spiffe://example.org/nobody',
      'agent:spiffe://other.org/a',
      party('owner').principal,
    ]
    for (const target of unknown) {
      const outcome = await log.revoke(log.operator, target)
      expect([target, resultOf(outcome)]).toEqual([target, 'target_unknown'])
    }
  })

  it('takes a revocation that was signed long before, in the urgent lane', async () => {
    const target = `inst:${a.principal}`
    const payload = { target, reason: 'compromised' }
    const iat = Math.floor(log.nowMs / 1000) - 86_400
    const text = log.sign(log.operator, 'agent.revoke', target, payload, { iat })
    expect(resultOf(await log.submit(text))).toBe('revoked')
    expect(log.handler('agent.revoke').lane).toBe('urgent')
  })
})

describe('what the entry says', () => {
  it('is links, epoch and root, and once more the same for what is revoked already', async () => {
    const target = `inst:${b.principal}`
    const first = entryOf(await log.revoke(log.operator, target))
    expect(first.links.map(({ subject }) => subject)).toEqual([
      target,
      `agent:${b.name}`,
      log.owner.principal,
    ])
    expect([first.outcome.get(1), first.outcome.get(2)]).toEqual([1, root([target])])
    expect(revocationReader.isRevoked(log.state, target)).toBe(true)
    const again = entryOf(await log.revoke(log.owner, target))
    expect([again.outcome.get(0), again.outcome.get(1)]).toEqual(['already_revoked', 1])
    expect(again.outcome.get(2)).toEqual(root([target]))
    expect(listRevocations(log.state)).toEqual([
      { target, bound: BOUND_CLOSED, index: first.index, reason: 'compromised' },
    ])
    const name = entryOf(await log.revoke(log.operator, `agent:${a.name}`))
    expect(name.links.map(({ subject }) => subject)).toEqual([
      `agent:${a.name}`,
      log.owner.principal,
    ])
    expect(name.outcome.get(1)).toBe(2)
    expect(name.outcome.get(2)).toEqual(root([target, `agent:${a.name}`]))
    const owner = entryOf(await log.revoke(log.operator, log.owner.principal))
    expect(owner.links.map(({ subject }) => subject)).toEqual([log.owner.principal])
    const targets = [target, `agent:${a.name}`, log.owner.principal]
    expect(owner.outcome.get(2)).toEqual(root(targets))
    expect(revocationReader.epoch(log.state)).toBe(3)
    expect(listRevocations(log.state).map((one) => one.target)).toEqual(targets.toSorted())
    expect(revocationRoot(log.state)).toEqual(root(targets))
  })

  it('is counted by size: an epoch is how many took effect below it', async () => {
    const effective: number[] = []
    for (const target of [`inst:${c.principal}`, `inst:${c.principal}`, `agent:${b.name}`]) {
      const entry = entryOf(await log.revoke(log.operator, target))
      if (entry.outcome.get(0) === 'revoked') effective.push(entry.index)
      await log.decide(stranger)
    }
    expect(effective.length).toBe(2)
    for (let size = 0; size <= log.state.size; size++) {
      const expected = effective.filter((index) => index < size).length
      expect([size, revocationReader.epoch(log.state, size)]).toEqual([size, expected])
    }
    expect(revocationReader.epoch(log.state)).toBe(2)
  })

  it('governs since an index only by what took effect at or after it', async () => {
    const { index } = entryOf(await log.revoke(log.operator, `agent:${b.name}`))
    const below = found(c.principal)
    expect(revocationReader.governs(log.state, below, index)).toBe(true)
    expect(revocationReader.governs(log.state, below, index + 1)).toBe(false)
    expect(revocationReader.governs(log.state, below)).toBe(true)
    expect(revocationReader.governs(log.state, found(a.principal), 0)).toBe(false)
    const later = entryOf(await log.revoke(log.operator, log.owner.principal))
    expect(revocationReader.governs(log.state, below, later.index)).toBe(true)
  })

  it('is the root over any set, in whatever order it grew', () => {
    const name = fc.stringMatching(/^[a-z0-9]{1,6}$/)
    const target = fc
      .tuple(fc.constantFrom('inst:', 'agent:', 'owner:'), name)
      .map((parts) => parts.join(''))
    fc.assert(
      fc.property(fc.uniqueArray(target, { maxLength: 12 }), (list) => {
        const state = new MapState()
        for (const [index, text] of list.entries()) {
          const expected = root(list.slice(0, index + 1))
          expect(revocationRoot(state, { target: text, bound: BOUND_CLOSED })).toEqual(expected)
          apply(state, text, index)
        }
        expect(revocationRoot(state)).toEqual(root(list))
      }),
    )
  })
})

/** Lets the fold take in an entry that revokes `target`; only what the fold reads of it is there. */
function apply(state: MapState, target: string, index: number): void {
  const template = at(log.entries, -1)
  const { entry, statement } = template
  state.apply([revocationsFold], {
    ...template,
    entry: { ...entry, kind: 'agent.revoke', index, outcome: new Map([[0, 'revoked']]) },
    statement: { ...statement, payload: { target, reason: 'unspecified' } },
  })
}
