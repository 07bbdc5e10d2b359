/**
 * @module From verified parts to the report: nothing is decided here.
 */
import { toBase64url } from './bytes.ts'
import type {
  DisclosureState,
  EvidenceAction,
  EvidenceDecision,
  EvidenceLink,
  EvidencePolicy,
  EvidencePredecessor,
  EvidenceReport,
  EvidenceStep,
  NotProven,
} from './evidence-report.ts'
import type { EvidenceChain } from './evidence-chain.ts'
import type { ActionEvent } from './action.ts'
import type { DecisionPrepared, DecisionRequest } from './decision.ts'
import type { ActivatedPolicy } from './enrolment.ts'
import type { JsonValue } from './json.ts'
import type { ActionVerdict, DecisionOutcome } from './outcomes.ts'
import type { ProvenEntry, ProvenLog } from './proven-log.ts'

/** The action of a bundle, verified. */
export interface VerifiedAction {
  readonly at: ProvenEntry
  readonly event: ActionEvent
  readonly chain: EvidenceChain
  /** The recorded verdict, which is the recomputed one. */
  readonly verdict: ActionVerdict
  /** False where the verdict rests on an entry that the bundle does not hold. */
  readonly isShown: boolean
  readonly disclosures: DisclosureState
  readonly disclosed: Readonly<Record<string, JsonValue>>
}

/** A decision of a bundle, verified. */
export interface VerifiedDecision {
  readonly at: ProvenEntry
  readonly request: DecisionRequest
  readonly prepared: DecisionPrepared
  readonly outcome: DecisionOutcome
  readonly chain: EvidenceChain
  readonly policy: ActivatedPolicy
  /** False where it is a denial for a revocation that the bundle does not hold. */
  readonly isShown: boolean
  readonly disclosures: DisclosureState
}

/** What a report is made of. */
export interface EvidenceParts {
  readonly log: ProvenLog
  readonly action: VerifiedAction
  readonly decision: VerifiedDecision | undefined
  readonly steps: readonly EvidenceStep[]
}

/** What no bundle shows. */
const NEVER_SHOWN: readonly string[] = [
  'that the log shows everybody the same history: the head is not held to any cosignature',
  'that instance ids, keys and certification requests were new and genuine when issued: the log checked them',
  "that what the event says happened: time, outcome and details are the agent's claims",
  'what the agent did without asking the gate and without reporting it',
  "who or what held the agent's key while it was valid",
]

/** Puts the report together. */
export function describeEvidence(parts: EvidenceParts): EvidenceReport {
  const { log, action, decision, steps } = parts
  const { chain, verdict } = action
  const { record } = chain.self
  const { owner } = chain
  return {
    origin: log.origin,
    trustDomain: log.genesis.trustDomain,
    development: log.genesis.development,
    predecessor: describePredecessor(log),
    head: { size: log.head.size, root: toBase64url(log.head.root), cosigned: false },
    integrity: true,
    authorized: verdict === 'matched',
    agent: record.child.instance.name,
    instance: record.child.instance.id,
    scope: record.scope.texts,
    owner: {
      principal: owner.principal,
      patterns: owner.patterns.map(({ text }) => text),
      index: owner.index,
      signers: owner.signers,
    },
    chain: describeChain(chain),
    action: describeAction(action),
    decision: decision === undefined ? null : describeDecision(decision),
    policy: decision === undefined ? null : describePolicy(decision),
    revocations: chain.revocations.map((one) => ({
      ...one,
      beforeAction: one.index < action.at.index,
    })),
    recordedNotProven: recordedNotProven(parts),
    unknownKinds: [...new Set(log.unknown.map(({ kind }) => kind))],
    steps,
    notShown: [...NEVER_SHOWN, ...notShown(parts)],
  }
}

function describePredecessor({ genesis: { predecessor } }: ProvenLog): EvidencePredecessor | null {
  if (predecessor === null) return null
  const { origin, size, root } = predecessor
  return { origin, size, root: toBase64url(root) }
}

function describeChain({ issuances }: EvidenceChain): readonly EvidenceLink[] {
  return issuances.map(({ record, statement, certificate, recordDigest, logged }) => ({
    instance: record.child.instance.id,
    name: record.child.instance.name,
    depth: record.depth,
    scope: record.scope.texts,
    signedBy: statement.header.iss,
    index: logged.index,
    timeMs: logged.timeMs,
    notBeforeMs: certificate.notBeforeMs,
    notAfterMs: certificate.notAfterMs,
    ceilingMs: record.ceiling * 1000,
    record: toBase64url(recordDigest),
  }))
}

function describeAction(action: VerifiedAction): EvidenceAction {
  const { at, event, verdict, disclosures, disclosed } = action
  return {
    index: at.index,
    timeMs: at.entry.timeMs,
    signedAtMs: at.statement.header.iat * 1000,
    eventId: event.eventId,
    action: event.action,
    resource: event.resource,
    timestamp: event.timestamp,
    outcome: event.outcome,
    verdict,
    disclosures,
    disclosed,
  }
}

function describeDecision(decision: VerifiedDecision): EvidenceDecision {
  const { at, request, prepared, outcome, disclosures } = decision
  return {
    index: at.index,
    timeMs: at.entry.timeMs,
    id: prepared.decisionId,
    instance: request.instance,
    action: request.action,
    effect: outcome.effect,
    reasons: outcome.reasons,
    matched: prepared.verdict.matched,
    permitExpiresAtMs: outcome.permitExpiresAtMs ?? null,
    epoch: prepared.epoch,
    reproducible: prepared.reproducible,
    disclosures,
  }
}

function describePolicy({ policy }: VerifiedDecision): EvidencePolicy {
  const { index, timeMs, policy: digest, revision, signers } = policy
  return { index, timeMs, digest: toBase64url(digest), revision, signers }
}

/** What this bundle in particular does not show. */
function notShown({ log, action, decision }: EvidenceParts): readonly string[] {
  const more: string[] = []
  if (decision !== undefined) {
    more.push('that the policy gives this verdict: run it again over the disclosed input to see')
  }
  const states = [action.disclosures, decision?.disclosures]
  if (states.includes('erased') || states.includes('withheld')) {
    more.push(
      'what was disclosed and is not here: the digests that depend on it were not recomputed',
    )
  }
  if (log.unknown.length > 0) more.push('what the entries of unknown kinds say')
  return more
}

/** What rests on the log's word. */
function recordedNotProven({ action, decision }: EvidenceParts): readonly NotProven[] {
  const { verdict, isShown, event } = action
  const usable = ['revoked', 'late', 'expired', 'matched'].includes(verdict)
  const holds: Readonly<Record<NotProven, boolean>> = {
    no_revocation: verdict !== 'revoked',
    single_use: usable,
    policy_active: decision !== undefined,
    decision_unique: decision !== undefined,
    decision_absent: verdict === 'absent' && event.decision !== null,
    spent: verdict === 'spent' && !isShown,
    revoked: (verdict === 'revoked' && !isShown) || (decision !== undefined && !decision.isShown),
  }
  return NOT_PROVEN.filter((word) => holds[word])
}

const NOT_PROVEN: readonly NotProven[] = [
  'no_revocation',
  'single_use',
  'policy_active',
  'decision_unique',
  'decision_absent',
  'spent',
  'revoked',
]
