/**
 * @module What the writer makes of one submission: a repeat, a conflict, a refusal, an entry, and what travels beside
 * it. In memory alone: nothing of it is on disk before the batch is.
 */
import { ProofError, parseOperatorClock, readCommitments, utf8Encode } from '@trustwarden/proofs'
import { ServiceError } from '../errors.ts'
import { KeyDoubt } from '../store/key-filter.ts'
import { CLOCK_KIND } from './clock-guard.ts'
import type { ClockGuard } from './clock-guard.ts'
import type { Fold, RegisteredEntry, StatementHandler, Submission } from './contract.ts'
import { findEvent } from './dedup.ts'
import { ERASURE_KIND, erasedBy, erasedIndexes } from './erasures.ts'
import { LedgerError } from './errors.ts'
import { attachmentRefusal } from './prepare.ts'
import type { LogReader } from './reader.ts'
import { registerSubmission } from './register.ts'
import type { Decided } from './register.ts'
import type { BatchState } from './state.ts'

/** How a submission of the batch is answered once the batch is durable. */
export type Answer =
  | {
      readonly type: 'registered'
      readonly registered: RegisteredEntry
      readonly repeated: boolean
    }
  | { readonly type: 'stale' }
  | { readonly type: 'refuse'; readonly error: ServiceError }

/** What the batch so far holds. */
export interface OpenBatch {
  readonly state: BatchState
  readonly firstIndex: number
  readonly decided: Decided[]
  /** Indexes of the entries whose disclosures it erases, by the entry that orders it. */
  readonly erased: Map<number, readonly number[]>
}

/** What decisions rest on, besides the state. */
export interface DeciderOptions {
  readonly reader: LogReader
  readonly folds: readonly Fold[]
  readonly guard: ClockGuard
}

/** Decides about submissions, each on top of those before it in its batch. */
export class Decider {
  readonly #options: DeciderOptions

  constructor(options: DeciderOptions) {
    this.#options = options
  }

  /**
   * Decides about one submission. A doubt leaves the batch as it was: settled, the submission is decided again.
   *
   * @throws {LedgerError} `writer_defect`, `entry_invalid`
   * @throws {StoreError} about the state that it reads
   */
  decide(open: OpenBatch, submission: Submission, handler: StatementHandler): Answer | KeyDoubt {
    const mark = open.state.snapshot()
    const decided = open.decided.length
    try {
      return this.#decide(open, submission, handler)
    } catch (thrown) {
      if (!(thrown instanceof KeyDoubt)) throw thrown
      open.state.rollbackTo(mark)
      open.decided.length = decided
      return thrown
    }
  }

  /** Decides about one submission on top of those before it in the batch. */
  #decide(open: OpenBatch, submission: Submission, handler: StatementHandler): Answer {
    const { state } = open
    // Pinned bytes stay for ever: whatever a caller's way here was, none that its type does not take goes by.
    const misplaced = attachmentRefusal(handler, submission)
    if (misplaced !== undefined) return { type: 'refuse', error: misplaced }
    const known = findEvent(state, submission.statement.header)
    if (known !== undefined) {
      if (Buffer.compare(known.contentDigest, submission.contentDigest) !== 0) {
        const message = `jti: used by this issuer for another statement, entry ${known.index}`
        return { type: 'refuse', error: new ServiceError('event_conflict', message) }
      }
      return this.#repeat(open, handler, known.index)
    }
    const clockRefusal = handler.type === CLOCK_KIND && this.#refuseClock(open, submission)
    if (clockRefusal instanceof ServiceError) return { type: 'refuse', error: clockRefusal }
    const decision = registerSubmission(state, handler, this.#options.folds, submission)
    if (decision.type !== 'entry') return decision
    open.decided.push(decision)
    this.#keepBeside(open, decision, submission)
    return { type: 'registered', registered: decision.registered, repeated: false }
  }

  /** What a clock says now is no part of the state, so that register cannot decide about it, and no audit does. */
  #refuseClock({ state }: OpenBatch, { statement }: Submission): ServiceError | undefined {
    try {
      this.#options.guard.checkAcceptable(parseOperatorClock(statement).timeMs, state.timeMs)
      return undefined
    } catch (thrown) {
      if (thrown instanceof ServiceError) return thrown
      if (!(thrown instanceof ProofError)) throw thrown
      return new ServiceError('statement_malformed', thrown.message, { cause: thrown })
    }
  }

  #repeat(open: OpenBatch, handler: StatementHandler, index: number): Answer {
    const registered = this.#registeredAt(open, index)
    const repeat = handler.repeat?.(open.state, registered) ?? { type: 'same' }
    if (repeat.type === 'same') return { type: 'registered', registered, repeated: true }
    const { code, message } = repeat
    return { type: 'refuse', error: new ServiceError(code, message) }
  }

  /** Puts what travels beside a statement into the batch, and takes out what its entry erases. */
  #keepBeside(open: OpenBatch, { registered, erases }: Decided, submission: Submission): void {
    const { batch } = open.state
    const { index, kind } = registered.entry
    for (const bytes of submission.pinned) batch.putPinned(bytes)
    putDisclosures(open, index, submission)
    const named = kind === ERASURE_KIND ? erasedIndexes(registered.statement) : []
    const erased: number[] = []
    for (const target of new Set([...named, ...erases])) {
      // Its own entry is in the fold by now: what an earlier one erased is gone or being erased.
      if (erasedBy(open.state, target) !== index) {
        // What the fold does not say is erased no rebuild, audit or start would know to be.
        if (!erases.includes(target)) continue
        throw new LedgerError(
          'writer_defect',
          `${kind} erases entry ${target}, and no fold says so`,
        )
      }
      const { payload } = this.#registeredAt(open, target).statement
      const count = readCommitments(payload).length
      batch.eraseErasable(target, [...Array(count).keys()], index)
      erased.push(target)
    }
    if (erased.length > 0) open.erased.set(index, erased)
  }

  /** An entry of the log or of the batch. */
  #registeredAt(open: OpenBatch, index: number): RegisteredEntry {
    const decided = open.decided[index - open.firstIndex]
    if (decided !== undefined) return decided.registered
    const registered = this.#options.reader.registered(index)
    if (registered !== undefined) return registered
    throw new LedgerError('entry_invalid', `there is no entry ${index}`)
  }
}

/** Keeps each disclosure under the position of its digest in `_sd`, so that the leaf alone says what belongs there. */
function putDisclosures(open: OpenBatch, index: number, submission: Submission): void {
  const { disclosures, disclosed } = submission
  for (const [at, text] of disclosures.entries()) {
    const ordinal = disclosed.ordinals[at]
    if (ordinal === undefined) {
      throw new LedgerError('writer_defect', `entry ${index} comes with a disclosure of another`)
    }
    open.state.batch.putErasable(index, ordinal, utf8Encode(text))
  }
}
