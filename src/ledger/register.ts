/**
 * @module Registering one submission: the deterministic step `(state, submission, time) → entry` (DESIGN §1).
 *
 * The writer and the audit run the same function, the one over the live state and the other over a rebuilt one. It
 * reads no clock, no random numbers and nothing erasable.
 */
import {
  ENTRY_VERSION,
  KINDS,
  ProofError,
  contentDigest,
  decodeEntry,
  encodeEntry,
  leafHash,
  parseEntryStatement,
} from '@trustwarden/proofs'
import type { EntryFields } from '@trustwarden/proofs'
import { nativePrimitives } from '../crypto.ts'
import { ServiceError } from '../errors.ts'
import { nextLink } from './chains.ts'
import type {
  Fold,
  RegisteredEntry,
  Registration,
  StatementHandler,
  Submission,
} from './contract.ts'
import { LedgerError, messageOf } from './errors.ts'
import { SEQUENCE_STATUS_KEY, sequenceStatus } from './sequences.ts'
import type { BatchState } from './state.ts'

/** An entry as it was decided, and its bytes. The state is behind it. */
export interface Decided {
  readonly type: 'entry'
  readonly registered: RegisteredEntry
  readonly bytes: Uint8Array
  /** Indexes of entries whose disclosures it erases. */
  readonly erases: readonly number[]
}

/** What became of a submission. Only with `entry` did the state change. */
export type Decision =
  | Decided
  | { readonly type: 'stale' }
  | { readonly type: 'refuse'; readonly error: ServiceError }

/**
 * Lets the handler decide about a submission that is not registered yet, and if it becomes an entry, makes its bytes
 * and lets every fold take it in.
 *
 * @throws {LedgerError} `writer_defect` if handler or fold throw, or answer what no entry can hold
 * @throws {StoreError} `value_corrupt` and others about the state that they read
 */
export function registerSubmission(
  state: BatchState,
  handler: StatementHandler,
  folds: readonly Fold[],
  submission: Submission,
): Decision {
  const registration = defect(`register of ${handler.type}`, () =>
    handler.register(state, submission),
  )
  if (registration.type === 'stale') return registration
  if (registration.type === 'refuse') {
    const { code, message } = registration
    return { type: 'refuse', error: new ServiceError(code, message) }
  }
  const mark = state.batch.snapshot()
  const fields = entryFields(state, submission, registration)
  let bytes: Uint8Array
  try {
    bytes = encodeEntry(fields)
  } catch (thrown) {
    if (!(thrown instanceof ProofError)) throw thrown
    // Nothing is changed yet, and what fits no entry can be asked for from outside: it costs its caller alone.
    const code = thrown.code === 'too_large' ? 'entry_too_large' : 'internal'
    const error = new ServiceError(code, `${fields.kind}: ${thrown.message}`, { cause: thrown })
    return { type: 'refuse', error }
  }
  const registered: RegisteredEntry = {
    entry: { version: ENTRY_VERSION, ...fields, known: KINDS.has(fields.kind) },
    leafHash: leafHash(nativePrimitives, bytes),
    statement: submission.statement,
    contentDigest: submission.contentDigest,
  }
  defect(`folds of ${fields.kind}`, () => {
    try {
      state.apply(folds, registered)
    } catch (thrown) {
      state.batch.rollbackTo(mark)
      throw thrown
    }
  })
  return { type: 'entry', registered, bytes, erases: registration.erases ?? [] }
}

/**
 * Reads an entry back.
 *
 * @throws {LedgerError} `entry_invalid` if the bytes are no entry, or the entry of another index
 */
export function readRegistered(bytes: Uint8Array, index: number): RegisteredEntry {
  return { ...readUnhashed(bytes, index), leafHash: leafHash(nativePrimitives, bytes) }
}

/** As `readRegistered`, for whoever has its leaf hash, or comes to it later. */
export function readUnhashed(bytes: Uint8Array, index: number): Omit<RegisteredEntry, 'leafHash'> {
  try {
    const entry = decodeEntry(bytes)
    if (entry.index !== index) {
      throw new LedgerError('entry_invalid', `entry ${index} says that it is entry ${entry.index}`)
    }
    const statement = parseEntryStatement(entry)
    return { entry, statement, contentDigest: contentDigest(nativePrimitives, statement) }
  } catch (thrown) {
    if (!(thrown instanceof ProofError)) throw thrown
    throw new LedgerError('entry_invalid', `entry ${index}: ${thrown.message}`, { cause: thrown })
  }
}

function entryFields(
  state: BatchState,
  submission: Submission,
  registration: Extract<Registration, { readonly type: 'entry' }>,
): EntryFields {
  const { header, media, bytes: statement } = submission.statement
  const outcome = new Map(registration.outcome)
  if (header.seq !== undefined) {
    outcome.set(SEQUENCE_STATUS_KEY, sequenceStatus(state, header.iss, header.seq))
  }
  return {
    index: state.size,
    kind: registration.kind,
    timeMs: state.timeMs,
    media,
    statement,
    prepared: registration.prepared.has(0)
      ? registration.prepared
      : new Map([[0, submission.prepared.get(0) ?? state.size], ...registration.prepared]),
    outcome,
    links: registration.subjects.map((subject) => nextLink(state, subject)),
  }
}

/** Runs what must not fail; what it throws ends the process by name. Errors about the disk keep theirs. */
function defect<T>(what: string, step: () => T): T {
  try {
    return step()
  } catch (thrown) {
    if (thrown instanceof Error && 'fatal' in thrown) throw thrown
    throw new LedgerError('writer_defect', `${what}: ${messageOf(thrown)}`, { cause: thrown })
  }
}
