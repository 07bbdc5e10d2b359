/**
 * @module Goal: the first batch is valid exactly where genesis names it; afterwards nothing about people or policy
 * takes effect before the k-th operator; nobody's used name changes hands; only those who may erase do. Method: a log
 * without disk, each case alone.
 */
import { randomBytes } from 'node:crypto'
import { keyId, makeDisclosure, parseNamePattern, toBase64url } from '@trustwarden/proofs'
import { describe, expect, it } from 'vitest'
import { nativePrimitives } from '../../src/crypto.ts'
import { readDefaultPolicy } from '../../src/gate/default-policy.ts'
import { policyReader } from '../../src/gate/policy.ts'
import { FOLDS } from '../../src/ledger/contract.ts'
import { disclosedBy } from '../../src/ledger/erasure.ts'
import { erasedBy } from '../../src/ledger/erasures.ts'
import { comparePatterns, decideName, findPerson, logFacts } from '../../src/ledger/principals.ts'
import { RuleLog, entryOf, resultOf } from '../support/rule-harness.ts'
import type { Outcome } from '../support/rule-harness.ts'
import { at, party } from '../support/rule-party.ts'
import type { Party } from '../support/rule-party.ts'

function count(outcome: Outcome): readonly unknown[] {
  const { outcome: recorded } = entryOf(outcome)
  return [recorded.get(0), recorded.get(1), recorded.get(2)]
}

describe('the first batch', () => {
  it('founds a log: operators, owners and policy are in force, each with 0 of 0 signatures', async () => {
    const log = await RuleLog.create({ operators: 2, threshold: 2, owners: [['**'], ['a/**']] })
    expect(log.entries.map(({ entry }) => entry.kind)).toEqual([
      'genesis',
      'operator.enroll',
      'operator.enroll',
      'owner.enroll',
      'owner.enroll',
      'policy.activate',
    ])
    for (const { entry } of log.entries.slice(1)) {
      expect([...entry.outcome.values()]).toEqual(['effective', 0, 0])
    }
    expect(logFacts(log.state)).toMatchObject({ threshold: 2, firstBatchSize: 6 })
    expect(policyReader.active(log.state)?.index).toBe(5)
    expect(log.principals.find(log.state, log.operator.principal)?.role).toBe('operator')
    expect(log.principals.find(log.state, log.service.principal)?.role).toBe('service')
    expect(log.principals.find(log.state, party('service').principal)).toBeUndefined()
    await log.close()
  })

  it('takes of the service nothing that genesis does not name to the letter', async () => {
    const log = await RuleLog.empty({ owners: [['a/**']] })
    expect(resultOf(await log.submit(log.genesis()))).toBe('created')
    const refused = [
      await log.enrolOperator(log.service, party('operator')),
      await log.enrolOwner(log.service, log.owner, ['**']),
      await log.enrolOwner(log.service, log.owner, ['a/**', 'b/**']),
      await log.enrolOwner(log.service, party('owner'), ['a/**']),
    ]
    expect(refused.map(resultOf)).toEqual(refused.map(() => 'signer_forbidden'))
    expect(resultOf(await log.enrolOwner(log.service, log.owner, ['a/**']))).toBe('effective')
    expect(resultOf(await log.enrolOperator(log.service, log.operator))).toBe('effective')
    await log.close()
  })

  it('is over once the log holds what genesis names: the service enrols and activates nothing more', async () => {
    const log = await RuleLog.create()
    const again = await log.activate(log.service, log.policyPack, readDefaultPolicy().revision)
    expect(resultOf(again)).toBe('signer_forbidden')
    expect(resultOf(await log.enrolOperator(log.service, party('operator')))).toBe(
      'signer_forbidden',
    )
    expect(resultOf(await log.submit(log.genesis()))).toBe('signer_forbidden')
    await log.close()
  })

  it('ends at the first entry that the service has not signed', async () => {
    const log = await RuleLog.empty()
    expect(resultOf(await log.submit(log.genesis()))).toBe('created')
    expect(resultOf(await log.enrolOperator(log.service, log.operator))).toBe('effective')
    expect(resultOf(await log.enrolOperator(log.operator, party('operator')))).toBe('effective')
    expect(log.state.size).toBeLessThan(logFacts(log.state)?.firstBatchSize ?? 0)
    const named = await log.enrolOwner(log.service, log.owner, ['**'])
    expect(resultOf(named)).toBe('signer_forbidden')
    expect(resultOf(await log.enrolOwner(log.operator, log.owner, ['**']))).toBe('effective')
    await log.close()
  })

  it('refuses a genesis with a threshold that nobody can reach', async () => {
    const log = await RuleLog.empty()
    const outcome = await log.submit(log.genesis({ threshold: 2 }))
    expect(resultOf(outcome)).toBe('statement_malformed')
    expect(log.state.size).toBe(0)
  })
})

describe('k of n operators', () => {
  it('makes a proposal effective with the k-th, whoever they are, each counted once', async () => {
    const log = await RuleLog.create({ operators: 3, threshold: 2 })
    const [one, two, three] = log.operators
    if (one === undefined || two === undefined || three === undefined) throw new Error('three')
    const owner = party('owner')
    expect(count(await log.enrolOwner(one, owner, ['b/**']))).toEqual(['pending', 1, 2])
    const kept = [...log.state.scan(FOLDS.proposals)]
    expect(count(await log.enrolOwner(one, owner, ['b/**']))).toEqual(['pending', 1, 2])
    expect([...log.state.scan(FOLDS.proposals)]).toEqual(kept)
    expect(count(await log.enrolOwner(two, owner, ['c/**']))).toEqual(['pending', 1, 2])
    expect(findPerson(log.state, owner.principal)).toBeUndefined()
    expect(count(await log.enrolOwner(three, owner, ['b/**']))).toEqual(['effective', 2, 2])
    expect(findPerson(log.state, owner.principal)?.patterns).toEqual(['b/**'])
    expect(resultOf(await log.enrolOwner(two, owner, ['b/**']))).toBe('principal_exists')
    await log.close()
  })

  it('counts a policy anew each time it is proposed', async () => {
    const log = await RuleLog.create({ operators: 2, threshold: 2 })
    const [one, two] = [at(log.operators, 0), at(log.operators, 1)]
    const { revision } = readDefaultPolicy()
    for (const [by, then] of [
      [one, two],
      [two, one],
    ] as const) {
      const first = await log.activate(by, log.policyPack, revision)
      expect(count(first)).toEqual(['pending', 1, 2])
      const second = await log.activate(then, log.policyPack, revision)
      expect(count(second)).toEqual(['effective', 2, 2])
      expect(policyReader.active(log.state)?.index).toBe(entryOf(second).index)
    }
    await log.close()
  })

  it('counts no owner, no agent, and an operator only once it is one', async () => {
    const log = await RuleLog.create()
    const agent = await log.agent({ owner: log.owner }, 'a/inst-00001')
    const next = party('operator')
    await expect(log.enrolOperator(next, next)).resolves.toMatchObject({ code: 'signer_unknown' })
    expect(resultOf(await log.enrolOperator(log.owner, next))).toBe('signer_forbidden')
    expect(resultOf(await log.enrolOperator(agent, next))).toBe('signer_forbidden')
    expect(resultOf(await log.enrolOperator(log.operator, next))).toBe('effective')
    expect(resultOf(await log.enrolOperator(next, party('operator')))).toBe('effective')
    await log.close()
  })

  it('enrols readers, and keeps their key', async () => {
    const log = await RuleLog.create()
    const reader = party('reader')
    const payload = { role: 'reader', key: toBase64url(reader.signer.spki) }
    const text = log.sign(log.operator, 'member.enroll', reader.principal, payload)
    expect(resultOf(await log.submit(text))).toBe('effective')
    expect(log.principals.find(log.state, reader.principal)).toMatchObject({
      role: 'reader',
      kid: reader.kid,
      spki: reader.signer.spki,
    })
    await log.close()
  })

  it('enrols no key of an agent, of the service or of a CA', async () => {
    const log = await RuleLog.create()
    const agent = await log.agent({ owner: log.owner }, 'a/inst-00001')
    const { service, permit, heartbeat, logKey, timeKey, ca } = log
    const parties = [agent, service, permit, heartbeat, logKey, timeKey]
    for (const signer of [...parties.map((one) => one.signer), ca]) {
      const kid = keyId(nativePrimitives, signer.spki)
      const whom: Party = { principal: `operator:${kid}`, kid, signer }
      expect(resultOf(await log.enrolOperator(log.operator, whom))).toBe('key_used')
    }
    await log.close()
  })

  it('enrols nobody in a second role, nor whom genesis names in another', async () => {
    const log = await RuleLog.empty()
    await log.submit(log.genesis())
    await log.enrolOperator(log.service, log.operator)
    const as = (role: string, { signer, kid }: Party): Party => {
      return { principal: `${role}:${kid}`, kid, signer }
    }
    // Genesis names the owner, who is not enrolled yet.
    const early = await log.enrolOperator(log.operator, as('operator', log.owner))
    expect(resultOf(early)).toBe('principal_exists')
    expect(resultOf(await log.enrolOwner(log.service, log.owner, ['**']))).toBe('effective')
    const operator = as('owner', log.operator)
    const second = await log.enrolOwner(log.operator, operator, ['o/**'])
    expect(resultOf(second)).toBe('principal_exists')
    for (const one of [log.owner, log.operator]) {
      const payload = { role: 'reader', key: toBase64url(one.signer.spki) }
      const text = log.sign(log.operator, 'member.enroll', `reader:${one.kid}`, payload)
      expect(resultOf(await log.submit(text))).toBe('principal_exists')
    }
    await log.close()
  })

  it('counts a signature for 7 days of ledger time, from the last of each operator', async () => {
    const day = 86_400_000
    const log = await RuleLog.create({ operators: 3, threshold: 2 })
    const [one, two, three] = log.operators
    if (one === undefined || two === undefined || three === undefined) throw new Error('three')
    const owner = party('owner')
    const enrol = (by: Party): Promise<Outcome> => log.enrolOwner(by, owner, ['b/**'])
    expect(count(await enrol(one))).toEqual(['pending', 1, 2])
    log.nowMs += 7 * day + 1
    expect(count(await enrol(two))).toEqual(['pending', 1, 2])
    log.nowMs += 6 * day
    expect(count(await enrol(two))).toEqual(['pending', 1, 2])
    log.nowMs += 7 * day
    expect(count(await enrol(three))).toEqual(['effective', 2, 2])
    await log.close()
  })
})

describe('names', () => {
  it.each([
    ['a longer pattern before a shorter', [['**'], ['a/**']], 'a/x', 1],
    ['the shorter one for what the longer does not match', [['**'], ['a/**']], 'b/x', 0],
    ['a segment before *', [['a/*'], ['a/x']], 'a/x', 1],
    ['a pattern without a tail before one with it', [['a/x/**'], ['a/x']], 'a/x', 1],
    ['** last of all', [['*/**'.replace('*/', '')], ['*']], 'x', 1],
    ['the first segment that differs, not the count of *', [['*/b/c'], ['a/*/*']], 'a/b/c', 1],
    ['length before what stands in it', [['x/**'], ['*/*']], 'x/y', 1],
    ['of two equal patterns the one enrolled first', [['a/**'], ['a/**']], 'a/x', 0],
  ])('are decided by %s', async (_what, owners, name, expected) => {
    const log = await RuleLog.create({ owners })
    const found = decideName(log.state, name.split('/'))
    expect(found?.owner).toBe(at(log.owners, expected).principal)
    await log.close()
  })

  it.each([
    ['a/*/*', '*/b/c'],
    ['a/*', 'a/**'],
    ['*', '**'],
    ['*/*', 'a/**'],
    ['a/b', 'a/*'],
    ['a/b', 'a/b/**'],
    ['*/b/**', '*/*'],
  ])('are more by %s than by %s, whichever comes first', (more, less) => {
    const [a, b] = [parseNamePattern(more), parseNamePattern(less)]
    expect(comparePatterns(a, b)).toBeGreaterThan(0)
    expect(comparePatterns(b, a)).toBeLessThan(0)
    expect(comparePatterns(a, a)).toBe(0)
  })

  it('that are used do not change hands, and others do', async () => {
    const log = await RuleLog.create({ owners: [['**']] })
    await log.agent({ owner: log.owner }, 'a/b/inst-00001')
    await log.agent({ owner: log.owner }, 'c/inst-00001')
    const taking = ['a/**', 'a/b', 'a/b/**', 'a/*', '*/b', 'c', '*']
    for (const pattern of taking) {
      const outcome = await log.enrolOwner(log.operator, party('owner'), ['free/**', pattern])
      expect([pattern, resultOf(outcome)]).toEqual([pattern, 'pattern_taken'])
    }
    const leaving = ['a/x/**', 'a/b/x', 'd/**', 'c/**'.replace('c', 'e')]
    for (const pattern of leaving) {
      const owner = party('owner')
      const outcome = await log.enrolOwner(log.operator, owner, [pattern])
      expect([pattern, resultOf(outcome)]).toEqual([pattern, 'effective'])
    }
    expect(decideName(log.state, ['a', 'b'])?.owner).toBe(log.owner.principal)
    await log.close()
  })

  it('stay with whoever has the very same pattern first', async () => {
    const log = await RuleLog.create({ owners: [['a/b', 'c/**']] })
    await log.agent({ owner: log.owner }, 'a/b/inst-00001')
    await log.agent({ owner: log.owner }, 'c/d/inst-00001')
    const later = party('owner')
    expect(resultOf(await log.enrolOwner(log.operator, later, ['a/b', 'c/**']))).toBe('effective')
    expect(decideName(log.state, ['a', 'b'])?.owner).toBe(log.owner.principal)
    expect(decideName(log.state, ['c', 'e'])?.owner).toBe(log.owner.principal)
    await log.close()
  })

  it('may be enrolled above what another owner uses, which keeps it', async () => {
    const log = await RuleLog.create({ owners: [['a/b/**']] })
    await log.agent({ owner: log.owner }, 'a/b/inst-00001')
    const above = party('owner')
    expect(resultOf(await log.enrolOwner(log.operator, above, ['a/**', '**']))).toBe('effective')
    expect(decideName(log.state, ['a', 'b'])?.owner).toBe(log.owner.principal)
    expect(decideName(log.state, ['a', 'c'])?.owner).toBe(above.principal)
    await log.close()
  })

  it('of children are the owner’s too: may_create gives nobody the names of another', async () => {
    const log = await RuleLog.create({ owners: [['a/**'], ['b/**']] })
    const parent = await log.agent({ owner: log.owner }, 'a/inst-00001', { may_create: ['**'] })
    const { outcome } = await log.issue({ parent }, 'b/inst-00001')
    expect(resultOf(outcome)).toBe('name_not_permitted')
    await log.close()
  })
})

describe('an erasure', () => {
  function erase(log: RuleLog, by: Party, entries: readonly number[]): Promise<Outcome> {
    const payload = { entries, reason: 'subject_request' }
    return log.submit(log.sign(by, 'erasure', 'log', payload))
  }

  it('is an operator’s for any entry, and counts what was there', async () => {
    const log = await RuleLog.create()
    const agent = await log.agent({ owner: log.owner }, 'a/inst-00001')
    const { text, beside } = log.ask(agent, 'read:x', { context: { who: 'somebody' } })
    const { index } = entryOf(await log.submit(text, beside))
    const owner = log.owner.principal
    expect(disclosedBy(log.state, index)).toMatchObject({ owner, count: 2 })
    const first = await erase(log, log.operator, [0, index])
    expect([...entryOf(first).outcome.values()]).toEqual(['erased', 2])
    const again = await erase(log, log.operator, [index])
    expect([...entryOf(again).outcome.values()]).toEqual(['erased', 0])
    expect(resultOf(await erase(log, log.operator, [log.state.size]))).toBe('target_unknown')
    await log.close()
  })

  it('is an owner’s where every entry named is about its own agents, and not otherwise', async () => {
    const log = await RuleLog.create({ owners: [['a/**'], ['b/**']] })
    const other = at(log.owners, 1)
    const indexes: number[] = []
    for (const [owner, path] of [
      [log.owner, 'a/inst-00001'],
      [other, 'b/inst-00001'],
    ] as const) {
      const agent = await log.agent({ owner }, path)
      indexes.push(entryOf((await log.decide(agent)).outcome).index)
    }
    expect(resultOf(await erase(log, log.owner, indexes))).toBe('signer_forbidden')
    expect(resultOf(await erase(log, log.owner, [0]))).toBe('signer_forbidden')
    expect(resultOf(await erase(log, log.owner, [at(indexes, 0)]))).toBe('erased')
    expect(resultOf(await erase(log, other, [at(indexes, 1)]))).toBe('erased')
    await log.close()
  })

  it('is no owner’s for its own enrolment or for a revocation', async () => {
    const log = await RuleLog.create()
    const agent = await log.agent({ owner: log.owner }, 'a/inst-00001')
    const target = `inst:${agent.principal}`
    const details = makeDisclosure(randomBytes(16), 'details', 'why')
    const digest = toBase64url(nativePrimitives.sha256(new TextEncoder().encode(details)))
    const committed = { _sd: [digest], _sd_alg: 'sha-256' }
    const payload = { target, reason: 'compromised', ...committed }
    const revoke = log.sign(log.operator, 'agent.revoke', target, payload)
    const { index } = entryOf(await log.submit(revoke, { disclosures: [details] }))
    expect(resultOf(await erase(log, log.owner, [index]))).toBe('signer_forbidden')
    const whom = party('owner')
    const named = { key: toBase64url(whom.signer.spki), patterns: ['w/**'], ...committed }
    const enrol = log.sign(log.operator, 'owner.enroll', whom.principal, named)
    const own = entryOf(await log.submit(enrol, { disclosures: [details] })).index
    expect(resultOf(await erase(log, whom, [own]))).toBe('signer_forbidden')
    const both = await erase(log, log.operator, [index, own])
    expect([...entryOf(both).outcome.values()]).toEqual(['erased', 2])
    await log.close()
  })

  it.each(['decision', 'action'])(
    'of one entry reaches what shares its action digest: %s',
    async (kind) => {
      const log = await RuleLog.create()
      const agent = await log.agent({ owner: log.owner }, 'a/inst-00001')
      const { id, salt, outcome } = await log.decide(agent)
      const decision = entryOf(outcome).index
      const report = log.report(agent, { id, salt })
      const action = entryOf(await log.submit(report.text, report.beside)).index
      const apart = entryOf((await log.decide(agent)).outcome).index
      const erased = await erase(log, log.owner, [kind === 'decision' ? decision : action])
      expect([...entryOf(erased).outcome.values()]).toEqual(['erased', 2])
      expect(erased).toMatchObject({ erases: [decision, action] })
      const { index } = entryOf(erased)
      expect([decision, action].map((one) => erasedBy(log.state, one))).toEqual([index, index])
      expect(erasedBy(log.state, apart)).toBeUndefined()
      const again = await erase(log, log.operator, [decision, action])
      expect([...entryOf(again).outcome.values()]).toEqual(['erased', 0])
      // What came after an erasure is reached by naming any of them again.
      const late = log.report(agent, { id, salt })
      const later = entryOf(await log.submit(late.text, late.beside)).index
      const third = await erase(log, log.owner, [decision])
      expect([...entryOf(third).outcome.values()]).toEqual(['erased', 1])
      expect(erasedBy(log.state, later)).toBe(entryOf(third).index)
      await log.close()
    },
  )

  it('remembers 64 entries of one action digest', async () => {
    const log = await RuleLog.create()
    const agent = await log.agent({ owner: log.owner }, 'a/inst-00001')
    const { id, salt, outcome } = await log.decide(agent)
    const indexes = [entryOf(outcome).index]
    for (let n = 0; n < 69; n++) {
      const { text, beside } = log.report(agent, { id, salt })
      indexes.push(entryOf(await log.submit(text, beside)).index)
    }
    const erased = await erase(log, log.owner, [at(indexes, 0)])
    expect([...entryOf(erased).outcome.values()]).toEqual(['erased', 64])
    const rest = await erase(log, log.owner, [at(indexes, 69)])
    expect([...entryOf(rest).outcome.values()]).toEqual(['erased', 1])
    await log.close()
  })

  it('is nobody else’s', async () => {
    const log = await RuleLog.create()
    const agent = await log.agent({ owner: log.owner }, 'a/inst-00001')
    const { index } = entryOf((await log.decide(agent)).outcome)
    expect(resultOf(await erase(log, agent, [index]))).toBe('signer_forbidden')
    await log.close()
  })

  it('finds each of many entries that share a key', async () => {
    const log = await RuleLog.create()
    const agent = await log.agent({ owner: log.owner }, 'a/inst-00001')
    const indexes: number[] = []
    for (let n = 0; n < 40; n++) indexes.push(entryOf((await log.decide(agent)).outcome).index)
    for (const index of indexes) expect(disclosedBy(log.state, index)?.count).toBe(1)
    expect(disclosedBy(log.state, 0)).toBeUndefined()
    const erased = await erase(log, log.owner, indexes)
    expect([...entryOf(erased).outcome.values()]).toEqual(['erased', 40])
    await log.close()
  })
})

describe('the clock', () => {
  it('is accepted by an operator in the urgent lane, and by nobody else', async () => {
    const log = await RuleLog.create()
    const payload = { time_ms: log.nowMs }
    const accepted = await log.submit(log.sign(log.operator, 'operator.clock', 'log', payload))
    expect(resultOf(accepted)).toBe('accepted')
    expect(log.handler('operator.clock').lane).toBe('urgent')
    const owner = await log.submit(log.sign(log.owner, 'operator.clock', 'log', payload))
    expect(resultOf(owner)).toBe('signer_forbidden')
    await log.close()
  })
})
