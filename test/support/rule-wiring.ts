/** @module The rules of all parts, put together as a service does: handlers, folds and who reads what of whom. */
import type { NoteKey } from '@trustwarden/proofs'
import type { Clock } from '../../src/clock.ts'
import type { Signer } from '../../src/crypto.ts'
import { createActionHandler } from '../../src/gate/act.ts'
import { createDecisionHandler } from '../../src/gate/decide.ts'
import { decisionsFold } from '../../src/gate/decisions.ts'
import type { PolicyShelf } from '../../src/gate/policies.ts'
import { createActivateHandler, policyFold, policyReader } from '../../src/gate/policy.ts'
import {
  agentReader,
  agentsFold,
  createNameOwnerReader,
  createNamesFold,
  findKeyHolder,
  findNameUse,
  keysFold,
  listNameUses,
} from '../../src/identity/agents.ts'
import type { Authority } from '../../src/identity/authority.ts'
import { createIssueHandler } from '../../src/identity/issue.ts'
import { scopeAllows } from '../../src/identity/scope.ts'
import { chainsFold } from '../../src/ledger/chains.ts'
import type { Fold, StatementHandler } from '../../src/ledger/contract.ts'
import { dedupFold } from '../../src/ledger/dedup.ts'
import { createEnrolmentHandlers } from '../../src/ledger/enrolment.ts'
import { createErasureHandler, disclosuresFold } from '../../src/ledger/erasure.ts'
import { erasedBy, erasuresFold } from '../../src/ledger/erasures.ts'
import { clockHandler, genesisHandler } from '../../src/ledger/genesis.ts'
import { headKey } from '../../src/ledger/head-note.ts'
import { decideName, findPerson, principalsFold } from '../../src/ledger/principals.ts'
import { proposalsFold, ruleProposal } from '../../src/ledger/proposals.ts'
import { createRotateHandler } from '../../src/ledger/rotate.ts'
import { sequencesFold } from '../../src/ledger/sequences.ts'
import { createAllowancesFold, withAllowance } from '../../src/revocation/allowance.ts'
import { revocationReader, revocationsFold } from '../../src/revocation/revocations.ts'
import { createRevokeHandler } from '../../src/revocation/revoke.ts'
import { ORIGIN, TRUST_DOMAIN } from './rule-statements.ts'

/** What the rules rest on outside of the log. */
export interface WiringOptions {
  readonly authority: Authority
  readonly shelf: PolicyShelf
  readonly permitSigner: Signer
  readonly logSigner: Signer
  /** Which log keys the service holds. */
  readonly isHeld: (key: NoteKey) => boolean
  readonly clock: Clock
}

/** Every fold, those of the ledger's core included. */
export const ALL_FOLDS: readonly Fold[] = [
  dedupFold,
  chainsFold,
  sequencesFold,
  erasuresFold,
  principalsFold,
  proposalsFold,
  policyFold,
  agentsFold,
  createNamesFold(decideName),
  keysFold,
  revocationsFold,
  createAllowancesFold(agentReader),
  decisionsFold,
  disclosuresFold,
]

/** A handler of every statement type. */
export function wireHandlers(options: WiringOptions): readonly StatementHandler[] {
  const readers = { agents: agentReader, revocations: revocationReader }
  const handlers: readonly StatementHandler[] = [
    genesisHandler,
    clockHandler,
    ...createEnrolmentHandlers({
      keyHolder: findKeyHolder,
      nameUse: findNameUse,
      nameUses: listNameUses,
    }),
    createRotateHandler({
      keyHolder: findKeyHolder,
      first: headKey(options.logSigner, ORIGIN),
      isHeld: options.isHeld,
    }),
    createErasureHandler(readers),
    createActivateHandler({ ruleProposal, tryOut: (pack) => options.shelf.tryOut(pack) }),
    {
      ...createIssueHandler({
        ...readers,
        origin: ORIGIN,
        trustDomain: TRUST_DOMAIN,
        authority: options.authority,
        decideName,
        clock: options.clock,
      }),
      takesCsr: true,
    },
    createRevokeHandler({
      agents: agentReader,
      nameOwner: createNameOwnerReader(TRUST_DOMAIN),
      isOwner: (state, owner) => findPerson(state, owner)?.role === 'owner',
    }),
    createDecisionHandler({
      ...readers,
      origin: ORIGIN,
      scopeAllows,
      policies: policyReader,
      evaluator: (digest) => options.shelf.find(digest),
      isErased: (state, index) => erasedBy(state, index) !== undefined,
      permitSigner: options.permitSigner,
      clock: options.clock,
    }),
    createActionHandler(readers),
  ]
  return handlers.map((handler) => withAllowance(handler, agentReader))
}
