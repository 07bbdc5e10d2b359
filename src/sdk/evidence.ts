/**
 * @module Collects the evidence of one action into a file (FORMAT §12): everything between the action and the
 * people who authorized it, proven under one head. Nothing here is trusted: whoever verifies the file decides.
 */
import {
  type Entry,
  equalBytes,
  type EvidenceEntry,
  formatEvidence,
  type Head,
  jsonObject,
  type Link,
  parseEntryStatement,
  parseErasure,
  parseLineage,
  ProofError,
  readCommitments,
  TILE_WIDTH,
} from '@trustwarden/proofs'
import type { CallOptions, TrustWarden } from './client.ts'
import { inSdkWords, TrustWardenError } from './errors.ts'
import type { Reader } from './reader.ts'

/** What collecting is told. */
export interface EvidenceOptions extends CallOptions {
  /** How many entries of how many were looked at. */
  readonly onProgress?: (done: number, total: number) => void
}

/** Pauses between looks at a checkpoint that does not cover the action yet: it is published once a second at most. */
const CHECKPOINT_WAIT_MS = 300
const CHECKPOINT_LOOKS = 20

interface Collection {
  readonly reader: Reader
  readonly head: Head
  readonly options: EvidenceOptions
  readonly wanted: Set<number>
}

/** What connects an instance to its owner. */
interface Chain {
  /** Index of the first issuance. */
  readonly first: number
  readonly subjects: readonly string[]
  readonly owner: string
}

/** What to look for between the first issuance and the head. */
interface Sought {
  readonly first: number
  readonly subjects: ReadonlySet<string>
  readonly action: number
  readonly decision: number | undefined
}

/** An entry of the administration: linked into the chain of the log itself. */
interface Administrative {
  readonly index: number
  readonly entry: Entry
}

function incomplete(what: string): TrustWardenError {
  return new TrustWardenError('evidence_incomplete', what)
}

/**
 * Collects the evidence of the action at `actionIndex`.
 *
 * Looks through the entries from the issuance of the chain's first agent to the head, for revocations of any link: one
 * request for 256 entries.
 *
 * @returns The bytes of an evidence bundle.
 * @throws TrustWardenError `evidence_incomplete`; `role_forbidden` unless the reader may see the whole log; as a read.
 * @see FORMAT §12.1
 */
export async function collectEvidence(
  reader: Reader,
  actionIndex: number,
  options: EvidenceOptions = {},
): Promise<Uint8Array> {
  try {
    return await collect(reader, actionIndex, options)
  } catch (cause) {
    if (!(cause instanceof ProofError)) throw cause
    const why = `an entry cannot be read: ${cause.message}`
    throw new TrustWardenError('evidence_incomplete', why, { cause })
  }
}

async function collect(
  reader: Reader,
  actionIndex: number,
  options: EvidenceOptions,
): Promise<Uint8Array> {
  const { note, head } = await coveringHead(reader.client, actionIndex, options)
  const wanted = new Set([0, actionIndex])
  const collection: Collection = { reader, head, options, wanted }
  const { decision, instances } = await followAction(collection, actionIndex)
  const chains: Chain[] = []
  for (const instance of instances) chains.push(await followChain(collection, instance))
  const administration = await scan(collection, {
    first: Math.min(...chains.map(({ first }) => first)),
    subjects: new Set(chains.flatMap(({ subjects }) => subjects)),
    action: actionIndex,
    decision,
  })
  if (decision !== undefined)
    takeProposal(wanted, administration, 'policy.activate', () => true, decision)
  for (const { owner, first } of chains) {
    const isOwners = (entry: Entry) => parseEntryStatement(entry).header.sub === owner
    takeProposal(wanted, administration, 'owner.enroll', isOwners, first)
  }
  takeAlways(wanted, administration, [actionIndex, decision ?? actionIndex])
  return write(collection, actionIndex, note)
}

/** Enrolments of operators, and erasures of what the evidence would show. */
function takeAlways(
  wanted: Set<number>,
  administration: readonly Administrative[],
  shown: readonly number[],
): void {
  for (const { index, entry } of administration) {
    if (entry.kind === 'operator.enroll') wanted.add(index)
    if (entry.kind !== 'erasure') continue
    const { entries } = inSdkWords('answer_malformed', 'erasure', () =>
      parseErasure(parseEntryStatement(entry)),
    )
    if (entries.some((erased) => shown.includes(erased))) wanted.add(index)
  }
}

async function coveringHead(
  client: TrustWarden,
  index: number,
  options: EvidenceOptions,
): Promise<{ readonly note: string; readonly head: Head }> {
  for (let look = 0; look < CHECKPOINT_LOOKS; look++) {
    const opened = await client.checkpoint(options)
    if (opened.head.size > index) return opened
    await new Promise((resolve) => setTimeout(resolve, CHECKPOINT_WAIT_MS))
  }
  throw incomplete(`the checkpoint does not cover entry ${index}`)
}

/** From the action to its decision, if the log found one, and to the instances that signed the two. */
async function followAction(
  { reader, options, wanted }: Collection,
  index: number,
): Promise<{ readonly decision: number | undefined; readonly instances: readonly string[] }> {
  const { entry } = await reader.entry(index, options)
  if (entry.kind !== 'action')
    throw incomplete(`entry ${index} is of kind ${entry.kind}, not an action`)
  const actor = parseEntryStatement(entry).header.iss
  const decision = entry.outcome.get(1)
  if (typeof decision !== 'number') return { decision: undefined, instances: [actor] }
  wanted.add(decision)
  const decided = await reader.entry(decision, options)
  const asker = parseEntryStatement(decided.entry).header.iss
  return { decision, instances: asker === actor ? [actor] : [actor, asker] }
}

/** From an instance to its owner: the issuances, root → self. */
async function followChain(
  { reader, options, wanted }: Collection,
  instance: string,
): Promise<Chain> {
  const answer = await reader.agent(instance, options)
  const lineage = inSdkWords('answer_malformed', 'lineage', () =>
    parseLineage(jsonObject(answer['lineage'], 'lineage')),
  )
  const [first] = lineage.receipts
  if (first === undefined) throw incomplete(`no issuance of ${instance}`)
  const subjects: string[] = []
  for (const receipt of lineage.receipts) {
    const { entry, index } = reader.client.open(receipt)
    wanted.add(index)
    subjects.push(...entry.links.map(({ subject }) => subject))
  }
  const owner = subjects.find((subject) => subject.startsWith('owner:')) ?? ''
  return { first: first.index, subjects, owner }
}

/**
 * Looks through the entries from `first` to the head: takes revocations of the chain, and returns the
 * administration, which below `first` is found along its own chain.
 */
async function scan(collection: Collection, sought: Sought): Promise<readonly Administrative[]> {
  const { reader, head, options } = collection
  const { first } = sought
  const found: Administrative[] = []
  const total = head.size - first
  for (let end = head.size; end > first; ) {
    const start = Math.max(first, Math.floor((end - 1) / TILE_WIDTH) * TILE_WIDTH)
    for (const one of await reader.range(start, end, options)) {
      if (isLogged(one.entry)) found.push(one)
      if (isSought(one, sought)) collection.wanted.add(one.index)
    }
    end = start
    options.onProgress?.(head.size - end, total)
  }
  const below = await reader.findBefore(first, isLogged, options)
  let next: number | undefined = below
  while (next !== undefined) {
    const { index, entry } = await reader.entry(next, options)
    found.push({ index, entry })
    next = logLink(entry)?.previous?.index
  }
  return found.toSorted((a, b) => a.index - b.index)
}

/** A revocation of a link of the chain, or an earlier action that was matched to the same decision. */
function isSought({ index, entry }: Administrative, sought: Sought): boolean {
  const { subjects, action, decision } = sought
  if (entry.kind === 'agent.revoke') return subjects.has(parseEntryStatement(entry).header.sub)
  const isMatched = entry.kind === 'action' && entry.outcome.get(0) === 'matched'
  return isMatched && index < action && entry.outcome.get(1) === decision
}

function logLink({ links }: Entry): Link | undefined {
  return links.find(({ subject }) => subject === 'log')
}

function isLogged(entry: Entry): boolean {
  return logLink(entry) !== undefined
}

/** Takes the last proposal of a kind that took effect before `before`, with the statements that it needed. */
function takeProposal(
  wanted: Set<number>,
  administration: readonly Administrative[],
  kind: string,
  isWanted: (entry: Entry) => boolean,
  before: number,
): void {
  const candidates = administration.filter(
    ({ index, entry }) => index < before && entry.kind === kind && isWanted(entry),
  )
  const effective = candidates.findLast(({ entry }) => entry.outcome.get(0) === 'effective')
  if (effective === undefined) throw incomplete(`no effective ${kind} before entry ${before}`)
  const { payloadBytes } = parseEntryStatement(effective.entry)
  for (const { index, entry } of candidates) {
    const isSame = equalBytes(parseEntryStatement(entry).payloadBytes, payloadBytes)
    if (index <= effective.index && isSame) wanted.add(index)
  }
}

async function write(
  { reader, head, options, wanted }: Collection,
  action: number,
  note: string,
): Promise<Uint8Array> {
  const entries: EvidenceEntry[] = []
  const disclosures = new Map<number, readonly string[]>()
  for (const index of [...wanted].toSorted((a, b) => a - b)) {
    const proven = await reader.proven(index, head, options)
    entries.push({ index, entry: proven.bytes, path: proven.path })
    // All of a statement's disclosures or none: an erasure takes them together.
    const committed = readCommitments(parseEntryStatement(proven.entry).payload).length
    if (committed > 0 && proven.disclosures.length === committed)
      disclosures.set(index, proven.disclosures)
  }
  return inSdkWords('evidence_incomplete', 'evidence', () =>
    formatEvidence({ action, head: note, entries, disclosures }),
  )
}
