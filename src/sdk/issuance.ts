/**
 * @module Holds an issued identity against what was asked for: certificate, delegation record and receipt have to
 * agree before the identity is used once (FORMAT §8, §9).
 */
import {
  type Certificate,
  decodeSvidExtension,
  type Delegation,
  equalBytes,
  fromBase64url,
  jsonObject,
  jsonString,
  type Lineage,
  parseCertificate,
  parseDelegation,
  parseLineage,
  SVID_EXTENSION_OID,
  verifyLineage,
  verifySvid,
} from '@trustwarden/proofs'
import type { Registered, TrustWarden } from './client.ts'
import { inSdkWords, TrustWardenError } from './errors.ts'
import type { SignedStatement } from './statement.ts'

/** Certificates are valid from 10 s before they are made, and clocks differ: how far ours may be behind. */
const CLOCK_MS_MAX = 300_000

/** What was asked for. */
export interface Requested {
  readonly signed: SignedStatement
  /** The agent's own key. */
  readonly spki: Uint8Array
  /** Root → parent. */
  readonly ancestors: readonly { readonly instance: string; readonly size: number }[]
  /** The owner's key, DER SubjectPublicKeyInfo: known to the root agent from its owner, and handed down. */
  readonly ownerSpki: Uint8Array
}

/** An identity that agrees with what was asked for. */
export interface Issuance {
  readonly certificate: Certificate
  readonly record: Delegation
  /** Receipts of the chain's issuances, root → self. */
  readonly lineage: Lineage
}

function refuse(what: string): TrustWardenError {
  return new TrustWardenError('issuance_invalid', what)
}

/**
 * Opens an issuance: the certificate is the one in the entry, signed by a root of the trust anchor, for our key and
 * name, and its extension equals our delegation record.
 *
 * @throws TrustWardenError `issuance_invalid`
 * @see FORMAT §8, §9.3
 */
export function openIssuance(
  client: TrustWarden,
  registered: Registered,
  requested: Requested,
): Issuance {
  return inSdkWords('issuance_invalid', 'issuance', () => {
    const { entry, answer, digest, timeMs } = registered
    const p = client.primitives
    const der = entry.prepared.get(1)
    if (registered.kind !== 'agent.issue' || !(der instanceof Uint8Array))
      throw refuse('the entry holds no certificate')
    const given = fromBase64url(jsonString(answer['certificate'], 'certificate'), 'certificate')
    if (!equalBytes(der, given)) throw refuse('the certificate is not the one in the log')
    const certificate = parseCertificate(der)
    const nowMs = Date.now()
    const atMs = Math.abs(nowMs - timeMs) > CLOCK_MS_MAX ? nowMs : timeMs
    const roots = client.genesis.ca.map(parseCertificate)
    const { spiffeId, trustDomain } = verifySvid(p, certificate, roots, atMs)
    const record = parseDelegation(requested.signed.statement)
    const { id } = record.child.instance
    if (spiffeId !== id || trustDomain !== client.trustDomain)
      throw refuse('the certificate names another agent')
    if (!equalBytes(certificate.spki, requested.spki))
      throw refuse('the certificate is for another key')
    const extension = certificate.otherExtensions.get(SVID_EXTENSION_OID)
    if (extension === undefined) throw refuse('the certificate has no delegation extension')
    const said = decodeSvidExtension(p, extension.value)
    const agrees =
      equalBytes(said.recordDigest, digest) &&
      said.owner === record.owner &&
      said.depth === record.depth &&
      said.origin === client.origin &&
      said.size === record.size &&
      said.scope.texts.join('\n') === record.scope.texts.join('\n') &&
      said.ancestors.length === requested.ancestors.length &&
      said.ancestors.every(({ instance, size }, at) => {
        const ancestor = requested.ancestors[at]
        return ancestor?.instance === instance && ancestor.size === size
      })
    if (!agrees) throw refuse('the certificate does not say what the delegation record says')
    return { certificate, record, lineage: openLineage(client, registered, der, requested, atMs) }
  })
}

/** Walks the lineage root → self, and holds the heads of its receipts against those seen before. */
function openLineage(
  client: TrustWarden,
  { answer }: Registered,
  certificate: Uint8Array,
  { ownerSpki }: Requested,
  atMs: number,
): Lineage {
  const lineage = parseLineage(jsonObject(answer['lineage'], 'lineage'))
  verifyLineage(client.primitives, {
    certificate,
    lineage,
    trust: client.trust,
    origin: client.origin,
    trustDomain: client.trustDomain,
    roots: client.genesis.ca,
    // Which names the owner may give is in the owner's enrolment, which the log held the record against.
    owner: { key: ownerSpki, patterns: ['**'] },
    atMs,
  })
  for (const receipt of lineage.receipts) client.open(receipt)
  return lineage
}
