/**
 * @module Lineages: the receipts of the issuances from an owner's own agent down to one instance, and the walk along them
 * without a network (FORMAT §9.3). Revocation is not in a lineage: whoever must refuse a revoked agent asks elsewhere.
 */
import { equalBytes } from './bytes.ts'
import { type Certificate, parseCertificate } from './certificate.ts'
import { checkIssuanceLinks, checkLinks, type PlacedEntry } from './entry-links.ts'
import { check, ProofError } from './errors.ts'
import { type Issuance, issuanceOf, readIssuance, verifyChain } from './issuance.ts'
import {
  canonicalJson,
  jsonArray,
  jsonObject,
  jsonString,
  type JsonValue,
  parseJson,
  requireMembers,
} from './json.ts'
import { keyId } from './key.ts'
import { parseNamePattern } from './name-pattern.ts'
import type { Primitives } from './primitives.ts'
import { formatReceipt, openReceipt, parseReceipt, type Receipt } from './receipt.ts'
import { parseStatement, type StatementMedia } from './statement.ts'
import { DEPTH_MAX } from './svid-extension.ts'
import { bundleHash, type Trust, trustFor } from './trust.ts'

/** Bytes in a lineage: nine receipts of the longest entries and their heads. */
export const LINEAGE_BYTES_MAX = 2_097_152

/** A lineage that has the form of one; nothing about it is verified. */
export interface Lineage {
  /** Root → self, 1 to 9. */
  readonly receipts: readonly Receipt[]
}

/** Delegation records and certificates without any receipt: what is left of a lineage where the log does not count. */
export interface BareLineage {
  /** Root → self, 1 to 9: each the statement's bytes, its media type (default: JWS) and the certificate, DER. */
  readonly records: readonly {
    readonly statement: Uint8Array
    readonly media?: StatementMedia
    readonly certificate: Uint8Array
  }[]
}

/** What a lineage is held to. */
export interface LineageExpectation {
  /** The certificate that the agent presents, DER. */
  readonly certificate: Uint8Array
  readonly lineage: Lineage | BareLineage
  readonly trust: Trust
  /** Origin of the log that the agent belongs to. */
  readonly origin: string
  readonly trustDomain: string
  /** The root certificates of the trust domain, DER: those of the trust anchor's bundle hash. */
  readonly roots: readonly Uint8Array[]
  /** The owner's enrolment: key as DER SubjectPublicKeyInfo, and patterns. */
  readonly owner: { readonly key: Uint8Array; readonly patterns: readonly string[] }
  /** The time in question, Unix milliseconds. */
  readonly atMs: number
  /** Accept records without receipts: they show who delegated, and not that the log ever recorded it. */
  readonly allowUnproven?: boolean
}

/** One agent of a verified lineage. */
export interface VerifiedLink {
  readonly instance: string
  readonly scope: readonly string[]
  /** Index of its issuance, `null` where no receipt shows it. */
  readonly index: number | null
}

/** What a verified lineage shows. */
export interface VerifiedLineage {
  readonly instance: string
  readonly name: string
  /** `owner:<kid>` */
  readonly owner: string
  readonly depth: number
  /** The instance's key, DER SubjectPublicKeyInfo. */
  readonly key: Uint8Array
  readonly scope: readonly string[]
  /** Root → self. */
  readonly chain: readonly VerifiedLink[]
  readonly notBeforeMs: number
  readonly notAfterMs: number
  /** Whether receipts show every issuance. */
  readonly proven: boolean
}

const LINEAGE_FORMAT = 'trustwarden-lineage/1'

/**
 * Parses a lineage: the bytes of its JSON, or the object that they are.
 *
 * @throws {ProofError} `version_unknown`; `too_large` over 2 MiB or 9 receipts; else as `parseReceipt`.
 * @see FORMAT §9.3
 */
export function parseLineage(input: Uint8Array | JsonValue): Lineage {
  const value =
    input instanceof Uint8Array ? parseJson(input, { maxBytes: LINEAGE_BYTES_MAX }) : input
  const object = jsonObject(value, 'lineage')
  const format = jsonString(object['format'], 'lineage format')
  check(format === LINEAGE_FORMAT, 'version_unknown', `lineage format: not ${LINEAGE_FORMAT}`)
  requireMembers(object, ['format', 'receipts'], [], 'lineage')
  const receipts = jsonArray(object['receipts'], 'receipts')
  checkDepth(receipts.length)
  return { receipts: receipts.map((receipt) => parseReceipt(receipt)) }
}

/**
 * Formats a lineage as canonical JSON; `parseLineage` gives back the same.
 *
 * @throws {ProofError} as `parseLineage`, for a lineage that it would refuse.
 * @see FORMAT §9.3
 */
export function formatLineage(lineage: Lineage): Uint8Array {
  checkDepth(lineage.receipts.length)
  const receipts = lineage.receipts.map((receipt) => parseJson(formatReceipt(receipt)))
  return canonicalJson({ format: LINEAGE_FORMAT, receipts })
}

/**
 * Verifies that the agent that presents `certificate` was delegated to, link by link, by the owner; that each issuance is
 * in the trusted log; and that the certificate is valid at `atMs`. It says nothing about revocation.
 *
 * @throws {ProofError} `issuance_unproven` for records without receipts, unless `allowUnproven`, for a lineage that is not
 *   of this certificate, and for one that lacks a link; `trust_mismatch` for roots that are not those of the trust
 *   anchor; `root_mismatch` for receipts under two histories; `chain_mismatch` for links of other subjects than those
 *   of the issuance, and for links that do not agree; else as `openReceipt`, `readIssuance` and `verifyChain`,
 *   and `certificate_expired`.
 * @see FORMAT §9.2, §9.3
 */
export function verifyLineage(p: Primitives, expected: LineageExpectation): VerifiedLineage {
  const { certificate, lineage, trust, origin, roots, owner, atMs } = expected
  const { anchor } = trustFor(trust, origin)
  const anchored = equalBytes(bundleHash(p, roots), anchor.bundleHash)
  check(anchored, 'trust_mismatch', 'roots: not those of the trust anchor')
  const proven = 'receipts' in lineage
  const named = proven || expected.allowUnproven === true
  check(named, 'issuance_unproven', 'lineage: records without receipts')
  const placed = proven ? openReceipts(p, lineage, trust, origin) : []
  const chain = proven ? placed.map((one) => readPlaced(p, one)) : readRecords(p, lineage)
  const self = chain.at(-1)
  const own = self !== undefined && equalBytes(self.certificate.der, certificate)
  if (!own) throw new ProofError('issuance_unproven', 'lineage: not of the certificate presented')
  const whole = self.record.depth === chain.length - 1
  check(whole, 'issuance_unproven', 'lineage: not one issuance for every link')
  verifyChain(p, chain, {
    origin,
    trustDomain: expected.trustDomain,
    roots: roots.map(parseCertificate),
    owner: {
      principal: `owner:${keyId(p, owner.key)}`,
      spki: owner.key,
      patterns: owner.patterns.map(parseNamePattern),
    },
    otherPatterns: [],
  })
  // Only now is it known that they ascend.
  checkLinks(placed)
  checkValidity(self.certificate, atMs)
  return describe(chain, self, proven)
}

function openReceipts(
  p: Primitives,
  { receipts }: Lineage,
  trust: Trust,
  origin: string,
): readonly PlacedEntry[] {
  checkDepth(receipts.length)
  const rootsBySize = new Map<number, Uint8Array>()
  return receipts.map((receipt) => {
    const { head, ...placed } = openReceipt(p, receipt, trust)
    const { kind } = placed.entry
    check(head.origin === origin, 'origin_mismatch', 'receipt: of another log')
    const known = rootsBySize.get(head.size) ?? head.root
    check(equalBytes(known, head.root), 'root_mismatch', 'receipts: two roots of one size')
    rootsBySize.set(head.size, head.root)
    check(kind === 'agent.issue', 'issuance_unproven', `receipt: of an entry of kind ${kind}`)
    return placed
  })
}

function readPlaced(p: Primitives, placed: PlacedEntry): Issuance {
  const issuance = readIssuance(p, placed.entry)
  checkIssuanceLinks(placed, issuance)
  return issuance
}

function readRecords(p: Primitives, { records }: BareLineage): readonly Issuance[] {
  checkDepth(records.length)
  return records.map(({ statement, media, certificate }) =>
    issuanceOf(p, parseStatement(statement, media), certificate, undefined),
  )
}

function checkValidity({ notBeforeMs, notAfterMs }: Certificate, atMs: number): void {
  const valid = notBeforeMs <= atMs && atMs <= notAfterMs
  check(valid, 'certificate_expired', 'certificate was not valid at the time')
}

function checkDepth(length: number): void {
  const most = DEPTH_MAX + 1
  check(length <= most, 'too_large', `lineage: ${length} links, at most ${most}`)
}

function describe(
  chain: readonly Issuance[],
  { record, certificate }: Issuance,
  proven: boolean,
): VerifiedLineage {
  return {
    instance: record.child.instance.id,
    name: record.child.instance.name,
    owner: record.owner,
    depth: record.depth,
    key: certificate.spki,
    scope: record.scope.texts,
    chain: chain.map((link) => ({
      instance: link.record.child.instance.id,
      scope: link.record.scope.texts,
      index: link.logged?.index ?? null,
    })),
    notBeforeMs: certificate.notBeforeMs,
    notAfterMs: certificate.notAfterMs,
    proven,
  }
}
