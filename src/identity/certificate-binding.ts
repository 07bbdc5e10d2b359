/**
 * @module What register takes from the certificate that prepare attached, and whether it is the one that the record
 * asks for. Who signed it is not looked at: prepare made it, and a reader of the log checks it against the roots.
 */
import {
  equalBytes,
  keyId,
  parseCertificate,
  ProofError,
  SVID_EXTENSION_OID,
} from '@trustwarden/proofs'
import type { CborValue, Certificate } from '@trustwarden/proofs'
import { nativePrimitives } from '../crypto.ts'
import type { Agent } from '../ledger/contract.ts'

/** What an entry's certificate says of the instance that the record does not. Times in ms. */
export type CertificateFacts = Pick<Agent, 'spki' | 'notBeforeMs' | 'notAfterMs'>

/** What a certificate must say to belong to an issuance. */
export interface CertificateDemand {
  readonly instance: string
  readonly kid: string
  /** The delegation extension's value (FORMAT §8.2). */
  readonly delegation: Uint8Array
  /** Ledger time. */
  readonly timeMs: number
  /** Latest end that ttl, ceiling and parent leave. */
  readonly notAfterMaxMs: number
  /** Earliest begin: the parent's; 0 for an owner's own agent. */
  readonly notBeforeMinMs: number
  /** Least life that must be left at ledger time. */
  readonly lifeMinMs: number
}

/**
 * Key and validity of the certificate in `prepared` of an `agent.issue` entry.
 *
 * @throws {ProofError} `certificate_invalid`: register let no such entry through.
 */
export function certificateFacts(prepared: CborValue | undefined): CertificateFacts {
  const bytes = prepared instanceof Uint8Array ? prepared : new Uint8Array(0)
  const { spki, notBeforeMs, notAfterMs } = parseCertificate(bytes)
  return { spki, notBeforeMs, notAfterMs }
}

/** The end of the certificate in ms if it is exactly the one demanded, or undefined. Total. */
export function boundCertificateEnd(
  prepared: CborValue | undefined,
  demand: CertificateDemand,
): number | undefined {
  if (!(prepared instanceof Uint8Array)) return undefined
  let certificate: Certificate
  try {
    certificate = parseCertificate(prepared)
  } catch (error) {
    if (error instanceof ProofError) return undefined
    throw error
  }
  const { uris, spki, notBeforeMs, notAfterMs, otherExtensions } = certificate
  const delegation = otherExtensions.get(SVID_EXTENSION_OID)
  const isBound =
    uris.length === 1 &&
    uris[0] === demand.instance &&
    keyId(nativePrimitives, spki) === demand.kid &&
    delegation !== undefined &&
    !delegation.critical &&
    equalBytes(delegation.value, demand.delegation) &&
    notBeforeMs <= demand.timeMs &&
    notBeforeMs >= demand.notBeforeMinMs &&
    notAfterMs <= demand.notAfterMaxMs &&
    notAfterMs - demand.timeMs >= demand.lifeMinMs
  return isBound ? notAfterMs : undefined
}
