/**
 * Goal: of the policies that entries activate, an audit from outside names one that no gate could run, or that calls
 * itself another than its activation says. Method: entries that name such policies, which no honest service registers,
 * and a reader that hands them out under their digests.
 */
import { encodeEntry, toBase64url, utf8Encode } from '@trustwarden/proofs'
import { expect, test } from 'vitest'
import { RangePolicies } from '../../src/cli/audit-policies.ts'
import { readDefaultPolicy } from '../../src/gate/default-policy.ts'
import { encodePolicy, policyDigest } from '../../src/gate/policy-pack.ts'
import { Difference } from '../../src/ledger/audit-difference.ts'
import { RuleLog } from '../support/rule-harness.ts'

const right = readDefaultPolicy()

async function check(pack: Uint8Array, revision: string, range = { from: 0, to: 100 }) {
  const log = await RuleLog.create()
  const policy = toBase64url(policyDigest(pack))
  const text = log.sign(log.operator, 'policy.activate', 'policy', { policy, revision })
  const [index, asked] = [7, [] as string[]]
  const entry = encodeEntry({
    index,
    kind: 'policy.activate',
    timeMs: log.nowMs,
    media: 'application/jose',
    statement: utf8Encode(text),
    prepared: new Map([[0, 7]]),
    outcome: new Map<number, string | number>([
      [0, 'effective'],
      [1, 1],
      [2, 1],
    ]),
    links: [
      { subject: 'policy', seq: 1, previous: { index: 3, leafHash: new Uint8Array(32) } },
      { subject: 'log', seq: 7, previous: { index: 6, leafHash: new Uint8Array(32) } },
    ],
  })
  await log.close()
  const policies = new RangePolicies(range)
  policies.note(index, [entry])
  const pinned = (digest: string): Promise<Uint8Array> => {
    asked.push(digest)
    return Promise.resolve(pack)
  }
  const found = await policies.check({ pinned }).catch((thrown: unknown) => {
    if (!(thrown instanceof Difference)) throw thrown
    const { check: what, index: at, message } = thrown.difference
    return [what, at, message]
  })
  return { found, asked: asked.length }
}

test('a sound policy is fetched once and loaded; none outside of the range is', async () => {
  const pack = encodePolicy(right)
  expect(await check(pack, right.revision)).toEqual({ found: 1, asked: 1 })
  for (const range of [
    { from: 0, to: 7 },
    { from: 8, to: 100 },
  ])
    expect(await check(pack, right.revision, range)).toEqual({ found: 0, asked: 0 })
})

test.each<[string, Uint8Array, string, RegExp]>([
  ['another revision', encodePolicy(right), 'another', /revision/],
  [
    'a module that is none',
    encodePolicy({ ...right, wasm: Uint8Array.of(1, 2, 3) }),
    right.revision,
    /not a WebAssembly module/,
  ],
  ['bytes that are no policy', Uint8Array.of(0xa0), right.revision, /policy that it activates/],
])('%s is named, with the entry', async (_, pack, revision, message) => {
  expect((await check(pack, revision)).found).toEqual(['pinned', 7, expect.stringMatching(message)])
})
