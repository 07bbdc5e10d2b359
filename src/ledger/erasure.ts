/**
 * @module The handler of `erasure`, and what it decides by: whose disclosures an entry has, and how many.
 *
 * Register reads nothing erasable, and not the entries either, so owner and count lie in the erasures fold beside what
 * `erasures.ts` keeps there, under keys of another length:
 *
 *     key    0x64 ‖ ⌊index / 32⌋ u64            value  rows: index mod 32 u8 ‖ count u8 ‖ kid of the owner 32 ‖ digest 32
 *     key    0x61 ‖ action digest               value  indexes u64, ascending, at most 64
 *
 * Thirty-two entries share a key of the first sort: with one each, every decision would cost a random-access key more.
 * Owner and digest are those of a decision or an action, 32 zeros where there is none: what else discloses is no owner's
 * to erase, and neither a key id nor a digest is all zeros. Entries with
 * one action digest share its salt, so an erasure of one reaches them all, and this fold marks those that the statement
 * does not name as `erasures.ts` marks those that it does.
 */
import {
  fromBase64url,
  parseErasure,
  ProofError,
  readCommitments,
  toBase64url,
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
import { join, u64At, u64Bytes } from './layout.ts'
import { findPerson } from './principals.ts'
import { checkWindow } from './window.ts'

/** Disclosures that came with one entry. */
export interface Disclosed {
  /** `owner:<kid>` of the owner who may erase them: of a decision's or an action's agent. Null for what else discloses. */
  readonly owner: string | null
  readonly count: number
  /** The action digest of a decision or an action, or null. */
  readonly digest: Uint8Array | null
}

/** What the handler needs of others. */
export interface ErasureOptions {
  readonly revocations: Pick<RevocationReader, 'isRevoked'>
}

type Refusal = Extract<Registration, { readonly type: 'refuse' }>
const ROWS_PER_KEY = 32
const ROW_BYTES = 66
const HASH_BYTES = 32
const INDEX_BYTES = 8
const NOTHING = new Uint8Array(HASH_BYTES)
const OWNER_PREFIX = 'owner:'
const NO_ROWS = new Uint8Array(0)
const ROWS_PREFIX = Uint8Array.of(0x64)
const DIGEST_PREFIX = Uint8Array.of(0x61)
/** Entries of one action digest that are remembered (FORMAT §6). */
const SHARING_MAX = 64
/** Kinds whose disclosures are their agent's owner's to erase. */
const OWNED_KINDS: ReadonlySet<string> = new Set(['decision', 'action'])

/** What entry `index` disclosed, or undefined if it disclosed nothing. Says nothing about erasure. */
export function disclosedBy(state: State, index: number): Disclosed | undefined {
  const rows = state.get(FOLDS.erasures, rowsKey(index)) ?? NO_ROWS
  for (let at = 0; at < rows.length; at += ROW_BYTES) {
    if (rows[at] !== index % ROWS_PER_KEY) continue
    const owner = rows.slice(at + 2, at + 2 + HASH_BYTES)
    const digest = rows.slice(at + 2 + HASH_BYTES, at + ROW_BYTES)
    return {
      owner: isNothing(owner) ? null : `${OWNER_PREFIX}${toBase64url(owner)}`,
      count: rows[at + 1] ?? 0,
      digest: isNothing(digest) ? null : digest,
    }
  }
  return undefined
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
    const link = entry.links.find(({ subject }) => subject.startsWith(OWNER_PREFIX))
    const owner = isOwned && link ? fromBase64url(link.subject.slice(OWNER_PREFIX.length)) : NOTHING
    const text = isOwned ? statement.payload['action_digest'] : null
    const digest = typeof text === 'string' ? fromBase64url(text) : NOTHING
    const head = new Uint8Array(2)
    head[0] = entry.index % ROWS_PER_KEY
    head[1] = count
    const key = rowsKey(entry.index)
    const rows = writer.get(FOLDS.erasures, key) ?? NO_ROWS
    writer.put(FOLDS.erasures, key, join(rows, head, owner, digest))
    if (digest === NOTHING) return
    const shared = digestKey(digest)
    const sharing = writer.get(FOLDS.erasures, shared) ?? NO_ROWS
    if (sharing.length >= SHARING_MAX * INDEX_BYTES) return
    writer.put(FOLDS.erasures, shared, join(sharing, u64Bytes(entry.index)))
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
    const digest = disclosedBy(state, index)?.digest ?? null
    if (digest === null) continue
    for (const sharing of sharingOf(state, digest)) {
      const isTheirs =
        issuer.role === 'operator' || disclosedBy(state, sharing)?.owner === header.iss
      if (isTheirs) reached.add(sharing)
    }
  }
  return [...reached].sort((a, b) => a - b)
}

function sharingOf(state: State, digest: Uint8Array): readonly number[] {
  const value = state.get(FOLDS.erasures, digestKey(digest)) ?? NO_ROWS
  return Array.from({ length: value.length / INDEX_BYTES }, (_, at) =>
    u64At(value, at * INDEX_BYTES),
  )
}

function rowsKey(index: number): Uint8Array {
  return join(ROWS_PREFIX, u64Bytes(Math.floor(index / ROWS_PER_KEY)))
}

function digestKey(digest: Uint8Array): Uint8Array {
  return join(DIGEST_PREFIX, digest)
}

function isNothing(bytes: Uint8Array): boolean {
  return bytes.every((byte) => byte === 0)
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
