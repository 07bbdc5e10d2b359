/**
 * @module The gate's own reasons to deny: what the host answers where a policy did not, or not in the agreed form.
 *
 * They are part of what the log records, so a code is never reused with another meaning. A policy cannot give one: a
 * result with a reason that begins with `gate_` is refused.
 */

/**
 * What the host may answer in place of the policy: code → meaning, and whether evaluating again must give the same
 * (`reproducible` is false where the answer depends on the machine or the moment, so that an auditor's run may
 * differ). Every one of them is a denial.
 */
export const GATE_REASONS = {
  gate_not_loaded: { meaning: 'no policy is loaded, or the host is closed', reproducible: false },
  gate_overload: {
    meaning: 'too many decisions wait for a worker, or this one has waited too long',
    reproducible: false,
  },
  gate_input_malformed: {
    meaning: 'the input is not canonical JSON of one object',
    reproducible: true,
  },
  gate_input_limit: {
    meaning:
      'the input is over its limit of bytes, nesting, links of the chain or grants of a link',
    reproducible: true,
  },
  gate_timeout: { meaning: 'the policy did not answer within its deadline', reproducible: false },
  gate_memory: { meaning: 'the policy needs more memory than it may have', reproducible: true },
  gate_stack: { meaning: 'the policy recursed deeper than the stack', reproducible: false },
  gate_error: { meaning: 'the policy ended with an error', reproducible: true },
  gate_worker: { meaning: 'the worker that ran the policy ended', reproducible: false },
  gate_result_count: {
    meaning: 'the policy gave no result, or more than one',
    reproducible: true,
  },
  gate_result_shape: {
    meaning: 'the result is not {effect, reasons, matched, obligations} as the interface demands',
    reproducible: true,
  },
  gate_result_limit: { meaning: 'the result is over its limit', reproducible: true },
  gate_allow_with_reasons: {
    meaning: 'the policy allowed and gave reasons against',
    reproducible: true,
  },
} as const

/** A stable code of the table above. */
export type GateReasonCode = keyof typeof GATE_REASONS

/** What a policy, or the host in its place, says of one request (FORMAT §10.3). */
export interface Verdict {
  readonly effect: 'allow' | 'deny' | 'require_approval'
  /** Why not, or what is pending: sorted by code unit, without duplicates; empty with an allow. */
  readonly reasons: readonly string[]
  /** The rules that applied: sorted by code unit, without duplicates. */
  readonly matched: readonly string[]
  /** What whoever enforces must know and do: sorted by code unit, without duplicates. */
  readonly obligations: readonly string[]
  /** Whether evaluating the same input under the same policy again must give the same verdict. */
  readonly reproducible: boolean
}

/** The denial for one of the host's own reasons. */
export function gateDenial(code: GateReasonCode): Verdict {
  const { reproducible } = GATE_REASONS[code]
  return { effect: 'deny', reasons: [code], matched: [], obligations: [], reproducible }
}
