/**
 * @module The chain of one agent as a bundle shows it: its issuances from the owner down, the owner's enrolment, and the
 * revocations that govern a link (FORMAT §9, §12.2).
 */
import { parseRevoke, type RevokeReason } from './administration.ts'
import { parseCertificate } from './certificate.ts'
import { checkIssuanceLinks, checkSubjects, instanceSubjects } from './entry-links.ts'
import { check, ProofError } from './errors.ts'
import { type EnrolledOwner, findOwner, type Operators, verifyOperator } from './enrolment.ts'
import { type Issuance, type LoggedIssuance, readIssuance, verifyChain } from './issuance.ts'
import { keyId } from './key.ts'
import { isValidAt } from './outcomes.ts'
import type { Primitives } from './primitives.ts'
import { entriesOf, type ProvenEntry, type ProvenLog } from './proven-log.ts'
import { type Statement, verifyStatement } from './statement.ts'

/** A revocation in the bundle that governs a link of the chain. */
export interface AppliedRevocation {
  readonly index: number
  readonly timeMs: number
  /** A subject: an instance, a name or an owner. */
  readonly target: string
  /** Who signed. */
  readonly by: string
  readonly reason: RevokeReason
}

/** A verified chain. */
export interface EvidenceChain {
  /** Root → self. */
  readonly issuances: readonly LoggedIssuance[]
  readonly self: LoggedIssuance
  readonly owner: EnrolledOwner
  /** Ascending by index. */
  readonly revocations: readonly AppliedRevocation[]
}

/**
 * Finds and verifies the chain of an instance.
 *
 * @throws {ProofError} `issuance_unproven` without the issuance of the instance, `link_missing` without that of an ancestor;
 *   `revoked` for an issuance after a revocation that governs it; `outcome_mismatch` for a revocation by somebody who
 *   may not; else as `readIssuance`, `findOwner` and `verifyChain`.
 * @see FORMAT §9.2, §12.2
 */
export function findChain(
  p: Primitives,
  log: ProvenLog,
  operators: Operators,
  instance: string,
): EvidenceChain {
  const self = findIssuance(p, log, instance)
  if (self === undefined) {
    throw new ProofError('issuance_unproven', `no issuance of ${instance} in the bundle`)
  }
  const issuances = [self]
  let { parent } = self.record
  let below = self.logged.index
  while (parent !== null) {
    const found = findIssuance(p, log, parent.instance.id)
    if (found === undefined) {
      throw new ProofError('link_missing', `no issuance of ${parent.instance.id} in the bundle`)
    }
    const { index } = found.logged
    check(index < below, 'lineage_broken', `entry ${index}: issued before its parent`)
    issuances.unshift(found)
    below = index
    parent = found.record.parent
  }
  const { genesis, origin } = log
  const owner = findOwner(p, log, operators, self.record.owner, below)
  verifyChain(p, issuances, {
    origin,
    trustDomain: genesis.trustDomain,
    roots: genesis.ca.map(parseCertificate),
    owner,
    otherPatterns: genesis.owners
      .filter(({ key }) => `owner:${keyId(p, key)}` !== owner.principal)
      .flatMap(({ patterns }) => patterns),
  })
  const revocations = findRevocations(p, log, operators, { issuances, owner })
  for (const [depth, { logged }] of issuances.entries()) {
    const subjects = subjectsOf(issuances.slice(0, depth + 1), owner.principal)
    const governed = revocations.some(
      ({ index, target }) => subjects.has(target) && index < logged.index,
    )
    check(!governed, 'revoked', `link ${depth}: issued after a revocation that governs it`)
  }
  return { issuances, self, owner, revocations }
}

function findIssuance(p: Primitives, log: ProvenLog, instance: string): LoggedIssuance | undefined {
  const [found] = entriesOf(log, 'agent.issue', instance)
  if (found === undefined) return undefined
  const issuance = readIssuance(p, found.entry)
  checkIssuanceLinks(found, issuance)
  return issuance
}

function findRevocations(
  p: Primitives,
  log: ProvenLog,
  operators: Operators,
  chain: Pick<EvidenceChain, 'issuances' | 'owner'>,
): readonly AppliedRevocation[] {
  const subjects = subjectsOf(chain.issuances, chain.owner.principal)
  const applied: AppliedRevocation[] = []
  for (const found of entriesOf(log, 'agent.revoke')) {
    const { target, reason } = parseRevoke(found.statement)
    if (!subjects.has(target.text)) continue
    checkRevocationSubjects(found, target.text, chain)
    verifyRevoker(p, log, operators, { ...chain, applied }, found)
    const { index, entry } = found
    const by = found.statement.header.iss
    applied.push({ index, timeMs: entry.timeMs, target: target.text, by, reason })
  }
  return applied
}

function checkRevocationSubjects(
  found: ProvenEntry,
  target: string,
  { issuances, owner }: Pick<EvidenceChain, 'issuances' | 'owner'>,
): void {
  const instance = issuances.map(instanceSubjects).find(([inst]) => inst === target)
  const named = target === owner.principal ? [target] : [target, owner.principal]
  checkSubjects(found, instance ?? named)
}

/** An operator, the owner, or an instance above the target that is alive itself (FORMAT §9.4). */
function verifyRevoker(
  p: Primitives,
  log: ProvenLog,
  operators: Operators,
  {
    issuances,
    owner,
    applied,
  }: Pick<EvidenceChain, 'issuances' | 'owner'> & {
    readonly applied: readonly AppliedRevocation[]
  },
  found: ProvenEntry,
): void {
  const { statement, index } = found
  const { issuer, header } = statement
  if (issuer.role === 'operator') {
    verifyOperator(p, log, operators, found)
    return
  }
  const verify = (spki: Uint8Array): void => verifyRevocation(p, statement, spki, log.origin)
  if (header.iss === owner.principal) {
    verify(owner.spki)
    return
  }
  const above = issuances.findIndex(({ record }) => record.child.instance.id === header.iss)
  const target = issuances.findIndex((one) => instanceSubjects(one)[0] === header.sub)
  const signer = above < target ? issuances[above] : undefined
  if (signer === undefined) {
    throw new ProofError('outcome_mismatch', `entry ${index}: revoked by one who may not`)
  }
  const subjects = subjectsOf(issuances.slice(0, above + 1), owner.principal)
  const governed = applied.some((one) => subjects.has(one.target))
  check(!governed, 'outcome_mismatch', `entry ${index}: revoked by one who was revoked`)
  const valid = isValidAt(signer.certificate, found.entry.timeMs)
  check(valid, 'certificate_expired', `entry ${index}: revoked under a certificate that had ended`)
  verify(signer.certificate.spki)
}

function verifyRevocation(
  p: Primitives,
  statement: Statement,
  spki: Uint8Array,
  origin: string,
): void {
  verifyStatement(p, statement, { spki, origin, type: 'agent.revoke' })
}

function subjectsOf(issuances: readonly Issuance[], owner: string): ReadonlySet<string> {
  return new Set([...issuances.flatMap(instanceSubjects), owner])
}
