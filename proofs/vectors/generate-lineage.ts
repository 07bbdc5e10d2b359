/**
 * @module Vectors of delegation: the right story, and every rule of FORMAT §8 and §9.2 broken once, with valid signatures
 * of whoever signs. Each is a lineage, and the same log makes a bundle of evidence that is refused with the same code.
 */
import { toBase64url, toHex, utf8Decode } from '../bytes.ts'
import type { ProofErrorCode } from '../errors.ts'
import { type JsonObject, jsonString } from '../json.ts'
import { formatLineage } from '../lineage.ts'
import { parseScope } from '../scope.ts'
import { nameOf } from './generate-certificate.ts'
import type { VectorCase } from './generate-cases.ts'
import { seeded } from './generate-keys.ts'
import {
  CHILD_ID,
  people,
  ROOT_ID,
  SERVICE,
  START_MS,
  type Story,
  type StoryTweaks,
  TRUST_DOMAIN,
} from './generate-plot.ts'
import { anchorOf, tellStory } from './generate-story.ts'

/** A rule that is broken in the log itself. */
export type BrokenRule = readonly [
  name: string,
  expect: ProofErrorCode,
  description: string,
  tweaks: StoryTweaks,
]

const DAY_S = 86_400
const END_MS = START_MS + 3_605_000
const MALLORY = `owner:${people.mallory.kid}`
const WRONG = toBase64url(seeded('wrong'))

/** Rules of FORMAT §8 and §9.2, each broken once. */
export const BROKEN_RULES: readonly BrokenRule[] = [
  [
    'child-record-by-service',
    'claim_invalid',
    'the service signs for the parent, in its own name',
    {
      signer: { child: people.service },
      header: { child: { iss: SERVICE, seq: null } },
      outcome: { child: [[15, undefined]] },
    },
  ],
  [
    'child-record-signature',
    'signature_invalid',
    "the parent's key id, the signature of another key",
    { signer: { child: { ...people.root, sign: people.mallory.sign } } },
  ],
  [
    'root-record-signature',
    'signature_invalid',
    "the owner's key id, the signature of the service",
    { signer: { root: { ...people.owner, sign: people.service.sign } } },
  ],
  [
    'root-of-other-owner',
    'lineage_broken',
    'an owner of the service',
    {
      signer: { root: people.mallory },
      header: { root: { iss: MALLORY } },
      payload: { root: { owner: MALLORY } },
      draft: {
        root: {
          subjects: [`inst:${ROOT_ID}`, 'agent:spiffe://example.com/finance/orchestrator', MALLORY],
        },
      },
    },
  ],
  [
    'scope-equal',
    'scope_not_contained',
    "the child's scope is its parent's",
    payload('child', { scope: ['read:transactions', 'write:reports'] }),
  ],
  [
    'scope-wider',
    'scope_not_contained',
    'a grant that the parent has not',
    payload('child', { scope: ['read:accounts', 'read:transactions'] }),
  ],
  [
    'scope-equal-as-a-union',
    'scope_not_contained',
    'another spelling of the same scope',
    { payload: { root: { scope: ['read:x/**'] }, child: { scope: ['read:x', 'read:x/*/**'] } } },
  ],
  [
    'child-record-by-other-key',
    'key_mismatch',
    'a key that is not the parent',
    { signer: { child: people.mallory } },
  ],
  [
    'child-record-by-other-key-named',
    'lineage_broken',
    'a key that is not the parent, named in the record',
    {
      signer: { child: people.mallory },
      payload: { child: { parent: { instance: ROOT_ID, key: people.mallory.kid, record: WRONG } } },
    },
  ],
  [
    'root-record-by-service',
    'key_mismatch',
    'the service signs as the owner',
    { signer: { root: people.service } },
  ],
  [
    'name-outside-may-create',
    'delegation_invalid',
    'a name that the parent may not create',
    payload('root', { may_create: ['finance/other/**'] }),
  ],
  [
    'may-create-wider',
    'delegation_invalid',
    'patterns that the parent has not',
    payload('child', { may_create: ['finance/**'] }),
  ],
  [
    'depth-over-max',
    'delegation_invalid',
    'the parent may have no children',
    payload('root', { max_depth: 0 }),
  ],
  [
    'max-depth-over-parent',
    'delegation_invalid',
    'more levels than the parent has',
    payload('child', { max_depth: 3 }),
  ],
  ['max-depth-over-limit', 'delegation_invalid', 'nine levels', payload('root', { max_depth: 9 })],
  [
    'ceiling-over-parent',
    'delegation_invalid',
    'a life beyond the parent',
    payload('root', { ceiling: START_MS / 1000 + DAY_S }),
  ],
  [
    'ceiling-over-30-days',
    'delegation_invalid',
    'a life of 31 days',
    payload('root', { ceiling: START_MS / 1000 + 31 * DAY_S }),
  ],
  ['ttl-short', 'delegation_invalid', '59 seconds', payload('root', { ttl: 59 })],
  ['ttl-long', 'delegation_invalid', 'a day and a second', payload('root', { ttl: DAY_S + 1 })],
  [
    'size-ahead',
    'delegation_invalid',
    'a size that the log had not',
    payload('root', { size: 100 }),
  ],
  [
    'parent-record-other',
    'lineage_broken',
    "the digest of another record than the parent's",
    payload('child', { parent: { instance: ROOT_ID, key: people.root.kid, record: WRONG } }),
  ],
  [
    'authorization-other',
    'lineage_broken',
    'the digest of another record at depth 0',
    payload('child', { authorization: WRONG }),
  ],
  [
    'trust-domain-other',
    'spiffe_id_invalid',
    'a record of another trust domain',
    payload('root', { trust_domain: 'example.org' }),
  ],
  [
    'iat-early',
    'claim_invalid',
    'signed an hour before',
    { header: { root: { iat: START_MS / 1000 - 3600 } } },
  ],
  [
    'aud-other',
    'audience_mismatch',
    'a record for another log',
    { header: { child: { aud: 'log.example/logs/other' } } },
  ],
  [
    'child-key-of-parent',
    'delegation_invalid',
    'one key for two agents',
    {
      payload: { child: { child: { instance: CHILD_ID, key: people.root.kid, csr: WRONG } } },
      certificate: { child: { spki: people.root.spki } },
    },
  ],
  [
    'certificate-of-other-key',
    'key_mismatch',
    'the authority binds a key of its own',
    { certificate: { child: { spki: people.mallory.spki } } },
  ],
  [
    'certificate-of-other-instance',
    'certificate_invalid',
    'the certificate of somebody else',
    {
      certificate: {
        child: { uri: 'spiffe://example.com/finance/orchestrator/fetcher/inst-ccccc' },
      },
    },
  ],
  [
    'certificate-by-other-authority',
    'certificate_untrusted',
    'signed by a key that is no root',
    { certificate: { child: { issuerKey: people.mallory } } },
  ],
  [
    'certificate-over-parent',
    'certificate_invalid',
    'ends a second after its parent',
    { certificate: { child: { notAfterMs: END_MS + 1000 } } },
  ],
  [
    'certificate-before-parent',
    'certificate_invalid',
    'begins before its parent',
    { certificate: { child: { notBeforeMs: START_MS - 60_000 } } },
  ],
  [
    'certificate-over-ttl',
    'certificate_invalid',
    'ends after the ttl',
    { certificate: { root: { notAfterMs: END_MS + 60_000 } } },
  ],
  [
    'certificate-over-ceiling',
    'certificate_invalid',
    'ends after the ceiling',
    {
      payload: {
        root: { ceiling: START_MS / 1000 + 1800 },
        child: { ceiling: START_MS / 1000 + 1800 },
      },
    },
  ],
  [
    'certificate-short',
    'delegation_invalid',
    'half a minute left',
    {
      certificate: {
        root: { notAfterMs: START_MS + 35_000 },
        child: { notAfterMs: START_MS + 35_000 },
      },
    },
  ],
  [
    'certificate-over-root',
    'certificate_expired',
    'ends after the root of the authority',
    { root: { notAfterMs: START_MS + 1_800_000 } },
  ],
  [
    'certificate-with-subject',
    'certificate_invalid',
    'a subject',
    { certificate: { child: { subject: nameOf('fetcher') } } },
  ],
  [
    'certificate-without-purposes',
    'certificate_invalid',
    'no extendedKeyUsage',
    { certificate: { child: { extendedKeyUsage: false } } },
  ],
  [
    'certificate-without-key-id',
    'certificate_invalid',
    'no subjectKeyIdentifier',
    { certificate: { child: { subjectKeyId: false } } },
  ],
  [
    'extension-missing',
    'certificate_invalid',
    'no extension of §8.2',
    { certificate: { child: { delegation: null } } },
  ],
  [
    'extension-critical',
    'certificate_invalid',
    'a critical extension of §8.2',
    { certificate: { child: { delegationCritical: true } } },
  ],
  [
    'extension-of-other-record',
    'certificate_invalid',
    'the digest of another record',
    { extension: { child: { recordDigest: seeded('wrong') } } },
  ],
  [
    'extension-of-other-owner',
    'certificate_invalid',
    'another owner',
    { extension: { child: { owner: `owner:${people.otherOwner.kid}` } } },
  ],
  [
    'extension-of-other-log',
    'certificate_invalid',
    'another log',
    { extension: { child: { origin: 'log.example/logs/other' } } },
  ],
  [
    'extension-of-other-size',
    'certificate_invalid',
    'another size',
    { extension: { child: { size: 1 } } },
  ],
  [
    'extension-of-other-scope',
    'certificate_invalid',
    'a wider scope than the record',
    { extension: { child: { scope: parseScope(['*:**']) } } },
  ],
  [
    'extension-of-other-ancestors',
    'certificate_invalid',
    'another ancestor',
    { extension: { child: { ancestors: [{ instance: ROOT_ID, size: 1 }] } } },
  ],
  [
    'extension-of-other-depth',
    'certificate_invalid',
    'no ancestor',
    { extension: { child: { depth: 0, ancestors: [] } } },
  ],
  [
    'extension-of-other-instance',
    'certificate_invalid',
    'an ancestor of another name',
    {
      extension: {
        child: { ancestors: [{ instance: 'spiffe://example.com/a/inst-aaaaa', size: 5 }] },
      },
    },
  ],
  [
    'issued-after-parent-expired',
    'certificate_expired',
    "issued when the parent's certificate had ended",
    {
      delay: { child: 3_700_000 },
      certificate: { child: { notBeforeMs: END_MS - 1000, notAfterMs: END_MS } },
    },
  ],
  [
    'recorded-end-other',
    'outcome_mismatch',
    'the entry says another end than the certificate',
    { outcome: { child: [[1, END_MS - 1000]] }, draft: {} },
  ],
]

function payload(step: 'root' | 'child', patch: JsonObject): StoryTweaks {
  return { payload: { [step]: patch } }
}

/** All of them. */
export function lineageCases(): readonly VectorCase[] {
  const story = tellStory()
  const right = lineageOf(story)
  const text = jsonString(right['lineage'], 'lineage')
  const self = story.indexes.get('child') ?? 0
  const bare = (indexes: readonly number[]): string =>
    utf8Decode(formatLineage({ receipts: indexes.map((index) => story.log.receipt(index)) }))
  const root = story.indexes.get('root') ?? 0
  const swapped = tellStory({ certificate: { child: { notAfterMs: END_MS - 60_000 } } })
  const other = tellStory({ origin: 'log.example/logs/other' })
  const rows: readonly (readonly [string, VectorCase['expect'], string, JsonObject])[] = [
    ['ok', 'ok', 'the fetcher, from the owner down', right],
    [
      'ok-depth-0',
      'ok',
      'the orchestrator alone',
      { ...right, lineage: bare([root]), certificate: certificateOf(story, 'root') },
    ],
    [
      'receipts-missing',
      'issuance_unproven',
      'no receipts at all',
      { ...right, lineage: bare([]) },
    ],
    [
      'parent-missing',
      'issuance_unproven',
      'no receipt of the parent',
      { ...right, lineage: bare([self]) },
    ],
    [
      'self-missing',
      'issuance_unproven',
      'no receipt of the agent itself',
      { ...right, lineage: bare([root]) },
    ],
    [
      'self-twice',
      'issuance_unproven',
      'the last twice',
      { ...right, lineage: bare([root, self, self]) },
    ],
    [
      'shuffled',
      'issuance_unproven',
      'self before root',
      { ...right, lineage: bare([self, root]) },
    ],
    [
      'of-other-kind',
      'issuance_unproven',
      'the receipt of an enrolment',
      { ...right, lineage: bare([story.indexes.get('owner') ?? 0, self]) },
    ],
    [
      'certificate-swapped',
      'issuance_unproven',
      'another certificate of the same key and authority',
      { ...right, certificate: certificateOf(swapped, 'child') },
    ],
    [
      'expired',
      'certificate_expired',
      'two hours later',
      { ...right, at_ms: START_MS + 7_200_000 },
    ],
    ['before', 'certificate_expired', 'an hour before', { ...right, at_ms: START_MS - 3_600_000 }],
    [
      'owner-other',
      'lineage_broken',
      'the enrolment of another owner',
      { ...right, owner: { key: toHex(people.otherOwner.spki), patterns: ['**'] } },
    ],
    [
      'owner-patterns-other',
      'delegation_invalid',
      'an owner of other names',
      { ...right, owner: { key: toHex(people.owner.spki), patterns: ['legal/**'] } },
    ],
    [
      'trust-domain-expected-other',
      'spiffe_id_invalid',
      'another trust domain expected',
      { ...right, trust_domain: 'example.org' },
    ],
    [
      'roots-other',
      'trust_mismatch',
      'roots that the anchor does not name',
      {
        ...right,
        roots: [
          toHex(tellStory({ root: { notAfterMs: START_MS + 400 * 86_400_000 } }).rootCertificate),
        ],
      },
    ],
    [
      'log-not-trusted',
      'origin_mismatch',
      'the trust of another log',
      { ...right, trust: anchorOf(other) },
    ],
    [
      'receipts-of-other-log',
      'origin_mismatch',
      'receipts of another log',
      { ...right, lineage: lineageOf(other)['lineage'] ?? '' },
    ],
    [
      'format-other',
      'version_unknown',
      'version 2',
      { ...right, lineage: text.replace('lineage/1', 'lineage/2') },
    ],
    [
      'member-unknown',
      'malformed',
      'a member that is not listed',
      { ...right, lineage: text.replace('{', '{"note":1,') },
    ],
    [
      'too-many',
      'too_large',
      'ten receipts',
      {
        ...right,
        lineage: text.replace(
          /"receipts":\[(.*)\]/s,
          (_, list: string) => `"receipts":[${Array.from({ length: 5 }, () => list).join(',')}]`,
        ),
      },
    ],
    [
      'depth-wrong',
      'issuance_unproven',
      'depth 2 below depth 0',
      lineageOf(tellStory(payload('child', { depth: 2 }))),
    ],
    [
      'child-of-other-owner',
      'lineage_broken',
      'the child has another owner than its parent',
      lineageOf(tellStory(payload('child', { owner: MALLORY }))),
    ],
    ...BROKEN_RULES.map(
      ([name, expect, description, tweaks]) =>
        [name, expect, description, lineageOf(tellStory(tweaks))] as const,
    ),
  ]
  return rows.map(([name, expect, description, input]) => ({
    folder: 'lineage',
    name,
    description,
    specification: 'FORMAT §8, §9',
    input,
    expect,
  }))
}

/** The lineage of a story's fetcher, with all that it is held to. */
export function lineageOf(story: Story): JsonObject {
  const { log, indexes } = story
  const receipts = [indexes.get('root'), indexes.get('child')].map((index) =>
    log.receipt(index ?? 0),
  )
  return {
    certificate: certificateOf(story, 'child'),
    lineage: utf8Decode(formatLineage({ receipts })),
    trust: anchorOf(story),
    origin: log.origin,
    trust_domain: TRUST_DOMAIN,
    roots: [toHex(story.rootCertificate)],
    owner: { key: toHex(people.owner.spki), patterns: ['finance/**'] },
    at_ms: story.timeMs,
  }
}

function certificateOf(story: Story, name: 'root' | 'child'): string {
  return toHex(story.records.get(name)?.der ?? new Uint8Array())
}
