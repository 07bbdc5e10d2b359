/**
 * @module The rules of a log: what it accepts, what it keeps, who signs.
 */
import { type Clock } from './clock.ts'
import { type Signer } from './crypto.ts'
import { createActionHandler } from './gate/act.ts'
import { createDecisionHandler } from './gate/decide.ts'
import { decisionsFold } from './gate/decisions.ts'
import { PolicyShelf } from './gate/policies.ts'
import { createActivateHandler, policyFold, policyReader } from './gate/policy.ts'
import {
  agentReader,
  agentsFold,
  createNameOwnerReader,
  createNamesFold,
  findKeyHolder,
  findNameUse,
  keysFold,
  listNameUses,
} from './identity/agents.ts'
import { createIssueHandler, type IssueOptions } from './identity/issue.ts'
import { scopeAllows } from './identity/scope.ts'
import type { Fold, PrincipalReader, StatementHandler } from './ledger/contract.ts'
import { createEnrolmentHandlers } from './ledger/enrolment.ts'
import { createErasureHandler, disclosuresFold } from './ledger/erasure.ts'
import { erasedBy } from './ledger/erasures.ts'
import { clockHandler, genesisHandler } from './ledger/genesis.ts'
import { CORE_FOLDS } from './ledger/log.ts'
import type { LogKeys, RotationReader } from './ledger/log-keys.ts'
import {
  createPrincipalReader,
  decideName,
  findPerson,
  principalsFold,
} from './ledger/principals.ts'
import { proposalsFold, ruleProposal } from './ledger/proposals.ts'
import { createRotateHandler } from './ledger/rotate.ts'
import { readRotations } from './ledger/rotations.ts'
import { createAllowancesFold, withAllowance } from './revocation/allowance.ts'
import { revocationReader, revocationsFold } from './revocation/revocations.ts'
import { createRevokeHandler } from './revocation/revoke.ts'

/** What the rules of a log need of the service that runs them. */
export interface RuleParts {
  readonly origin: string
  readonly trustDomain: string
  /** SubjectPublicKeyInfo of the service key. */
  readonly serviceSpki: Uint8Array
  readonly logKeys: Pick<LogKeys, 'first' | 'holds'>
  readonly authority: IssueOptions['authority']
  readonly permitSigner: Signer
  readonly policies: Pick<PolicyShelf, 'find' | 'tryOut'>
  readonly clock: Clock
}

/** The rules of a log: what it accepts, what it keeps, who signs. */
export interface Rules {
  readonly handlers: readonly StatementHandler[]
  /** All folds but `CORE_FOLDS`. */
  readonly folds: readonly Fold[]
  readonly principals: PrincipalReader
  readonly rotations: RotationReader
}

/** Folds besides `CORE_FOLDS`, which need no part of a service. */
export const RULE_FOLDS: readonly Fold[] = [
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

/** Every fold of a log. */
export const ALL_FOLDS: readonly Fold[] = [...CORE_FOLDS, ...RULE_FOLDS]

/** Puts the rules of identity, gate, revocation and the ledger's own together. */
export function composeRules(parts: RuleParts): Rules {
  const { origin, trustDomain, logKeys, authority, clock } = parts
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
      first: logKeys.first,
      isHeld: (key) => logKeys.holds(key),
    }),
    createErasureHandler(readers),
    createActivateHandler({ ruleProposal, tryOut: (pack) => parts.policies.tryOut(pack) }),
    createIssueHandler({ ...readers, origin, trustDomain, authority, decideName, clock }),
    createRevokeHandler({
      agents: agentReader,
      nameOwner: createNameOwnerReader(trustDomain),
      isOwner: (state, owner) => findPerson(state, owner)?.role === 'owner',
    }),
    createDecisionHandler({
      ...readers,
      origin,
      scopeAllows,
      policies: policyReader,
      evaluator: (digest) => parts.policies.find(digest),
      isErased: (state, index) => erasedBy(state, index) !== undefined,
      permitSigner: parts.permitSigner,
      clock,
    }),
    createActionHandler(readers),
  ]
  const principals = createPrincipalReader({ agents: agentReader, serviceSpki: parts.serviceSpki })
  const allowed = handlers.map((handler) => withAllowance(handler, agentReader))
  return { handlers: allowed, folds: RULE_FOLDS, principals, rotations: readRotations }
}
