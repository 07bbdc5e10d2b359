/**
 * Goal: the shipped policy, through the host, decides as policies/README.md says, and reads scopes as the proof kit
 * does. Method: the product's own examples with one change each; random grants and actions against the kit.
 * policies/gate_test.rego has the rules in detail.
 */
import { canonicalJson, parseJson } from '@trustwarden/proofs'
import type { JsonObject } from '@trustwarden/proofs'
import fc from 'fast-check'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { covers, parseAction, parseScope, canonicalScope } from '../../proofs/scope.ts'
import { readDefaultPolicy } from '../../src/gate/default-policy.ts'
import { decodePolicy, encodePolicy } from '../../src/gate/policy-pack.ts'
import { GateInput } from '../../src/gate/gate-input.ts'
import { DENIES_NOTHING_KNOWN, PolicyHost } from '../../src/gate/policy-host.ts'

const READER = 'spiffe://example.org/finance/reader'
const SELF = `${READER}/inst-a1b2c`
const REQUEST = {
  agent: {
    identity: READER,
    instance: SELF,
    owner: 'owner:k',
    depth: 0,
    verified_by: 'agent_signature',
  },
  chain: [{ instance: SELF, scope: ['read:transactions', 'write:reports'] }],
  action: 'read:transactions',
  action_properties: {},
  resource: { type: 'table', id: 'postgres://finance-db/transactions', properties: {} },
  context: {},
  approvals: [],
  now_ms: 1_700_000_000_000,
  state_size: 42,
}
const policy = decodePolicy(encodePolicy(readDefaultPolicy()))
const limits = { workers: 1, deadlineMs: 1000 }
let host: PolicyHost

beforeAll(async () => {
  const selfTest = [
    DENIES_NOTHING_KNOWN,
    { input: canonicalJson(REQUEST), effect: 'allow' as const },
  ]
  host = await PolicyHost.load({ ...policy, ...limits, selfTest })
})
afterAll(() => host.close())

const decide = (changes: JsonObject, by = host) =>
  by.evaluate(GateInput.read(canonicalJson({ ...REQUEST, ...changes })))

test('what the chain covers is allowed', async () => {
  const allow = { effect: 'allow', reasons: [], obligations: [], reproducible: true }
  expect(await decide({})).toEqual({ ...allow, matched: ['chain-scope'] })
  expect(await decide({ action: 'write:reports' })).toMatchObject(allow)
})

test.each<readonly [string, JsonObject]>([
  ['scope_not_in_chain', { action: 'delete:transactions' }],
  ['identity_unverified', { agent: { ...REQUEST.agent, verified_by: 'nobody' } }],
  ['chain_mismatch', { agent: { ...REQUEST.agent, instance: `${READER}/inst-other` } }],
  ['resource_not_normal', { resource: { ...REQUEST.resource, id: 'postgres://a/../b' } }],
])('%s is a denial', async (reason, changes) => {
  expect(await decide(changes)).toMatchObject({ effect: 'deny', reasons: [reason] })
})

test('rules of other data are followed', async () => {
  const shipped = parseJson(policy.data) as JsonObject
  const data = canonicalJson({
    ...shipped,
    deny_rules: [{ name: 'frozen', resources: ['postgres://hr-db/**'] }],
    approval_rules: [{ name: 'large', actions: ['write:**'], over: 1000 }],
  })
  const ruled = await PolicyHost.load({ ...policy, ...limits, data, selfTest: [] })
  try {
    const salaries = { ...REQUEST.resource, id: 'postgres://hr-db/salaries' }
    expect((await decide({ resource: salaries }, ruled)).reasons).toEqual(['frozen'])
    const amount = (properties: JsonObject) =>
      decide({ action: 'write:reports', resource: { ...REQUEST.resource, properties } }, ruled)
    expect((await amount({ amount: 1000 })).effect).toBe('allow')
    expect(await amount({ amount: 1001 })).toMatchObject({
      effect: 'require_approval',
      reasons: ['large'],
    })
    const ofAction = await decide(
      { action: 'write:reports', action_properties: { amount: 1000 } },
      ruled,
    )
    expect(ofAction.effect).toBe('allow')
    expect((await amount({})).effect).toBe('require_approval')
    expect((await amount({ amount: -1 })).effect).toBe('require_approval')
  } finally {
    await ruled.close()
  }
})

test('data with a misspelt rule denies everything', async () => {
  const data = canonicalJson({
    ...(parseJson(policy.data) as JsonObject),
    deny_rules: [{ name: 'frozen', resource: ['postgres://hr-db/**'] }],
  })
  const ruled = await PolicyHost.load({ ...policy, ...limits, data, selfTest: [] })
  try {
    const verdict = await decide({}, ruled)
    expect(verdict.effect).toBe('deny')
    expect(verdict.reasons).toContain('policy_data_malformed')
  } finally {
    await ruled.close()
  }
})

const word = fc.constantFrom('a', 'b', 'ab', 'a.b')
const action = fc
  .tuple(word, fc.array(word, { minLength: 1, maxLength: 4 }))
  .map(([verb, path]) => `${verb}:${path.join('/')}`)
const grant = fc
  .tuple(
    fc.oneof(word, fc.constant('*')),
    fc.array(fc.oneof(word, fc.constant('*')), { maxLength: 3 }),
    fc.constantFrom('**', 'a', '*'),
  )
  .map(([verb, path, last]) => `${verb}:${[...path, last].join('/')}`)

test('scopes denote what they denote for the proof kit', async () => {
  const scope = fc.array(grant, { minLength: 1, maxLength: 3 }).map(canonicalScope)
  await fc.assert(
    fc.asyncProperty(
      fc.array(scope, { minLength: 1, maxLength: 3 }),
      action,
      async (links, wish) => {
        const chain = links.map((grants, at) => ({
          instance: at === links.length - 1 ? SELF : `${READER}/inst-${at}`,
          scope: grants,
        }))
        const agent = { ...REQUEST.agent, depth: links.length - 1 }
        const verdict = await decide({ agent, chain, action: wish })
        const covered = links.every((grants) => covers(parseScope(grants), parseAction(wish)))
        expect(verdict.reasons).toEqual(covered ? [] : ['scope_not_in_chain'])
      },
    ),
    { numRuns: 500 },
  )
})

test('the largest chain that may be asked for is decided in time', async () => {
  const scope = Array.from({ length: 64 }, (_, at) => `read:a/b/c/d/e/f/g/${at}`)
  const chain = Array.from({ length: 9 }, (_, at) => ({
    instance: at === 8 ? SELF : `${READER}/inst-${at}`,
    scope: [...scope, 'read:transactions'].slice(-64),
  }))
  const verdict = await decide({ agent: { ...REQUEST.agent, depth: 8 }, chain })
  expect(verdict.effect).toBe('allow')
})
