/**
 * @module The handler of `policy.activate` and the fold of the policy in force.
 *
 *     key    0x00        value  JSON {digest (b64u), index, revision}
 */
import {
  equalBytes,
  fromBase64url,
  parsePolicyActivate,
  ProofError,
  toBase64url,
  utf8Decode,
  utf8Encode,
} from '@trustwarden/proofs'
import type { PolicyActivate, Statement } from '@trustwarden/proofs'
import { nativePrimitives } from '../crypto.ts'
import { ServiceError } from '../errors.ts'
import type { ErrorCode } from '../errors.ts'
import { FOLDS } from '../ledger/contract.ts'
import type {
  CborMap,
  Fold,
  FoldWriter,
  Incoming,
  PolicyReader,
  RegisteredEntry,
  Registration,
  State,
  StatementHandler,
  Submission,
} from '../ledger/contract.ts'
import { checkWindow } from '../ledger/window.ts'
import { memoized } from '../memo.ts'
import type { LoadedPolicy } from './policies.ts'

/** Kind of the entries that choose the policy (FORMAT §6). */
export const ACTIVATE_KIND = 'policy.activate'

/** What the ledger makes of one signature of a proposal. */
type ProposalRule = (
  state: State,
  statement: Statement,
  isNamed: (facts: { readonly policy: string }) => boolean,
) =>
  | { readonly type: 'outcome'; readonly outcome: CborMap }
  | { readonly type: 'refuse'; readonly code: ErrorCode; readonly message: string }

/** What the handler needs of others. */
export interface ActivateOptions {
  readonly ruleProposal: ProposalRule
  /** Loads a policy and runs its self-test. @throws ServiceError `policy_invalid` */
  readonly tryOut: (pack: Uint8Array) => Promise<LoadedPolicy>
}

interface StoredPolicy {
  readonly digest: string
  readonly index: number
  readonly revision: string
}

type Refusal = Extract<Registration, { readonly type: 'refuse' }>

const ACTIVE_KEY = Uint8Array.of(0)

/** Reads the policy in force. */
export const policyReader: PolicyReader = {
  active(state: State) {
    const value = state.get(FOLDS.policy, ACTIVE_KEY)
    return value && parseActive(value)
  },
}

const parseActive = memoized((value: Uint8Array) => {
  const { digest, index } = JSON.parse(utf8Decode(value)) as StoredPolicy
  return { digest: fromBase64url(digest), index }
})

/** Keeps the policy that took effect last. */
export const policyFold: Fold = {
  spec: FOLDS.policy,
  apply({ entry, statement }: RegisteredEntry, writer: FoldWriter): void {
    if (entry.kind !== ACTIVATE_KIND || entry.outcome.get(0) !== 'effective') return
    const { policy, revision } = parsePolicyActivate(statement)
    const stored: StoredPolicy = { digest: toBase64url(policy), index: entry.index, revision }
    writer.put(FOLDS.policy, ACTIVE_KEY, utf8Encode(JSON.stringify(stored)))
  },
}

/** Makes the handler of `policy.activate`: every signer of the proposal brings the policy, and it is tried out. */
export function createActivateHandler(options: ActivateOptions): StatementHandler {
  return {
    type: ACTIVATE_KIND,
    lane: 'normal',
    disclosable: [],
    attachments: 1,
    prepare: (incoming, view) => prepare(options, incoming, view),
    register: (state, submission) => register(options, state, submission),
  }
}

async function prepare(
  { tryOut, ruleProposal }: ActivateOptions,
  incoming: Incoming,
  view: State,
): Promise<CborMap> {
  const read = readActivation(incoming)
  if ('code' in read) throw new ServiceError(read.code, read.message)
  // Loading compiles what was handed in: for nobody who could not activate it. Before genesis is committed nobody but
  // the service has a key, and there is nothing yet to ask.
  if (view.size > 0) {
    const ruling = ruleProposal(view, incoming.statement, isNamed(read))
    if (ruling.type === 'refuse') throw new ServiceError(ruling.code, ruling.message)
  }
  const [pack, ...more] = incoming.pinned
  const isPinned =
    pack !== undefined &&
    more.length === 0 &&
    equalBytes(nativePrimitives.sha256(pack), read.policy)
  if (!isPinned) {
    const rule = 'the policy is not attached, or is not the one that payload.policy names'
    throw new ServiceError('attachment_invalid', rule)
  }
  const { revision } = await tryOut(pack)
  if (revision !== read.revision) {
    throw new ServiceError('policy_invalid', 'revision: another than the policy itself names')
  }
  return new Map([[0, view.size]])
}

function register(
  { ruleProposal }: ActivateOptions,
  state: State,
  submission: Submission,
): Registration {
  const read = readActivation(submission)
  if ('code' in read) return read
  const outside = checkWindow(state, submission.statement)
  if (outside !== undefined) return outside
  const ruling = ruleProposal(state, submission.statement, isNamed(read))
  if (ruling.type === 'refuse') return ruling
  return {
    type: 'entry',
    kind: ACTIVATE_KIND,
    prepared: new Map([[0, submission.prepared.get(0) ?? state.size]]),
    outcome: ruling.outcome,
    subjects: ['policy', 'log'],
  }
}

function isNamed({ policy }: PolicyActivate): (facts: { readonly policy: string }) => boolean {
  return (facts) => facts.policy === toBase64url(policy)
}

function readActivation({ statement }: Pick<Submission, 'statement'>): PolicyActivate | Refusal {
  const { role } = statement.issuer
  if (role !== 'operator' && role !== 'service') {
    return { type: 'refuse', code: 'signer_forbidden', message: 'only operators choose the policy' }
  }
  try {
    return parsePolicyActivate(statement)
  } catch (error) {
    if (!(error instanceof ProofError)) throw error
    return { type: 'refuse', code: 'statement_malformed', message: error.message }
  }
}
