/**
 * @module The handler of `erasure`, and what it decides by: whose disclosures an entry has, and how many.
 *
 * Register reads nothing erasable, and not the entries either, so owner and count lie in the erasures fold beside what
 * `erasures.ts` keeps there, under keys of another length:
 *
 *     key    0x64 ‖ ⌊index / 32⌋ u64            value  JSON [[index mod 32, owner or null, count, digest or null]…]
 *     key    0x61 ‖ action digest               value  JSON [index…], ascending, at most 64
 *
 * Thirty-two entries share a key of the first sort: with one each, every decision would cost a random-access key more.
 * Owner and digest (b64u) are those of a decision or an action; what else discloses is no owner's to erase. Entries with
 * one action digest share its salt, so an erasure of one reaches them all, and this fold marks those that the statement
 * does not name as `erasures.ts` marks those that it does.
 */
import {
  fromBase64url,
  parseErasure,
  ProofError,
  readCommitments,
  utf8Decode,
  utf8Encode,
} from '@trustwarden/proofs'
import type { Erasure, Statement } from '@trustwarden/proofs'
import { ServiceError } from '../errors.ts'
import type { ErrorCode } from '../errors.ts'
import type {
  Fold,
  FoldWriter,
  RegisteredEntry,
  Registration,
  RevocationReader,
  State,
  StatementHandler,
  Submission,
} from './contract.ts'
import { FOLDS } from './contract.ts'
import { erasedBy, ERASURE_KIND } from './erasures.ts'
import { join, u64Bytes } from './layout.ts'
import { findPerson } from './principals.ts'
import { checkWindow } from './window.ts'

/** Disclosures that came with one entry. */
export interface Disclosed {
  /** `owner:<kid>` of the owner who may erase them: of a decision's or an action's agent. Null for what else discloses. */
  readonly owner: string | null
  readonly count: number
  /** The action digest of a decision or an action, b64u, or null. */
  readonly digest: string | null
}

/** What the handler needs of others. */
export interface ErasureOptions {
  readonly revocations: Pick<RevocationReader, 'isRevoked'>
}

type Refusal = Extract<Registration, { readonly type: 'refuse' }>
type Row = readonly [offset: number, owner: string | null, count: number, digest: string | null]

const ROWS_PER_KEY = 32
const ROWS_PREFIX = Uint8Array.of(0x64)
const DIGEST_PREFIX = Uint8Array.of(0x61)
/** Entries of one action digest that are remembered (FORMAT §6). */
const SHARING_MAX = 64
/** Kinds whose disclosures are their agent's owner's to erase. */
const OWNED_KINDS: ReadonlySet<string> = new Set(['decision', 'action'])

/** What entry `index` disclosed, or undefined if it disclosed nothing. Says nothing about erasure. */
export function disclosedBy(state: State, index: number): Disclosed | undefined {
  const row = rowsOf(state, index).find(([offset]) => offset === index % ROWS_PER_KEY)
  return row && { owner: row[1], count: row[2], digest: row[3] }
}

/**
 * Remembers what every entry discloses, and marks what an erasure reaches without naming it. Writes under the spec of
 * erasures, behind its fold.
 */
export const disclosuresFold: Fold = {
  spec: FOLDS.erasures,
  apply({ entry, statement }: RegisteredEntry, writer: FoldWriter): void {
    if (entry.kind === ERASURE_KIND) {
      for (const index of reachOf(writer, statement, parseErasure(statement))) {
        if (erasedBy(writer, index) !== undefined) continue
        writer.put(FOLDS.erasures, u64Bytes(index), u64Bytes(entry.index))
      }
      return
    }
    const count = readCommitments(statement.payload).length
    if (count === 0) return
    const isOwned = OWNED_KINDS.has(entry.kind)
    const link = entry.links.find(({ subject }) => subject.startsWith('owner:'))
    const digest = isOwned ? statement.payload['action_digest'] : null
    const text = typeof digest === 'string' ? digest : null
    const row: Row = [
      entry.index % ROWS_PER_KEY,
      isOwned ? (link?.subject ?? null) : null,
      count,
      text,
    ]
    const rows = [...rowsOf(writer, entry.index), row]
    writer.put(FOLDS.erasures, rowsKey(entry.index), utf8Encode(JSON.stringify(rows)))
    if (text === null) return
    const sharing = sharingOf(writer, text)
    if (sharing.length >= SHARING_MAX) return
    const value = utf8Encode(JSON.stringify([...sharing, entry.index]))
    writer.put(FOLDS.erasures, digestKey(text), value)
  },
}

/**
 * Makes the handler of `erasure`: an operator erases what any entries disclosed, an owner what decisions and actions of
 * its own agents did. What was erased before or never disclosed counts 0.
 */
export function createErasureHandler(options: ErasureOptions): StatementHandler {
  return {
    type: ERASURE_KIND,
    lane: 'normal',
    disclosable: [],
    prepare: (incoming, view) => {
      const read = readErasure(incoming)
      if ('code' in read) return Promise.reject(new ServiceError(read.code, read.message))
      return Promise.resolve(new Map([[0, view.size]]))
    },
    register: (state, submission) => register(options, state, submission),
  }
}

function register(options: ErasureOptions, state: State, submission: Submission): Registration {
  const { statement, prepared } = submission
  const read = readErasure(submission)
  if ('code' in read) return read
  const refusal = checkWindow(state, statement) ?? checkSigner(options, state, statement, read)
  if (refusal !== undefined) return refusal
  const erases: number[] = []
  let total = 0
  for (const index of reachOf(state, statement, read)) {
    const disclosed = disclosedBy(state, index)
    if (disclosed === undefined || erasedBy(state, index) !== undefined) continue
    erases.push(index)
    total += disclosed.count
  }
  return {
    type: 'entry',
    kind: ERASURE_KIND,
    prepared: new Map([[0, prepared.get(0) ?? state.size]]),
    outcome: new Map<number, string | number>([
      [0, 'erased'],
      [1, total],
    ]),
    subjects: ['log'],
    erases,
  }
}

function checkSigner(
  { revocations }: ErasureOptions,
  state: State,
  { header, issuer }: Statement,
  { entries }: Erasure,
): Refusal | undefined {
  const { iss } = header
  const isOperator = issuer.role === 'operator' && findPerson(state, iss)?.role === 'operator'
  if (revocations.isRevoked(state, iss)) {
    return refuse('revoked', 'the owner is revoked: it can revoke, and nothing else')
  }
  for (const index of entries) {
    if (index >= state.size) return refuse('target_unknown', `entries: there is no entry ${index}`)
    if (isOperator || disclosedBy(state, index)?.owner === iss) continue
    const rule = `entries: entry ${index} is no decision or action of this owner's agents`
    return refuse('signer_forbidden', rule)
  }
  return undefined
}

/** Every entry that an erasure reaches, ascending: those that it names, and those that share a salt with one of them. */
function reachOf(state: State, { header, issuer }: Statement, erasure: Erasure): readonly number[] {
  const reached = new Set(erasure.entries)
  for (const index of erasure.entries) {
    const digest = disclosedBy(state, index)?.digest
    if (typeof digest !== 'string') continue
    for (const sharing of sharingOf(state, digest)) {
      const isTheirs =
        issuer.role === 'operator' || disclosedBy(state, sharing)?.owner === header.iss
      if (isTheirs) reached.add(sharing)
    }
  }
  return [...reached].sort((a, b) => a - b)
}

function sharingOf(state: State, digest: string): readonly number[] {
  const value = state.get(FOLDS.erasures, digestKey(digest))
  return value === undefined ? [] : (JSON.parse(utf8Decode(value)) as readonly number[])
}

function rowsOf(state: State, index: number): readonly Row[] {
  const value = state.get(FOLDS.erasures, rowsKey(index))
  return value === undefined ? [] : (JSON.parse(utf8Decode(value)) as readonly Row[])
}

function rowsKey(index: number): Uint8Array {
  return join(ROWS_PREFIX, u64Bytes(Math.floor(index / ROWS_PER_KEY)))
}

function digestKey(digest: string): Uint8Array {
  return join(DIGEST_PREFIX, fromBase64url(digest))
}

function readErasure({ statement }: Pick<Submission, 'statement'>): Erasure | Refusal {
  const { role } = statement.issuer
  if (role !== 'operator' && role !== 'owner') {
    return refuse('signer_forbidden', 'only operators and owners erase')
  }
  try {
    return parseErasure(statement)
  } catch (error) {
    if (!(error instanceof ProofError)) throw error
    return refuse('statement_malformed', error.message)
  }
}

function refuse(code: ErrorCode, message: string): Refusal {
  return { type: 'refuse', code, message }
}
