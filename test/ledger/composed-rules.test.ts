/**
 * @module Goal: the rules hold on a real log as they do over a map: a first batch that is never prepared, decisions
 * that race a revocation, an erasure, a refusal; and an audit that runs register again from the leaves alone finds
 * nothing. Method: the composition of the service over a database in memory.
 */
import { jsonObject, jsonString, toBase64url } from '@trustwarden/proofs'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { ALL_FOLDS, composeRules } from '../../src/rules.ts'
import type { Rules } from '../../src/rules.ts'
import { nativePrimitives } from '../../src/crypto.ts'
import { readDefaultPolicy } from '../../src/gate/default-policy.ts'
import { PolicyShelf } from '../../src/gate/policies.ts'
import { DENIES_NOTHING_KNOWN } from '../../src/gate/policy-host.ts'
import { encodePolicy, policyDigest } from '../../src/gate/policy-pack.ts'
import { Authority } from '../../src/identity/authority.ts'
import { audit } from '../../src/ledger/audit.ts'
import { Log } from '../../src/ledger/log.ts'
import { LogKeys } from '../../src/ledger/log-keys.ts'
import type { SubmitResult } from '../../src/ledger/submissions.ts'
import { foldSpecs } from '../../src/ledger/rebuild.ts'
import { inlineVerifier } from '../../src/ledger/verify.ts'
import { Database } from '../../src/store/database.ts'
import { MemoryStore } from '../../src/store/memory-store.ts'
import { emptyRecordDisk, MemoryHeadRecord } from '../support/memory-head-record.ts'
import { at, party } from '../support/rule-party.ts'
import type { Party, TestAgent } from '../support/rule-party.ts'
import { ORIGIN, START_MS, StatementMaker, TRUST_DOMAIN } from '../support/rule-statements.ts'
import type { Beside, GenesisFacts } from '../support/rule-statements.ts'

const { revision, ...policy } = readDefaultPolicy()
const pack = encodePolicy({ ...policy, revision })

/** Makes the statements for a real log. */
class LogStatements extends StatementMaker {
  readonly operators = [party('operator')]
  readonly owners = [party('owner')]
  readonly genesisFacts: GenesisFacts
  size = 0

  constructor(rootDer: Uint8Array) {
    super()
    this.genesisFacts = {
      threshold: 1,
      owners: [['**']],
      rootDer,
      policyDigest: policyDigest(pack),
    }
  }

  get operator(): Party {
    return at(this.operators, 0)
  }

  get owner(): Party {
    return at(this.owners, 0)
  }

  /** Genesis, operator, owner and policy. */
  firstBatch(): readonly { readonly statement: string; readonly pinned?: readonly Uint8Array[] }[] {
    const { service, operator, owner } = this
    const key = ({ signer }: Party): string => toBase64url(signer.spki)
    const named = { key: key(owner), patterns: ['**'] }
    const active = { policy: toBase64url(policyDigest(pack)), revision }
    return [
      { statement: this.genesis() },
      {
        statement: this.sign(service, 'operator.enroll', operator.principal, {
          key: key(operator),
        }),
      },
      { statement: this.sign(service, 'owner.enroll', owner.principal, named) },
      { statement: this.sign(service, 'policy.activate', 'policy', active), pinned: [pack] },
    ]
  }
}

let by: LogStatements
let database: Database
let headRecord: MemoryHeadRecord
let shelf: PolicyShelf
let rules: Rules
let log: Log

beforeEach(async () => {
  const { key, certificateDer } = await Authority.createRoot({
    trustDomain: TRUST_DOMAIN,
    nowMs: START_MS - 86_400_000,
    days: 365,
  })
  by = new LogStatements(certificateDer)
  const store = new MemoryStore(new Map())
  database = await Database.create({ store, origin: ORIGIN, folds: foldSpecs(ALL_FOLDS) })
  headRecord = new MemoryHeadRecord(emptyRecordDisk(nativePrimitives.sha256(new Uint8Array(0))))
  shelf = new PolicyShelf({
    pinned: (digest) => database.pinned(digest),
    host: { workers: 1, deadlineMs: 10_000, selfTest: [DENIES_NOTHING_KNOWN] },
  })
  const clock = { nowMs: (): number => START_MS, bootMs: (): number => START_MS }
  const logKeys = LogKeys.only(by.logKey.signer, ORIGIN)
  rules = composeRules({
    origin: ORIGIN,
    trustDomain: TRUST_DOMAIN,
    serviceSpki: by.service.signer.spki,
    logKeys,
    authority: Authority.open({ key, certificateDer }),
    permitSigner: by.permit.signer,
    policies: shelf,
    clock,
  })
  log = await Log.create({
    database,
    headRecord,
    keys: logKeys,
    origin: ORIGIN,
    ...rules,
    clock,
    verifier: inlineVerifier,
    onFatal: (error) => expect.unreachable(error.message),
    firstBatch: by.firstBatch(),
    serviceKey: by.service.signer.spki,
  })
  by.size = log.head().size
})

afterEach(async () => {
  await log.close()
  await shelf.close()
})

async function submit(text: string, beside: Beside = {}): Promise<SubmitResult> {
  const result = await log.submit({ statement: text, ...beside })
  by.size = log.head().size
  return result
}

async function issue(
  from: Parameters<LogStatements['request']>[0],
  path: string,
): Promise<TestAgent> {
  const { agent, text } = by.request(from, path)
  expect((await submit(text, { csr: agent.csr })).kind).toBe('agent.issue')
  return agent
}

it('takes issuances, decisions, a revocation and an erasure, and the audit decides the same', async () => {
  const root = await issue({ owner: by.owner }, 'a/inst-00001')
  const agent = await issue({ parent: root }, 'a/b/inst-00001')
  const wrong = by.request({ parent: root }, 'a/c/inst-00001', { scope: ['delete:**'] })
  const refused = await submit(wrong.text, { csr: wrong.agent.csr })
  expect([refused.kind, refused.outcome.get(0)]).toEqual(['agent.refuse', 'scope_not_contained'])

  const asked = Array.from({ length: 20 }, () => by.ask(agent))
  const allowed = await Promise.all(asked.map(({ text, beside }) => submit(text, beside)))
  expect(allowed.map(({ outcome }) => outcome.get(0))).toEqual(asked.map(() => 'allow'))
  const [first, second] = [at(asked, 0), at(asked, 1)]
  const again = await submit(first.text, first.beside)
  const permits = [again, at(allowed, 0)].map(
    ({ extra }) => JSON.stringify(extra).split('"permit"')[1],
  )
  expect(permits[0]).toBe(permits[1])

  const entries = [at(allowed, 1).index]
  const erased = await submit(by.sign(by.owner, 'erasure', 'log', { entries, reason: 'error' }))
  expect(erased.outcome.get(1)).toBe(1)
  await expect(submit(second.text, second.beside)).rejects.toMatchObject({ code: 'decision_spent' })

  // An erasure of an action reaches the decision that shares its salt, which it does not name.
  const third = at(asked, 2)
  const { extra } = at(allowed, 2)
  const context = jsonObject(jsonObject(extra ?? null, 'answer')['context'], 'context')
  const id = jsonString(context['decision_id'], 'decision_id')
  const event = by.report(agent, { id, salt: third.salt })
  const acted = await submit(event.text, event.beside)
  expect(acted.outcome.get(0)).toBe('matched')
  const reached = await submit(
    by.sign(by.owner, 'erasure', 'log', { entries: [acted.index], reason: 'error' }),
  )
  expect(reached.outcome.get(1)).toBe(2)
  await expect(submit(third.text, third.beside)).rejects.toMatchObject({ code: 'decision_spent' })
  for (const index of [at(allowed, 2).index, acted.index]) {
    expect(database.erasableValue(index, 0)).toBeUndefined()
  }

  const target = `inst:${root.principal}`
  const racing = Array.from({ length: 30 }, () => by.ask(agent))
  const halves = [racing.slice(0, 15), racing.slice(15)] as const
  const ask = (list: typeof racing) => list.map(({ text, beside }) => submit(text, beside))
  const before = ask(halves[0])
  const revoking = submit(
    by.sign(by.operator, 'agent.revoke', target, { target, reason: 'compromised' }),
  )
  const decided = await Promise.all([...before, ...ask(halves[1])])
  const { index } = await revoking
  for (const one of decided) {
    expect(one.outcome.get(0)).toBe(one.index < index ? 'allow' : 'deny')
  }

  await log.close()
  const report = await audit({
    database,
    headRecord,
    origin: ORIGIN,
    key: log.key,
    ...rules,
    folds: ALL_FOLDS,
    scratch: new MemoryStore(new Map()),
  })
  expect(report).toMatchObject({ ok: true, entries: log.head().size, erased: 3 })
})
