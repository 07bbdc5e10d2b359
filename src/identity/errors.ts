/** @module The one error class of certificates and requests for them. */

/** Every code that certificates and requests for them can fail with, and what it means. */
export const IDENTITY_ERRORS = {
  // The request for a certificate.
  csr_too_large: 'the request is over 4 KiB',
  csr_invalid:
    'the request is not a PKCS#10 request in DER, version 1, signed with ecdsa-with-SHA256',
  csr_key_unsupported: 'the key of the request is not P-256 as named curve and uncompressed point',
  csr_signature_invalid: 'the request is not signed by its own key',
  // What is to be issued.
  spiffe_id_invalid:
    'the SPIFFE id breaks a rule of SPIFFE-ID, has no path or is of another trust domain',
  svid_key_unsupported: 'the key is not a P-256 key in its one permitted encoding',
  svid_serial_invalid: 'the serial number is not 16 bytes, or is zero',
  svid_validity_invalid: 'the certificate would end before it begins',
  // The authority itself.
  trust_domain_invalid: 'the trust domain breaks a rule of SPIFFE-ID',
  authority_invalid: 'the certificate is not a self-signed authority of one trust domain',
  authority_key_mismatch: 'the private key is not the one that the certificate names',
  authority_key_unsupported: 'the private key is not a P-256 key',
} as const

/** A stable name for what is wrong with a certificate or a request for one. */
export type IdentityErrorCode = keyof typeof IDENTITY_ERRORS

/** What certificates and requests for them fail with. The message names field, rule and limit. */
export class IdentityError extends Error {
  override readonly name = 'IdentityError'
  readonly code: IdentityErrorCode

  constructor(code: IdentityErrorCode, message: string, options?: { readonly cause?: unknown }) {
    super(message, options)
    this.code = code
  }
}

/** Throws an `IdentityError` of `code` unless `condition` holds. */
export function checkIdentity(
  condition: boolean,
  code: IdentityErrorCode,
  message: string,
): asserts condition {
  if (!condition) throw new IdentityError(code, message)
}
