/**
 * @module Issuances: the delegation record, the certificate that was made for it, and the rules that bind both to those
 * of the parent, or of the owner (FORMAT §8, §9.2). Who is revoked, and who the owner is, is for whoever has the entries.
 */
import { equalBytes } from './bytes.ts'
import { cborBytes, cborUint } from './cbor.ts'
import { type Certificate, parseCertificate } from './certificate.ts'
import { type Delegation, parseDelegation } from './delegation.ts'
import { type Entry, parseEntryStatement } from './entry.ts'
import { check, type ProofErrorCode } from './errors.ts'
import { keyId } from './key.ts'
import { matchesName, type NamePattern, patternContains } from './name-pattern.ts'
import { ANY_SEGMENT } from './path-pattern.ts'
import type { Hash, Primitives } from './primitives.ts'
import { isStrictlyContained } from './scope.ts'
import { contentDigest, type Statement, verifyStatement } from './statement.ts'
import {
  DEPTH_MAX,
  decodeSvidExtension,
  SVID_EXTENSION_OID,
  type SvidExtension,
} from './svid-extension.ts'
import { verifySvid } from './svid.ts'

/** Seconds that a certificate may live, at least and at most. @see FORMAT §9.2 */
export const TTL_MIN_S = 60
export const TTL_MAX_S = 86_400

/** How long all life may be that an owner gives, in milliseconds from the issuance. @see FORMAT §9.2 */
export const CEILING_MAX_MS = 2_592_000_000

/** What a certificate lives at least from its entry on, in milliseconds. @see FORMAT §9.2 */
export const LIFE_MIN_MS = 55_000

/** How far `iat` may be from ledger time, in milliseconds. @see FORMAT §3.4, §10.7 */
export const IAT_WINDOW_MS = 300_000

/** One issuance, read. Nothing about it is verified. */
export interface Issuance {
  readonly statement: Statement
  readonly record: Delegation
  /** Content digest of the record. */
  readonly recordDigest: Hash
  readonly certificate: Certificate
  /** What the certificate's extension says. */
  readonly delegation: SvidExtension
  /** Where the log holds it; `undefined` where no receipt came with it. */
  readonly logged: { readonly index: number; readonly timeMs: number } | undefined
}

/** An issuance that an entry holds. */
export interface LoggedIssuance extends Issuance {
  readonly logged: { readonly index: number; readonly timeMs: number }
}

/** What a chain of issuances is held to. */
export interface ChainContext {
  /** Origin of the log. */
  readonly origin: string
  readonly trustDomain: string
  readonly roots: readonly Certificate[]
  readonly owner: {
    /** `owner:<kid>` */
    readonly principal: string
    /** DER SubjectPublicKeyInfo. */
    readonly spki: Uint8Array
    readonly patterns: readonly NamePattern[]
  }
  /** Patterns of other owners, as far as they are known: a longer one that matches takes the name. */
  readonly otherPatterns: readonly NamePattern[]
}

/**
 * Reads the issuance that an `agent.issue` entry holds.
 *
 * @throws {ProofError} `outcome_mismatch` if the recorded end is not the certificate's; else as `parseEntryStatement`,
 *   `parseDelegation`, `parseCertificate` and `decodeSvidExtension`.
 * @see FORMAT §6, §9.1
 */
export function readIssuance(p: Primitives, entry: Entry): LoggedIssuance {
  const certificate = cborBytes(entry.prepared.get(1), 'certificate')
  const { index, timeMs } = entry
  const logged = { index, timeMs }
  const issuance = { ...issuanceOf(p, parseEntryStatement(entry), certificate, logged), logged }
  const recorded = cborUint(entry.outcome.get(1), 'notAfter')
  const same = recorded === issuance.certificate.notAfterMs
  check(same, 'outcome_mismatch', 'issuance: the recorded end is not that of the certificate')
  return issuance
}

/**
 * Puts an issuance together from a delegation record and its certificate.
 *
 * @throws {ProofError} `certificate_invalid` without the extension, or with a critical one; else as `readIssuance`.
 */
export function issuanceOf(
  p: Primitives,
  statement: Statement,
  certificateDer: Uint8Array,
  logged: Issuance['logged'],
): Issuance {
  const record = parseDelegation(statement)
  const certificate = parseCertificate(certificateDer)
  const extension = certificate.otherExtensions.get(SVID_EXTENSION_OID)
  check(extension?.critical === false, 'certificate_invalid', 'certificate: no extension of §8.2')
  const delegation = decodeSvidExtension(p, extension.value)
  const recordDigest = contentDigest(p, statement)
  return { statement, record, recordDigest, certificate, delegation, logged }
}

/**
 * Verifies a chain of issuances, root → self: each record is signed by its parent's key (the first by the owner's), keeps
 * every rule of FORMAT §9.2 that can be told from the chain, and has the certificate that it must have.
 *
 * @throws {ProofError} `lineage_broken` for records that do not follow from each other; `signature_invalid`,
 *   `key_mismatch` and `audience_mismatch` for a record; `scope_not_contained`; `delegation_invalid` for every other
 *   rule of §9.2; `spiffe_id_invalid` for another trust domain; `certificate_invalid`, `certificate_untrusted` and
 *   `certificate_expired`.
 * @see FORMAT §8, §9.2, §9.3
 */
export function verifyChain(
  p: Primitives,
  chain: readonly Issuance[],
  context: ChainContext,
): void {
  const kids = [keyId(p, context.owner.spki)]
  let parent: Issuance | undefined
  for (const [depth, own] of chain.entries()) {
    const { record } = own
    check(record.depth === depth, 'lineage_broken', `record at depth ${depth}: of another depth`)
    check(record.owner === context.owner.principal, 'lineage_broken', 'record: of another owner')
    const spki = parent === undefined ? context.owner.spki : parent.certificate.spki
    if (parent !== undefined) checkParent(own, parent)
    verifyStatement(p, own.statement, { spki, origin: context.origin, type: 'agent.issue' })
    checkName(own, context)
    if (parent === undefined) checkCeiling(own)
    else checkDelegated(own, parent, chain[0]?.recordDigest)
    checkRecord(own, context)
    checkCertificate(p, own, context)
    checkExtension(own, chain.slice(0, depth), context.origin)
    kids.push(record.child.kid)
    parent = own
  }
  demand(new Set(kids).size === kids.length, 'child key: used before in the chain')
}

/** That the record names its parent as it is. */
function checkParent({ record, logged }: Issuance, parent: Issuance): void {
  const named =
    record.parent !== null &&
    record.parent.instance.id === parent.record.child.instance.id &&
    record.parent.kid === parent.record.child.kid &&
    equalBytes(record.parent.record, parent.recordDigest)
  check(named, 'lineage_broken', 'record: names another parent, key or record of the parent')
  const later =
    logged === undefined || parent.logged === undefined || parent.logged.index < logged.index
  check(later, 'lineage_broken', 'record: issued before its parent')
}

/** That the name is the owner's: at every depth, under the longest of the patterns that match it (FORMAT §7.2). */
function checkName({ record }: Issuance, context: ChainContext): void {
  const { nameSegments } = record.child.instance
  const matching = (patterns: readonly NamePattern[]): readonly NamePattern[] =>
    patterns.filter((pattern) => matchesName(pattern, nameSegments))
  const others = matching(context.otherPatterns)
  const permitted = matching(context.owner.patterns).some((own) =>
    others.every((other) => comparePatterns(own, other) >= 0),
  )
  demand(permitted, "name: not under the owner's patterns by longest match")
}

/** Of two patterns that match one name: positive if the first is the longer, negative if the second is. */
function comparePatterns(a: NamePattern, b: NamePattern): number {
  if (a.segments.length !== b.segments.length) return a.segments.length - b.segments.length
  const at = a.segments.findIndex((segment, index) => segment !== b.segments[index])
  if (at >= 0) return a.segments[at] === ANY_SEGMENT ? -1 : 1
  return Number(b.tail) - Number(a.tail)
}

/** How long an owner may let its agents live. */
function checkCeiling({ record, logged }: Issuance): void {
  const within = logged === undefined || record.ceiling * 1000 <= logged.timeMs + CEILING_MAX_MS
  demand(within, 'ceiling: more than 30 days after the issuance')
}

/** The rules between a parent and its child. */
function checkDelegated(
  { record, certificate, logged }: Issuance,
  parent: Issuance,
  rootDigest: Hash | undefined,
): void {
  const above = parent.record
  const authorized =
    record.authorization !== null &&
    rootDigest !== undefined &&
    equalBytes(record.authorization, rootDigest)
  check(authorized, 'lineage_broken', 'authorization: not the record at depth 0')
  demand(record.depth <= above.maxDepth, "depth: over the parent's max_depth")
  demand(record.maxDepth <= above.maxDepth, "max_depth: over the parent's")
  const named = above.mayCreate.some((one) => matchesName(one, record.child.instance.nameSegments))
  demand(named, "name: not under the parent's may_create")
  const contained = patternContains(above.mayCreate, record.mayCreate)
  demand(contained, "may_create: not contained in the parent's")
  const strict = isStrictlyContained(record.scope, above.scope)
  check(strict, 'scope_not_contained', "scope: not strictly contained in the parent's")
  demand(record.ceiling <= above.ceiling, "ceiling: over the parent's")
  const { notBeforeMs, notAfterMs } = parent.certificate
  const inside = certificate.notBeforeMs >= notBeforeMs && certificate.notAfterMs <= notAfterMs
  checkX509(inside, "life: not inside the parent's")
  const alive =
    logged === undefined || (notBeforeMs <= logged.timeMs && logged.timeMs <= notAfterMs)
  check(alive, 'certificate_expired', "the parent's certificate was not valid at the issuance")
}

/** The rules of one record. */
function checkRecord({ record, certificate, logged, statement }: Issuance, context: ChainContext) {
  const { trustDomain } = context
  const here =
    record.trustDomain === trustDomain && record.child.instance.trustDomain === trustDomain
  check(here, 'spiffe_id_invalid', 'record: of another trust domain')
  demand(record.maxDepth <= DEPTH_MAX, `max_depth: over ${DEPTH_MAX}`)
  const { ttl } = record
  demand(ttl >= TTL_MIN_S && ttl <= TTL_MAX_S, `ttl: not ${TTL_MIN_S} to ${TTL_MAX_S} s`)
  const { notAfterMs } = certificate
  checkX509(notAfterMs <= record.ceiling * 1000, 'life: ends after the ceiling of the record')
  if (logged === undefined) return
  const { index, timeMs } = logged
  demand(record.size <= index, 'size: above the size of the log')
  const punctual = Math.abs(statement.header.iat * 1000 - timeMs) <= IAT_WINDOW_MS
  check(punctual, 'claim_invalid', 'iat: more than 300 s from the time of the issuance')
  checkX509(notAfterMs <= timeMs + ttl * 1000, 'life: longer than the ttl of the record')
  demand(notAfterMs >= timeMs + LIFE_MIN_MS, 'life: less than a minute left when it was issued')
}

/** That the certificate is an SVID of the log's authority, of the form of FORMAT §8.1, for the record's child. */
function checkCertificate(p: Primitives, own: Issuance, { roots }: ChainContext): void {
  const { certificate, record, logged } = own
  const { spiffeId } = verifySvid(p, certificate, roots, logged?.timeMs ?? certificate.notBeforeMs)
  // Its root has to outlive it, too.
  verifySvid(p, certificate, roots, certificate.notAfterMs)
  checkX509(spiffeId === record.child.instance.id, 'certificate: of another instance')
  const bound = keyId(p, certificate.spki) === record.child.kid
  check(bound, 'key_mismatch', "certificate: another key than the record's")
  // An empty Name is a SEQUENCE of nothing: two bytes.
  const { subject, extendedKeyUsage, subjectKeyId } = certificate
  const whole = subject.length === 2 && extendedKeyUsage !== undefined && subjectKeyId !== undefined
  checkX509(whole, 'certificate: a subject, or no extendedKeyUsage or subjectKeyIdentifier')
}

/** That the certificate's extension says what the records say. */
function checkExtension(own: Issuance, above: readonly Issuance[], origin: string): void {
  const { delegation, record, recordDigest } = own
  const { ancestors, scope } = delegation
  checkX509(equalBytes(delegation.recordDigest, recordDigest), 'extension: of another record')
  checkX509(delegation.owner === record.owner, 'extension: another owner')
  checkX509(delegation.origin === origin, 'extension: another log')
  checkX509(delegation.size === record.size, 'extension: another size')
  const sameScope = scope.texts.join('\n') === record.scope.texts.join('\n')
  checkX509(sameScope, 'extension: another scope')
  const sameChain =
    ancestors.length === above.length &&
    above.every(({ record: { child, size } }, at) => {
      const ancestor = ancestors[at]
      return ancestor?.instance === child.instance.id && ancestor.size === size
    })
  checkX509(sameChain, 'extension: other ancestors')
}

function demand(condition: boolean, message: string): void {
  check(condition, 'delegation_invalid', message)
}

function checkX509(condition: boolean, message: string): void {
  const code: ProofErrorCode = 'certificate_invalid'
  check(condition, code, message)
}
