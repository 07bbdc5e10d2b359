/**
 * @module Writing X.509 certificates (RFC 5280): the two profiles that the authority signs, and no other.
 *
 * The one place that knows the certificate library, which needs its reflection polyfill loaded first. Nothing here
 * reads bytes from outside: certificates and requests are read by the kit's strict parser.
 */
import 'reflect-metadata'
import {
  AuthorityKeyIdentifierExtension,
  BasicConstraintsExtension,
  ExtendedKeyUsage,
  ExtendedKeyUsageExtension,
  Extension,
  KeyUsageFlags,
  KeyUsagesExtension,
  Name,
  SubjectAlternativeNameExtension,
  SubjectKeyIdentifierExtension,
  X509CertificateGenerator,
} from '@peculiar/x509'
import type { webcrypto } from 'node:crypto'
import { nativePrimitives } from '../crypto.ts'
import type { Signer } from '../crypto.ts'

/**
 * The extension that carries an agent's delegation (FORMAT §8.2), non-critical. The arc is that of RFC 5612 for
 * documentation until the project has a number of its own.
 */
export const DELEGATION_OID = '1.3.6.1.4.1.32473.8108.1'

/** What both profiles have. Times are in whole seconds, as Unix milliseconds. */
interface CertificateFields {
  /** Big-endian and unsigned, not zero. */
  readonly serial: Uint8Array
  readonly notBeforeMs: number
  readonly notAfterMs: number
  /** The URI of the subjectAltName. */
  readonly uri: string
}

/** What a leaf says (FORMAT §8.1). */
export interface LeafFields extends CertificateFields {
  /** The authority's subject, a DER Name, taken over byte for byte. */
  readonly issuer: Uint8Array
  /** The subject's key as SubjectPublicKeyInfo. */
  readonly spki: Uint8Array
  readonly authorityKeyId: Uint8Array
  /** The value of the delegation extension; without it there is none. */
  readonly delegation?: Uint8Array
}

/** The key identifier of an SPKI: the first 160 bits of SHA-256 over the bare key (RFC 7093 §2, method 1). */
function subjectKeyId(publicKey: Uint8Array): Uint8Array {
  return nativePrimitives.sha256(publicKey).slice(0, 20)
}

/** The name of an authority: its own key's, so that two generations of one trust domain never share a name. */
function authorityName(keyIdentifier: Uint8Array): Name {
  return new Name([{ O: ['TrustWarden'] }, { CN: [hex(keyIdentifier)] }])
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex')
}

/** A copy on an ArrayBuffer of its own, which is all that the library's types take. */
function own(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  return new Uint8Array(bytes)
}

const ECDSA_P256 = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const

/**
 * Builds and signs a certificate. The library wants WebCrypto to sign; it gets one function of it, which asks the
 * signer, so that the key can lie in another process or in an HSM.
 */
async function sign(
  signer: Signer,
  fields: CertificateFields,
  names: { readonly issuer: Name; readonly subject: Name },
  spki: Uint8Array,
  extensions: readonly Extension[],
): Promise<Uint8Array> {
  const subtle = {
    sign: async (_algorithm: unknown, _key: unknown, tbs: ArrayBuffer): Promise<ArrayBuffer> =>
      own(signer.sign(new Uint8Array(tbs))).buffer,
  }
  const certificate = await X509CertificateGenerator.create(
    {
      serialNumber: hex(fields.serial),
      subject: names.subject,
      issuer: names.issuer,
      notBefore: new Date(fields.notBeforeMs),
      notAfter: new Date(fields.notAfterMs),
      publicKey: own(spki),
      signingKey: { algorithm: ECDSA_P256 } as unknown as webcrypto.CryptoKey,
      signingAlgorithm: ECDSA_P256,
      extensions: [...extensions],
    },
    { subtle } as unknown as webcrypto.Crypto,
  )
  return new Uint8Array(certificate.rawData)
}

/**
 * Builds the self-signed certificate of an authority: critical cA with path length 0, critical keyCertSign and
 * cRLSign, the trust domain as its URI (X509-SVID §3, §4).
 */
export async function signAuthorityCertificate(
  signer: Signer,
  fields: CertificateFields,
): Promise<Uint8Array> {
  const keyIdentifier = subjectKeyId(signer.publicKey)
  const name = authorityName(keyIdentifier)
  return sign(signer, fields, { issuer: name, subject: name }, signer.spki, [
    new BasicConstraintsExtension(true, 0, true),
    new KeyUsagesExtension(KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign, true),
    new SubjectKeyIdentifierExtension(hex(keyIdentifier), false),
    new SubjectAlternativeNameExtension([{ type: 'url', value: fields.uri }], false),
  ])
}

/**
 * Builds the certificate of an agent's instance: empty subject and critical URI name, no cA, critical
 * digitalSignature, serverAuth and clientAuth, both key identifiers, and the delegation (FORMAT §8).
 */
export async function signLeafCertificate(signer: Signer, fields: LeafFields): Promise<Uint8Array> {
  const { spki, delegation } = fields
  // The bare point is the end of the one encoding of a P-256 SPKI.
  const keyIdentifier = subjectKeyId(spki.subarray(spki.length - 65))
  const extensions: Extension[] = [
    new BasicConstraintsExtension(false, undefined, true),
    new KeyUsagesExtension(KeyUsageFlags.digitalSignature, true),
    new ExtendedKeyUsageExtension([ExtendedKeyUsage.serverAuth, ExtendedKeyUsage.clientAuth]),
    new SubjectKeyIdentifierExtension(hex(keyIdentifier), false),
    new AuthorityKeyIdentifierExtension(hex(fields.authorityKeyId), false),
    new SubjectAlternativeNameExtension([{ type: 'url', value: fields.uri }], true),
  ]
  if (delegation !== undefined) {
    extensions.push(new Extension(DELEGATION_OID, false, own(delegation)))
  }
  const names = { issuer: new Name(own(fields.issuer)), subject: new Name([]) }
  return sign(signer, fields, names, spki, extensions)
}
