/**
 * @module The one writer: takes what was prepared in batches, registers it in order, and commits (src/README.md "The
 * write path" and its crash table). Only what it has put on disk under a signed head is answered.
 */
import { setImmediate as nextTurn } from 'node:timers/promises'
import { parseOperatorClock, utf8Encode } from '@trustwarden/proofs'
import type { Hash } from '@trustwarden/proofs'
import { ServiceError } from '../errors.ts'
import type { Growth } from '../merkle/grow.ts'
import type { Database } from '../store/database.ts'
import { StoreError } from '../store/errors.ts'
import type { HeadRecord } from '../store/head-record.ts'
import { KeyDoubt } from '../store/key-filter.ts'
import type { Lane } from './admission.ts'
import { CLOCK_KIND } from './clock-guard.ts'
import type { ClockGuard } from './clock-guard.ts'
import type { Fold, RegisteredEntry, StatementHandler, Submission } from './contract.ts'
import { Decider } from './decide.ts'
import type { Answer, OpenBatch } from './decide.ts'
import { LedgerError, messageOf } from './errors.ts'
import type { SignedHead } from './head-note.ts'
import type { LogKeys } from './log-keys.ts'
import type { LogReader } from './reader.ts'
import { BatchState } from './state.ts'

/** Submissions in one batch: at 10,000 a second a tenth of a second, and LevelDB's write stays below 5 MiB. */
export const BATCH_SUBMISSIONS_MAX = 1024
/** Bytes of submissions in one batch. */
export const BATCH_BYTES_MAX: number = 4 * 1024 * 1024
/** How long the first submission of a batch waits for those that are being prepared, ms. */
export const BATCH_WAIT_MS = 2
/** How long a batch is decided, ms: what is left then waits for the next one, and others run in between. */
export const DECIDE_BUDGET_MS = 20
/** How long it is decided at a stretch, ms: others run in between. */
const DECIDE_STRETCH_MS = 4
/** Answers that are given at a stretch: each costs as much as a decision. */
const ANSWERS_STRETCH = 32

/** The part of the head record that the writer needs. */
export type HeadRecordWriter = Pick<HeadRecord, 'current' | 'write'>

/** What a submission came to, durable under `head` at the latest. */
export type Written =
  | {
      readonly type: 'registered'
      readonly registered: RegisteredEntry
      readonly repeated: boolean
      readonly head: SignedHead
    }
  | { readonly type: 'stale' }

/** A batch that is durable: what followers of the log are told. */
export interface CommittedBatch {
  readonly head: SignedHead
  readonly entries: readonly RegisteredEntry[]
  /** Indexes of the entries whose disclosures were erased, by the entry that ordered it. */
  readonly erased: ReadonlyMap<number, readonly number[]>
  /** From its first decision until its head may leave, ms. */
  readonly tookMs: number
}

/** What the writer is made of. */
export interface WriterOptions {
  readonly database: Database
  readonly headRecord: HeadRecordWriter
  readonly reader: LogReader
  readonly keys: LogKeys
  readonly folds: readonly Fold[]
  readonly guard: ClockGuard
  /** Called once, after which nothing is written: the process ends. */
  readonly onFatal: (error: Error) => void
  /** Called after each batch, when its head may leave. */
  readonly onCommitted: (batch: CommittedBatch) => void
  /** Default: `DECIDE_BUDGET_MS`. */
  readonly decideBudgetMs?: number
}

/** A submission for the first batch. */
export interface FirstSubmission {
  readonly handler: StatementHandler
  readonly submission: Submission
}

interface Waiting {
  readonly submission: Submission
  readonly handler: StatementHandler
  readonly bytes: number
  readonly resolve: (written: Written) => void
  readonly reject: (error: Error) => void
}

/** Registers and commits. */
export class Writer {
  readonly #options: WriterOptions
  readonly #decider: Decider
  // Queues and counters: changed by `enqueue`, `beginPreparing` and the loop, all in this thread.
  readonly #queues: Readonly<Record<Lane, Waiting[]>> = { urgent: [], normal: [] }
  #queuedBytes = 0
  #preparing = 0
  #running = false
  #timer: NodeJS.Timeout | undefined
  #fatal: LedgerError | undefined
  #batches = 0
  #lastBatchSize = 0

  constructor(options: WriterOptions) {
    this.#options = options
    this.#decider = new Decider(options)
  }

  /** Batches committed since start, and how many entries the last one had. */
  get stats(): {
    readonly batches: number
    readonly lastBatchSize: number
    readonly queued: number
  } {
    const queued = this.#queues.urgent.length + this.#queues.normal.length
    return { batches: this.#batches, lastBatchSize: this.#lastBatchSize, queued }
  }

  /** The error that stopped the log, if one did. */
  get fatal(): LedgerError | undefined {
    return this.#fatal
  }

  /**
   * Says that a submission is being prepared: a batch waits for it, but not for long.
   *
   * @returns Says that it is not any more; a second call does nothing.
   */
  beginPreparing(): () => void {
    this.#preparing++
    let ended = false
    return () => {
      if (ended) return
      ended = true
      this.#preparing--
      this.#schedule()
    }
  }

  /**
   * Queues what was prepared. Resolves or rejects when the batch that it was decided in is durable.
   *
   * @throws {ServiceError} as the rules refuse; `event_conflict`; `entry_too_large`; `clock_stopped`
   * @throws {LedgerError} `log_stopped`
   */
  enqueue(handler: StatementHandler, submission: Submission, bytes: number): Promise<Written> {
    return new Promise((resolve, reject) => {
      if (this.#fatal !== undefined) {
        reject(this.#stopped())
        return
      }
      this.#queues[handler.lane].push({ submission, handler, bytes, resolve, reject })
      this.#queuedBytes += bytes
      this.#schedule()
    })
  }

  /**
   * Registers submissions as one batch, however many and large they are. For the first batch, before anything else.
   *
   * @throws {ServiceError} as the rules refuse one of them
   * @throws {LedgerError} `log_stopped`
   */
  async commitOne(submissions: readonly FirstSubmission[]): Promise<void> {
    const taken: Waiting[] = []
    const written = submissions.map(
      ({ handler, submission }) =>
        new Promise<Written>((resolve, reject) => {
          taken.push({ handler, submission, bytes: 0, resolve, reject })
        }),
    )
    this.#running = true
    void this.#run(taken, Number.POSITIVE_INFINITY)
    await Promise.all(written)
  }

  /**
   * Stops the log: nothing is answered and nothing is written any more.
   */
  stop(cause: unknown): void {
    if (this.#fatal !== undefined) return
    this.#fatal =
      cause instanceof LedgerError
        ? cause
        : new LedgerError(
            cause instanceof StoreError ? 'state_damaged' : 'writer_defect',
            messageOf(cause),
            { cause },
          )
    const stoppedBy = this.#fatal
    clearTimeout(this.#timer)
    const stopped = this.#stopped()
    for (const queue of [this.#queues.urgent, this.#queues.normal]) {
      for (const { reject } of queue.splice(0)) reject(stopped)
    }
    guarded(() => this.#options.onFatal(stoppedBy))
  }

  #stopped(): LedgerError {
    const { message } = this.#fatal ?? { message: 'unknown' }
    return new LedgerError('log_stopped', `the log stopped: ${message}`, { cause: this.#fatal })
  }

  /** Begins a batch if it should not wait longer, else sees to it that one begins in time. */
  #schedule(): void {
    const { urgent, normal } = this.#queues
    const count = urgent.length + normal.length
    if (this.#running || this.#fatal !== undefined || count === 0) return
    const full = count >= BATCH_SUBMISSIONS_MAX || this.#queuedBytes >= BATCH_BYTES_MAX
    if (this.#preparing === 0 || urgent.length > 0 || full) {
      clearTimeout(this.#timer)
      this.#timer = undefined
      this.#running = true
      void this.#run()
      return
    }
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined
      if (this.#running || this.#fatal !== undefined) return
      this.#running = true
      void this.#run()
    }, BATCH_WAIT_MS)
  }

  async #run(
    taken: readonly Waiting[] = this.#take(),
    budgetMs: number = this.#options.decideBudgetMs ?? DECIDE_BUDGET_MS,
  ): Promise<void> {
    try {
      if (taken.length > 0) await this.#commit(taken, budgetMs)
    } catch (thrown) {
      this.stop(thrown)
      const stopped = this.#stopped()
      for (const { reject } of taken) reject(stopped)
    }
    this.#running = false
    this.#schedule()
  }

  /** Takes a batch off the queues: what is urgent first, each lane in the order of its arrival. */
  #take(): readonly Waiting[] {
    if (this.#options.guard.isStopped()) this.#refuseNormal()
    const taken: Waiting[] = []
    let bytes = 0
    for (const queue of [this.#queues.urgent, this.#queues.normal]) {
      let count = 0
      for (const waiting of queue) {
        if (taken.length >= BATCH_SUBMISSIONS_MAX) break
        if (taken.length > 0 && bytes + waiting.bytes > BATCH_BYTES_MAX) break
        taken.push(waiting)
        bytes += waiting.bytes
        count++
      }
      queue.splice(0, count)
    }
    this.#queuedBytes -= bytes
    return taken
  }

  #refuseNormal(): void {
    for (const { bytes, reject } of this.#queues.normal.splice(0)) {
      this.#queuedBytes -= bytes
      reject(clockStopped(this.#options.guard))
    }
  }

  /** What was not decided in time stands where it stood. */
  #putBack(rest: readonly Waiting[]): void {
    for (const lane of ['urgent', 'normal'] as const) {
      const ofLane = rest.filter(({ handler }) => handler.lane === lane)
      this.#queues[lane].unshift(...ofLane)
      for (const { bytes } of ofLane) this.#queuedBytes += bytes
    }
  }

  async #commit(taken: readonly Waiting[], budgetMs: number): Promise<void> {
    const { database, guard, reader } = this.#options
    const since = performance.now()
    const before = reader.head()
    const timeMs = Math.max(before.timeMs, guard.nowMs())
    const batch = database.begin()
    const open: OpenBatch = {
      state: new BatchState(batch, before.size, timeMs),
      firstIndex: before.size,
      decided: [],
      erased: new Map(),
    }
    const answers = await this.#decideAll(open, taken, budgetMs)
    const head = open.decided.length === 0 ? before : await this.#write(open, timeMs)
    if (head === before) database.drop(batch)
    void this.#answer(taken.slice(0, answers.length), answers, head)
    if (head === before) return
    const entries = open.decided.map(({ registered }) => registered)
    const tookMs = performance.now() - since
    guarded(() => this.#options.onCommitted({ head, entries, erased: open.erased, tookMs }))
  }

  /** Answers what is durable, in order, some at a time: the next batch does not wait for it. */
  async #answer(taken: readonly Waiting[], answers: readonly Answer[], head: SignedHead) {
    for (const [at, { resolve, reject }] of taken.entries()) {
      if (at > 0 && at % ANSWERS_STRETCH === 0) await nextTurn()
      const answer = answers[at]
      if (this.#fatal !== undefined || answer === undefined) reject(this.#stopped())
      else if (answer.type === 'refuse') reject(answer.error)
      else resolve(answer.type === 'stale' ? answer : { ...answer, head })
    }
  }

  /** Decides in order, until the budget is used up. What it gives back has one answer for each that was decided. */
  async #decideAll(
    open: OpenBatch,
    taken: readonly Waiting[],
    budgetMs: number,
  ): Promise<readonly Answer[]> {
    const answers: Answer[] = []
    let [spentMs, since] = [0, performance.now()]
    for (const waiting of taken) {
      const nowMs = performance.now()
      if (answers.length > 0 && spentMs + nowMs - since > budgetMs) break
      if (nowMs - since > DECIDE_STRETCH_MS) {
        spentMs += nowMs - since
        await nextTurn()
        since = performance.now()
      }
      const { submission, handler } = waiting
      let answer = this.#decider.decide(open, submission, handler)
      while (answer instanceof KeyDoubt) {
        await this.#options.database.folds.settle(answer)
        answer = this.#decider.decide(open, submission, handler)
      }
      answers.push(answer)
    }
    this.#checkRunning()
    this.#putBack(taken.slice(answers.length))
    return answers
  }

  /** Somebody can have stopped the log while the writer waited: then nothing is written and nothing answered. */
  #checkRunning(): void {
    if (this.#fatal !== undefined) throw this.#fatal
  }

  /** Commits the batch in the order of the crash table and publishes its head. */
  async #write(open: OpenBatch, timeMs: number): Promise<SignedHead> {
    const { database, headRecord, reader, keys, guard } = this.#options
    const { decided, firstIndex } = open
    const leafHashes: readonly Hash[] = decided.map(({ registered }) => registered.leafHash)
    const growth: Growth = reader.edge().append(leafHashes)
    const size = growth.edge.size
    // Step 1: the signatures are in memory alone, by the keys in force at this size. A crash leaves nothing.
    const head = keys.sign(open.state, { size, root: growth.root, timeMs })
    try {
      // Step 2: one synced write. A crash in it leaves all of the batch or none; after it, a database that is one batch
      // ahead of the head record, which start-up rolls forward.
      await database.commit(open.state.batch, {
        firstIndex,
        entries: decided.map(({ bytes }) => bytes),
        leafHashes,
        tiles: growth.tiles,
        head: utf8Encode(head.note),
        size,
        root: growth.root,
        timeMs,
      })
    } catch (cause) {
      throw new LedgerError(
        'commit_failed',
        `the batch from ${firstIndex} to ${size} could not be committed: ${messageOf(cause)}`,
        { cause },
      )
    }
    try {
      // Step 3: from here on a database older than this head is refused. A crash after it loses answers alone; a repeat
      // of the statement gets the same entry.
      await headRecord.write({ size, root: growth.root, timeMs })
    } catch (cause) {
      throw new LedgerError(
        'head_record_failed',
        `the head of size ${size} could not be recorded: ${messageOf(cause)}`,
        { cause },
      )
    }
    this.#checkRunning()
    // Step 4: the head and everything under it may leave.
    reader.publish({ head, edge: growth.edge })
    this.#batches++
    this.#lastBatchSize = decided.length
    for (const { registered } of decided) {
      if (registered.entry.kind !== CLOCK_KIND) continue
      guard.accept(parseOperatorClock(registered.statement).timeMs)
    }
    return head
  }
}

/** Calls somebody who listens. What they throw is theirs, and ends nothing here: the batch is durable and answered. */
function guarded(call: () => void): void {
  try {
    call()
  } catch (thrown) {
    process.emitWarning(`a listener of the log failed: ${messageOf(thrown)}`)
  }
}

/** The error of a normal submission while the clock is stopped. */
export function clockStopped(guard: ClockGuard): ServiceError {
  return new ServiceError('clock_stopped', guard.parted())
}
