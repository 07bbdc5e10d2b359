/** @module Recognising what a file holds, and checking it against the trust. */
import { equalBytes, toBase64url, utf8Decode } from '../bytes.ts'
import { cborText } from '../cbor.ts'
import { type Entry, parseEntryStatement } from '../entry.ts'
import { check, ProofError } from '../errors.ts'
import { EVIDENCE_BYTES_MAX } from '../evidence-bundle.ts'
import type { EvidenceReport } from '../evidence-report.ts'
import { verifyEvidence } from '../evidence.ts'
import { type Genesis, parseGenesis } from '../genesis.ts'
import type { Head } from '../head.ts'
import { readIssuance } from '../issuance.ts'
import { jsonObject, parseJson } from '../json.ts'
import { keyId } from '../key.ts'
import { type Lineage, parseLineage, verifyLineage } from '../lineage.ts'
import { leafHash } from '../merkle.ts'
import type { Primitives } from '../primitives.ts'
import { openRange, parseRange } from '../range.ts'
import { openReceipt, parseReceipt } from '../receipt.ts'
import { parseTlogProof, verifyTlogProof } from '../tlog-proof.ts'
import { openTrustedHead, type Trust, trustFor } from '../trust.ts'

/** The kinds of files that are recognised. */
export type FileKind = 'evidence' | 'range' | 'receipt' | 'lineage' | 'tlog-proof'

/** What a check may need besides the file and the trust. */
export interface Companions {
  /** The entry that a tlog-proof is of. */
  readonly entry: Uint8Array | undefined
  /** The receipt of genesis, for a lineage: roots, trust domain, first owners. */
  readonly genesis: Uint8Array | undefined
  /** The certificate that an agent presented, DER; else the one that its issuance holds. */
  readonly certificate: Uint8Array | undefined
  /** An owner whom genesis does not name. */
  readonly owner: { readonly key: Uint8Array; readonly patterns: readonly string[] } | undefined
  /** Unix milliseconds, for a lineage. */
  readonly atMs: number
}

/** What was found to hold. */
export interface Finding {
  /** For a person. */
  readonly lines: readonly string[]
  /** For a program. */
  readonly data: Readonly<Record<string, unknown>>
  /** Of an evidence bundle. */
  readonly report?: EvidenceReport
}

/** A file that lacks something beside it: an argument, not a proof. */
export class MissingArgument extends Error {
  override readonly name = 'MissingArgument'
}

const FORMATS: ReadonlyMap<string, FileKind> = new Map([
  ['trustwarden-evidence/1', 'evidence'],
  ['trustwarden-range/1', 'range'],
  ['trustwarden-receipt/1', 'receipt'],
  ['trustwarden-lineage/1', 'lineage'],
])

/** Tells what a file holds; `undefined` if it is none of the kinds, or of another version. */
export function recognise(bytes: Uint8Array): FileKind | undefined {
  try {
    const first = utf8Decode(bytes.subarray(0, 23))
    if (first === 'c2sp.org/tlog-proof@v1\n') return 'tlog-proof'
    const { format } = jsonObject(parseJson(bytes, { maxBytes: EVIDENCE_BYTES_MAX }), 'file')
    return typeof format === 'string' ? FORMATS.get(format) : undefined
  } catch (error) {
    if (error instanceof ProofError) return undefined
    throw error
  }
}

/**
 * Checks a file of a known kind.
 *
 * @throws {ProofError} what the kit refuses it with.
 * @throws {MissingArgument} where something is needed beside it.
 */
export function inspect(
  p: Primitives,
  kind: FileKind,
  bytes: Uint8Array,
  trust: Trust,
  companions: Companions,
): Finding {
  switch (kind) {
    case 'evidence':
      return inspectEvidence(verifyEvidence(p, bytes, trust))
    case 'range':
      return inspectRange(p, bytes, trust)
    case 'receipt':
      return inspectReceipt(p, bytes, trust)
    case 'lineage':
      return inspectLineage(p, parseLineage(bytes), trust, companions)
    case 'tlog-proof':
      return inspectTlogProof(p, bytes, trust, companions.entry)
  }
}

function inspectEvidence(report: EvidenceReport): Finding {
  const { action, instance, owner, chain, authorized } = report
  const through = chain.slice(0, -1).map((link) => link.instance)
  const said = authorized ? 'authorized' : `NOT AUTHORIZED (${action.verdict})`
  return {
    lines: [
      `action   ${action.action} on ${action.resource.type} ${JSON.stringify(action.resource.id)}`,
      `verdict  ${action.verdict}: ${said}`,
      `agent    ${instance}`,
      `owner    ${owner.principal}`,
      `through  ${through.length === 0 ? 'nobody' : through.join(', ')}`,
      `checked  ${report.steps.length} steps; not shown: ${report.notShown.length} things (see explain)`,
    ],
    data: { report },
    report,
  }
}

function inspectRange(p: Primitives, bytes: Uint8Array, trust: Trust): Finding {
  const { head, start, end, entries } = openRange(p, parseRange(bytes), trust)
  const counts = new Map<string, number>()
  for (const { entry } of entries) counts.set(entry.kind, (counts.get(entry.kind) ?? 0) + 1)
  const kinds = [...counts].toSorted(([a], [b]) => (a < b ? -1 : 1))
  const times = entries.map(({ entry }) => entry.timeMs)
  const [fromMs = 0, toMs = fromMs] = [times[0], times.at(-1)]
  const last = end - 1
  const unknown = entries.filter(({ entry }) => !entry.known).length
  const plural = unknown === 1 ? 'entry' : 'entries'
  return {
    lines: [
      `entries  ${start} to ${last} of ${head.origin}, ${entries.length} in all`,
      `kinds    ${kinds.map(([kind, count]) => `${count} ${kind}`).join(', ')}`,
      `time     ${fromMs} to ${toMs} ms since 1970`,
      `head     size ${head.size}`,
      `shows    these are all entries from ${start} to ${last}: none left out, none added, none changed`,
      ...(unknown > 0
        ? [`note     ${unknown} ${plural} of a kind that is unknown to this release: not read`]
        : []),
      'note     links to entries before the first, and what lies behind the last, are not in it',
      'note     the signatures of the statements were not checked: their keys are not in a range',
    ],
    data: { start, end, size: head.size, kinds: Object.fromEntries(kinds), fromMs, toMs },
  }
}

function inspectReceipt(p: Primitives, bytes: Uint8Array, trust: Trust): Finding {
  const { entry, head, leafHash: hash } = openReceipt(p, parseReceipt(bytes), trust)
  const unknown = entry.known
    ? []
    : ['note     the kind is unknown to this release: its content was not read']
  return {
    lines: [
      ...describeEntry(entry, head),
      ...unknown,
      'note     the signature of the statement was not checked: its key is not in a receipt',
    ],
    data: { index: entry.index, kind: entry.kind, leafHash: toBase64url(hash), size: head.size },
  }
}

function inspectTlogProof(
  p: Primitives,
  bytes: Uint8Array,
  trust: Trust,
  entry: Uint8Array | undefined,
): Finding {
  if (entry === undefined)
    throw new MissingArgument('a tlog-proof needs --entry FILE, the bytes of its leaf')
  const { checkpoint, index } = parseTlogProof(bytes)
  const { origin, size } = openTrustedHead(p, trust, checkpoint)
  const counting = trustFor(trust, origin).keys.filter(
    ({ from, to }) => size >= from && (to === null || size <= to),
  )
  const keys = counting.map(({ key }) => key)
  const head = verifyTlogProof(p, bytes, leafHash(p, entry), { origin, keys })
  return {
    lines: [`entry    ${index} of ${head.origin}`, `head     size ${head.size}`],
    data: { index, origin: head.origin, size: head.size },
  }
}

function inspectLineage(
  p: Primitives,
  lineage: Lineage,
  trust: Trust,
  companions: Companions,
): Finding {
  const last = lineage.receipts.at(-1)
  if (last === undefined) throw new ProofError('issuance_unproven', 'lineage: no receipts')
  const { entry, head } = openReceipt(p, last, trust)
  const issued = entry.kind === 'agent.issue'
  check(issued, 'issuance_unproven', `lineage: ends in an entry of kind ${entry.kind}`)
  const { record, certificate } = readIssuance(p, entry)
  const genesis = openGenesis(p, trust, companions.genesis)
  const owner = companions.owner ?? ownerOf(p, genesis, record.owner)
  const verified = verifyLineage(p, {
    certificate: companions.certificate ?? certificate.der,
    lineage,
    trust,
    origin: head.origin,
    trustDomain: genesis.trustDomain,
    roots: genesis.ca,
    owner,
    atMs: companions.atMs,
  })
  const { instance, scope, chain, notAfterMs, key: _, ...rest } = verified
  return {
    lines: [
      `agent    ${instance}`,
      `owner    ${verified.owner}`,
      `scope    ${scope.join(' ')}`,
      ...chain.map((link) => `entry    ${link.index} issued ${link.instance}`),
      `valid    until ${new Date(notAfterMs).toISOString()}`,
      'note     a lineage says nothing about revocation',
    ],
    data: { instance, scope, chain, notAfterMs, ...rest },
  }
}

function openGenesis(p: Primitives, trust: Trust, receipt: Uint8Array | undefined): Genesis {
  if (receipt === undefined) {
    throw new MissingArgument('a lineage needs --genesis FILE, the receipt of entry 0')
  }
  const { entry, head, leafHash: hash } = openReceipt(p, parseReceipt(receipt), trust)
  const { anchor } = trustFor(trust, head.origin)
  const genuine = equalBytes(hash, anchor.genesisHash)
  check(genuine, 'genesis_mismatch', '--genesis: not the entry that the trust anchor names')
  return parseGenesis(p, parseEntryStatement(entry))
}

function ownerOf(
  p: Primitives,
  { owners }: Genesis,
  principal: string,
): NonNullable<Companions['owner']> {
  const found = owners.find(({ key }) => `owner:${keyId(p, key)}` === principal)
  if (found === undefined) {
    throw new ProofError('owner_unproven', `${principal} is not named in genesis`)
  }
  return { key: found.key, patterns: found.patterns.map(({ text }) => text) }
}

function describeEntry(entry: Entry, head: Head): readonly string[] {
  return [
    `entry    ${entry.index} of ${head.origin}, kind ${entry.kind}`,
    `time     ${entry.timeMs} ms since 1970`,
    `outcome  ${cborText(entry.outcome.get(0), 'outcome')}`,
    `head     size ${head.size}`,
  ]
}
