/**
 * Goal: a bundle passes only if every step from the action to the owner is there and recomputes; and the report says what
 * was shown and what was not. Method: all vectors of evidence, those that are not written down too, run in
 * vectors.test.ts; here the report of the right bundle, flipped bits (a sample: evidence.slow.test.ts flips all),
 * attacks by whoever holds every key of the service, and the selection of a bundle's entries.
 */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { utf8Decode, utf8Encode } from '../../proofs/bytes.ts'
import { ProofError } from '../../proofs/errors.ts'
import { formatEvidence, parseEvidence } from '../../proofs/evidence-bundle.ts'
import type { EvidenceReport } from '../../proofs/evidence-report.ts'
import { verifyEvidence } from '../../proofs/evidence.ts'
import { jsonString } from '../../proofs/json.ts'
import { parseTrust } from '../../proofs/trust.ts'
import { edit, make, signedBy } from '../../proofs/vectors/generate-bundle.ts'
import { evidenceCases } from '../../proofs/vectors/generate-evidence.ts'
import {
  ACTION_DISCLOSURES,
  actionPayload,
  CHILD_ID,
  OPERATOR,
  OWNER,
  people,
  ROOT_ID,
  SERVICE,
  START_MS,
  type StoryTweaks,
} from '../../proofs/vectors/generate-plot.ts'
import { anchorOf, bundleOf, tellStory } from '../../proofs/vectors/generate-story.ts'
import { nativePrimitives as p } from '../../src/crypto.ts'
import { evidenceMutants } from '../support/evidence-mutants.ts'
import { codeOf } from '../support/proof-code.ts'

const story = tellStory()
const trust = parseTrust(p, utf8Encode(anchorOf(story)))
const right = bundleOf(story)
const codeFor = (bytes: Uint8Array | string, trusted = trust) =>
  codeOf(() => verifyEvidence(p, typeof bytes === 'string' ? utf8Encode(bytes) : bytes, trusted))

const evidenceRows = evidenceCases()

function reportOf(name: string): EvidenceReport {
  const found = evidenceRows.find((one) => one.name === name)
  if (found === undefined) throw new Error(`no vector ${name}`)
  const trusted = parseTrust(p, utf8Encode(jsonString(found.input['trust'], name)))
  return verifyEvidence(p, utf8Encode(jsonString(found.input['evidence'], name)), trusted)
}

describe('verifyEvidence', () => {
  test('reports which agent, by whose authority, and how it is stopped', () => {
    const report = verifyEvidence(p, right, trust)
    expect(report).toMatchObject({
      origin: story.log.origin,
      trustDomain: 'example.com',
      development: false,
      head: { size: 10, cosigned: false },
      authorized: true,
      agent: 'spiffe://example.com/finance/orchestrator/fetcher',
      instance: CHILD_ID,
      scope: ['read:transactions'],
      owner: { principal: OWNER, patterns: ['finance/**'], index: 3, signers: [SERVICE] },
      chain: [
        {
          instance: ROOT_ID,
          depth: 0,
          signedBy: OWNER,
          index: 5,
          notAfterMs: START_MS + 3_605_000,
        },
        { instance: CHILD_ID, depth: 1, signedBy: ROOT_ID, index: 6 },
      ],
      action: {
        index: 8,
        action: 'read:transactions',
        verdict: 'matched',
        disclosures: 'shown',
        disclosed: { details: { rows: 42 } },
      },
      decision: { index: 7, instance: CHILD_ID, effect: 'allow', disclosures: 'shown' },
      policy: { index: 4, revision: 'default-1', signers: [SERVICE] },
      revocations: [],
      unknownKinds: [],
    })
    expect(report.steps.every(({ ok }) => ok)).toBe(true)
    expect(JSON.parse(JSON.stringify(report))).toEqual(report)
  })

  test('gives the same report with the keys of the trust file', () => {
    const [log] = trust.logs
    const file = { format: 'trustwarden-trust/1', logs: [{ anchor: anchorOf(story) }] }
    expect(log?.origin).toBe(story.log.origin)
    const trusted = parseTrust(p, utf8Encode(JSON.stringify(file)))
    expect(verifyEvidence(p, right, trusted)).toEqual(verifyEvidence(p, right, trust))
  })

  test('says what is wrong about an action without a decision, and walks its chain all the same', () => {
    const tweaks: StoryTweaks = {
      payload: { action: { decision: null, action_digest: null } },
      outcome: {
        action: [
          [0, 'absent'],
          [1, undefined],
        ],
      },
    }
    const { story: told, text } = make(tweaks, ['decision', 'policy'])
    const report = verifyEvidence(p, utf8Encode(text), parseTrust(p, utf8Encode(anchorOf(told))))
    expect(report).toMatchObject({ authorized: false, decision: null, policy: null })
    expect(report.chain).toHaveLength(2)
    expect(report.steps).toContainEqual({
      name: 'verdict',
      ok: false,
      detail: 'absent',
      index: 8,
    })
  })

  test('says of an action that commits to nothing that nothing was disclosed', () => {
    const { _sd, _sd_alg, ...payload } = actionPayload({ ...story, timeMs: START_MS }, 'event-1')
    expect([_sd, _sd_alg]).not.toContain(undefined)
    const made = make(
      {
        outcome: {
          action: [
            [0, 'absent'],
            [1, undefined],
          ],
        },
        draft: { action: { payload: { ...payload, decision: null, action_digest: null } } },
      },
      ['decision', 'policy'],
    )
    const { text } = edit(made, (bundle) => delete bundle.disclosures['8'])
    const trusted = parseTrust(p, utf8Encode(anchorOf(made.story)))
    const { action, steps } = verifyEvidence(p, utf8Encode(text), trusted)
    expect(action).toMatchObject({ verdict: 'absent', disclosures: 'none', disclosed: {} })
    expect(steps.filter(({ ok }) => !ok).map(({ name }) => name)).toEqual(['verdict'])
  })

  test('says of each thing that it lacks that it was not shown', () => {
    const withheld = edit({ story, text: utf8Decode(right) }, (bundle) => {
      bundle.disclosures = {}
    })
    const full = verifyEvidence(p, right, trust)
    const report = verifyEvidence(p, utf8Encode(withheld.text), trust)
    expect(full.recordedNotProven).toEqual([
      'no_revocation',
      'single_use',
      'policy_active',
      'decision_unique',
    ])
    expect(report.action).toMatchObject({ disclosures: 'withheld', disclosed: {} })
    expect(report.notShown.length).toBe(full.notShown.length + 1)
  })

  test.each([
    ['ok-absent', []],
    ['ok-absent-id-unknown', ['decision_absent']],
    ['ok-spent', ['policy_active', 'decision_unique']],
    ['ok-spent-not-shown', ['policy_active', 'decision_unique', 'spent']],
    ['ok-mismatched-instance', ['policy_active', 'decision_unique']],
    ['ok-denied', ['policy_active', 'decision_unique']],
    ['ok-late', ['single_use', 'policy_active', 'decision_unique']],
    ['ok-denied-revoked-not-shown', ['policy_active', 'decision_unique', 'revoked']],
    ['ok-denied-revoked', ['policy_active', 'decision_unique']],
  ])('lists what only the log says: %s', (name, words) => {
    const { recordedNotProven } = reportOf(name)
    expect(recordedNotProven).toEqual(['no_revocation', ...words])
  })

  test.each([
    ['ok-revoked-instance-by-operator', ['single_use', 'policy_active', 'decision_unique']],
    ['ok-revoked-not-shown', ['single_use', 'policy_active', 'decision_unique', 'revoked']],
  ])('does not say that nothing was revoked where something was: %s', (name, words) => {
    expect(reportOf(name).recordedNotProven).toEqual(words)
  })

  test('every vector that holds lists its notes, and none that does not holds', () => {
    for (const { name, input, expect: expected } of evidenceRows) {
      if (expected !== 'ok') continue
      const trusted = parseTrust(p, utf8Encode(jsonString(input['trust'], 'trust')))
      const report = verifyEvidence(
        p,
        utf8Encode(jsonString(input['evidence'], 'evidence')),
        trusted,
      )
      expect(report.authorized, name).toBe(input['verdict'] === 'matched')
      expect(report.notShown.length, name).toBeGreaterThanOrEqual(5)
    }
  })
})

describe('a changed bundle', () => {
  test('is refused for a sample of its flipped bits, with a ProofError and nothing else', () => {
    const accepted: string[] = []
    let count = 0
    for (const { where, bytes } of evidenceMutants(right, 211)) {
      count += 1
      if (codeFor(bytes) === 'accepted') accepted.push(where)
    }
    expect(count).toBeGreaterThan(500)
    expect(accepted).toEqual([])
  })

  test('is refused with a ProofError whatever it is', () => {
    const text = utf8Decode(right)
    fc.assert(
      fc.property(fc.nat(text.length), fc.nat(40), fc.string({ maxLength: 20 }), (at, cut, put) => {
        const bytes = utf8Encode(
          text.slice(0, at) + put.replace(/\p{Surrogate}/gu, '') + text.slice(at + cut),
        )
        try {
          verifyEvidence(p, bytes, trust)
        } catch (error) {
          expect(error).toBeInstanceOf(ProofError)
        }
      }),
    )
  })

  test('means the same with white space and members in another order: that is JSON', () => {
    const report = verifyEvidence(p, right, trust)
    const object = JSON.parse(utf8Decode(right)) as Record<string, unknown>
    const turned = Object.fromEntries(Object.entries(object).reverse())
    const bytes = utf8Encode(` ${JSON.stringify(turned, undefined, 2)}\n`)
    expect(verifyEvidence(p, bytes, trust)).toEqual(report)
  })

  test('without any one of its entries is refused', () => {
    const { entries } = parseEvidence(right)
    const made = { story, text: utf8Decode(right) }
    for (const at of entries.keys()) {
      const { text } = edit(made, (bundle) => {
        const [gone] = bundle.entries.splice(at, 1)
        delete bundle.disclosures[String(gone?.index)]
      })
      expect(codeFor(text)).not.toBe('accepted')
    }
  })

  test('with entries of another log in the place of its own is refused', () => {
    const other = JSON.parse(utf8Decode(bundleOf(tellStory({ origin: 'log.example/logs/b' }))))
    for (const at of parseEvidence(right).entries.keys()) {
      const { text } = edit({ story, text: utf8Decode(right) }, (bundle) => {
        bundle.entries[at] = other.entries[at]
      })
      expect(codeFor(text)).toBe('inclusion_mismatch')
    }
  })
})

describe('whoever has every key of the service, and no key of owner or agents', () => {
  // The attacker signs heads, certificates, enrolments that genesis names, and fills outcomes at will.
  const { mallory, service, child, root, owner } = people
  const forged: readonly (readonly [string, StoryTweaks])[] = [
    ['acts as the agent', { signer: { action: signedBy(child, mallory) } }],
    ['asks as the agent', { signer: { decision: signedBy(child, mallory) } }],
    ['asks and acts with a key of its own', { signer: { decision: mallory, action: mallory } }],
    [
      'binds a key of its own to the agent',
      {
        signer: { decision: mallory, action: mallory },
        certificate: { child: { spki: mallory.spki } },
      },
    ],
    ['delegates as the parent', { signer: { child: signedBy(root, mallory) } }],
    ['delegates as the owner', { signer: { root: signedBy(owner, service) } }],
    [
      'makes itself the owner',
      {
        signer: { root: mallory, owner: service },
        header: { root: { iss: `owner:${mallory.kid}` } },
      },
    ],
    ['widens the scope in the certificate', { asked: 'write:reports' }],
    ['lengthens a life', { certificate: { child: { notAfterMs: START_MS + 86_400_000 } } }],
    [
      'lengthens a permit',
      { outcome: { decision: [[2, START_MS + 86_400_000]] }, delay: { action: 60_000 } },
    ],
    [
      'says allow where the policy said deny',
      {
        verdict: { effect: 'deny', reasons: ['no'], matched: [], obligations: [] },
        outcome: {
          decision: [
            [0, 'allow'],
            [1, []],
            [2, START_MS + 37_000],
          ],
        },
      },
    ],
    ['says that another action matched', { done: 'read:transactions/2026' }],
  ]

  test.each(forged)('%s: refused', (_, tweaks) => {
    const { story: told, text } = make(tweaks)
    expect(codeFor(text, parseTrust(p, utf8Encode(anchorOf(told))))).not.toBe('accepted')
  })
})

describe('formatEvidence and parseEvidence', () => {
  test('give back the same', () => {
    const bundle = parseEvidence(right)
    expect(formatEvidence(bundle)).toEqual(right)
    expect(bundle.disclosures.get(8)).toEqual(ACTION_DISCLOSURES)
  })

  test('refuse a bundle that could not be read', () => {
    const bundle = parseEvidence(right)
    expect(codeOf(() => formatEvidence({ ...bundle, action: -1 }))).toBe('malformed')
    expect(codeOf(() => formatEvidence({ ...bundle, entries: [] }))).toBe('malformed')
    expect(OPERATOR).toContain('operator:')
  })
})
