/**
 * @module RFC 9457 problem documents: the only place that chooses a status for an error code.
 */
import { ERRORS, type ErrorCode, ServiceError } from '../errors.ts'

/** HTTP status of every error code. */
export const STATUS: Readonly<Record<ErrorCode, number>> = {
  request_malformed: 400,
  request_too_large: 413,
  media_type_unsupported: 415,
  route_unknown: 404,
  not_found: 404,
  range_invalid: 400,
  credential_missing: 401,
  credential_invalid: 401,
  credential_expired: 401,
  role_forbidden: 403,
  signer_unknown: 401,
  signer_forbidden: 403,
  statement_malformed: 400,
  statement_too_large: 413,
  envelope_unsupported: 415,
  type_unknown: 400,
  audience_mismatch: 400,
  signature_invalid: 401,
  disclosure_invalid: 400,
  attachment_invalid: 400,
  digest_mismatch: 400,
  entry_too_large: 413,
  event_conflict: 409,
  decision_spent: 409,
  iat_out_of_window: 403,
  spiffe_id_invalid: 403,
  instance_used: 403,
  key_used: 403,
  csr_invalid: 403,
  delegation_invalid: 403,
  name_not_permitted: 403,
  depth_exceeded: 403,
  scope_invalid: 403,
  scope_not_contained: 403,
  ceiling_exceeded: 403,
  life_too_short: 403,
  size_ahead: 403,
  revoked: 403,
  allowance_spent: 403,
  certificate_expired: 403,
  principal_exists: 409,
  pattern_taken: 409,
  policy_invalid: 400,
  rotation_outdated: 409,
  overlap_too_long: 400,
  key_not_held: 409,
  target_unknown: 404,
  overloaded: 503,
  quota_exceeded: 429,
  disk_low: 503,
  stale: 503,
  clock_stopped: 503,
  shutting_down: 503,
  outcome_unknown: 503,
  gate_unavailable: 503,
  internal: 500,
}

/** Codes that are worth trying again, and after how many seconds. */
const RETRY_AFTER_S: Partial<Readonly<Record<ErrorCode, number>>> = {
  overloaded: 1,
  // A quota is at least one entry a second.
  quota_exceeded: 1,
  disk_low: 30,
  stale: 1,
  clock_stopped: 10,
  shutting_down: 5,
  outcome_unknown: 1,
  gate_unavailable: 5,
}

/** An RFC 9457 document; `code` is stable, `title` and `detail` are for people. */
export interface Problem {
  readonly type: string
  readonly title: string
  readonly status: number
  readonly code: ErrorCode
  readonly detail: string
}

/** After how many seconds a request that met `code` is worth repeating, or undefined if it is not. */
export function retryAfterS(code: ErrorCode): number | undefined {
  return RETRY_AFTER_S[code]
}

/** Makes the problem document of `code`. */
export function problem(code: ErrorCode, detail: string): Problem {
  return {
    type: `urn:trustwarden:problem:${code}`,
    title: ERRORS[code],
    status: STATUS[code],
    code,
    detail,
  }
}

/** Turns anything thrown into a problem; what nobody expected says `internal` and nothing of itself. */
export function problemOf(error: unknown): Problem {
  if (error instanceof ServiceError && error.code !== 'internal')
    return problem(error.code, error.message)
  return problem(
    'internal',
    'unexpected error; the log of the service has it under this request id',
  )
}
