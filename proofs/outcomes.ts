/**
 * @module What the rules give for a decision and for an action, recomputed from what a bundle shows (FORMAT §10.4, §10.7).
 */
import type { ActionEvent } from './action.ts'
import { equalBytes } from './bytes.ts'
import type { Certificate } from './certificate.ts'
import type { DecisionRequest, Effect, Verdict } from './decision.ts'
import { IAT_WINDOW_MS } from './issuance.ts'
import { PERMIT_LIFE_S, PERMIT_SKEW_S } from './permit.ts'
import { covers, parseAction, type Scope } from './scope.ts'

const PERMIT_SKEW_MS = PERMIT_SKEW_S * 1000

/** What became of a decision. */
export interface DecisionOutcome {
  readonly effect: Effect
  readonly reasons: readonly string[]
  /** Unix milliseconds; with `allow` only. */
  readonly permitExpiresAtMs: number | undefined
}

/** What the log says of an action. @see FORMAT §10.7 */
export type ActionVerdict =
  | 'absent'
  | 'mismatched'
  | 'denied'
  | 'spent'
  | 'revoked'
  | 'late'
  | 'expired'
  | 'matched'

/** The agent at the moment of an entry. */
export interface AgentState {
  readonly certificate: Certificate
  /** Of every link. */
  readonly scopes: readonly Scope[]
  /** Whether a revocation before the entry governs a link. */
  readonly isRevoked: boolean
  /** Ledger time of the entry. */
  readonly timeMs: number
}

/**
 * Decides what a decision has to be: the host's rules first, then the policy's verdict.
 *
 * @see FORMAT §10.4, §10.6
 */
export function decisionOutcome(
  action: string,
  agent: AgentState,
  verdict: Verdict,
): DecisionOutcome {
  const reason = hostReason(action, agent)
  if (reason !== undefined)
    return { effect: 'deny', reasons: [reason], permitExpiresAtMs: undefined }
  const { effect, reasons } = verdict
  const contradicts = effect === 'allow' && reasons.length > 0
  return {
    effect: contradicts ? 'deny' : effect,
    reasons,
    permitExpiresAtMs:
      effect === 'allow' && !contradicts
        ? (Math.floor(agent.timeMs / 1000) + PERMIT_LIFE_S) * 1000
        : undefined,
  }
}

/** A decision as an action is held to it. */
export interface DecisionFacts {
  /** Ledger time of the decision. */
  readonly timeMs: number
  readonly request: DecisionRequest
  readonly outcome: DecisionOutcome
  /** Whether an action before this one was matched to it. */
  readonly isSpent: boolean
}

/**
 * Decides the verdict on an action: the first that holds.
 *
 * @param decision - The decision that it names; `undefined` if there is none.
 * @see FORMAT §10.7
 */
export function actionVerdict(
  event: ActionEvent,
  iatMs: number,
  agent: AgentState,
  decision: DecisionFacts | undefined,
): ActionVerdict {
  if (decision === undefined || event.decision === null) return 'absent'
  const { request, outcome, isSpent, timeMs } = decision
  const same =
    request.instance === event.agentIdentity &&
    equalBytes(request.actionDigest, event.decision.actionDigest) &&
    request.action === event.action &&
    request.resource.type === event.resource.type &&
    request.resource.id === event.resource.id
  if (!same) return 'mismatched'
  if (outcome.permitExpiresAtMs === undefined) return 'denied'
  if (isSpent) return 'spent'
  if (agent.isRevoked) return 'revoked'
  const { permitExpiresAtMs } = outcome
  const punctual =
    Math.abs(agent.timeMs - iatMs) <= IAT_WINDOW_MS &&
    agent.timeMs <= permitExpiresAtMs + IAT_WINDOW_MS
  if (!punctual || !isValidAt(agent.certificate, agent.timeMs)) return 'late'
  const { timestampMs } = event
  const within = timestampMs > timeMs - PERMIT_SKEW_MS && timestampMs < permitExpiresAtMs
  return within ? 'matched' : 'expired'
}

/** Whether a certificate is valid at a time; both ends belong to it. */
export function isValidAt({ notBeforeMs, notAfterMs }: Certificate, atMs: number): boolean {
  return notBeforeMs <= atMs && atMs <= notAfterMs
}

/** Why the host denies, whatever the policy says: the first of FORMAT §10.4 that holds. */
function hostReason(action: string, agent: AgentState): string | undefined {
  if (!isValidAt(agent.certificate, agent.timeMs)) return 'identity_expired'
  if (agent.isRevoked) return 'identity_revoked'
  const asked = parseAction(action)
  return agent.scopes.every((scope) => covers(scope, asked)) ? undefined : 'scope_not_in_chain'
}
