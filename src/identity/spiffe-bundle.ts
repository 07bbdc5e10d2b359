/**
 * @module The SPIFFE trust bundle of a trust domain: its roots as a JWK set (SPIFFE_Trust_Domain_and_Bundle §4).
 *
 * A bundle does not name its trust domain; whoever stores one keeps the pair.
 */
import { parseCertificate, ProofError } from '@trustwarden/proofs'
import { IdentityError, checkIdentity } from './errors.ts'

/** Seconds after which a consumer asks again, unless told otherwise (SPIFFE Federation §5.2 has the same default). */
export const SPIFFE_REFRESH_HINT_S = 300

/** A root certificate as a JWK (RFC 7517; X509-SVID §6): one certificate in `x5c`, no `kid`. */
export interface X509SvidJwk {
  readonly kty: 'EC'
  readonly crv: 'P-256'
  readonly use: 'x509-svid'
  /** base64url, 32 bytes each. */
  readonly x: string
  readonly y: string
  /** Exactly one certificate: base64 (not base64url) of its DER. */
  readonly x5c: readonly [string]
}

/** The bundle document, to be served as `application/json`. */
export interface SpiffeBundle {
  /** Rises with every change of content. */
  readonly spiffe_sequence: number
  /** In seconds. */
  readonly spiffe_refresh_hint: number
  /** Empty means that every SVID of the trust domain is invalid. */
  readonly keys: readonly X509SvidJwk[]
}

function rootJwk(der: Uint8Array): X509SvidJwk {
  let publicKey: Uint8Array
  try {
    const certificate = parseCertificate(der)
    const isAuthority = certificate.basicConstraints?.isAuthority === true
    checkIdentity(isAuthority, 'authority_invalid', 'certificate in a bundle must be an authority')
    publicKey = certificate.publicKey
  } catch (cause) {
    if (!(cause instanceof ProofError)) throw cause
    throw new IdentityError('authority_invalid', cause.message, { cause })
  }
  return {
    kty: 'EC',
    crv: 'P-256',
    use: 'x509-svid',
    x: Buffer.from(publicKey.subarray(1, 33)).toString('base64url'),
    y: Buffer.from(publicKey.subarray(33)).toString('base64url'),
    x5c: [Buffer.from(der).toString('base64')],
  }
}

/**
 * Writes the bundle of the roots whose certificates are given, in that order.
 *
 * @param sequence - From 0, raised by the caller whenever the roots change.
 * @throws {IdentityError} `authority_invalid` for a certificate that is no authority's.
 */
export function spiffeBundle(
  rootDers: readonly Uint8Array[],
  sequence: number,
  refreshHintSeconds: number = SPIFFE_REFRESH_HINT_S,
): SpiffeBundle {
  return {
    spiffe_sequence: sequence,
    spiffe_refresh_hint: refreshHintSeconds,
    keys: rootDers.map(rootJwk),
  }
}
