/**
 * @module Proposals: statements that take effect when k of n operators have signed them (DESIGN §9, FORMAT §6).
 *
 *     key    H(type ‖ 0x00 ‖ payload bytes)     32 bytes
 *     value  JSON array of [operator, ledger time of its last signature in ms]
 *
 * A signature counts for 7 days of ledger time; one that no longer counts is dropped with the next that comes.
 * A proposal that takes effect is forgotten, so that the same payload (a policy that is brought back, say) can be
 * proposed anew.
 */
import { utf8Decode, utf8Encode } from '@trustwarden/proofs'
import type { Statement } from '@trustwarden/proofs'
import { nativePrimitives } from '../crypto.ts'
import type { CborMap, Fold, FoldWriter, RegisteredEntry, State } from './contract.ts'
import { FOLDS } from './contract.ts'
import { join } from './layout.ts'
import type { LogFacts } from './principals.ts'
import { findPerson, isServiceOver, logFacts } from './principals.ts'

/** Kinds that are proposals. */
const PROPOSAL_KINDS: ReadonlySet<string> = new Set([
  'operator.enroll',
  'owner.enroll',
  'member.enroll',
  'policy.activate',
  'key.rotate',
])

/** How long a signature counts, in ms of ledger time. */
const SIGNATURE_LIFE_MS = 7 * 86_400_000

type Signature = readonly [operator: string, timeMs: number]

/** What an operator's, or the service's first, signature makes of a proposal. */
export type ProposalRuling =
  | { readonly type: 'outcome'; readonly outcome: CborMap }
  | { readonly type: 'refuse'; readonly code: 'signer_forbidden'; readonly message: string }

/** Whether genesis names what a statement of the service proposes, to the letter. */
export type NamedInGenesis = (facts: LogFacts) => boolean

/**
 * Counts a signature of a proposal: `effective` with the k-th operator, `pending` before. A statement of the service
 * is effective with 0 of 0 while the log holds nothing but what genesis names and the service signed, if genesis names
 * this too; a second signature of one operator counts once, from its own time.
 */
export function ruleProposal(
  state: State,
  statement: Statement,
  isNamed: NamedInGenesis,
): ProposalRuling {
  const facts = logFacts(state)
  if (facts === undefined) return refuse('the log has no genesis')
  if (statement.header.iss === facts.service) {
    const isFirstBatch = state.size < facts.firstBatchSize && !isServiceOver(state)
    if (isFirstBatch && isNamed(facts)) return outcome('effective', 0, 0)
    return refuse('the service signs only what genesis names, and only in the first batch')
  }
  if (findPerson(state, statement.header.iss)?.role !== 'operator') return refuse('not an operator')
  const signed = othersOf(state, statement, state.timeMs).length + 1
  const isEnough = signed >= facts.threshold
  return outcome(isEnough ? 'effective' : 'pending', signed, facts.threshold)
}

/** Remembers who signed a pending proposal, and forgets those that took effect. */
export const proposalsFold: Fold = {
  spec: FOLDS.proposals,
  apply({ entry, statement }: RegisteredEntry, writer: FoldWriter): void {
    if (!PROPOSAL_KINDS.has(entry.kind)) return
    const key = keyOf(statement)
    if (entry.outcome.get(0) === 'effective') {
      if (writer.get(FOLDS.proposals, key) !== undefined) writer.delete(FOLDS.proposals, key)
      return
    }
    const own: Signature = [statement.header.iss, entry.timeMs]
    const signatures = [...othersOf(writer, statement, entry.timeMs), own]
    writer.put(FOLDS.proposals, key, utf8Encode(JSON.stringify(signatures)))
  },
}

/** The signatures of other operators that count at `timeMs`. */
function othersOf(state: State, statement: Statement, timeMs: number): readonly Signature[] {
  const value = state.get(FOLDS.proposals, keyOf(statement))
  if (value === undefined) return []
  return (JSON.parse(utf8Decode(value)) as readonly Signature[]).filter(
    ([operator, at]) => operator !== statement.header.iss && timeMs - at <= SIGNATURE_LIFE_MS,
  )
}

function keyOf(statement: Statement): Uint8Array {
  const bytes = join(utf8Encode(`${statement.header.type}\u0000`), statement.payloadBytes)
  return nativePrimitives.sha256(bytes)
}

function outcome(result: 'pending' | 'effective', signed: number, needed: number): ProposalRuling {
  const map: CborMap = new Map<number, string | number>([
    [0, result],
    [1, signed],
    [2, needed],
  ])
  return { type: 'outcome', outcome: map }
}

function refuse(message: string): ProposalRuling {
  return { type: 'refuse', code: 'signer_forbidden', message }
}
