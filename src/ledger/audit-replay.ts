/**
 * @module Registers an entry of the log once more, over a state rebuilt from the entries before it, and compares every
 * byte with what is stored.
 */
import { ProofError, encodeCbor } from '@trustwarden/proofs'
import type { Entry, Hash, Link } from '@trustwarden/proofs'
import { Difference, differ } from './audit-difference.ts'
import { nextLink } from './chains.ts'
import { NOTHING_DISCLOSED } from './contract.ts'
import type { Fold, PrincipalReader, RegisteredEntry, State, StatementHandler } from './contract.ts'
import { findEvent } from './dedup.ts'
import { messageOf } from './errors.ts'
import { signatureCheck } from './prepare.ts'
import { registerSubmission } from './register.ts'
import type { BatchState } from './state.ts'
import type { SignatureCheck } from './verify.ts'

/** What entries are decided by. */
export interface Replay {
  readonly origin: string
  readonly handlers: ReadonlyMap<string, StatementHandler>
  readonly folds: readonly Fold[]
  readonly principals: PrincipalReader
}

/** An entry as it was read back. */
export type ReadEntry = Omit<RegisteredEntry, 'leafHash'>

/** What is left to be done about an entry that was registered once more. */
export interface Replayed {
  readonly signature: SignatureCheck
  readonly erases: readonly number[]
  readonly leafHash: Hash
}

/**
 * Registers entry `read` on `state`, which takes it in.
 *
 * @returns Its statement's signature, for somebody to verify, and the entries that it erases by the rules.
 * @throws {Difference} `chain`, `dedup`, `handler`, `outcome`, `signer`
 */
export function replayEntry(
  replay: Replay,
  state: BatchState,
  read: ReadEntry,
  bytes: Uint8Array,
): Replayed {
  const { entry, statement, contentDigest } = read
  const { index } = entry
  const { type } = statement.header
  const known = findEvent(state, statement.header)
  differ(known === undefined, 'dedup', `entry ${known?.index} has its event id`, index)
  let links: readonly Link[] = []
  try {
    // Only genesis names its own signer; everybody else is known before.
    const before = index === 0 ? undefined : findSigner(replay, state, read)
    const handler = replay.handlers.get(type)
    if (handler === undefined) throw new Difference('handler', `nobody registers ${type}`, index)
    const { prepared } = entry
    const nothing = { disclosures: [], disclosed: NOTHING_DISCLOSED, pinned: [] }
    const submission = { statement, contentDigest, ...nothing, prepared }
    const decision = registerSubmission(state, handler, replay.folds, submission)
    if (decision.type !== 'entry') {
      const why = decision.type === 'refuse' ? decision.error.message : 'what it rests on changed'
      throw new Difference('outcome', `the rules make no entry of it: ${why}`, index)
    }
    const { registered, erases } = decision
    links = registered.entry.links
    if (Buffer.compare(decision.bytes, bytes) !== 0) {
      const what = changedFields(registered, read).join(', ')
      throw new Difference('outcome', `the rules give another ${what}`, index)
    }
    const signature = before ?? findSigner(replay, state, read)
    return { signature, erases, leafHash: registered.leafHash }
  } catch (thrown) {
    // Links that do not follow are named before all that comes of them. Where the bytes are the same, so are they.
    checkLinks(state, entry, links)
    throw thrown
  }
}

/** Whether each link follows on `state`, which has taken in an entry with the links `taken`. */
function checkLinks(state: State, { index, links }: Entry, taken: readonly Link[]): void {
  for (const link of links) {
    const { subject } = link
    const expected = taken.find((one) => one.subject === subject) ?? nextLink(state, subject)
    const follows = sameLink(link, expected)
    differ(follows, 'chain', `the link of ${subject} does not follow`, index)
  }
}

function findSigner(
  { principals, origin }: Replay,
  state: BatchState,
  { entry, statement }: ReadEntry,
): SignatureCheck {
  const principal = principals.find(state, statement.header.iss)
  if (principal === undefined) {
    throw new Difference('signer', 'the log knows no such signer', entry.index)
  }
  try {
    return signatureCheck(statement, principal, origin)
  } catch (thrown) {
    if (!(thrown instanceof ProofError)) throw thrown
    throw new Difference('signature', messageOf(thrown), entry.index)
  }
}

/** Whether two links say the same. */
export function sameLink(a: Link, b: Link): boolean {
  if (a.subject !== b.subject || a.seq !== b.seq) return false
  if (a.previous === null || b.previous === null) return a.previous === b.previous
  const { index, leafHash } = b.previous
  return a.previous.index === index && Buffer.compare(a.previous.leafHash, leafHash) === 0
}

function changedFields(
  { entry: ours }: ReadEntry,
  { entry: stored }: ReadEntry,
): readonly string[] {
  const changed: string[] = []
  if (ours.kind !== stored.kind) changed.push('kind')
  for (const field of ['prepared', 'outcome'] as const) {
    const same = Buffer.compare(encodeCbor(ours[field]), encodeCbor(stored[field])) === 0
    if (!same) changed.push(field)
  }
  const same =
    ours.links.length === stored.links.length &&
    ours.links.every((link, at) => {
      const other = stored.links[at]
      return other !== undefined && sameLink(link, other)
    })
  if (!same) changed.push('links')
  return changed.length > 0 ? changed : ['bytes']
}
