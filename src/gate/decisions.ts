/**
 * @module The fold of decisions: what was decided, until when an allow may be acted on, and which action was matched
 * to it.
 *
 *     key    decision id, ASCII          value  JSON of `Decision`, the action digest as b64u
 *     key    0x6d ‖ decision id          value  index of the action entry that was matched to it, u64
 *
 * And the host's own rules (FORMAT §10.4), which come before any policy and are asked again by register.
 */
import {
  cborText,
  decodeDecisionPrepared,
  fromBase64url,
  parseActionEvent,
  parseDecisionRequest,
  toBase64url,
  utf8Decode,
  utf8Encode,
} from '@trustwarden/proofs'
import type {
  ActionEvent,
  DecisionPrepared,
  DecisionRequest,
  Hash,
  Resource,
  Statement,
} from '@trustwarden/proofs'
import { FOLDS } from '../ledger/contract.ts'
import { u64At, u64Bytes } from '../ledger/layout.ts'
import { memoized } from '../memo.ts'
import type {
  Agent,
  AgentReader,
  CborMap,
  Fold,
  FoldWriter,
  RegisteredEntry,
  RevocationReader,
  State,
} from '../ledger/contract.ts'

/** Kinds of the entries of the gate (FORMAT §6). */
export const DECISION_KIND = 'decision'
/** Kind of the entries that report what was done. */
export const ACTION_KIND = 'action'

/** A decision as its entry recorded it. */
export interface Decision {
  readonly id: string
  readonly index: number
  /** Ledger time of its entry, ms. */
  readonly timeMs: number
  readonly instance: string
  readonly action: string
  readonly resource: Resource
  readonly actionDigest: Hash
  readonly outcome: string
  /** Allow only: when its permit ends, ms. */
  readonly expiryMs: number | null
}

/** A reason of the host to deny. */
export type HostReason = 'identity_expired' | 'identity_revoked' | 'scope_not_in_chain'

/** What the host's rules ask of others. */
export interface HostReaders {
  readonly agents: AgentReader
  readonly revocations: RevocationReader
  /** Whether a scope permits an action. */
  readonly scopeAllows: (scope: readonly string[], action: string) => boolean
}

type StoredDecision = Omit<Decision, 'actionDigest'> & { readonly actionDigest: string }

/** The decision of this id, or undefined. */
export function findDecision(state: State, id: string): Decision | undefined {
  const value = state.get(FOLDS.decisions, utf8Encode(id))
  return value && parseDecision(value)
}

/** Index of the action entry that was matched to the decision of this id, or undefined. */
export function findMatch(state: State, id: string): number | undefined {
  const value = state.get(FOLDS.decisions, matchKey(id))
  return value && u64At(value, 0)
}

/** As `parseActionEvent`, once for each statement: prepare, register and fold read the same one. */
export const readActionEvent: (statement: Statement) => ActionEvent = memoized(parseActionEvent)

/** As `parseDecisionRequest`, once for each statement. */
export const readDecisionRequest: (statement: Statement) => DecisionRequest =
  memoized(parseDecisionRequest)

/** As `decodeDecisionPrepared`, once for each map: register, fold and answer read the same one. */
export const readDecisionPrepared: (prepared: CborMap) => DecisionPrepared =
  memoized(decodeDecisionPrepared)

/** Keeps every decision, and which action was matched to it. */
export const decisionsFold: Fold = {
  spec: FOLDS.decisions,
  apply({ entry, statement }: RegisteredEntry, writer: FoldWriter): void {
    if (entry.kind === DECISION_KIND) {
      const { instance, action, resource, actionDigest } = readDecisionRequest(statement)
      const { decisionId } = readDecisionPrepared(entry.prepared)
      const expiry = entry.outcome.get(2)
      writeDecision(writer, {
        id: decisionId,
        index: entry.index,
        timeMs: entry.timeMs,
        instance,
        action,
        resource: { type: resource.type, id: resource.id },
        actionDigest,
        outcome: cborText(entry.outcome.get(0), 'outcome'),
        expiryMs: typeof expiry === 'number' ? expiry : null,
      })
    } else if (entry.kind === ACTION_KIND && entry.outcome.get(0) === 'matched') {
      const { decision } = readActionEvent(statement)
      if (decision === null) return
      writer.put(FOLDS.decisions, matchKey(decision.id), u64Bytes(entry.index))
    }
  },
}

/** The agents of a chain, root → self. Every ancestor of an issued agent was issued. */
export function chainOf(state: State, agents: AgentReader, agent: Agent): readonly Agent[] {
  const above = agent.ancestors.flatMap(({ instance }) => agents.find(state, instance) ?? [])
  return [...above, agent]
}

/** Whether an agent's certificate is valid at `timeMs`; both ends belong to it. */
export function isCertificateValid(agent: Agent, timeMs: number): boolean {
  return agent.notBeforeMs <= timeMs && timeMs <= agent.notAfterMs
}

/** Why the host denies, whatever the policy says: the first that holds, in the order of FORMAT §10.4. */
export function findHostReason(
  readers: HostReaders,
  state: State,
  asked: { readonly agent: Agent; readonly action: string; readonly timeMs: number },
): HostReason | undefined {
  const { agent, action, timeMs } = asked
  if (!isCertificateValid(agent, timeMs)) return 'identity_expired'
  if (readers.revocations.governs(state, agent)) return 'identity_revoked'
  const chain = chainOf(state, readers.agents, agent)
  const isWhole = chain.length === agent.depth + 1
  const isInScope = isWhole && chain.every(({ scope }) => readers.scopeAllows(scope, action))
  return isInScope ? undefined : 'scope_not_in_chain'
}

const parseDecision = memoized((value: Uint8Array): Decision => {
  const { actionDigest, ...stored } = JSON.parse(utf8Decode(value)) as StoredDecision
  return { ...stored, actionDigest: fromBase64url(actionDigest) }
})

function matchKey(id: string): Uint8Array {
  return utf8Encode(`m${id}`)
}

function writeDecision(writer: FoldWriter, decision: Decision): void {
  const { id, actionDigest, ...rest } = decision
  const stored: StoredDecision = { id, ...rest, actionDigest: toBase64url(actionDigest) }
  // Read back when it is asked for: the texts of a statement would keep all of that statement in memory.
  writer.put(FOLDS.decisions, utf8Encode(id), utf8Encode(JSON.stringify(stored)))
}
