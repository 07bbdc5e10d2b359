/**
 * @module Rules of FORMAT §8 and §9.2, each broken once in a log, with valid signatures of whoever signs. Each makes a lineage,
 * and a bundle of evidence, that is refused with the same code.
 */
import { toBase64url } from '../bytes.ts'
import type { ProofErrorCode } from '../errors.ts'
import type { JsonObject } from '../json.ts'
import { parseScope } from '../scope.ts'
import { nameOf } from './generate-certificate.ts'
import { seeded } from './generate-keys.ts'
import { CHILD_ID, people, ROOT_ID, SERVICE, START_MS, type StoryTweaks } from './generate-plot.ts'

/** A rule that is broken in the log itself. */
export type BrokenRule = readonly [
  name: string,
  expect: ProofErrorCode,
  description: string,
  tweaks: StoryTweaks,
]

const DAY_S = 86_400

export const END_MS: number = START_MS + 3_605_000

export const MALLORY: string = `owner:${people.mallory.kid}`

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

export function payload(step: 'root' | 'child', patch: JsonObject): StoryTweaks {
  return { payload: { [step]: patch } }
}
