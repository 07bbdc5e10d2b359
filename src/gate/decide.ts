/**
 * @module The handler of `decision`: an instance asks for one action, the host's rules and the policy answer.
 *
 * Prepare evaluates, on committed state; register finds out whether anything that this rested on has changed since, and
 * asks the host's rules again at the entry's own time. An allow is never decided twice: a repeat gets the recorded one
 * while it holds, and `decision_spent` after.
 */
import { randomBytes } from 'node:crypto'
import {
  actionDigest,
  cborText,
  decodeNames,
  disclosedObject,
  disclosedSalt,
  encodeDecisionPrepared,
  equalBytes,
  findSaltDisclosure,
  inputCommitment,
  isDecisionFresh,
  ProofError,
  toBase64url,
} from '@trustwarden/proofs'
import type {
  CborValue,
  DecisionPrepared,
  DecisionRequest,
  Hash,
  JsonObject,
  JsonValue,
} from '@trustwarden/proofs'
import type { Clock } from '../clock.ts'
import { nativePrimitives } from '../crypto.ts'
import type { Signer } from '../crypto.ts'
import { ServiceError } from '../errors.ts'
import type { ErrorCode } from '../errors.ts'
import type {
  Agent,
  CborMap,
  Incoming,
  PolicyReader,
  Registered,
  RegisteredEntry,
  Registration,
  Repeat,
  State,
  StatementHandler,
  Submission,
} from '../ledger/contract.ts'
import { checkWindow } from '../ledger/window.ts'
import {
  chainOf,
  DECISION_KIND,
  findDecision,
  findMatch,
  findHostReason,
  isCertificateValid,
  readDecisionPrepared,
  readDecisionRequest,
} from './decisions.ts'
import type { HostReaders } from './decisions.ts'
import { GateInput } from './gate-input.ts'
import { makePermit, permitExpiryMs } from './permit.ts'
import type { Evaluator } from './policies.ts'
import type { Verdict } from './reasons.ts'

/** Bytes of a decision's id (FORMAT §10.3), and how many are drawn at a time. */
const ID_BYTES = 16
const IDS_DRAWN = 64

/** What the handler needs of others. */
export interface DecisionOptions extends HostReaders {
  readonly origin: string
  readonly policies: PolicyReader
  /** The host of a policy, or undefined if it cannot be had now. */
  readonly evaluator: (digest: Hash) => Promise<Evaluator | undefined>
  /** Whether an erasure names this entry. */
  readonly isErased: (state: State, index: number) => boolean
  readonly permitSigner: Signer
  readonly clock: Clock
}

/** What was asked, with what was disclosed. */
interface Asked extends DecisionRequest {
  readonly salt: Uint8Array
  readonly saltDisclosure: string
  readonly actionProperties: JsonObject
  readonly resourceProperties: JsonObject
  readonly context: JsonObject
}

type Refusal = Extract<Registration, { readonly type: 'refuse' }>

/** Makes the handler of `decision`. */
export function createDecisionHandler(options: DecisionOptions): StatementHandler {
  return {
    type: DECISION_KIND,
    lane: 'normal',
    disclosable: ['salt', 'action_properties', 'resource_properties', 'context'],
    prepare: (incoming, view) => prepare(options, incoming, view),
    register: (state, submission) => register(options, state, submission),
    repeat: (state, registered) => repeat(options, state, registered),
    answer: (registered) => answer(options, registered),
  }
}

async function prepare(
  options: DecisionOptions,
  incoming: Incoming,
  view: State,
): Promise<CborMap> {
  const asked = openRequest(incoming)
  const agent = options.agents.find(view, asked.instance)
  if (agent === undefined) throw new ServiceError('signer_unknown', 'iss: no such instance')
  const policy = options.policies.active(view)
  if (policy === undefined) throw new ServiceError('gate_unavailable', 'no policy is active')
  // Read before the policy runs: a change meanwhile is then seen as one.
  const epoch = options.revocations.epoch(view, view.size)
  const nowMs = Math.max(view.timeMs, options.clock.nowMs())
  const input = inputOf(options, view, nowMs, agent, asked)
  const { action } = asked
  const reason = findHostReason(options, view, { agent, action, timeMs: nowMs })
  const { reproducible, ...verdict } =
    reason === undefined ? await evaluate(options, policy.digest, input) : hostDenial(reason)
  return encodeDecisionPrepared({
    size: view.size,
    decisionId: drawDecisionId(),
    policy: policy.digest,
    nowMs,
    inputCommitment: inputCommitment(nativePrimitives, asked.saltDisclosure, input.bytes),
    epoch,
    verdict,
    reproducible,
    policyIndex: policy.index,
  })
}

function register(
  options: DecisionOptions,
  state: State,
  { statement, prepared }: Submission,
): Registration {
  const request = readRequest(statement)
  if ('code' in request) return request
  const outside = checkWindow(state, statement)
  if (outside !== undefined) return outside
  const { iss } = statement.header
  const agent = options.agents.find(state, iss)
  if (agent === undefined) return refuse('signer_unknown', 'iss: no such instance')
  const found = readPrepared(prepared)
  if (found === undefined || isStale(options, state, agent, found)) return { type: 'stale' }
  const { action } = request
  const { verdict } = found
  const reason = findHostReason(options, state, { agent, action, timeMs: state.timeMs })
  const reasons = reason === undefined ? verdict.reasons : [reason]
  const isAllowed = reason === undefined && verdict.effect === 'allow' && reasons.length === 0
  const isPending = reason === undefined && verdict.effect === 'require_approval'
  const effect = isAllowed ? 'allow' : isPending ? 'require_approval' : 'deny'
  const outcome = new Map<number, CborValue>([
    [0, effect],
    [1, reasons],
  ])
  if (isAllowed) outcome.set(2, permitExpiryMs(state.timeMs))
  return {
    type: 'entry',
    kind: DECISION_KIND,
    prepared,
    outcome,
    subjects: [`inst:${iss}`, `agent:${agent.name}`, agent.owner],
  }
}

/**
 * Whether what prepare found is not so, or something of the agent's own chain or the policy changed at or after the size
 * that it was prepared at. What is revoked elsewhere changes nothing here.
 */
function isStale(
  { policies, revocations }: DecisionOptions,
  state: State,
  agent: Agent,
  found: DecisionPrepared,
): boolean {
  const policy = policies.active(state)
  return (
    policy === undefined ||
    found.size > state.size ||
    !isDecisionFresh(found, state.timeMs) ||
    policy.index !== found.policyIndex ||
    !equalBytes(policy.digest, found.policy) ||
    agent.issuedAt >= found.size ||
    revocations.governs(state, agent, found.size) ||
    revocations.epoch(state, found.size) !== found.epoch ||
    // An id is drawn once; one that is taken is drawn again.
    findDecision(state, found.decisionId) !== undefined
  )
}

function repeat(options: DecisionOptions, state: State, { entry }: RegisteredEntry): Repeat {
  if (entry.outcome.get(0) !== 'allow') return { type: 'same' }
  const { decisionId, policyIndex } = readDecisionPrepared(entry.prepared)
  const decision = findDecision(state, decisionId)
  const agent = decision && options.agents.find(state, decision.instance)
  if (decision === undefined || agent === undefined) return spent('it is not in the log')
  if (state.timeMs >= (decision.expiryMs ?? 0)) return spent('its permit has expired')
  if (findMatch(state, decisionId) !== undefined) return spent('an action was matched to it')
  if (options.policies.active(state)?.index !== policyIndex) {
    return spent('its policy is no longer the one in force')
  }
  if (!isCertificateValid(agent, state.timeMs)) return spent("the agent's certificate has expired")
  if (options.revocations.governs(state, agent)) return spent('a link of the chain was revoked')
  if (options.isErased(state, decision.index)) return spent('what it rests on was erased')
  return { type: 'same' }
}

/** The body of an AuthZEN 1.0 response; an allow comes with its permit. @throws ServiceError `decision_spent` */
function answer({ origin, permitSigner }: DecisionOptions, registered: Registered): JsonValue {
  const { entry, repeated } = registered
  const effect = cborText(entry.outcome.get(0), 'outcome')
  const isAllowed = effect === 'allow'
  const { decisionId, verdict } = readDecisionPrepared(entry.prepared)
  return {
    decision: isAllowed,
    context: {
      decision_id: decisionId,
      effect,
      reasons: decodeNames(entry.outcome.get(1), 'reasons'),
      repeated,
      ...(isAllowed
        ? {
            permit: makePermit(registered, origin, permitSigner),
            obligations: verdict.obligations,
          }
        : {}),
    },
  }
}

function inputOf(
  { agents }: DecisionOptions,
  view: State,
  nowMs: number,
  agent: Agent,
  asked: Asked,
): GateInput {
  const { name, instance, owner, depth } = agent
  const { action, actionProperties, resource, resourceProperties, context } = asked
  return inStatementWords(() =>
    GateInput.write({
      agent: { identity: name, instance, owner, depth },
      chain: chainOf(view, agents, agent),
      action,
      actionProperties,
      resource,
      resourceProperties,
      context,
      nowMs,
      stateSize: view.size,
    }),
  )
}

/** Random bytes not used yet: to ask for those of many ids costs what those of one do. */
let drawn: Uint8Array = new Uint8Array(0)

function drawDecisionId(): string {
  if (drawn.length === 0) drawn = randomBytes(ID_BYTES * IDS_DRAWN)
  const id = toBase64url(drawn.subarray(0, ID_BYTES))
  drawn = drawn.subarray(ID_BYTES)
  return id
}

async function evaluate(
  { evaluator }: DecisionOptions,
  digest: Hash,
  input: GateInput,
): Promise<Verdict> {
  const host = await evaluator(digest)
  if (host === undefined) {
    throw new ServiceError('gate_unavailable', 'the policy in force cannot be loaded')
  }
  return host.evaluate(input)
}

function hostDenial(reason: string): Verdict {
  return { effect: 'deny', reasons: [reason], matched: [], obligations: [], reproducible: true }
}

function openRequest({ statement, disclosures, disclosed: { values } }: Incoming): Asked {
  const asked = inStatementWords(() => {
    const request = readRequest(statement)
    if ('code' in request) throw new ServiceError(request.code, request.message)
    return {
      ...request,
      salt: disclosedSalt(values),
      saltDisclosure: findSaltDisclosure(disclosures),
      actionProperties: disclosedObject(values, 'action_properties'),
      resourceProperties: disclosedObject(values, 'resource_properties'),
      context: disclosedObject(values, 'context'),
    }
  })
  const digest = inStatementWords(() => actionDigest(nativePrimitives, asked))
  if (!equalBytes(digest, asked.actionDigest)) {
    const rule = 'action_digest: does not follow from salt, action, resource and properties'
    throw new ServiceError('digest_mismatch', rule)
  }
  return asked
}

function readRequest(statement: Submission['statement']): DecisionRequest | Refusal {
  if (statement.issuer.role !== 'agent') {
    return refuse('signer_forbidden', 'only an instance asks, and for itself')
  }
  try {
    return readDecisionRequest(statement)
  } catch (error) {
    if (!(error instanceof ProofError)) throw error
    return refuse('statement_malformed', error.message)
  }
}

/** What prepare attached, or undefined for what is none of its work: to be prepared again. */
function readPrepared(prepared: CborMap): DecisionPrepared | undefined {
  try {
    return readDecisionPrepared(prepared)
  } catch (error) {
    if (!(error instanceof ProofError)) throw error
    return undefined
  }
}

function inStatementWords<T>(read: () => T): T {
  try {
    return read()
  } catch (cause) {
    if (!(cause instanceof ProofError)) throw cause
    const isDisclosure = cause.code.startsWith('disclosure_') || cause.code === 'clear_detail'
    const code = isDisclosure ? 'disclosure_invalid' : 'statement_malformed'
    throw new ServiceError(code, cause.message, { cause })
  }
}

function spent(why: string): Repeat {
  const message = `the recorded allow is not given out again: ${why}`
  return { type: 'refuse', code: 'decision_spent', message }
}

function refuse(code: ErrorCode, message: string): Refusal {
  return { type: 'refuse', code, message }
}
