/**
 * @module The one error class of the kit and its closed set of codes (FORMAT §14).
 *
 * A caller tells failures apart by `code`, never by the message. A failing proof says only that it fails: where in
 * the arithmetic it went wrong would help an attacker and nobody else.
 */

/** Every code that the kit can throw, with what it means. FORMAT §14 lists the same, and a test compares them. */
export const PROOF_ERRORS = {
  // Bytes that cannot be read.
  malformed: 'the bytes are not of the form that the format demands',
  too_large: 'a length, count or depth is over its limit',
  not_canonical: 'the bytes say something in a form that is not the one permitted form',
  version_unknown: 'the format version is not one that this release reads',
  envelope_unsupported: 'the statement is in an envelope that this release does not read',
  // Signatures and keys.
  algorithm_unsupported: 'the signature algorithm is not one of the permitted ones',
  key_invalid: 'the public key is not a permitted key in its one permitted encoding',
  key_unknown: 'no trusted key has this name and id',
  key_mismatch: 'the key is not the one that the claim names',
  signature_invalid: 'the signature does not verify',
  // Merkle tree and heads.
  inclusion_mismatch: 'the inclusion or range proof does not lead to the root',
  consistency_mismatch: 'the consistency proof does not connect the two roots',
  root_mismatch: 'two heads of one size have different roots',
  origin_mismatch: 'the head or statement is for another log',
  head_out_of_range: 'the head is of a size for which its key is not trusted',
  // Statements and entries.
  claim_missing: 'a required claim is absent',
  claim_invalid: 'a claim has a value that is not permitted',
  audience_mismatch: 'the statement is addressed to another log',
  type_mismatch: 'the statement is of another type than the one required here',
  disclosure_missing: 'a digest has no disclosure beside it',
  disclosure_unmatched: 'a disclosure has no digest in the payload',
  clear_detail: 'a field that may only be disclosed stands in the clear',
  kind_unknown: 'the entry is of a kind that this release does not know',
  index_mismatch: 'the entry says another index than the one proven',
  chain_mismatch: "a chain link does not follow from the subject's previous entry",
  outcome_mismatch: 'the recorded outcome is not the one that the rules give',
  // Certificates, delegation, scope.
  certificate_invalid: 'the certificate breaks a rule of X.509-SVID or of FORMAT §8',
  certificate_expired: 'the certificate was not valid at the time in question',
  certificate_untrusted: 'the certificate is not signed by a trusted root',
  spiffe_id_invalid: 'the SPIFFE id breaks a rule of SPIFFE-ID',
  scope_invalid: 'the scope breaks a rule of the grammar',
  scope_not_contained: "the scope is not a strict subset of its parent's",
  delegation_invalid: 'the delegation record breaks a rule of FORMAT §9',
  lineage_broken: 'the delegation records do not connect the agent to its owner',
  issuance_unproven: 'no receipt shows the issuance in the log',
  owner_unproven: "no entry shows the owner's enrolment",
  revoked: 'a revocation governs the agent or one of its ancestors',
  // Evidence.
  genesis_mismatch: 'the genesis entry is not the one of the trust anchor',
  trust_mismatch: 'the evidence rests on another log than the trusted one',
  decision_missing: 'no entry holds the decision that the action names',
  decision_mismatch: 'the decision is not one that permits this action',
  policy_missing: 'no entry activates the policy that the decision names',
  link_missing: 'a step between the action and the owner is not in the evidence',
} as const

/** A stable name for what is wrong: part of the public interface, never reused with another meaning. */
export type ProofErrorCode = keyof typeof PROOF_ERRORS

/**
 * What every function of the kit throws when bytes do not prove what they claim.
 *
 * `code` is stable; `message` is for a person and says field, rule and limit, never a secret.
 */
export class ProofError extends Error {
  override readonly name = 'ProofError'
  readonly code: ProofErrorCode

  constructor(code: ProofErrorCode, message: string, options?: { readonly cause?: unknown }) {
    super(message, options)
    this.code = code
  }
}

/** Throws a `ProofError` of `code` unless `condition` holds. */
export function check(
  condition: boolean,
  code: ProofErrorCode,
  message: string,
): asserts condition {
  if (!condition) throw new ProofError(code, message)
}
