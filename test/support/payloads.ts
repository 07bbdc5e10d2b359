/** @module One right statement of every type, and how to make it wrong. */
import { toBase64url } from '../../proofs/bytes.ts'
import { actionDigest } from '../../proofs/decision.ts'
import { rotationInput } from '../../proofs/key-rotation.ts'
import { noblePrimitives as p } from '../../proofs/noble.ts'
import { formatVkey } from '../../proofs/note.ts'
import type { Statement } from '../../proofs/statement.ts'
import { nameOf, writeCertificate } from '../../proofs/vectors/generate-certificate.ts'
import type { CertificateDraft } from '../../proofs/vectors/generate-certificate.ts'
import { vectorKey } from '../../proofs/vectors/generate-keys.ts'
import { cosigner, logSigner, type NoteSigner } from './note-signer.ts'
import {
  CHILD,
  CHILD_NAME,
  commitmentsTo,
  digestOf,
  disclosure,
  type JsonRecord,
  ORIGIN,
  PARENT,
  patched,
  type Signer,
  signer,
  statement,
  TRUST_DOMAIN,
} from './statement-signer.ts'

export const service = signer('EdDSA', 11)
export const operator = signer('EdDSA', 12)
export const owner = signer('EdDSA', 13)
export const parent = signer('ES256', 14)
export const child = signer('ES256', 15)
export const fresh = signer('ES256', 16)
export const permitKey = signer('EdDSA', 17)
export const log = logSigner(ORIGIN, 18)
export const time = cosigner('log.example/time', 19, 1)

/** A root certificate of the trust domain, DER. */
export function authority(label: string, patch: Partial<CertificateDraft> = {}): Uint8Array {
  const issuerKey = vectorKey('ES256', label)
  return writeCertificate({
    uri: `spiffe://${TRUST_DOMAIN}`,
    spki: issuerKey.spki,
    notBeforeMs: 1_700_000_000_000,
    notAfterMs: 2_000_000_000_000,
    subject: nameOf(label),
    issuer: nameOf(label),
    issuerKey,
    issuerSpki: issuerKey.spki,
    isAuthority: true,
    extendedKeyUsage: false,
    subjectKeyId: true,
    delegation: null,
    delegationCritical: false,
    ...patch,
  })
}

export const CA: Uint8Array = authority('ca')

export const OWNER = `owner:${owner.kid}`
export const OPERATOR = `operator:${operator.kid}`
export const SERVICE = `service:${service.kid}`

const spki = (by: Signer): string => toBase64url(by.spki)

/** A statement of one type: who signs, about what, and what it says. */
export interface Sample {
  readonly by: Signer
  readonly type: string
  readonly iss: string
  readonly sub: string
  readonly payload: JsonRecord
}

export const SALT = new Uint8Array(16).fill(5)
export const ACTION = 'read:reports/2026'
export const RESOURCE = { type: 'file', id: 'reports/2026.csv' }
export const ACTION_DIGEST = toBase64url(
  actionDigest(p, {
    salt: SALT,
    instance: CHILD,
    action: ACTION,
    resource: RESOURCE,
    actionProperties: { mode: 'full' },
  }),
)

/** What the decision and the action disclose. */
export const DISCLOSURES: readonly string[] = [
  disclosure('salt', toBase64url(SALT)),
  disclosure('action_properties', { mode: 'full' }),
]

export const GENESIS: Sample = {
  by: service,
  type: 'genesis',
  iss: SERVICE,
  sub: ORIGIN,
  payload: {
    format: 1,
    rules: 1,
    origin: ORIGIN,
    trust_domain: TRUST_DOMAIN,
    development: false,
    keys: {
      log: formatVkey(log.key),
      time: formatVkey(time.key),
      service: spki(service),
      permit: spki(permitKey),
      heartbeat: spki(fresh),
    },
    ca: [toBase64url(CA)],
    operators: [spki(operator)],
    threshold: 1,
    owners: [{ key: spki(owner), patterns: ['**'] }],
    policy: digestOf(1),
    predecessor: null,
  },
}

export const OPERATOR_ENROLL: Sample = {
  by: operator,
  type: 'operator.enroll',
  iss: OPERATOR,
  sub: `operator:${fresh.kid}`,
  payload: { key: spki(fresh) },
}

export const OWNER_ENROLL: Sample = {
  by: operator,
  type: 'owner.enroll',
  iss: OPERATOR,
  sub: `owner:${fresh.kid}`,
  payload: { key: spki(fresh), patterns: ['finance/**', 'audit'] },
}

export const MEMBER_ENROLL: Sample = {
  by: operator,
  type: 'member.enroll',
  iss: OPERATOR,
  sub: `reader:${fresh.kid}`,
  payload: { role: 'reader', key: spki(fresh) },
}

export const POLICY_ACTIVATE: Sample = {
  by: operator,
  type: 'policy.activate',
  iss: OPERATOR,
  sub: 'policy',
  payload: { policy: digestOf(2), revision: 'r1' },
}

const newLog = logSigner(ORIGIN, 21)
const ROTATION = { old: log.key, new: newLog.key, until: 5000 }

/** Signs what both keys of a rotation sign: `rotationInput` is compared with bytes of its own elsewhere. */
export function signedBy(key: NoteSigner, input: Uint8Array): string {
  return toBase64url(key.signBytes(input))
}

export const KEY_ROTATE: Sample = {
  by: operator,
  type: 'key.rotate',
  iss: OPERATOR,
  sub: 'log',
  payload: {
    key: 'log',
    old: formatVkey(ROTATION.old),
    new: formatVkey(ROTATION.new),
    until: ROTATION.until,
    old_signature: signedBy(log, rotationInput(ROTATION)),
    new_signature: signedBy(newLog, rotationInput(ROTATION)),
  },
}

export const OPERATOR_CLOCK: Sample = {
  by: operator,
  type: 'operator.clock',
  iss: OPERATOR,
  sub: 'log',
  payload: { time_ms: 1_800_000_000_000 },
}

export const REVOKE: Sample = {
  by: owner,
  type: 'agent.revoke',
  iss: OWNER,
  sub: `inst:${CHILD}`,
  payload: { target: `inst:${CHILD}`, reason: 'compromised' },
}

export const ERASURE: Sample = {
  by: operator,
  type: 'erasure',
  iss: OPERATOR,
  sub: 'log',
  payload: { entries: [3, 5], reason: 'retention' },
}

export const ROOT_RECORD: Sample = {
  by: owner,
  type: 'agent.issue',
  iss: OWNER,
  sub: CHILD,
  payload: {
    trust_domain: TRUST_DOMAIN,
    parent: null,
    child: { instance: CHILD, key: child.kid, csr: digestOf(3) },
    owner: OWNER,
    authorization: null,
    scope: ['read:reports/*', 'write:reports/drafts/**'],
    depth: 0,
    max_depth: 2,
    may_create: ['finance/**'],
    size: 7,
    ttl: 3600,
    ceiling: 1_800_086_400,
  },
}

export const CHILD_RECORD: Sample = {
  by: parent,
  type: 'agent.issue',
  iss: PARENT,
  sub: CHILD,
  payload: {
    ...ROOT_RECORD.payload,
    parent: { instance: PARENT, key: parent.kid, record: digestOf(4) },
    authorization: digestOf(4),
    depth: 1,
    may_create: [],
  },
}

export const DECISION: Sample = {
  by: child,
  type: 'decision',
  iss: CHILD,
  sub: CHILD,
  payload: {
    subject: { type: 'agent', id: CHILD },
    action: { name: ACTION },
    resource: RESOURCE,
    action_digest: ACTION_DIGEST,
    ...commitmentsTo(...DISCLOSURES),
  },
}

export const ACTION_EVENT: Sample = {
  by: child,
  type: 'action',
  iss: CHILD,
  sub: CHILD,
  payload: {
    event_id: 'event-1',
    agent_id: CHILD_NAME,
    agent_identity: CHILD,
    parent_agent_id: PARENT,
    action: ACTION,
    resource: RESOURCE,
    timestamp: '2026-11-23T06:30:00.123Z',
    outcome: 'success',
    authorized_by: OWNER,
    decision: toBase64url(new Uint8Array(16).fill(6)),
    action_digest: ACTION_DIGEST,
    ...commitmentsTo(...DISCLOSURES),
  },
}

/** The statement of a sample, with members of payload and header replaced; `undefined` takes one away. */
export function sampled(
  sample: Sample,
  payload: JsonRecord = {},
  header: JsonRecord = {},
  by: Signer = sample.by,
): Statement {
  const { type, iss, sub } = sample
  return statement(by, type, iss, sub, patched(sample.payload, payload), header)
}
