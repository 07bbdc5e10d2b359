/**
 * @module What a revoked signer may still add to the log: so many entries since its revocation, and then no more.
 *
 *     key    principal, UTF-8       value  count of its entries since it was revoked, u64
 *
 * What a stopped agent says it did, asks for or delegates is evidence, and so it is recorded (`revoked`,
 * `identity_revoked`, `agent.refuse`). Without a bound, whoever holds its key could fill the log with it for ever, and
 * to revoke it would not end that. The count is state, so that register refuses by it and every replay does the same.
 * Revocations themselves have no quota (DESIGN §8): they are neither counted nor refused.
 */
import { utf8Encode } from '@trustwarden/proofs'
import type { Statement } from '@trustwarden/proofs'
import { ServiceError } from '../errors.ts'
import { FOLDS } from '../ledger/contract.ts'
import type {
  AgentReader,
  Fold,
  FoldWriter,
  RegisteredEntry,
  State,
  StatementHandler,
} from '../ledger/contract.ts'
import { u64At, u64Bytes } from '../ledger/layout.ts'
import { REVOKE_KIND, revocationReader } from './revocations.ts'

/** Entries that a signer may have after it was revoked: as many statements as one request may hold. */
export const ALLOWANCE_MAX = 1000

/** Outcomes that the rules give to nobody who is revoked (FORMAT §6, §10.7): no look at the chain is needed. */
const UNREVOKED: ReadonlySet<unknown> = new Set([
  'issued',
  'allow',
  'require_approval',
  'matched',
  'late',
  'expired',
])

/** Makes the fold that counts. It comes after the fold of revocations. */
export function createAllowancesFold(agents: AgentReader): Fold {
  return {
    spec: FOLDS.allowances,
    apply({ entry, statement }: RegisteredEntry, writer: FoldWriter): void {
      if (entry.kind === REVOKE_KIND || UNREVOKED.has(entry.outcome.get(0))) return
      if (!isRevoked(agents, writer, statement)) return
      const { iss } = statement.header
      writer.put(FOLDS.allowances, utf8Encode(iss), u64Bytes(usedBy(writer, iss) + 1))
    },
  }
}

/** The handler, for whose statements a revoked signer has only what is left of its allowance. */
export function withAllowance(handler: StatementHandler, agents: AgentReader): StatementHandler {
  if (handler.type === REVOKE_KIND) return handler
  const isSpent = (state: State, statement: Statement): boolean =>
    usedBy(state, statement.header.iss) >= ALLOWANCE_MAX && isRevoked(agents, state, statement)
  return {
    ...handler,
    // Before the policy runs and the CA signs, which is what it would cost; register decides.
    prepare: (incoming, view) =>
      isSpent(view, incoming.statement)
        ? Promise.reject(new ServiceError('allowance_spent', SPENT))
        : handler.prepare(incoming, view),
    register: (state, submission) =>
      isSpent(state, submission.statement)
        ? { type: 'refuse', code: 'allowance_spent', message: SPENT }
        : handler.register(state, submission),
  }
}

const SPENT = `iss: revoked, and the ${ALLOWANCE_MAX} entries that it could still have are used up`

function isRevoked(agents: AgentReader, state: State, { header, issuer }: Statement): boolean {
  if (issuer.role === 'owner') return revocationReader.isRevoked(state, header.iss)
  if (issuer.role !== 'agent' || revocationReader.epoch(state) === 0) return false
  const agent = agents.find(state, header.iss)
  return agent !== undefined && revocationReader.governs(state, agent)
}

function usedBy(state: State, principal: string): number {
  const value = state.get(FOLDS.allowances, utf8Encode(principal))
  return value === undefined ? 0 : u64At(value, 0)
}
