/**
 * @module Every error that the service can answer with: one table of stable codes. `http/problem.ts` gives each its
 * status, the README lists them, and a test compares all three.
 */

/** Code → what it means. Codes are part of the public interface and are never reused with another meaning. */
export const ERRORS = {
  // The request.
  request_malformed: 'the request is not of the form that the route demands',
  request_too_large: 'the request is over its limit of bytes or statements',
  media_type_unsupported: 'the content type is not one that the route reads',
  route_unknown: 'no such route or method',
  not_found: 'nothing is there under this name or index',
  range_invalid: 'an index or size is not within the log',
  // Who asks.
  credential_missing: 'the route needs a signed request',
  credential_invalid: 'the credential does not verify or is for another request',
  credential_expired: 'the credential was signed more than 60 s ago, or ahead of the clock',
  role_forbidden: 'the role may not use this route, or not for this object',
  signer_unknown: 'no enrolled key or issued agent has this name',
  signer_forbidden: 'the signer may not make a statement of this type or about this subject',
  // The statement.
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
  // Delegation (FORMAT §9.2); recorded as agent.refuse where the caller is known.
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
  // People and policy.
  principal_exists: 'the key is enrolled already',
  pattern_taken: 'the pattern would take a used name from another owner',
  policy_invalid: 'the policy pack does not load or fails its self-test',
  rotation_outdated: 'the rotation is of a key that is not in force, or ends too near',
  overlap_too_long: 'the old key would sign beside the new one for too many entries',
  key_not_held: 'the service does not hold the new key yet',
  target_unknown: 'the subject of the statement is not known to the log',
  // The service's own state.
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

/** A stable error code of the service. */
export type ErrorCode = keyof typeof ERRORS

/** Whether `code` is one of the table. */
export function isErrorCode(code: string): code is ErrorCode {
  return Object.hasOwn(ERRORS, code)
}

/** What the service answers when it refuses. The message names field, rule and limit, never a secret. */
export class ServiceError extends Error {
  override readonly name = 'ServiceError'
  readonly code: ErrorCode

  constructor(code: ErrorCode, message: string, options?: { readonly cause?: unknown }) {
    super(message, options)
    this.code = code
  }
}
