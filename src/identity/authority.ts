/**
 * @module The certificate authority of one trust domain: makes its root, and issues X.509-SVIDs under it.
 *
 * It decides nothing about who gets a certificate, how long and with what scope: that is the log's. It draws nothing
 * and reads no clock but for the key and serial of a new root, so what it signs is what it was told to.
 */
import { randomBytes } from 'node:crypto'
import type { KeyObject } from 'node:crypto'
import {
  equalBytes,
  parseCertificate,
  parseSpiffeId,
  parseSpki,
  ProofError,
} from '@trustwarden/proofs'
import type { Certificate, SpiffeId } from '@trustwarden/proofs'
import { generateKey, nativePrimitives, signerFromPrivateKey } from '../crypto.ts'
import type { Signer } from '../crypto.ts'
import { checkIdentity, IdentityError } from './errors.ts'
import type { IdentityErrorCode } from './errors.ts'
import { signAuthorityCertificate, signLeafCertificate } from './x509.ts'

/** Bytes of a serial number (FORMAT §8.1). */
export const SERIAL_LENGTH = 16

const MS_PER_SECOND = 1000
const MS_PER_DAY = 86_400_000

/** A new root: keep the key apart from the log's, publish the certificate. */
export interface NewRoot {
  readonly key: KeyObject
  readonly certificateDer: Uint8Array
}

/** What a certificate is to say. Times are Unix milliseconds and are cut to whole seconds. */
export interface SvidRequest {
  /** In the authority's trust domain, with a path. */
  readonly spiffeId: string
  /** P-256, as SubjectPublicKeyInfo in its one encoding. */
  readonly publicKeySpki: Uint8Array
  /** Raised to the root's own, if that is later. Whoever wants tolerance for slow clocks backdates it. */
  readonly notBeforeMs: number
  /** Lowered to the root's own, if that is earlier. */
  readonly notAfterMs: number
  /** 16 random bytes, read as an unsigned number, not zero. */
  readonly serial: Uint8Array
  /** The value of the delegation extension (FORMAT §8.2). Only the service's own certificates have none. */
  readonly delegationExtension?: Uint8Array
}

function wholeSeconds(ms: number): number {
  return Math.floor(ms / MS_PER_SECOND) * MS_PER_SECOND
}

/** Runs one of the kit's readers, turning its error into one of `code`. */
function read<T>(code: IdentityErrorCode, reader: () => T): T {
  try {
    return reader()
  } catch (cause) {
    if (!(cause instanceof ProofError)) throw cause
    throw new IdentityError(code, cause.message, { cause })
  }
}

/** The certificate of an authority, checked to be one and to be signed by itself; the trust domain it is of. */
function readRoot(der: Uint8Array): { readonly root: Certificate; readonly trustDomain: string } {
  const root = read('authority_invalid', () => parseCertificate(der))
  const [uri, ...moreUris] = root.uris
  const { trustDomain, segments } = read('authority_invalid', () => parseSpiffeId(uri ?? ''))
  const usages = root.keyUsage?.critical === true ? root.keyUsage.bits : []
  const isAuthority =
    root.basicConstraints?.isAuthority === true &&
    root.basicConstraints.critical &&
    usages.includes('keyCertSign') &&
    segments.length === 0 &&
    moreUris.length === 0 &&
    root.subjectKeyId !== undefined
  const rule =
    'certificate must have a critical cA, keyCertSign, a key id and its trust domain alone'
  checkIdentity(isAuthority, 'authority_invalid', rule)
  const isSelfSigned =
    equalBytes(root.subject, root.issuer) &&
    nativePrimitives.p256Verify(root.publicKey, root.tbs, root.signature)
  checkIdentity(isSelfSigned, 'authority_invalid', 'certificate is not signed by its own key')
  return { root, trustDomain }
}

/** The certificate authority of one trust domain. */
export class Authority {
  /** The trust domain, without `spiffe://`. */
  readonly trustDomain: string
  /** The root's certificate. */
  readonly certificateDer: Uint8Array
  /** When the root ends, in Unix milliseconds: nothing it issues lives longer. */
  readonly notAfterMs: number
  private readonly root: Certificate
  private readonly authorityKeyId: Uint8Array
  private readonly signer: Signer

  private constructor(signer: Signer, certificateDer: Uint8Array) {
    const { root, trustDomain } = readRoot(certificateDer)
    checkIdentity(
      equalBytes(root.spki, signer.spki),
      'authority_key_mismatch',
      'the private key is not the one that the certificate names',
    )
    this.signer = signer
    this.root = root
    this.trustDomain = trustDomain
    this.certificateDer = certificateDer.slice()
    this.notAfterMs = root.notAfterMs
    this.authorityKeyId = root.subjectKeyId ?? new Uint8Array(0)
  }

  /**
   * Draws a P-256 key and makes a root certificate for it, valid from `nowMs` for `days`.
   *
   * @throws {IdentityError} `trust_domain_invalid`; `svid_validity_invalid` if `days` is not a positive number.
   */
  static async createRoot(options: {
    readonly trustDomain: string
    readonly nowMs: number
    readonly days: number
  }): Promise<NewRoot> {
    const { trustDomain, nowMs, days } = options
    const uri = `spiffe://${trustDomain}`
    const { segments } = read('trust_domain_invalid', () => parseSpiffeId(uri))
    checkIdentity(segments.length === 0, 'trust_domain_invalid', 'trust domain must have no path')
    const notBeforeMs = wholeSeconds(nowMs)
    const notAfterMs = wholeSeconds(notBeforeMs + days * MS_PER_DAY)
    checkValidity(notBeforeMs, notAfterMs)
    const key = generateKey('ES256')
    const serial = randomBytes(SERIAL_LENGTH)
    const fields = { serial, notBeforeMs, notAfterMs, uri }
    const certificateDer = await signAuthorityCertificate(signerFromPrivateKey(key), fields)
    return { key, certificateDer }
  }

  /**
   * Opens an authority from its key, or from a signer that stands for it, and its certificate.
   *
   * @throws {IdentityError} `authority_key_unsupported`; `authority_invalid`; `authority_key_mismatch`.
   * @throws {KeyError} `key_unsupported` for a KeyObject that no signer can be made of.
   */
  static open(options: {
    readonly key: KeyObject | Signer
    readonly certificateDer: Uint8Array
  }): Authority {
    const { key, certificateDer } = options
    const signer = 'sign' in key ? key : signerFromPrivateKey(key)
    const rule = 'key of an authority must be P-256'
    checkIdentity(signer.alg === 'ES256', 'authority_key_unsupported', rule)
    return new Authority(signer, certificateDer)
  }

  /**
   * Issues an X.509-SVID: DER, signed with ecdsa-with-SHA256 (FORMAT §8.1). Validity is cut to the root's.
   *
   * @throws {IdentityError} `spiffe_id_invalid`; `svid_key_unsupported`; `svid_serial_invalid`;
   *   `svid_validity_invalid`.
   */
  async issueSvid(request: SvidRequest): Promise<Uint8Array> {
    const { spiffeId, publicKeySpki, serial, delegationExtension } = request
    const id: SpiffeId = read('spiffe_id_invalid', () => parseSpiffeId(spiffeId))
    const isOurs = id.trustDomain === this.trustDomain && id.segments.length > 0
    const rule = `id must be under spiffe://${this.trustDomain}/`
    checkIdentity(isOurs, 'spiffe_id_invalid', rule)
    const { alg } = read('svid_key_unsupported', () => parseSpki(publicKeySpki))
    checkIdentity(alg === 'ES256', 'svid_key_unsupported', 'key of the certificate must be P-256')
    const isSerial = serial.length === SERIAL_LENGTH && serial.some((byte) => byte !== 0)
    const serialRule = `serial number must be ${SERIAL_LENGTH} bytes and not zero`
    checkIdentity(isSerial, 'svid_serial_invalid', serialRule)
    const notBeforeMs = Math.max(wholeSeconds(request.notBeforeMs), this.root.notBeforeMs)
    const notAfterMs = Math.min(wholeSeconds(request.notAfterMs), this.root.notAfterMs)
    checkValidity(notBeforeMs, notAfterMs)
    return signLeafCertificate(this.signer, {
      serial,
      issuer: this.root.subject,
      notBeforeMs,
      notAfterMs,
      uri: spiffeId,
      spki: publicKeySpki,
      authorityKeyId: this.authorityKeyId,
      ...(delegationExtension === undefined ? {} : { delegation: delegationExtension }),
    })
  }
}

function checkValidity(notBeforeMs: number, notAfterMs: number): void {
  // The last second that X.509 can say (RFC 5280 §4.1.2.5.2).
  const last = Date.UTC(9999, 11, 31, 23, 59, 59)
  const isValid = notBeforeMs >= 0 && notBeforeMs < notAfterMs && notAfterMs <= last
  const rule = `validity is from ${notBeforeMs} to ${notAfterMs} ms, must end after it begins`
  checkIdentity(isValid, 'svid_validity_invalid', rule)
}
