/**
 * @module X.509-SVIDs: verifying a leaf certificate against the roots of a trust domain at a moment.
 *
 * Deliberately narrow: a leaf is signed by a root itself, and no extension is critical but those that `certificate.ts`
 * reads (name constraints are not among them). Left out: delegation and revocation, for which no certificate is enough.
 *
 * @see X509-SVID §2–§5 (github.com/spiffe/spiffe, standards/X509-SVID.md); RFC 5280 §6; FORMAT §8
 */
import { equalBytes } from './bytes.ts'
import type { Certificate, KeyUsage } from './certificate.ts'
import { check } from './errors.ts'
import type { Primitives } from './primitives.ts'
import { parseSpiffeId } from './spiffe-id.ts'

/** What a verified SVID says. */
export interface VerifiedSvid {
  readonly spiffeId: string
  /** For the caller to compare with the trust domain that the roots are of: a root need not name one. */
  readonly trustDomain: string
}

const OID_SERVER_AUTH = '1.3.6.1.5.5.7.3.1'
const OID_CLIENT_AUTH = '1.3.6.1.5.5.7.3.2'

/**
 * Verifies that `leaf` is an X.509-SVID that one of `roots` signed, and that both were valid at `atMs`.
 *
 * The roots are those of one trust domain and are trusted as given: their own signatures are not looked at. The one
 * that signed must keep the rules for authorities, and where it has a SPIFFE id, that must be the trust domain of the
 * leaf. The signature is checked before the time, so a leaf refused with `certificate_expired` is genuine.
 *
 * @param atMs - Unix milliseconds; both ends of a validity belong to it.
 * @throws {ProofError} `certificate_invalid` if leaf or root break a rule of X509-SVID; `spiffe_id_invalid` for the
 *   URI; `certificate_untrusted` if no root signed the leaf; `certificate_expired` outside of either validity.
 * @see X509-SVID §5.2; RFC 5280 §6.1; FORMAT §8.1
 */
export function verifySvid(
  p: Primitives,
  leaf: Certificate,
  roots: readonly Certificate[],
  atMs: number,
): VerifiedSvid {
  const { uri, trustDomain, issuerKeyId } = checkLeaf(leaf)
  const signers = roots.filter(
    (root) =>
      equalBytes(root.subject, leaf.issuer) &&
      root.subjectKeyId !== undefined &&
      equalBytes(root.subjectKeyId, issuerKeyId) &&
      p.p256Verify(root.publicKey, leaf.tbs, leaf.signature),
  )
  check(signers.length > 0, 'certificate_untrusted', 'no trusted root signed the certificate')
  for (const root of signers) checkAuthority(root, trustDomain)
  check(isValidAt(leaf, atMs), 'certificate_expired', 'certificate was not valid at the time')
  check(
    signers.some((root) => isValidAt(root, atMs)),
    'certificate_expired',
    'root of the certificate was not valid at the time',
  )
  return { spiffeId: uri, trustDomain }
}

function isValidAt(certificate: Certificate, atMs: number): boolean {
  return certificate.notBeforeMs <= atMs && atMs <= certificate.notAfterMs
}

interface LeafClaims {
  readonly uri: string
  readonly trustDomain: string
  readonly issuerKeyId: Uint8Array
}

function checkLeaf(leaf: Certificate): LeafClaims {
  checkCommon(leaf, 'leaf')
  const { keyUsage, extendedKeyUsage: purposes, authorityKeyId: issuerKeyId } = leaf
  const [uri, ...more] = leaf.uris
  checkSvid(uri !== undefined && more.length === 0, 'leaf must have exactly one URI name')
  const { trustDomain, segments } = parseSpiffeId(uri)
  checkSvid(segments.length > 0, 'SPIFFE id of the leaf has no path')
  // An empty Name is a SEQUENCE of nothing: two bytes.
  checkSvid(
    leaf.subject.length > 2 || leaf.subjectAltNameCritical,
    'subjectAltName of a leaf with an empty subject must be critical',
  )
  checkSvid(leaf.basicConstraints?.isAuthority !== true, 'leaf must not be an authority')
  checkSvid(hasUsage(keyUsage, 'digitalSignature'), 'leaf must have digitalSignature')
  checkSvid(
    !hasUsage(keyUsage, 'keyCertSign') && !hasUsage(keyUsage, 'cRLSign'),
    'leaf must not have keyCertSign or cRLSign',
  )
  checkSvid(
    purposes === undefined ||
      (purposes.includes(OID_SERVER_AUTH) && purposes.includes(OID_CLIENT_AUTH)),
    'extendedKeyUsage of the leaf must hold both serverAuth and clientAuth',
  )
  checkSvid(issuerKeyId !== undefined, 'leaf must have an authorityKeyIdentifier')
  return { uri, trustDomain, issuerKeyId }
}

/**
 * Demands what X509-SVID demands of an authority, and the id of this trust domain where it has one.
 *
 * @throws {ProofError} `certificate_invalid`; `spiffe_id_invalid`; `certificate_untrusted` for another trust domain.
 * @see X509-SVID §4.2, §4.3; FORMAT §8.1
 */
export function checkAuthority(root: Certificate, trustDomain: string): void {
  checkCommon(root, 'root')
  checkSvid(
    root.basicConstraints?.isAuthority === true && root.basicConstraints.critical,
    'root must have a critical basicConstraints with cA',
  )
  checkSvid(hasUsage(root.keyUsage, 'keyCertSign'), 'root must have keyCertSign')
  checkSvid(root.uris.length <= 1, 'root has more than one URI name')
  for (const uri of root.uris) {
    const id = parseSpiffeId(uri)
    checkSvid(id.segments.length === 0, 'SPIFFE id of the root must not have a path')
    check(
      id.trustDomain === trustDomain,
      'certificate_untrusted',
      'root is of another trust domain',
    )
  }
}

function checkCommon(certificate: Certificate, what: string): void {
  checkSvid(certificate.keyUsage?.critical === true, `${what} must have a critical keyUsage`)
  for (const [oid, { critical }] of certificate.otherExtensions) {
    checkSvid(!critical, `${what} has the unknown critical extension ${oid}`)
  }
}

function hasUsage(keyUsage: Certificate['keyUsage'], bit: KeyUsage): boolean {
  return keyUsage?.bits.includes(bit) === true
}

function checkSvid(condition: boolean, message: string): asserts condition {
  check(condition, 'certificate_invalid', message)
}
