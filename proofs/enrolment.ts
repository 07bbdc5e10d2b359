/**
 * @module Who has a say in a log: operators, owners and the policy in force, as far as a bundle shows them. Genesis names
 * the first; k operators together name all others (FORMAT §6, proposals).
 */
import {
  parseOperatorEnroll,
  parseOwnerEnroll,
  parsePolicyActivate,
  type PolicyActivate,
} from './administration.ts'
import { equalBytes } from './bytes.ts'
import { cborUint } from './cbor.ts'
import { checkSubjects } from './entry-links.ts'
import { check, ProofError, type ProofErrorCode } from './errors.ts'
import { keyId } from './key.ts'
import {
  type KeyRotation,
  parseKeyRotate,
  ROTATION_OVERLAP_MAX,
  ROTATION_OVERLAP_MIN,
} from './key-rotation.ts'
import type { NamePattern } from './name-pattern.ts'
import type { Hash, Primitives } from './primitives.ts'
import { entriesOf, type ProvenEntry, type ProvenLog } from './proven-log.ts'
import { verifyStatement } from './statement.ts'

/** How long a signature of a proposal counts, in milliseconds of ledger time. @see FORMAT §6 */
export const PROPOSAL_LIFE_MS = 604_800_000

/** An owner whose enrolment is effective. */
export interface EnrolledOwner {
  /** `owner:<kid>` */
  readonly principal: string
  readonly spki: Uint8Array
  readonly patterns: readonly NamePattern[]
  readonly index: number
  /** Who signed: operators, or the service for what genesis names. */
  readonly signers: readonly string[]
}

/** Operators by key id: key, and the entry from which it counts. */
export type Operators = ReadonlyMap<string, { readonly spki: Uint8Array; readonly index: number }>

/** A policy that was put in force. */
export interface ActivatedPolicy extends PolicyActivate {
  readonly index: number
  readonly timeMs: number
  readonly signers: readonly string[]
}

/**
 * Finds the enrolment of an owner, effective before an index.
 *
 * @throws {ProofError} `owner_unproven` if the bundle does not show it whole; else as `verifyProposal`.
 * @see FORMAT §6, §12.2
 */
export function findOwner(
  p: Primitives,
  log: ProvenLog,
  operators: Operators,
  principal: string,
  before: number,
): EnrolledOwner {
  const found = lastEffective(entriesOf(log, 'owner.enroll', principal), before)
  if (found === undefined) {
    throw new ProofError('owner_unproven', `no effective owner.enroll before entry ${before}`)
  }
  const { key, kid, patterns } = parseOwnerEnroll(p, found.statement)
  checkSubjects(found, [principal, 'log'])
  const texts = patterns.map(({ text }) => text).join('\n')
  const named = log.genesis.owners.some(
    (one) => keyId(p, one.key) === kid && one.patterns.map(({ text }) => text).join('\n') === texts,
  )
  const signers = verifyProposal(p, log, operators, found, { named, missing: 'owner_unproven' })
  return { principal, spki: key, patterns, index: found.index, signers }
}

/**
 * Finds the policy that a decision names, put in force by the entry that the decision names.
 *
 * @param named - Digest of the policy, and index of its activation.
 * @param before - The index of the decision: nothing in the bundle may have replaced the policy before.
 * @throws {ProofError} `policy_missing` if the bundle does not show the activation, of this policy, or not all that made it
 *   effective, or if it shows another between; else as `parsePolicyActivate` and `verifyStatement`.
 * @see FORMAT §6, §10.3, §12.2
 */
export function findPolicy(
  p: Primitives,
  log: ProvenLog,
  operators: Operators,
  named: { readonly policy: Hash; readonly policyIndex: number },
  before: number,
): ActivatedPolicy {
  const found = lastEffective(entriesOf(log, 'policy.activate'), before)
  if (found === undefined || found.index !== named.policyIndex) {
    const index = named.policyIndex
    throw new ProofError(
      'policy_missing',
      `entry ${index}: not the activation in force by the bundle`,
    )
  }
  const activated = parsePolicyActivate(found.statement)
  const same = equalBytes(activated.policy, named.policy)
  check(same, 'policy_missing', `entry ${found.index}: activates another policy`)
  checkSubjects(found, ['policy', 'log'])
  const isNamed = equalBytes(activated.policy, log.genesis.policy)
  const asked = { named: isNamed, missing: 'policy_missing' } as const
  const signers = verifyProposal(p, log, operators, found, asked)
  return { ...activated, index: found.index, timeMs: found.entry.timeMs, signers }
}

/**
 * Reads the operators that a bundle shows: those of genesis, and those whose enrolment is in the bundle, each verified
 * with the operators before it.
 *
 * @throws {ProofError} `link_missing` for an enrolment that the bundle does not show whole, or an operator whom it does
 *   not show; else as `parseOperatorEnroll` and `verifyStatement`.
 * @see FORMAT §6, §12.2
 */
export function readOperators(p: Primitives, log: ProvenLog): Operators {
  const operators = new Map(
    log.genesis.operators.map((spki) => [keyId(p, spki), { spki, index: 0 }]),
  )
  for (const found of entriesOf(log, 'operator.enroll')) {
    if (found.entry.outcome.get(0) !== 'effective') continue
    const { key, kid } = parseOperatorEnroll(p, found.statement)
    checkSubjects(found, ['log'])
    const known = operators.get(kid)
    verifyProposal(p, log, operators, found, {
      named: known?.index === 0,
      missing: 'link_missing',
    })
    if (known === undefined) operators.set(kid, { spki: key, index: found.index })
  }
  return operators
}

/** A rotation of the log key that took effect. */
export interface EffectiveRotation extends KeyRotation {
  readonly index: number
  readonly signers: readonly string[]
}

/**
 * Finds the last rotation of the log key that took effect in what is shown of a log.
 *
 * @throws {ProofError} `link_missing` if none is shown, or not all that made it effective; `outcome_mismatch` for one that
 *   lies too near to its `until`; else as `parseKeyRotate` and `verifyStatement`.
 * @see FORMAT §6, §11.7
 */
export function findRotation(
  p: Primitives,
  log: ProvenLog,
  operators: Operators,
): EffectiveRotation {
  const found = lastEffective(entriesOf(log, 'key.rotate'), log.head.size)
  if (found === undefined) throw new ProofError('link_missing', 'no effective key.rotate is shown')
  const { index } = found
  const rotation = parseKeyRotate(p, found.statement)
  checkSubjects(found, ['log'])
  const overlap = rotation.until - index
  const isBounded = overlap >= ROTATION_OVERLAP_MIN && overlap <= ROTATION_OVERLAP_MAX
  check(isBounded, 'outcome_mismatch', `entry ${index}: a rotation until ${rotation.until}`)
  const signers = verifyProposal(p, log, operators, found, {
    named: false,
    missing: 'link_missing',
  })
  return { ...rotation, index, signers }
}

/**
 * Verifies a statement that an operator signed, and returns the operator.
 *
 * @throws {ProofError} `link_missing` for an operator whose enrolment the bundle does not show; else as `verifyStatement`.
 */
export function verifyOperator(
  p: Primitives,
  log: ProvenLog,
  operators: Operators,
  { statement, index }: ProvenEntry,
): string {
  const { iss, kid } = statement.header
  const operator = operators.get(kid)
  if (operator === undefined || operator.index > index) {
    throw new ProofError('link_missing', `entry ${index}: no enrolment of the operator who signed`)
  }
  verifyStatement(p, statement, { spki: operator.spki, origin: log.origin })
  return iss
}

/**
 * Verifies that a proposal took effect at an entry: genesis names it and the service signed, or k operators signed
 * statements of byte-identical payloads within 7 days, and this is the last of them.
 *
 * @param named - Whether genesis names what is proposed.
 * @param missing - The code for a signature that is not in the bundle.
 * @returns Who signed.
 * @throws {ProofError} `missing`; `outcome_mismatch` for counts that the rules do not give, and for what the service signed
 *   and genesis does not name; `link_missing` for an operator who is not shown; else as `verifyStatement`.
 */
function verifyProposal(
  p: Primitives,
  log: ProvenLog,
  operators: Operators,
  effective: ProvenEntry,
  { named, missing }: { readonly named: boolean; readonly missing: ProofErrorCode },
): readonly string[] {
  const { index, statement } = effective
  const { genesis, origin } = log
  const [signed, needed] = countsOf(effective)
  if (statement.issuer.role === 'service') {
    const first = named && signed === 0 && needed === 0 && isFirstBatch(log, effective)
    check(first, 'outcome_mismatch', `entry ${index}: the service signs only what genesis names`)
    verifyStatement(p, statement, { spki: genesis.keys.service, origin })
    return [statement.header.iss]
  }
  const counted = needed === genesis.threshold && signed === needed
  check(counted, 'outcome_mismatch', `entry ${index}: effective with ${signed} of ${needed}`)
  const signers = [verifyOperator(p, log, operators, effective)]
  for (const found of earlierSignatures(log, effective)) {
    if (signers.length === needed || signers.includes(found.statement.header.iss)) continue
    signers.push(verifyOperator(p, log, operators, found))
  }
  const whole = signers.length === needed
  check(whole, missing, `entry ${index}: ${signers.length} of ${needed} signatures in the bundle`)
  return signers
}

/**
 * Whether an entry can lie directly after genesis, before any entry that the service has not signed: every entry before it
 * is one of the log's own chain, there are no more of them than genesis names, and none in the bundle is anybody else's.
 */
function isFirstBatch({ genesis, entries }: ProvenLog, { index, entry }: ProvenEntry): boolean {
  const most = genesis.operators.length + genesis.owners.length + 1
  return (
    index <= most &&
    entry.links.at(-1)?.seq === index &&
    entries.every((one) => one.index > index || one.statement.issuer.role === 'service')
  )
}

/** The signatures that wait for the one that makes a proposal effective: the latest first, none older than 7 days. */
function earlierSignatures(
  log: ProvenLog,
  { index, entry, statement }: ProvenEntry,
): readonly ProvenEntry[] {
  const same = entriesOf(log, entry.kind)
    .filter((one) => one.index < index)
    .filter((one) => equalBytes(one.statement.payloadBytes, statement.payloadBytes))
  // What took effect before is done with: its signatures do not count again.
  const done = same.findLastIndex((one) => one.entry.outcome.get(0) === 'effective')
  return same
    .slice(done + 1)
    .filter((one) => one.entry.timeMs >= entry.timeMs - PROPOSAL_LIFE_MS)
    .toReversed()
}

function countsOf({ entry }: ProvenEntry): readonly [number, number] {
  return [cborUint(entry.outcome.get(1), 'signed'), cborUint(entry.outcome.get(2), 'needed')]
}

function lastEffective(entries: readonly ProvenEntry[], before: number): ProvenEntry | undefined {
  return entries.findLast(
    ({ index, entry }) => index < before && entry.outcome.get(0) === 'effective',
  )
}
