/**
 * Goal: a lineage is accepted only if owner, every parent, the authority and the log each did their part, and the
 * agent presents the very certificate that was issued. Method: the story of the vectors told right and with each rule
 * broken by somebody who holds every other key (vectors/lineage); here what no file can say: records without receipts,
 * two histories, a chain of the greatest depth.
 */
import { describe, expect, test } from 'vitest'
import { fromHex, utf8Encode } from '../../proofs/bytes.ts'
import { decodeEntry } from '../../proofs/entry.ts'
import { jsonString } from '../../proofs/json.ts'
import { readIssuance } from '../../proofs/issuance.ts'
import {
  type BareLineage,
  formatLineage,
  type LineageExpectation,
  parseLineage,
  verifyLineage,
} from '../../proofs/lineage.ts'
import { MEDIA_COSE, MEDIA_JOSE } from '../../proofs/statement.ts'
import { lineageOf } from '../../proofs/vectors/generate-lineage.ts'
import { BROKEN_RULES } from '../../proofs/vectors/generate-rules.ts'
import {
  CHILD_ID,
  OWNER,
  people,
  ROOT_ID,
  START_MS,
  type Story,
  TRUST_DOMAIN,
} from '../../proofs/vectors/generate-plot.ts'
import { anchorOf, tellStory } from '../../proofs/vectors/generate-story.ts'
import { parseTrust } from '../../proofs/trust.ts'
import { nativePrimitives as p } from '../../src/crypto.ts'
import { bitFlips, codeOf } from '../support/proof-code.ts'

function expectation(story: Story, patch: Partial<LineageExpectation> = {}): LineageExpectation {
  const receipts = (['root', 'child'] as const).map((step) =>
    story.log.receipt(story.indexes.get(step) ?? -1),
  )
  return {
    certificate: story.records.get('child')?.der ?? new Uint8Array(),
    lineage: { receipts },
    trust: parseTrust(p, utf8Encode(anchorOf(story))),
    origin: story.log.origin,
    trustDomain: TRUST_DOMAIN,
    roots: [story.rootCertificate],
    owner: { key: people.owner.spki, patterns: ['finance/**'] },
    atMs: START_MS + 60_000,
    ...patch,
  }
}

function bare(story: Story): BareLineage {
  const records = (['root', 'child'] as const).map((step) => {
    const entry = decodeEntry(story.log.entries[story.indexes.get(step) ?? -1] ?? new Uint8Array())
    const { statement, certificate } = readIssuance(p, entry)
    return { statement: statement.bytes, media: statement.media, certificate: certificate.der }
  })
  return { records }
}

const CHILD_INST = `inst:${CHILD_ID}`
const ROOT_INST = `inst:${ROOT_ID}`
const CHILD_AGENT = `agent:${CHILD_ID.slice(0, CHILD_ID.lastIndexOf('/'))}`
const verifyCode = (expected: LineageExpectation) => codeOf(() => verifyLineage(p, expected))
const story = tellStory()

describe('verifyLineage', () => {
  test('says who the agent is, what it may do, and through whom', () => {
    expect(verifyLineage(p, expectation(story))).toEqual({
      instance: CHILD_ID,
      name: 'spiffe://example.com/finance/orchestrator/fetcher',
      owner: OWNER,
      depth: 1,
      key: people.child.spki,
      scope: ['read:transactions'],
      chain: [
        { instance: ROOT_ID, scope: ['read:transactions', 'write:reports'], index: 5 },
        { instance: CHILD_ID, scope: ['read:transactions'], index: 6 },
      ],
      notBeforeMs: START_MS - 4000,
      notAfterMs: START_MS + 3_605_000,
      proven: true,
    })
  })

  test('refuses records without receipts, unless they are allowed by name', () => {
    const lineage = bare(story)
    expect(verifyCode(expectation(story, { lineage }))).toBe('issuance_unproven')
    expect(verifyCode(expectation(story, { lineage, allowUnproven: false }))).toBe(
      'issuance_unproven',
    )
    const verified = verifyLineage(p, expectation(story, { lineage, allowUnproven: true }))
    expect(verified).toMatchObject({ instance: CHILD_ID, proven: false })
    expect(verified.chain.map(({ index }) => index)).toEqual([null, null])
  })

  test('reads records in either envelope, each as it says', () => {
    const mixed = tellStory({ draft: { root: { media: MEDIA_COSE } } })
    const { records } = bare(mixed)
    expect(records.map(({ media }) => media)).toEqual([MEDIA_COSE, MEDIA_JOSE])
    const unproven = { allowUnproven: true }
    expect(verifyCode(expectation(mixed, { lineage: { records }, ...unproven }))).toBe('accepted')
    const silent = records.map(({ statement, certificate }) => ({ statement, certificate }))
    const lineage = { records: silent }
    expect(verifyCode(expectation(mixed, { lineage, ...unproven }))).toBe('malformed')
  })

  test('holds records without receipts to every rule that needs no log', () => {
    const unseen = new Set([
      'ceiling-over-30-days',
      'size-ahead',
      'iat-early',
      'certificate-over-ttl',
    ])
    for (const name of ['certificate-short', 'issued-after-parent-expired', 'recorded-end-other']) {
      unseen.add(name)
    }
    for (const [name, code, , tweaks] of BROKEN_RULES) {
      const told = tellStory(tweaks)
      if (unseen.has(name) || codeOf(() => bare(told)) !== 'accepted') continue
      const lineage = bare(told)
      expect(verifyCode(expectation(told, { lineage, allowUnproven: true })), name).toBe(code)
    }
  })

  test('refuses an empty or overlong list of records', () => {
    const { records } = bare(story)
    const empty = expectation(story, { lineage: { records: [] }, allowUnproven: true })
    expect(verifyCode(empty)).toBe('issuance_unproven')
    const long = {
      records: Array.from({ length: 10 }, () => records)
        .flat()
        .slice(0, 10),
    }
    expect(verifyCode(expectation(story, { lineage: long, allowUnproven: true }))).toBe('too_large')
  })

  test('refuses receipts under two roots of one size', () => {
    const other = tellStory({ delay: { clock: 1 } })
    const [first] = expectation(story).lineage === undefined ? [] : [story.log.receipt(5)]
    const receipts = [first ?? story.log.receipt(5), other.log.receipt(6)]
    expect(verifyCode(expectation(story, { lineage: { receipts } }))).toBe('root_mismatch')
  })

  test('accepts receipts under heads of two sizes', () => {
    const longer = tellStory({
      before: { clock: (one) => void one.log.append(clockDraft(one)) },
    })
    const receipts = [story.log.receipt(5), longer.log.receipt(6)]
    expect(verifyLineage(p, expectation(story, { lineage: { receipts } })).proven).toBe(true)
  })

  test.each([
    ['without the parent', [CHILD_INST, CHILD_AGENT, OWNER]],
    ['of another name', [CHILD_INST, ROOT_INST, `${CHILD_AGENT}s`, OWNER]],
    ['of another owner', [CHILD_INST, ROOT_INST, CHILD_AGENT, `owner:${people.otherOwner.kid}`]],
    ['of the parent before the child', [ROOT_INST, CHILD_INST, CHILD_AGENT, OWNER]],
  ])('refuses an issuance with links %s', (_, subjects) => {
    const told = tellStory({ draft: { child: { subjects } } })
    expect(verifyCode(expectation(told))).toBe('chain_mismatch')
  })

  test('refuses a receipt of another trusted log', () => {
    const other = tellStory({ origin: 'log.example/logs/other' })
    const logs = [story, other].flatMap((told) => parseTrust(p, utf8Encode(anchorOf(told))).logs)
    const receipts = [5, 6].map((index) => other.log.receipt(index))
    const expected = expectation(story, { trust: { logs }, lineage: { receipts } })
    expect(verifyCode(expected)).toBe('origin_mismatch')
  })

  test('refuses the certificate presented with a flipped bit, every 29th of them', () => {
    const expected = expectation(story)
    for (const [bit, certificate] of [...bitFlips(expected.certificate)].entries()) {
      if (bit % 29 !== 0) continue
      expect(verifyCode({ ...expected, certificate })).toBe('issuance_unproven')
    }
  })

  test('with every key of the service and no owner’s or agent’s, nobody makes another lineage', () => {
    const { mallory } = people
    const forged = [
      // A new child under the parent's name: the record cannot be signed.
      { signer: { child: mallory } },
      // A parent of the attacker's: the owner did not sign it.
      { signer: { root: mallory, child: mallory }, certificate: { root: { spki: mallory.spki } } },
      // The right records, the attacker's keys in the certificates.
      { certificate: { root: { spki: mallory.spki }, child: { spki: mallory.spki } } },
      // A longer life than the record allows.
      { certificate: { child: { notAfterMs: START_MS + 40 * 86_400_000 } } },
    ]
    for (const tweaks of forged) {
      expect(verifyCode(expectation(tellStory(tweaks)))).not.toBe('accepted')
    }
  })

  test('the vectors and this test speak of the same story', () => {
    expect(fromHex(jsonString(lineageOf(story)['certificate'], 'certificate'))).toEqual(
      expectation(story).certificate,
    )
  })
})

describe('formatLineage and parseLineage', () => {
  test('give back the same', () => {
    const receipts = [5, 6].map((index) => story.log.receipt(index))
    expect(parseLineage(formatLineage({ receipts }))).toEqual({ receipts })
    const object = JSON.parse(new TextDecoder().decode(formatLineage({ receipts })))
    expect(parseLineage(object)).toEqual({ receipts })
  })

  test('refuse more than nine receipts', () => {
    const receipts = Array.from({ length: 10 }, () => story.log.receipt(5))
    expect(codeOf(() => formatLineage({ receipts }))).toBe('too_large')
  })
})

function clockDraft(one: Story) {
  return {
    kind: 'operator.clock',
    by: people.operator,
    header: { iss: `operator:${people.operator.kid}`, sub: 'log' },
    payload: { time_ms: one.timeMs },
    prepared: new Map(),
    outcome: new Map([[0, 'accepted']]),
    subjects: ['log'],
    timeMs: one.timeMs,
  }
}
