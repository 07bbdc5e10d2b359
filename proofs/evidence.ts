/**
 * @module Verifying an evidence bundle: from an action through its decision, the policy, the agent's chain and the owner
 * down to the trust anchor (FORMAT §12.2). Every step is recomputed; one that is missing has its own code, and there is
 * no shorter success.
 */
import { type ActionEvent, openActionEvent, parseActionEvent } from './action.ts'
import { equalBytes } from './bytes.ts'
import { cborText, cborUint } from './cbor.ts'
import {
  type DecisionPrepared,
  decodeDecisionPrepared,
  decodeNames,
  inputCommitment,
  isDecisionFresh,
  openDecisionRequest,
  parseDecisionRequest,
  policyInput,
} from './decision.ts'
import { parseErasure } from './administration.ts'
import { parseDisclosure, readCommitments } from './disclosure.ts'
import { checkSubjects, instanceSubjects } from './entry-links.ts'
import { findPolicy, type Operators, readOperators, verifyOperator } from './enrolment.ts'
import { check, ProofError } from './errors.ts'
import { parseEvidence } from './evidence-bundle.ts'
import { type EvidenceChain, findChain } from './evidence-chain.ts'
import type { DisclosureState, EvidenceReport, EvidenceStep } from './evidence-report.ts'
import { describeEvidence, type VerifiedAction, type VerifiedDecision } from './evidence-summary.ts'
import type { JsonValue } from './json.ts'
import {
  type ActionVerdict,
  actionVerdict,
  type AgentState,
  type DecisionOutcome,
  decisionOutcome,
} from './outcomes.ts'
import type { Primitives } from './primitives.ts'
import {
  entriesOf,
  entryAt,
  openProvenLog,
  type ProvenEntry,
  type ProvenLog,
} from './proven-log.ts'
import { verifyStatement } from './statement.ts'
import type { Trust } from './trust.ts'

interface Context {
  readonly p: Primitives
  readonly log: ProvenLog
  readonly operators: Operators
  readonly steps: EvidenceStep[]
  /** Chains that are verified, by instance. */
  readonly chains: Map<string, EvidenceChain>
}

/**
 * Verifies an evidence bundle and says what it shows. A bundle about an action that was not authorized verifies too: then
 * `authorized` is false, and the agent's chain is walked all the same.
 *
 * @param bytes - The bundle, JSON.
 * @throws {ProofError} `decision_missing`, `policy_missing`, `issuance_unproven`, `link_missing`, `owner_unproven` for a step
 *   that is not in the bundle; `outcome_mismatch` for an outcome or a verdict that the rules do not give; `claim_invalid`
 *   for an event that says another parent or owner than its chain; `lineage_broken` for a statement before the issuance
 *   of its signer; else as `parseEvidence`, `openProvenLog`, `findChain`, `findPolicy` and `verifyStatement`.
 * @see FORMAT §12.2
 */
export function verifyEvidence(p: Primitives, bytes: Uint8Array, trust: Trust): EvidenceReport {
  const bundle = parseEvidence(bytes)
  const log = openProvenLog(p, bundle, trust)
  const steps: EvidenceStep[] = []
  const chains = new Map<string, EvidenceChain>()
  const context = { p, log, operators: readOperators(p, log), steps, chains }
  const { head, origin } = log
  const count = bundle.entries.length
  note(context, 'head', `signed by the trusted key of ${origin}, size ${head.size}`, null)
  note(context, 'inclusion', `${count} entries proven under the one head`, null)
  note(context, 'order', 'indexes, ledger times and chain links agree', null)
  note(context, 'genesis', 'the entry, log key and roots that the trust anchor names', 0)
  const at = entryAt(log, bundle.action, 'action', 'link_missing')
  const event = parseActionEvent(at.statement)
  const chain = chainOf(context, event.agentIdentity)
  noteChain(context, chain)
  verifyAction(context, at, event, chain)
  const decision = findDecision(context, at, event)
  const verdict = verifyVerdict(context, { at, event, chain }, decision)
  const disclosures = disclosureState(context, at, chain)
  const disclosed = at.disclosures === undefined ? {} : disclosedValues(p, at, at.disclosures)
  const action = { at, event, chain, ...verdict, disclosures, disclosed }
  noteDisclosures(context, 'action', at.index, disclosures)
  return describeEvidence({ log, action, decision, steps })
}

function chainOf({ p, log, operators, chains }: Context, instance: string): EvidenceChain {
  const chain = chains.get(instance) ?? findChain(p, log, operators, instance)
  chains.set(instance, chain)
  return chain
}

function noteChain({ steps }: Context, { issuances, owner, revocations }: EvidenceChain): void {
  const { index, signers } = owner
  const enrolled = `${owner.principal} enrolled by ${signers.join(' and ')}`
  steps.push({ name: 'owner', ok: true, detail: enrolled, index })
  for (const { record, statement, logged } of issuances) {
    const detail = `${record.child.instance.id}, delegated by ${statement.header.iss}`
    steps.push({ name: 'issuance', ok: true, detail, index: logged.index })
  }
  for (const { target, by, index: revokedAt } of revocations) {
    const detail = `${target} revoked by ${by}`
    steps.push({ name: 'revocation', ok: true, detail, index: revokedAt })
  }
}

/** Signature, subjects and claims of the action event. */
function verifyAction(
  context: Context,
  at: ProvenEntry,
  event: ActionEvent,
  chain: EvidenceChain,
): void {
  const { self } = chain
  verifySigned(context, at, chain)
  const parent = self.record.parent?.instance.id ?? null
  check(event.parentAgentId === parent, 'claim_invalid', 'parent_agent_id: not the parent')
  const owned = event.authorizedBy === self.record.owner
  check(owned, 'claim_invalid', 'authorized_by: not the owner')
  note(context, 'action', `signed by ${event.agentIdentity}`, at.index)
}

/** That an instance signed a statement, after it was issued, and the entry links what it must. */
function verifySigned({ p, log }: Context, at: ProvenEntry, { self }: EvidenceChain): void {
  const { index, statement } = at
  checkSubjects(at, instanceSubjects(self))
  const { index: issuedAt } = self.logged
  check(issuedAt < index, 'lineage_broken', `entry ${index}: before its signer was issued`)
  const { origin } = log
  verifyStatement(p, statement, { spki: self.certificate.spki, origin })
}

/** The decision that the action names, verified; `undefined` where the log found none. */
function findDecision(
  context: Context,
  at: ProvenEntry,
  event: ActionEvent,
): VerifiedDecision | undefined {
  const { log } = context
  const { outcome } = at.entry
  if (outcome.get(0) === 'absent') {
    const found = entriesOf(log, 'decision').some(
      (one) => one.index < at.index && one.entry.prepared.get(1) === event.decision?.id,
    )
    check(!found, 'outcome_mismatch', 'verdict absent: the decision is in the bundle')
    return undefined
  }
  const index = cborUint(outcome.get(1), 'decision index')
  if (event.decision === null) {
    throw new ProofError('outcome_mismatch', 'the event names no decision, the verdict one')
  }
  check(index < at.index, 'outcome_mismatch', 'decision: not before the action')
  const decision = verifyDecision(context, entryAt(log, index, 'decision', 'decision_missing'))
  const named = decision.prepared.decisionId === event.decision.id
  check(named, 'decision_mismatch', `entry ${index}: not the decision that the event names`)
  return decision
}

function verifyDecision(context: Context, at: ProvenEntry): VerifiedDecision {
  const { p, log, operators } = context
  const { index, entry, statement } = at
  const request = parseDecisionRequest(statement)
  const chain = chainOf(context, request.instance)
  verifySigned(context, at, chain)
  const prepared = decodeDecisionPrepared(entry.prepared)
  const known = chain.self.logged.index < prepared.size
  check(known, 'lineage_broken', 'decision: prepared before its signer was issued')
  const fresh = isDecisionFresh(prepared, entry.timeMs)
  check(
    fresh,
    'outcome_mismatch',
    'decision: prepared under no policy yet, or not in the last 60 s',
  )
  const counted = entriesOf(log, 'agent.revoke').filter(
    (one) => one.index < prepared.size && one.entry.outcome.get(0) === 'revoked',
  )
  const enough = counted.length <= prepared.epoch
  check(enough, 'outcome_mismatch', 'decision: more revocations before it than its epoch')
  const possible = prepared.epoch <= prepared.size
  check(possible, 'outcome_mismatch', 'decision: its epoch is above the size it was prepared at')
  note(context, 'decision', `signed by ${request.instance}`, index)
  const policy = findPolicy(p, log, operators, prepared, index)
  note(context, 'policy', `in force by ${policy.signers.join(' and ')}`, policy.index)
  const outcome = verifyOutcome(at, prepared, request.action, agentState(chain, at))
  note(context, 'outcome', `${outcome.effect}, as the host's rules and the verdict give`, index)
  const disclosures = disclosureState(context, at, chain)
  if (at.disclosures !== undefined) verifyInput(p, at, at.disclosures, prepared, chain)
  noteDisclosures(context, 'decision', index, disclosures)
  const isShown = outcome.reasons[0] !== 'identity_revoked' || agentState(chain, at).isRevoked
  return { at, request, prepared, outcome, chain, policy, isShown, disclosures }
}

/** The outcome that the rules give, if it is the one recorded. */
function verifyOutcome(
  { entry }: ProvenEntry,
  { verdict }: DecisionPrepared,
  action: string,
  agent: AgentState,
): DecisionOutcome {
  const effect = cborText(entry.outcome.get(0), 'effect')
  const reasons = decodeNames(entry.outcome.get(1), 'reasons')
  // A revocation may be in force that the bundle does not hold: then a denial for it is the log's word.
  const isRevoked = agent.isRevoked || reasons[0] === 'identity_revoked'
  const expected = decisionOutcome(action, { ...agent, isRevoked }, verdict)
  const same =
    effect === expected.effect &&
    reasons.join('\n') === expected.reasons.join('\n') &&
    entry.outcome.get(2) === expected.permitExpiresAtMs
  check(same, 'outcome_mismatch', `decision: the rules give ${expected.effect}, not ${effect}`)
  return expected
}

/** That the commitment to the policy's input follows from what is disclosed and the chain. */
function verifyInput(
  p: Primitives,
  { statement }: ProvenEntry,
  disclosures: readonly string[],
  prepared: DecisionPrepared,
  { issuances, self }: EvidenceChain,
): void {
  const opened = openDecisionRequest(p, statement, disclosures)
  const { depth, owner, child } = self.record
  const { name: identity, id: instance } = child.instance
  const input = policyInput({
    agent: { identity, instance, owner, depth },
    chain: issuances.map(({ record }) => ({
      instance: record.child.instance.id,
      scope: record.scope.texts,
    })),
    action: opened.action,
    actionProperties: opened.actionProperties,
    resource: opened.resource,
    resourceProperties: opened.resourceProperties,
    context: opened.context,
    nowMs: prepared.nowMs,
    stateSize: prepared.size,
  })
  const follows = equalBytes(
    inputCommitment(p, opened.saltDisclosure, input),
    prepared.inputCommitment,
  )
  check(follows, 'outcome_mismatch', 'decision: the input that it commits to is not the one shown')
}

/** The verdict that the rules give, if it is the one recorded. */
function verifyVerdict(
  context: Context,
  { at, event, chain }: Pick<VerifiedAction, 'at' | 'event' | 'chain'>,
  decision: VerifiedDecision | undefined,
): Pick<VerifiedAction, 'verdict' | 'isShown'> {
  const recorded = cborText(at.entry.outcome.get(0), 'verdict')
  const isSpent = decision !== undefined && findSpending(context, at, decision)
  const timeMs = decision === undefined ? 0 : decision.at.entry.timeMs
  const facts = decision === undefined ? undefined : { ...decision, isSpent, timeMs }
  const iatMs = at.statement.header.iat * 1000
  const given = actionVerdict(event, iatMs, agentState(chain, at), facts)
  // Whether the decision was spent, or a link revoked, may be in entries that are not here: then it is the log's word.
  const unseen = UNSEEN.find(([word, seen]) => word === recorded && seen.includes(given))
  const verdict = unseen === undefined ? given : unseen[0]
  check(verdict === recorded, 'outcome_mismatch', `verdict: the rules give ${given}`)
  const ok = verdict === 'matched'
  context.steps.push({ name: 'verdict', ok, detail: verdict, index: at.index })
  return { verdict, isShown: unseen === undefined }
}

/** Whether an action before this one was matched to the decision. */
function findSpending(context: Context, at: ProvenEntry, decision: VerifiedDecision): boolean {
  const earlier = entriesOf(context.log, 'action').filter(
    ({ index, entry: { outcome } }) =>
      index < at.index && outcome.get(0) === 'matched' && outcome.get(1) === decision.at.index,
  )
  for (const one of earlier) {
    const event = parseActionEvent(one.statement)
    const same = event.decision?.id === decision.prepared.decisionId
    check(same, 'decision_mismatch', `entry ${one.index}: matched to another decision`)
    verifySigned(context, one, decision.chain)
  }
  return earlier.length > 0
}

function agentState(chain: EvidenceChain, { index, entry }: ProvenEntry): AgentState {
  const { self, issuances, revocations } = chain
  return {
    certificate: self.certificate,
    scopes: issuances.map(({ record }) => record.scope),
    isRevoked: revocations.some((one) => one.index < index),
    timeMs: entry.timeMs,
  }
}

function disclosureState(
  context: Context,
  { index, statement, disclosures }: ProvenEntry,
  chain: EvidenceChain,
): DisclosureState {
  if (readCommitments(statement.payload).length === 0) return 'none'
  if (disclosures !== undefined) return 'shown'
  const erased = entriesOf(context.log, 'erasure').some((one) => {
    const names = parseErasure(one.statement).entries.includes(index)
    if (names) verifyErasure(context, one, chain)
    return names
  })
  return erased ? 'erased' : 'withheld'
}

/** An operator, or the owner. */
function verifyErasure(
  context: Context,
  at: ProvenEntry,
  { owner, revocations }: EvidenceChain,
): void {
  const { p, log, operators } = context
  const { issuer, header } = at.statement
  if (issuer.role === 'operator') {
    verifyOperator(p, log, operators, at)
    return
  }
  const revoked = revocations.some((one) => one.index < at.index && one.target === owner.principal)
  const own = header.iss === owner.principal && !revoked
  check(own, 'outcome_mismatch', `entry ${at.index}: erased by one who may not`)
  verifyStatement(p, at.statement, { spki: owner.spki, origin: log.origin })
}

function disclosedValues(
  p: Primitives,
  { statement }: ProvenEntry,
  disclosures: readonly string[],
): Readonly<Record<string, JsonValue>> {
  openActionEvent(p, statement, disclosures)
  return Object.fromEntries(
    disclosures.map(parseDisclosure).map(({ name, value }) => [name, value]),
  )
}

function noteDisclosures(
  { steps }: Context,
  what: string,
  index: number,
  state: DisclosureState,
): void {
  const ok = state === 'shown' || state === 'none'
  steps.push({ name: 'disclosures', ok, detail: `${what}: ${DISCLOSED[state]}`, index })
}

function note({ steps }: Context, name: string, detail: string, index: number | null): void {
  steps.push({ name, ok: true, detail, index })
}

/** Verdicts that rest on entries which a bundle may lack, with what is found without them. */
const UNSEEN: readonly (readonly [ActionVerdict, readonly ActionVerdict[]])[] = [
  ['spent', ['revoked', 'late', 'expired', 'matched']],
  ['revoked', ['late', 'expired', 'matched']],
]

const DISCLOSED: Readonly<Record<DisclosureState, string>> = {
  none: 'nothing was committed to',
  shown: 'every digest has its content',
  erased: 'the content was erased, its digests stay',
  withheld: 'the content is not in the bundle',
}
