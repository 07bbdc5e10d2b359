/**
 * @module The handler of `action`: what an instance says it did, and the ledger's verdict on the decision it names.
 *
 * Whatever the verdict, the event is recorded: an action without a valid decision is a violation to be seen, never one
 * to be dropped. Refused is only what contradicts its own signer.
 */
import {
  actionDigest,
  disclosedObject,
  disclosedSalt,
  equalBytes,
  ProofError,
} from '@trustwarden/proofs'
import type { ActionEvent, CborValue } from '@trustwarden/proofs'
import { nativePrimitives } from '../crypto.ts'
import { ServiceError } from '../errors.ts'
import type { ErrorCode } from '../errors.ts'
import type {
  Agent,
  AgentReader,
  CborMap,
  Incoming,
  Registration,
  RevocationReader,
  State,
  StatementHandler,
  Submission,
} from '../ledger/contract.ts'
import type { Decision } from './decisions.ts'
import {
  ACTION_KIND,
  findDecision,
  findMatch,
  isCertificateValid,
  readActionEvent,
} from './decisions.ts'

/** Verdicts on an action, in the order in which they are tried (FORMAT §10.7). */
export const ACTION_VERDICTS = [
  'absent',
  'mismatched',
  'denied',
  'spent',
  'revoked',
  'late',
  'expired',
  'matched',
] as const
/** One of `ACTION_VERDICTS`. */
type ActionVerdict = (typeof ACTION_VERDICTS)[number]

/** Furthest that ledger time may be from `iat`, and how long after the permit, before the event is late, in ms. */
const LATE_MS = 300_000
/** How long before its decision an action may say it began, for clocks that differ: less than this, in ms. */
const EARLY_MS = 5_000

/** What the handler needs of others. */
export interface ActionOptions {
  readonly agents: AgentReader
  readonly revocations: RevocationReader
}

type Refusal = Extract<Registration, { readonly type: 'refuse' }>

/** Makes the handler of `action`. */
export function createActionHandler(options: ActionOptions): StatementHandler {
  return {
    type: ACTION_KIND,
    lane: 'normal',
    disclosable: ['details', 'salt', 'action_properties', 'resource_properties'],
    prepare: (incoming, view) => prepare(incoming, view.size),
    register: (state, submission) => register(options, state, submission),
  }
}

async function prepare(incoming: Incoming, size: number): Promise<CborMap> {
  const { values } = incoming.disclosed
  const event = readEvent(incoming)
  if ('code' in event) throw new ServiceError(event.code, event.message)
  try {
    const properties = {
      actionProperties: disclosedObject(values, 'action_properties'),
      resourceProperties: disclosedObject(values, 'resource_properties'),
    }
    if (event.decision !== null) {
      const { agentIdentity: instance, action, resource } = event
      const salt = disclosedSalt(values)
      const commitment = { salt, instance, action, resource, ...properties }
      const digest = actionDigest(nativePrimitives, commitment)
      if (!equalBytes(digest, event.decision.actionDigest)) {
        const rule = 'action_digest: does not follow from salt, action, resource and properties'
        throw new ServiceError('digest_mismatch', rule)
      }
    }
  } catch (cause) {
    if (!(cause instanceof ProofError)) throw cause
    const isDisclosure = cause.code.startsWith('disclosure_')
    const code = isDisclosure ? 'disclosure_invalid' : 'statement_malformed'
    throw new ServiceError(code, cause.message, { cause })
  }
  return new Map([[0, size]])
}

function register(options: ActionOptions, state: State, submission: Submission): Registration {
  const event = readEvent(submission)
  if ('code' in event) return event
  const agent = options.agents.find(state, event.agentIdentity)
  if (agent === undefined) return refuse('signer_unknown', 'iss: no such instance')
  const wrong = wrongClaim(event, agent)
  if (wrong !== undefined) {
    return refuse('statement_malformed', `${wrong}: not what the agent's issuance says`)
  }
  const decision = event.decision === null ? undefined : findDecision(state, event.decision.id)
  const iatMs = submission.statement.header.iat * 1000
  const verdict = ruleAction(options, state, { event, agent, decision, iatMs })
  const outcome = new Map<number, CborValue>([[0, verdict]])
  if (decision !== undefined) outcome.set(1, decision.index)
  return {
    type: 'entry',
    kind: ACTION_KIND,
    prepared: new Map([[0, submission.prepared.get(0) ?? state.size]]),
    outcome,
    subjects: [`inst:${agent.instance}`, `agent:${agent.name}`, agent.owner],
  }
}

/** The verdict on an action: the first of `ACTION_VERDICTS` that holds (FORMAT §10.7). */
function ruleAction(
  { revocations }: ActionOptions,
  state: State,
  found: {
    readonly event: ActionEvent
    readonly agent: Agent
    readonly decision: Decision | undefined
    readonly iatMs: number
  },
): ActionVerdict {
  const { event, agent, decision, iatMs } = found
  if (decision === undefined || event.decision === null) return 'absent'
  const isSame =
    decision.instance === event.agentIdentity &&
    equalBytes(decision.actionDigest, event.decision.actionDigest) &&
    decision.action === event.action &&
    decision.resource.type === event.resource.type &&
    decision.resource.id === event.resource.id
  if (!isSame) return 'mismatched'
  if (decision.outcome !== 'allow') return 'denied'
  if (findMatch(state, decision.id) !== undefined) return 'spent'
  if (revocations.governs(state, agent)) return 'revoked'
  const expiryMs = decision.expiryMs ?? 0
  const isLate = Math.abs(state.timeMs - iatMs) > LATE_MS || state.timeMs > expiryMs + LATE_MS
  if (isLate || !isCertificateValid(agent, state.timeMs)) return 'late'
  const { timestampMs } = event
  const isInLife = timestampMs > decision.timeMs - EARLY_MS && timestampMs < expiryMs
  return isInLife ? 'matched' : 'expired'
}

/** The first of the event's claims about its own agent that is not what the log knows. */
function wrongClaim(event: ActionEvent, agent: Agent): string | undefined {
  if (event.agentId !== agent.name) return 'agent_id'
  if (event.parentAgentId !== (agent.ancestors.at(-1)?.instance ?? null)) return 'parent_agent_id'
  return event.authorizedBy === agent.owner ? undefined : 'authorized_by'
}

function readEvent({ statement }: Pick<Submission, 'statement'>): ActionEvent | Refusal {
  if (statement.issuer.role !== 'agent') {
    return refuse('signer_forbidden', 'only an instance reports what it did')
  }
  try {
    return readActionEvent(statement)
  } catch (error) {
    if (!(error instanceof ProofError)) throw error
    return refuse('statement_malformed', error.message)
  }
}

function refuse(code: ErrorCode, message: string): Refusal {
  return { type: 'refuse', code, message }
}
