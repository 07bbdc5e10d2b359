/**
 * @module X.509 certificates as SPIFFE uses them, read from DER: version 3, P-256 keys, ecdsa-with-SHA256.
 *
 * Left out: who signed one and whether it is an SVID (`svid.ts`), and what a delegation says in its extension.
 *
 * @see RFC 5280 §4; RFC 5480; FORMAT §8
 */
import { toHex } from './bytes.ts'
import {
  DER_TAG,
  type DerNode,
  expectTag,
  parseDer,
  readAscii,
  readBitString,
  readBoolean,
  readOctetString,
  readOid,
  readSequence,
  readTime,
  readUnsignedInteger,
} from './der.ts'
import { check, ProofError } from './errors.ts'
import { parseSpki } from './key.ts'
import { SPIFFE_ID_BYTES_MAX } from './spiffe-id.ts'

/** Bytes of one certificate: our extensions take 4 KiB at most, and some TLS stacks refuse much longer messages. */
export const CERTIFICATE_BYTES_MAX = 16_384

/** The bits of a keyUsage extension, in their order (RFC 5280 §4.2.1.3). */
export const KEY_USAGES = [
  'digitalSignature',
  'nonRepudiation',
  'keyEncipherment',
  'dataEncipherment',
  'keyAgreement',
  'keyCertSign',
  'cRLSign',
  'encipherOnly',
  'decipherOnly',
] as const

/** One bit of a keyUsage extension. */
export type KeyUsage = (typeof KEY_USAGES)[number]

/** An extension that is not read here: its `critical` flag and the content of its OCTET STRING. */
export interface CertificateExtension {
  readonly critical: boolean
  readonly value: Uint8Array
}

/** A certificate, read and not verified. The bytes are copies of what was given. */
export interface Certificate {
  /** The whole certificate. */
  readonly der: Uint8Array
  /** The bytes that the issuer signed. */
  readonly tbs: Uint8Array
  /** Lower-case hex, positive, at most 20 bytes, without a sign octet. */
  readonly serial: string
  /** The DER Name of the issuer. Names are compared as bytes. */
  readonly issuer: Uint8Array
  readonly subject: Uint8Array
  readonly notBeforeMs: number
  readonly notAfterMs: number
  /** The DER SubjectPublicKeyInfo. */
  readonly spki: Uint8Array
  /** The P-256 point, 65 bytes, uncompressed. */
  readonly publicKey: Uint8Array
  /** The URIs of subjectAltName, in order, whatever they say. */
  readonly uris: readonly string[]
  readonly subjectAltNameCritical: boolean
  readonly basicConstraints: BasicConstraints | undefined
  readonly keyUsage: { readonly critical: boolean; readonly bits: readonly KeyUsage[] } | undefined
  /** Purposes as dotted OIDs. */
  readonly extendedKeyUsage: readonly string[] | undefined
  readonly subjectKeyId: Uint8Array | undefined
  readonly authorityKeyId: Uint8Array | undefined
  /** Every extension that has no field above, by dotted OID. */
  readonly otherExtensions: ReadonlyMap<string, CertificateExtension>
  /** r ‖ s, 64 bytes. */
  readonly signature: Uint8Array
}

/** What a basicConstraints extension says. */
export interface BasicConstraints {
  readonly critical: boolean
  readonly isAuthority: boolean
  readonly pathLength: number | undefined
}

const OID_ECDSA_SHA256 = '1.2.840.10045.4.3.2'
const OID_SUBJECT_KEY_ID = '2.5.29.14'
const OID_KEY_USAGE = '2.5.29.15'
const OID_SUBJECT_ALT_NAME = '2.5.29.17'
const OID_BASIC_CONSTRAINTS = '2.5.29.19'
const OID_AUTHORITY_KEY_ID = '2.5.29.35'
const OID_EXTENDED_KEY_USAGE = '2.5.29.37'
const SERIAL_BYTES_MAX = 20
const KEY_ID_BYTES_MAX = 64
const TAG_VERSION = 0xa0
const TAG_EXTENSIONS = 0xa3
const TAG_KEY_ID = 0x80
const TAG_URI = 0x86

/**
 * Reads one certificate, leaf or authority, from DER. Says nothing about who signed it or whether it is an SVID.
 *
 * @throws {ProofError} `certificate_invalid` for whatever is wrong with the bytes.
 * @see RFC 5280 §4.1, §4.2; FORMAT §8.1
 */
export function parseCertificate(der: Uint8Array): Certificate {
  checkCertificate(
    der.length <= CERTIFICATE_BYTES_MAX,
    `certificate is ${der.length} bytes, at most ${CERTIFICATE_BYTES_MAX}`,
  )
  try {
    return readCertificate(new Uint8Array(der))
  } catch (cause) {
    // What the readers below throw is a ProofError too, with the code of what they read.
    const { message } = cause as ProofError
    throw new ProofError('certificate_invalid', message, { cause })
  }
}

function readCertificate(der: Uint8Array): Certificate {
  const [tbs, algorithm, signature, ...more] = readSequence(parseDer(der), 'certificate')
  checkCertificate(more.length === 0, 'certificate has more than three fields')
  const fields = readSequence(tbs, 'tbsCertificate')
  const [version, serial, tbsAlgorithm, issuer, validity, subject, spki, extensions] = fields
  const [versionNumber] = expectTag(version, TAG_VERSION, 'version').children
  checkCertificate(
    toHex(readUnsignedInteger(versionNumber, 'version')) === '02',
    'version of the certificate must be 3',
  )
  // Also refuses the two unique identifiers, which would stand between the key and the extensions (RFC 5280 §4.1.2.8).
  checkCertificate(fields.length === 8, 'tbsCertificate must have eight fields')
  checkAlgorithm(tbsAlgorithm)
  checkAlgorithm(algorithm)
  const [notBefore, notAfter, ...moreTimes] = readSequence(validity, 'validity')
  const notBeforeMs = readTime(notBefore, 'notBefore')
  const notAfterMs = readTime(notAfter, 'notAfter')
  checkCertificate(
    moreTimes.length === 0 && notBeforeMs <= notAfterMs,
    'validity must be two times, the earlier first',
  )
  const spkiBytes = expectTag(spki, DER_TAG.sequence, 'subjectPublicKeyInfo').bytes
  const key = parseSpki(spkiBytes)
  checkCertificate(key.alg === 'ES256', 'key of the certificate must be a P-256 key')
  return {
    der,
    tbs: expectTag(tbs, DER_TAG.sequence, 'tbsCertificate').bytes,
    serial: readSerial(serial),
    issuer: readName(issuer, 'issuer'),
    subject: readName(subject, 'subject'),
    notBeforeMs,
    notAfterMs,
    spki: spkiBytes,
    publicKey: key.publicKey,
    ...readExtensions(extensions),
    signature: readSignature(signature),
  }
}

function readSerial(node: DerNode | undefined): string {
  const serial = readUnsignedInteger(node, 'serial number')
  const text = toHex(serial)
  checkCertificate(
    serial.length <= SERIAL_BYTES_MAX && text !== '00',
    `serial number must be positive and at most ${SERIAL_BYTES_MAX} bytes`,
  )
  return text
}

function checkAlgorithm(node: DerNode | undefined): void {
  const [oid, ...parameters] = readSequence(node, 'signature algorithm')
  checkCertificate(
    readOid(oid, 'signature algorithm') === OID_ECDSA_SHA256 && parameters.length === 0,
    'signature algorithm must be ecdsa-with-SHA256 without parameters',
  )
}

function readName(node: DerNode | undefined, what: string): Uint8Array {
  for (const part of readSequence(node, what)) {
    const attributes = expectTag(part, DER_TAG.set, `part of the ${what}`).children
    checkCertificate(attributes.length > 0, `${what} has an empty part`)
    for (const attribute of attributes) {
      const [type, ...values] = readSequence(attribute, `attribute of the ${what}`)
      readOid(type, `attribute type of the ${what}`)
      checkCertificate(values.length === 1, `attribute of the ${what} must have one value`)
    }
  }
  return expectTag(node, DER_TAG.sequence, what).bytes
}

function readSignature(node: DerNode | undefined): Uint8Array {
  const bits = readBitString(node, 'signature')
  checkCertificate(bits.unused === 0, 'signature must be whole bytes')
  const [r, s, ...more] = readSequence(parseDer(bits.bytes), 'signature')
  checkCertificate(more.length === 0, 'signature has more than two numbers')
  const signature = new Uint8Array(64)
  for (const [node, end] of [
    [r, 32],
    [s, 64],
  ] as const) {
    const number = readUnsignedInteger(node, 'number of the signature')
    checkCertificate(number.length <= 32, 'number of the signature is over 32 bytes')
    signature.set(number, end - number.length)
  }
  return signature
}

type ExtensionFields = Pick<
  Certificate,
  | 'uris'
  | 'subjectAltNameCritical'
  | 'basicConstraints'
  | 'keyUsage'
  | 'extendedKeyUsage'
  | 'subjectKeyId'
  | 'authorityKeyId'
  | 'otherExtensions'
>

function readExtensions(node: DerNode | undefined): ExtensionFields {
  const others = collectExtensions(node)
  const take = <T>(oid: string, read: (extension: CertificateExtension) => T): T | undefined => {
    const extension = others.get(oid)
    others.delete(oid)
    return extension === undefined ? undefined : read(extension)
  }
  const names = take(OID_SUBJECT_ALT_NAME, readSubjectAltName)
  return {
    uris: names?.uris ?? [],
    subjectAltNameCritical: names?.critical ?? false,
    basicConstraints: take(OID_BASIC_CONSTRAINTS, readBasicConstraints),
    keyUsage: take(OID_KEY_USAGE, readKeyUsage),
    extendedKeyUsage: take(OID_EXTENDED_KEY_USAGE, readExtendedKeyUsage),
    subjectKeyId: take(OID_SUBJECT_KEY_ID, readSubjectKeyId),
    authorityKeyId: take(OID_AUTHORITY_KEY_ID, readAuthorityKeyId),
    otherExtensions: others,
  }
}

function collectExtensions(node: DerNode | undefined): Map<string, CertificateExtension> {
  const [list, ...more] = expectTag(node, TAG_EXTENSIONS, 'extensions').children
  checkCertificate(more.length === 0, 'extensions must be one list')
  const byOid = new Map<string, CertificateExtension>()
  for (const extension of readSequence(list, 'extensions')) {
    const fields = readSequence(extension, 'extension')
    checkCertificate(
      fields.length === 2 || fields.length === 3,
      'extension has a wrong count of fields',
    )
    const oid = readOid(fields[0], 'extension')
    const critical = fields.length === 3 && readBoolean(fields[1], `critical of extension ${oid}`)
    // DER leaves out a default: a `false` that is written is a second encoding of the same certificate.
    checkCertificate(
      critical || fields.length === 2,
      `critical of extension ${oid} is written false`,
    )
    checkCertificate(!byOid.has(oid), `extension ${oid} appears twice`)
    byOid.set(oid, { critical, value: readOctetString(fields.at(-1), `extension ${oid}`) })
  }
  return byOid
}

function readSubjectAltName(extension: CertificateExtension): {
  readonly critical: boolean
  readonly uris: readonly string[]
} {
  const names = readSequence(parseDer(extension.value), 'subjectAltName')
  checkCertificate(names.length > 0, 'subjectAltName is empty')
  const uris: string[] = []
  for (const { tag, content } of names) {
    checkCertificate(tag >= 0x80 && (tag & 0x1f) <= 8, 'subjectAltName has a name of unknown form')
    if (tag === TAG_URI) uris.push(readAscii(content, SPIFFE_ID_BYTES_MAX, 'URI of subjectAltName'))
  }
  return { critical: extension.critical, uris }
}

function readBasicConstraints(extension: CertificateExtension): BasicConstraints {
  const fields = [...readSequence(parseDer(extension.value), 'basicConstraints')]
  const isAuthority =
    fields[0]?.tag === DER_TAG.boolean && readBoolean(fields.shift(), 'cA of basicConstraints')
  const [pathLength, ...more] = fields
  const length =
    pathLength === undefined ? undefined : readUnsignedInteger(pathLength, 'path length')
  checkCertificate(
    more.length === 0 && (length === undefined || (isAuthority && length.length === 1)),
    'basicConstraints must be cA, and only with it a path length up to 255',
  )
  return { critical: extension.critical, isAuthority, pathLength: length?.[0] }
}

function readKeyUsage(extension: CertificateExtension): NonNullable<Certificate['keyUsage']> {
  const { bytes, unused } = readBitString(parseDer(extension.value), 'keyUsage')
  const set = Array.from(bytes, (byte) => byte.toString(2).padStart(8, '0')).join('')
  const bits = KEY_USAGES.filter((_, at) => set[at] === '1')
  // A list of named bits ends with the last bit that is set (X.690 §11.2.2).
  checkCertificate(
    bits.length > 0 && set.lastIndexOf('1') === bytes.length * 8 - unused - 1,
    'keyUsage must end with its last bit that is set',
  )
  checkCertificate(set.lastIndexOf('1') < KEY_USAGES.length, 'keyUsage has an unknown bit')
  return { critical: extension.critical, bits }
}

function readExtendedKeyUsage(extension: CertificateExtension): readonly string[] {
  const purposes = readSequence(parseDer(extension.value), 'extendedKeyUsage')
  checkCertificate(purposes.length > 0, 'extendedKeyUsage is empty')
  return purposes.map((purpose) => readOid(purpose, 'purpose of extendedKeyUsage'))
}

function readSubjectKeyId(extension: CertificateExtension): Uint8Array {
  const keyId = readOctetString(parseDer(extension.value), 'subjectKeyIdentifier')
  return checkKeyId(keyId, extension.critical, 'subjectKeyIdentifier')
}

function readAuthorityKeyId(extension: CertificateExtension): Uint8Array {
  const [keyId, ...more] = readSequence(parseDer(extension.value), 'authorityKeyIdentifier')
  checkCertificate(more.length === 0, 'authorityKeyIdentifier must be a key identifier alone')
  const { content } = expectTag(keyId, TAG_KEY_ID, 'authorityKeyIdentifier')
  return checkKeyId(content, extension.critical, 'authorityKeyIdentifier')
}

function checkKeyId(keyId: Uint8Array, critical: boolean, what: string): Uint8Array {
  checkCertificate(!critical, `${what} must not be critical`)
  checkCertificate(
    keyId.length > 0 && keyId.length <= KEY_ID_BYTES_MAX,
    `${what} must be 1 to ${KEY_ID_BYTES_MAX} bytes`,
  )
  return keyId
}

function checkCertificate(condition: boolean, message: string): asserts condition {
  check(condition, 'certificate_invalid', message)
}
