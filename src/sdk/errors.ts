/**
 * @module The one error class of the SDK and its closed set of codes: the SDK's own, and those that the service
 * answers with, under the same names. A caller tells failures apart by `code`, never by the message.
 */
import type { Receipt } from '@trustwarden/proofs'

/** What the SDK itself refuses or misses. */
export const SDK_ERRORS = {
  argument_invalid: 'an argument breaks a rule of the SDK or of the format',
  key_invalid: 'the key file or key cannot be read, or is of a kind that is not used',
  aborted: 'the caller gave up',
  service_unreachable: 'no answer came within the attempts and the time that were given',
  answer_malformed: 'the answer is not of the form that the service promises, or over its limit',
  answer_unexpected: 'the answer has a status that is no success, and is no problem document',
  answer_redirected: 'the answer names another address, and redirects are not followed',
  answer_encoded: 'the answer is in a content encoding, and none was asked for',
  service_untrusted: 'the service does not show the log of the trust anchor',
  certificate_untrusted: 'the service shows a TLS certificate that is not trusted',
  service_refused: 'the service refused with a code that this release does not know',
  receipt_invalid: 'the receipt does not prove what it claims',
  receipt_mismatch: 'the receipt proves another statement than the one that was sent',
  log_forked: 'the log showed two histories: nothing that it says is trusted any more',
  log_unproven: 'the log failed for over a minute to show that its heads are one history',
  issuance_invalid: 'certificate, delegation record and lineage are not those that were asked for',
  permit_invalid: 'the permit does not verify, or is not for this action',
  denied: 'the action is not allowed',
  record_failed: 'the action was performed and could not be recorded',
  chain_broken: 'an entry does not continue the chain that it should',
  evidence_incomplete: 'an entry that the evidence needs was not found',
} as const

/** What the service answers with; its README says when. */
export const SERVICE_ERRORS = {
  request_malformed: 'the request is not of the form that the route demands',
  request_too_large: 'the request is over its limit of bytes or statements',
  media_type_unsupported: 'the content type is not one that the route reads',
  route_unknown: 'no such route or method',
  not_found: 'nothing is there under this name or index',
  range_invalid: 'an index or size is not within the log',
  credential_missing: 'the route needs a signed request',
  credential_invalid: 'the credential does not verify or is for another request',
  credential_expired: 'the credential was signed more than 60 s ago, or ahead of the clock',
  role_forbidden: 'the role may not use this route, or not for this object',
  signer_unknown: 'no enrolled key or issued agent has this name',
  signer_forbidden: 'the signer may not make a statement of this type or about this subject',
  statement_malformed: 'the statement breaks a rule of FORMAT §3, §4 or §6',
  statement_too_large: 'the statement or an attachment is over its limit',
  envelope_unsupported: 'the statement is in an envelope that this release does not read',
  type_unknown: 'no such statement type, or it is not accepted at this route',
  audience_mismatch: 'the statement is addressed to another log',
  signature_invalid: "the signature does not verify under the signer's key",
  disclosure_invalid: 'a disclosure is missing, unmatched or not permitted',
  attachment_invalid: "an attachment is missing, or does not match the statement's digest",
  digest_mismatch: 'a digest in the statement is not that of what it names',
  entry_too_large: 'the entry would be over 65,535 bytes',
  event_conflict: 'this issuer has used this event id for another statement',
  decision_spent:
    'the recorded decision no longer holds: it expired, was used, or what it rests on changed',
  iat_out_of_window: 'the statement was signed more than 5 minutes from ledger time',
  spiffe_id_invalid: 'the SPIFFE id breaks a rule',
  instance_used: 'the instance id was used before',
  key_used: 'the key already belongs to an instance or a person',
  csr_invalid: 'the certificate request breaks a rule or is not signed by its key',
  delegation_invalid: "the delegation record contradicts its signer or its parent's record",
  name_not_permitted: 'the name is not under what the owner or parent may create',
  depth_exceeded: 'the chain would be deeper than its record permits',
  scope_invalid: 'the scope breaks a rule of the grammar',
  scope_not_contained: "the scope is not a strict subset of the parent's",
  ceiling_exceeded: "the life ceiling is beyond the parent's or the limit",
  life_too_short: 'less than 60 s of life would be left, or the ttl is out of range',
  size_ahead: 'the record names a size of the log that it has not reached',
  revoked: 'the agent, its name, its owner or an ancestor is revoked',
  allowance_spent: 'the signer is revoked, and the entries that it could still have are used up',
  certificate_expired: "the signer's certificate is no longer valid",
  principal_exists: 'the key is enrolled already',
  pattern_taken: 'the pattern would take a used name from another owner',
  policy_invalid: 'the policy pack does not load or fails its self-test',
  rotation_outdated: 'the rotation is of a key that is not in force, or ends too near',
  overlap_too_long: 'the old key would sign beside the new one for too many entries',
  key_not_held: 'the service does not hold the new key yet',
  target_unknown: 'the subject of the statement is not known to the log',
  overloaded: 'the queue is full: try again after Retry-After',
  quota_exceeded: 'the agent or its owner has used up its quota: try again after Retry-After',
  disk_low:
    'free space is below the floor: only revocations are taken; try again after Retry-After',
  stale: 'what the statement rests on changed three times while it was prepared: try again',
  clock_stopped: 'the wall clock left the time since boot by more than 10 s: intake is stopped',
  shutting_down: 'the service is stopping',
  outcome_unknown:
    'the statement may or may not be recorded: repeat the same statement to learn it',
  gate_unavailable: 'no policy is loaded',
  internal: 'the service met an unexpected error; nothing was recorded',
} as const

/** Every code that a `TrustWardenError` can carry, with what it means. */
export const TRUSTWARDEN_ERRORS: typeof SDK_ERRORS & typeof SERVICE_ERRORS = {
  ...SDK_ERRORS,
  ...SERVICE_ERRORS,
}

/** A stable name for what is wrong. */
export type TrustWardenErrorCode = keyof typeof TRUSTWARDEN_ERRORS

/** What an error carries besides code and message. */
export interface ErrorDetails {
  readonly cause?: unknown
  /** HTTP status of the answer. */
  readonly status?: number | undefined
  /** Proof of the recorded refusal or denial, verified. */
  readonly receipt?: Receipt | undefined
  /** Why an action was denied. */
  readonly reasons?: readonly string[] | undefined
}

/** What every function of the SDK throws. The message names field, rule and limit, never a secret. */
export class TrustWardenError extends Error {
  override readonly name = 'TrustWardenError'
  readonly code: TrustWardenErrorCode
  /** HTTP status, where the service answered. */
  readonly status: number | undefined
  /** The receipt of the recorded refusal or denial, where there is one; it has been verified. */
  readonly receipt: Receipt | undefined
  /** Reason codes of a denial; empty for everything else. */
  readonly reasons: readonly string[]

  constructor(code: TrustWardenErrorCode, message: string, details: ErrorDetails = {}) {
    super(message, details.cause === undefined ? {} : { cause: details.cause })
    this.code = code
    this.status = details.status
    this.receipt = details.receipt
    this.reasons = details.reasons ?? []
  }
}

/** Whether `code` is one that the service can answer with, as far as this release knows. */
export function isServiceCode(code: string): code is keyof typeof SERVICE_ERRORS {
  return Object.hasOwn(SERVICE_ERRORS, code)
}

/**
 * Runs `work` of the proof kit, whose errors leave as a `TrustWardenError` of `code`.
 *
 * @param what - What was being read, for the message.
 */
export function inSdkWords<T>(code: keyof typeof SDK_ERRORS, what: string, work: () => T): T {
  try {
    return work()
  } catch (cause) {
    if (cause instanceof TrustWardenError) throw cause
    if (!(cause instanceof Error)) throw cause
    throw new TrustWardenError(code, `${what}: ${cause.message}`, { cause })
  }
}
