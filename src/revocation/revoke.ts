/**
 * @module The handler of `agent.revoke`: who may stop an instance, a name or an owner, and what the entry then says.
 *
 * It is taken where nothing else is (DESIGN §8): its lane is urgent, it has no window for `iat`, so that a revocation
 * may be signed ahead and kept, and prepare does no more than read the statement.
 */
import { parseRevoke, ProofError } from '@trustwarden/proofs'
import type { Revoke, Subject } from '@trustwarden/proofs'
import { ServiceError } from '../errors.ts'
import type { ErrorCode } from '../errors.ts'
import type {
  Agent,
  AgentReader,
  Registration,
  State,
  StatementHandler,
  Submission,
} from '../ledger/contract.ts'
import {
  BOUND_CLOSED,
  findRevocation,
  REVOKE_KIND,
  revocationReader,
  revocationRoot,
} from './revocations.ts'

/** What the handler needs of others. */
export interface RevokeOptions {
  readonly agents: AgentReader
  /** The owner of a name of which an instance was issued, or undefined. */
  readonly nameOwner: (
    state: State,
    trustDomain: string,
    segments: readonly string[],
  ) => string | undefined
  /** Whether an owner is enrolled. */
  readonly isOwner: (state: State, owner: string) => boolean
}

/** What a target is: its chain subjects, its owner, and the instance where it is one. */
interface Target {
  readonly subjects: readonly string[]
  readonly owner: string
  readonly agent?: Agent
}

type Refusal = Extract<Registration, { readonly type: 'refuse' }>

/** Makes the handler of `agent.revoke`. */
export function createRevokeHandler(options: RevokeOptions): StatementHandler {
  return {
    type: REVOKE_KIND,
    lane: 'urgent',
    disclosable: ['details'],
    prepare: (incoming, view) => {
      const read = readRevoke(incoming)
      if ('code' in read) return Promise.reject(new ServiceError(read.code, read.message))
      return Promise.resolve(new Map([[0, view.size]]))
    },
    register: (state, submission) => register(options, state, submission),
  }
}

function register(options: RevokeOptions, state: State, submission: Submission): Registration {
  const read = readRevoke(submission)
  if ('code' in read) return read
  const found = findTarget(options, state, read.target)
  if (found === undefined) return refuse('target_unknown', 'target: the log knows no such subject')
  const refusal = checkSigner(options, state, submission, found)
  if (refusal !== undefined) return refusal
  const isNew = findRevocation(state, read.target.text) === undefined
  const epoch = revocationReader.epoch(state) + (isNew ? 1 : 0)
  const added = { target: read.target.text, bound: BOUND_CLOSED }
  return {
    type: 'entry',
    kind: REVOKE_KIND,
    prepared: new Map([[0, submission.prepared.get(0) ?? state.size]]),
    outcome: new Map<number, string | number | Uint8Array>([
      [0, isNew ? 'revoked' : 'already_revoked'],
      [1, epoch],
      [2, revocationRoot(state, isNew ? added : undefined)],
    ]),
    subjects: found.subjects,
  }
}

function findTarget(options: RevokeOptions, state: State, target: Subject): Target | undefined {
  const { text } = target
  if (target.kind === 'inst') {
    const agent = options.agents.find(state, target.instance.id)
    if (agent === undefined) return undefined
    const { name, owner } = agent
    return { subjects: [text, `agent:${name}`, owner], owner, agent }
  }
  if (target.kind === 'agent') {
    const { trustDomain, segments } = target.name
    const owner = options.nameOwner(state, trustDomain, segments)
    return owner === undefined ? undefined : { subjects: [text, owner], owner }
  }
  return options.isOwner(state, text) ? { subjects: [text], owner: text } : undefined
}

/** An operator, the target's owner, or a living ancestor of a target that is an instance. */
function checkSigner(
  { agents }: RevokeOptions,
  state: State,
  { statement }: Submission,
  target: Target,
): Refusal | undefined {
  const { role } = statement.issuer
  const { iss } = statement.header
  if (role === 'operator' || (role === 'owner' && target.owner === iss)) return undefined
  const isAncestor = target.agent?.ancestors.some(({ instance }) => instance === iss) === true
  const signer = role === 'agent' && isAncestor ? agents.find(state, iss) : undefined
  if (signer === undefined) {
    const rule = 'only an operator, the owner or an ancestor instance of the target may revoke it'
    return refuse('signer_forbidden', rule)
  }
  if (state.timeMs > signer.notAfterMs || state.timeMs < signer.notBeforeMs) {
    return refuse('certificate_expired', "the signer's certificate is not valid at ledger time")
  }
  if (revocationReader.governs(state, signer)) {
    return refuse('revoked', 'the signer is revoked: what is below it is stopped already')
  }
  return undefined
}

function readRevoke({ statement }: Pick<Submission, 'statement'>): Revoke | Refusal {
  const { role } = statement.issuer
  if (role !== 'operator' && role !== 'owner' && role !== 'agent') {
    return refuse('signer_forbidden', 'only operators, owners and ancestors revoke')
  }
  try {
    return parseRevoke(statement)
  } catch (error) {
    if (!(error instanceof ProofError)) throw error
    return refuse('statement_malformed', error.message)
  }
}

function refuse(code: ErrorCode, message: string): Refusal {
  return { type: 'refuse', code, message }
}
