/**
 * @module The part of a log that a bundle shows: entries proven under one trusted head, in order, with links that agree,
 * and the genesis that the trust anchor names (FORMAT §5.2, §5.3, §12.2). What the entries say to each other beyond that
 * is decided elsewhere.
 */
import { equalBytes, utf8Encode } from './bytes.ts'
import { decodeEntry, type Entry, parseEntryStatement } from './entry.ts'
import { checkLinks, checkSubjects, checkTimes, type PlacedEntry } from './entry-links.ts'
import { check, ProofError, type ProofErrorCode } from './errors.ts'
import type { EvidenceBundle } from './evidence-bundle.ts'
import { type Genesis, parseGenesis } from './genesis.ts'
import { type Head, parseHeadBody } from './head.ts'
import { leafHash, verifyInclusion } from './merkle.ts'
import { formatVkey, parseNote } from './note.ts'
import { openDisclosures } from './payload.ts'
import { IAT_WINDOW_MS } from './issuance.ts'
import type { Hash, Primitives } from './primitives.ts'
import { type Statement, verifyStatement } from './statement.ts'
import { bundleHash, checkEnd, openTrustedHead, type Trust, type TrustAnchor } from './trust.ts'

/** An entry of a known kind that the head commits to. Its statement's signature is not verified. */
export interface ProvenEntry {
  readonly index: number
  readonly leafHash: Hash
  readonly entry: Entry
  readonly statement: Statement
  /** What the statement discloses, checked against its digests; `undefined` if the bundle does not hold it. */
  readonly disclosures: readonly string[] | undefined
}

/** What a bundle shows of a log. */
export interface ProvenLog {
  readonly head: Head
  readonly origin: string
  readonly genesis: Genesis
  /** Ascending by index; genesis is the first. */
  readonly entries: readonly ProvenEntry[]
  /** Indexes and kinds of entries that this release does not know. */
  readonly unknown: readonly { readonly index: number; readonly kind: string }[]
}

/** Kinds whose `iat` has no window (FORMAT §3.4); what it means for an action is in its verdict. */
const NO_WINDOW: readonly string[] = ['agent.revoke', 'operator.clock', 'action']

/**
 * Opens what a bundle shows of the log: its head under the trust, every entry under the head, and the genesis.
 *
 * @throws {ProofError} `trust_mismatch` for another log than a trusted one; `inclusion_mismatch`; `index_mismatch`;
 *   `outcome_mismatch` if ledger time decreases; `chain_mismatch` if links do not agree; `link_missing` without the
 *   genesis; `genesis_mismatch`; `claim_invalid` for an `iat` out of its window, or an event id twice; else as `openTrustedHead`, `decodeEntry`, `parseEntryStatement`, `openDisclosures` and
 *   `parseGenesis`.
 * @see FORMAT §5, §12.2
 */
export function openProvenLog(
  p: Primitives,
  bundle: Pick<EvidenceBundle, 'head' | 'entries' | 'disclosures'>,
  trust: Trust,
): ProvenLog {
  const { origin } = parseHeadBody(parseNote(utf8Encode(bundle.head)).text)
  const trusted = trust.logs.find((log) => log.origin === origin)
  if (trusted === undefined) throw new ProofError('trust_mismatch', 'head: not of a trusted log')
  const head = openTrustedHead(p, trust, bundle.head)
  const placed = bundle.entries.map(({ index, entry: bytes, path }): PlacedEntry => {
    const hash = leafHash(p, bytes)
    const { size: treeSize, root } = head
    verifyInclusion(p, { leafIndex: index, treeSize, leafHash: hash, path, root })
    const entry = decodeEntry(bytes)
    check(entry.index === index, 'index_mismatch', `entry ${index}: says index ${entry.index}`)
    return { index, leafHash: hash, entry }
  })
  checkTimes(placed)
  checkLinks(placed)
  const [first] = placed
  const founded = first?.index === 0
  check(founded, 'link_missing', 'genesis: entry 0 is not in the bundle')
  const genuine = equalBytes(first.leafHash, trusted.anchor.genesisHash)
  check(genuine, 'genesis_mismatch', 'genesis: not the entry that the trust anchor names')
  const entries = placed
    .filter(({ entry }) => entry.known)
    .map((one) => readStatement(p, one, bundle.disclosures.get(one.index)))
  const events = new Set(entries.map(({ statement: { header } }) => `${header.iss} ${header.jti}`))
  check(
    events.size === entries.length,
    'claim_invalid',
    'entries: one event id of one issuer twice',
  )
  const unknown = placed
    .filter(({ entry }) => !entry.known)
    .map(({ index, entry: { kind } }) => ({ index, kind }))
  const genesis = readGenesis(p, entries[0], trusted.anchor)
  checkPredecessor(genesis, trust)
  return { head, origin, genesis, entries, unknown }
}

/** The entry at an index; thrown is an error of `missing` if the bundle does not hold it, or it is of another kind. */
export function entryAt(
  log: ProvenLog,
  index: number,
  kind: string,
  missing: ProofErrorCode,
): ProvenEntry {
  const found = log.entries.find((one) => one.index === index && one.entry.kind === kind)
  if (found === undefined) throw new ProofError(missing, `entry ${index}: no ${kind} in the bundle`)
  return found
}

/** The entries of a kind, ascending, optionally those about one subject (`sub`). */
export function entriesOf(log: ProvenLog, kind: string, sub?: string): readonly ProvenEntry[] {
  return log.entries.filter(
    ({ entry, statement }) =>
      entry.kind === kind && (sub === undefined || statement.header.sub === sub),
  )
}

function readStatement(
  p: Primitives,
  { index, entry, leafHash: hash }: PlacedEntry,
  texts: readonly string[] | undefined,
): ProvenEntry {
  const statement = parseEntryStatement(entry)
  if (texts !== undefined) openDisclosures(p, statement, texts)
  const { iat } = statement.header
  const punctual =
    NO_WINDOW.includes(entry.kind) || Math.abs(iat * 1000 - entry.timeMs) <= IAT_WINDOW_MS
  check(punctual, 'claim_invalid', `entry ${index}: iat is more than 300 s from ledger time`)
  return { index, entry, leafHash: hash, statement, disclosures: texts }
}

function readGenesis(p: Primitives, first: ProvenEntry | undefined, anchor: TrustAnchor): Genesis {
  const founding = first?.entry.kind === 'genesis'
  check(founding, 'genesis_mismatch', 'genesis: entry 0 is of another kind')
  checkSubjects(first, ['log'])
  return openGenesis(p, first.statement, anchor)
}

/** Verifies the statement of a genesis, and holds it against the anchor. */
export function openGenesis(p: Primitives, statement: Statement, anchor: TrustAnchor): Genesis {
  const genesis = parseGenesis(p, statement)
  const { keys, origin, ca } = genesis
  verifyStatement(p, statement, { spki: keys.service, origin, type: 'genesis' })
  const sameKey = formatVkey(keys.log) === formatVkey(anchor.key)
  check(sameKey, 'genesis_mismatch', 'genesis: another log key than the trust anchor')
  const sameRoots = equalBytes(bundleHash(p, ca), anchor.bundleHash)
  check(sameRoots, 'genesis_mismatch', 'genesis: other roots than the trust anchor')
  return genesis
}

/** Where the predecessor is trusted too, it ended where this log says. */
function checkPredecessor({ predecessor }: Genesis, { logs }: Trust): void {
  const old = logs.find(({ origin }) => origin === predecessor?.origin)
  if (old !== undefined && predecessor !== null) checkEnd(old, predecessor)
}
