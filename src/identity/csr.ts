/**
 * @module Requests for certificates (PKCS#10, RFC 2986): proof that the requester holds the key, and nothing else.
 *
 * Subject, attributes and the extensions asked for are skipped unread: what a certificate says comes from the
 * delegation record. Read with the kit's strict DER, so that a request has one encoding as its hash in that record
 * supposes.
 */
import {
  type DerNode,
  DER_TAG,
  expectTag,
  keyId,
  parseDer,
  parseSpki,
  ProofError,
  readBitString,
  readOid,
  readSequence,
  readUnsignedInteger,
} from '@trustwarden/proofs'
import { nativePrimitives } from '../crypto.ts'
import { checkIdentity, IdentityError } from './errors.ts'

/** Bytes of a request. With a P-256 key and no attributes it has about 200. */
export const CSR_BYTES_MAX = 4096

const OID_ECDSA_SHA256 = '1.2.840.10045.4.3.2'
const TAG_ATTRIBUTES = 0xa0

/** A request whose signature verified under the key in it. */
export interface OpenedCsr {
  /** The key as SubjectPublicKeyInfo in its one encoding, 91 bytes (FORMAT §2.1). */
  readonly spki: Uint8Array
  /** The key id: base64url(SHA-256(spki)). */
  readonly kid: string
}

interface CsrFields {
  readonly signed: Uint8Array
  readonly spki: Uint8Array
  /** r ‖ s. */
  readonly signature: Uint8Array
}

function checkCsr(condition: boolean, message: string): asserts condition {
  checkIdentity(condition, 'csr_invalid', message)
}

function readSignature(node: DerNode | undefined): Uint8Array {
  const { bytes, unused } = readBitString(node, 'signature')
  const numbers = readSequence(parseDer(bytes), 'signature')
  checkCsr(unused === 0 && numbers.length === 2, 'signature must be two numbers')
  const signature = new Uint8Array(64)
  numbers.forEach((node, at) => {
    const number = readUnsignedInteger(node, 'number of the signature')
    checkCsr(number.length <= 32, 'number of the signature is over 32 bytes')
    signature.set(number, 32 * (at + 1) - number.length)
  })
  return signature
}

function readCsr(der: Uint8Array): CsrFields {
  const parts = readSequence(parseDer(der), 'request')
  checkCsr(parts.length === 3, 'request must be information, algorithm and signature')
  const [info, algorithm, signature] = parts
  const fields = readSequence(info, 'request information')
  checkCsr(fields.length === 4, 'request information must be version, subject, key, attributes')
  const [version, subject, spki, attributes] = fields
  const number = readUnsignedInteger(version, 'version')
  checkCsr(number.length === 1 && number[0] === 0, 'version must be 0')
  expectTag(subject, DER_TAG.sequence, 'subject')
  expectTag(attributes, TAG_ATTRIBUTES, 'attributes')
  const [oid, ...parameters] = readSequence(algorithm, 'signature algorithm')
  checkCsr(
    readOid(oid, 'signature algorithm') === OID_ECDSA_SHA256 && parameters.length === 0,
    'signature algorithm must be ecdsa-with-SHA256 without parameters',
  )
  return {
    signed: expectTag(info, DER_TAG.sequence, 'request information').bytes,
    spki: expectTag(spki, DER_TAG.sequence, 'key').bytes,
    signature: readSignature(signature),
  }
}

function readKey(spki: Uint8Array): Uint8Array {
  try {
    const key = parseSpki(spki)
    if (key.alg === 'ES256') return key.publicKey
  } catch (cause) {
    if (!(cause instanceof ProofError)) throw cause
  }
  const rule = 'key of the request must be P-256, named curve, uncompressed point on the curve'
  throw new IdentityError('csr_key_unsupported', rule)
}

/**
 * Opens a request: strict DER of at most 4 KiB, version 1, a P-256 key in its one encoding, signed by that key with
 * ecdsa-with-SHA256. A request can be replayed, so it proves possession only beside a record that binds its hash.
 *
 * @throws {IdentityError} `csr_too_large`; `csr_invalid`; `csr_key_unsupported`; `csr_signature_invalid`.
 * @see RFC 2986 §4; FORMAT §2.1, §9.1
 */
export function openCsr(der: Uint8Array): OpenedCsr {
  checkIdentity(
    der.length <= CSR_BYTES_MAX,
    'csr_too_large',
    `request is ${der.length} bytes, at most ${CSR_BYTES_MAX}`,
  )
  let fields: CsrFields
  try {
    fields = readCsr(der)
  } catch (cause) {
    if (!(cause instanceof ProofError)) throw cause
    throw new IdentityError('csr_invalid', `request: ${cause.message}`, { cause })
  }
  const publicKey = readKey(fields.spki)
  checkIdentity(
    nativePrimitives.p256Verify(publicKey, fields.signed, fields.signature),
    'csr_signature_invalid',
    'request is not signed by its own key',
  )
  const spki = fields.spki.slice()
  return { spki, kid: keyId(nativePrimitives, spki) }
}
