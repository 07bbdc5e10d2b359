/**
 * @module A log: one writer, any number of readers, from its first batch on.
 *
 * It owns neither database nor head record: whoever opened them closes them after `close`. What is registered and what
 * it means is the handlers' and folds' affair; this knows bytes, order, proofs and durability.
 */
import type { JsonValue, NoteKey, Receipt } from '@trustwarden/proofs'
import type { Clock } from '../clock.ts'
import { nativePrimitives } from '../crypto.ts'
import { ServiceError } from '../errors.ts'
import { Edge } from '../merkle/grow.ts'
import type { Prover } from '../merkle/prove.ts'
import type { Database } from '../store/database.ts'
import type { ErasureResult } from '../store/erasure.ts'
import { StoreError } from '../store/errors.ts'
import { isAboutData } from '../store/journals.ts'
import type { KeptJournals } from '../store/journals.ts'
import type { CheckProgress } from '../store/start-checks.ts'
import { Admission, LANE_LIMITS, Turns, UNVERIFIED_LIMITS } from './admission.ts'
import type { Lane, LaneLimits, LaneLoad } from './admission.ts'
import { chainsFold } from './chains.ts'
import { ClockGuard } from './clock-guard.ts'
import type {
  CborMap,
  Fold,
  Principal,
  PrincipalReader,
  State,
  StatementHandler,
} from './contract.ts'
import { dedupFold, findEvent } from './dedup.ts'
import { Eraser } from './eraser.ts'
import { erasuresFold } from './erasures.ts'
import { LedgerError, messageOf } from './errors.ts'
import { writeFirstBatch } from './first-batch.ts'
import type { FirstStatement } from './first-batch.ts'
import type { SignedHead } from './head-note.ts'
import type { LogKeys } from './log-keys.ts'
import { prepareSubmission, readSubmitted, verifySigner } from './prepare.ts'
import type { Read, Submitted } from './prepare.ts'
import type { Quotas } from './quotas.ts'
import { LogReader, isDamage } from './reader.ts'
import type { Published } from './reader.ts'
import { recover } from './recovery.ts'
import { Scrubber } from './scrub.ts'
import type { LeftByStart, ScrubOptions, ScrubStats } from './scrub.ts'
import { sequencesFold } from './sequences.ts'
import type { SpaceGuard } from './space-guard.ts'
import { VerifyPool } from './verify-pool.ts'
import type { SignatureVerifier } from './verify.ts'
import { Writer, clockStopped } from './writer.ts'
import type { CommittedBatch, HeadRecordWriter, Written } from './writer.ts'

/** Folds that every log has, whatever its handlers. */
export const CORE_FOLDS: readonly Fold[] = [dedupFold, chainsFold, sequencesFold, erasuresFold]

/** How often a submission whose ground changed is prepared again before its caller is told to come back. */
export const STALE_RETRIES = 3

/** What a log is made of. */
export interface LogOptions {
  /** Opened with the specs of `CORE_FOLDS` and `folds`. */
  readonly database: Database
  readonly headRecord: HeadRecordWriter
  /** The log keys: which are in force, and those that this process holds. */
  readonly keys: LogKeys
  readonly origin: string
  /** One for each statement type that is accepted. */
  readonly handlers: readonly StatementHandler[]
  /** Folds besides `CORE_FOLDS`. */
  readonly folds: readonly Fold[]
  readonly principals: PrincipalReader
  readonly clock: Clock
  /** The guard through which handlers read time (clock-guard.ts). Default: one of its own, over `clock`. */
  readonly guard?: ClockGuard
  /** Called once after a fatal error: the process is to end. */
  readonly onFatal: (error: Error) => void
  /** Called after each batch with what it registered; its head may leave from then on. */
  readonly onCommitted?: (batch: CommittedBatch) => void
  /** Called when an erasure is finished, or was not yet. */
  readonly onErasure?: (result: ErasureResult) => void
  /** Default: a `VerifyPool` of two threads. */
  readonly verifier?: SignatureVerifier
  /** Whether the disk has room. Default: it has. */
  readonly space?: Pick<SpaceGuard, 'checkIntake' | 'makeRoom'>
  /** Default: none. */
  readonly quotas?: Pick<Quotas, 'take'>
  readonly limits?: Readonly<Record<Lane, LaneLimits>>
  readonly unverifiedLimits?: Readonly<Record<Lane, LaneLimits>>
  /** How long one batch is decided, ms (writer.ts). */
  readonly decideBudgetMs?: number
  readonly erasureRetryMs?: number
  /** How everything stored is read again behind the log. Default: it is not. */
  readonly scrub?: ScrubOptions
  /** Told that what the start left was checked behind it, and how long that took, ms. */
  readonly onStartChecked?: (tookMs: number) => void
  /** Where it is kept that a log stopped over damage. Default: nowhere. */
  readonly damage?: DamageMark
  readonly sleep?: (ms: number) => Promise<void>
}

/**
 * Says to the next start that a process stopped over damage: then everything is checked before the first answer, so that
 * what was found is not served again until it is found again.
 */
export interface DamageMark {
  isSet(): boolean
  /** Never throws. */
  set(): void
  clear(): void
}

/** What only a start needs. */
export interface OpenOptions extends LogOptions {
  /** The journals copied aside before the database opened. */
  readonly journals?: KeptJournals
  /** See `RecoveryOptions`. */
  readonly acceptHead?: boolean
  /** See `RecoveryOptions`. */
  readonly acceptClockAheadMs?: number
  readonly onProgress?: (progress: CheckProgress) => void
}

/** What only the first batch needs. */
export interface CreateOptions extends LogOptions {
  /** At least two statements of the service, `genesis` first. */
  readonly firstBatch: readonly FirstStatement[]
  /** The service's key that signed them, SubjectPublicKeyInfo. */
  readonly serviceKey: Uint8Array
}

/** What a caller gets for a statement: its entry is durable under a signed head. */
export interface SubmitResult {
  readonly type: 'registered'
  readonly index: number
  readonly kind: string
  readonly outcome: CborMap
  readonly receipt: Receipt
  /** Whether it was registered before, and is answered with its entry again. */
  readonly repeated: boolean
  /** There if the statement came with an unprotected header, which the log does not keep. */
  readonly emptied?: true
  /** What the handler adds: a permit, a certificate, a lineage. */
  readonly extra?: JsonValue
  /** Ledger time of the entry, ms. */
  readonly timeMs: number
}

/** Figures of one lane. */
export interface LaneStats extends LaneLoad {
  /** Submissions whose signature is not verified yet. */
  readonly unverified: number
  /** Turned away since start. */
  readonly rejected: number
}

/** Figures for metrics. */
export interface LogStats {
  readonly size: number
  readonly timeMs: number
  readonly lanes: Readonly<Record<Lane, LaneStats>>
  readonly batches: number
  readonly lastBatchSize: number
  readonly queued: number
  readonly clockStopped: boolean
  readonly clockOffsetMs: number
  readonly stopped: boolean
  /** How far the check of what the start left is, 0 to 1; 1: done. */
  readonly startChecked: number
  /** Undefined where the log is not scrubbed. */
  readonly scrub: ScrubStats | undefined
}

/** A log that is open. */
export class Log {
  readonly origin: string
  readonly #options: LogOptions
  readonly #handlers: ReadonlyMap<string, StatementHandler>
  readonly #folds: readonly Fold[]
  readonly #guard: ClockGuard
  readonly #reader: LogReader
  readonly #writer: Writer
  readonly #verifier: SignatureVerifier
  /** What is verified, until it is answered. */
  readonly #lanes: Readonly<Record<Lane, Admission>>
  /** What is not verified yet. */
  readonly #unverified: Readonly<Record<Lane, Admission>>
  readonly #turnedAway: Record<Lane, number> = { normal: 0, urgent: 0 }
  /** Whose urgent submission is verified next, of each source. */
  readonly #turns = new Turns()
  #closing: Promise<void> | undefined
  readonly #eraser: Eraser
  readonly #scrubber: Scrubber

  private constructor(options: LogOptions, published: Published, left?: LeftByStart) {
    const { database, headRecord, keys, origin, clock } = options
    const limits = options.limits ?? LANE_LIMITS
    this.origin = origin
    this.#options = options
    this.#handlers = new Map(options.handlers.map((handler) => [handler.type, handler]))
    this.#folds = [...CORE_FOLDS, ...options.folds]
    this.#guard = options.guard ?? new ClockGuard(clock)
    this.#reader = new LogReader(database, keys, published, (error) => this.#writer.stop(error))
    database.folds.onDamage((error) => this.#writer.stop(error))
    this.#verifier = options.verifier ?? new VerifyPool()
    this.#lanes = {
      normal: new Admission('normal', limits.normal),
      urgent: new Admission('urgent', limits.urgent),
    }
    const unverified = options.unverifiedLimits ?? UNVERIFIED_LIMITS
    this.#unverified = {
      normal: new Admission('normal', unverified.normal),
      urgent: new Admission('urgent', unverified.urgent),
    }
    this.#eraser = new Eraser({
      database,
      isStopped: () => this.#writer.fatal !== undefined,
      onDamage: (error) => this.#writer.stop(error),
      ...(options.onErasure !== undefined && { onErasure: options.onErasure }),
      ...(options.erasureRetryMs !== undefined && { retryMs: options.erasureRetryMs }),
    })
    this.#scrubber = new Scrubber({
      database,
      clock,
      left,
      scrub: options.scrub,
      isBusy: () => this.#isBusy(),
      isStopped: () => this.#writer.fatal !== undefined,
      onStartChecked: (tookMs) => options.onStartChecked?.(tookMs),
      onDamage: (error) => this.#writer.stop(error),
    })
    this.#writer = new Writer({
      database,
      headRecord,
      keys,
      reader: this.#reader,
      folds: this.#folds,
      guard: this.#guard,
      onFatal: (error) => {
        if (saysDamaged(error)) options.damage?.set()
        options.onFatal(error)
      },
      onCommitted: (batch) => this.#afterBatch(batch),
      ...(options.decideBudgetMs !== undefined && { decideBudgetMs: options.decideBudgetMs }),
    })
  }

  /**
   * Opens a log by its first batch: the statements that genesis rests on, one batch, one head.
   *
   * @throws {LedgerError} `log_exists`; `first_batch_invalid`; `commit_failed` and `head_record_failed`, after which
   *   start-up decides
   */
  static async create(options: CreateOptions): Promise<Log> {
    const { database, headRecord, firstBatch, serviceKey, ...rest } = options
    if (database.size > 0 || headRecord.current().size > 0) {
      throw new LedgerError('log_exists', 'the database or its head record holds entries already')
    }
    const root = nativePrimitives.sha256(new Uint8Array(0))
    const head: SignedHead = { size: 0, root, timeMs: 0, note: '' }
    const log = new Log(
      { database, headRecord, ...rest },
      { head, edge: Edge.empty(nativePrimitives) },
    )
    const { handlers, origin, clock } = options
    const folds = log.#folds
    const timeMs = clock.nowMs()
    const first = { firstBatch, serviceKey, handlers, folds, origin, database, timeMs }
    await writeFirstBatch(log.#writer, first)
    return log
  }

  /**
   * Opens an existing log: the checks of a start, then ready. What it left is checked behind it, and unfinished erasures
   * go on.
   *
   * @throws {LedgerError} `start_refused`
   */
  static async open(options: OpenOptions): Promise<Log> {
    const { journals, acceptHead, acceptClockAheadMs, onProgress, ...rest } = options
    const { database, headRecord, keys, clock, damage, sleep } = rest
    const recovered = await recover({
      database,
      headRecord,
      clock,
      keys,
      ...(journals !== undefined && { journals }),
      ...(acceptHead !== undefined && { acceptHead }),
      ...(acceptClockAheadMs !== undefined && { acceptClockAheadMs }),
      ...(damage !== undefined && { everything: damage.isSet() }),
      ...(onProgress !== undefined && { onProgress }),
      ...(sleep !== undefined && { sleep }),
    })
    damage?.clear()
    const log = new Log(rest, recovered, recovered.left)
    log.#eraser.resume(recovered.due)
    log.#scrubber.start()
    return log
  }

  /** Everything that can be read; never touches the writer. */
  get reader(): LogReader {
    return this.#reader
  }

  /** The key that is in force at the published head: one that genesis or a rotation names. */
  get keyInForce(): NoteKey {
    const [inForce] = this.#options.keys.at(this.view(), this.head().size)
    return inForce ?? this.key
  }

  /** The log key that genesis names. */
  get key(): NoteKey {
    return this.#options.keys.first
  }

  /** The published head. */
  head(): SignedHead {
    return this.#reader.head()
  }

  /** The state as of the published head. */
  view(): State {
    return this.#reader.view()
  }

  /** Types of the statements that are never refused for want of room among others. */
  get urgentTypes(): readonly string[] {
    const handlers = [...this.#handlers.values()]
    return handlers.filter(({ lane }) => lane === 'urgent').map(({ type }) => type)
  }

  /** Whether what comes to the normal lane behind so many `bytes` more is answered in good time. */
  hasTimeFor(bytes: number): boolean {
    return this.#lanes.normal.hasTimeFor(this.#unverified.normal.load().bytes + bytes)
  }

  /** Counts what was refused before it came here. */
  turnAway(lane: Lane): void {
    this.#turnedAway[lane]++
  }

  /** Figures for metrics. */
  stats(): LogStats {
    const { size, timeMs } = this.head()
    const lane = (name: Lane): LaneStats => {
      const admission = this.#lanes[name]
      const turnedAway = this.#turnedAway[name] + (name === 'urgent' ? this.#turns.rejected : 0)
      const rejected = admission.rejected + this.#unverified[name].rejected + turnedAway
      const unverified = this.#unverified[name].load().submissions
      return { ...admission.load(), unverified, rejected }
    }
    return {
      size,
      timeMs,
      lanes: { normal: lane('normal'), urgent: lane('urgent') },
      ...this.#writer.stats,
      clockStopped: this.#guard.isStopped(),
      clockOffsetMs: this.#guard.offsetMs(),
      stopped: this.#writer.fatal !== undefined,
      startChecked: this.#scrubber.startPosition,
      scrub: this.#scrubber.stats,
    }
  }

  /**
   * Registers one statement, or finds it registered already, and answers when its entry is durable under a signed head.
   *
   * @throws {ServiceError} what is wrong with the statement, its signer or what it asks; `overloaded`, `stale`,
   *   `clock_stopped`, `disk_low`, `quota_exceeded`, `shutting_down`, `internal`: nothing was recorded; `outcome_unknown`: it may have been, and
   *   whoever repeats the same statement learns it
   * @throws {LedgerError} `log_stopped`: the log had stopped before
   */
  async submit(submitted: Submitted): Promise<SubmitResult> {
    if (this.#closing !== undefined) {
      throw new ServiceError('shutting_down', 'the service is stopping')
    }
    if (this.#writer.fatal !== undefined) {
      throw new LedgerError('log_stopped', 'the log stopped', { cause: this.#writer.fatal })
    }
    const read = readSubmitted(submitted, this.#handlers)
    const { lane } = read.handler
    if (lane === 'normal' && this.#guard.isStopped()) throw clockStopped(this.#guard)
    if (lane === 'normal' && submitted.urgentOnly === true) {
      this.turnAway('normal')
      throw new ServiceError('overloaded', 'only what is urgent is taken now')
    }
    if (lane === 'normal') this.#options.space?.checkIntake()
    try {
      const result =
        lane === 'normal' || read.source === undefined
          ? await this.#register(read)
          : await this.#registerInTurn(read, read.source)
      return read.emptied ? { ...result, emptied: true } : result
    } catch (thrown) {
      throw this.#answerable(thrown)
    }
  }

  /** Registers what is verified once nothing else of its source is being verified. */
  async #registerInTurn(read: Read, source: object): Promise<SubmitResult> {
    const endTurn = await this.#turns.take(source)
    try {
      if (this.#closing !== undefined) {
        throw new ServiceError('shutting_down', 'the service is stopping')
      }
      return await this.#register(read, endTurn)
    } finally {
      endTurn()
    }
  }

  /** Stops taking statements, answers those that are under way, and ends its threads. A second call does nothing more. */
  close(): Promise<void> {
    this.#closing ??= this.#drain()
    return this.#closing
  }

  async #drain(): Promise<void> {
    // What is verified enters its lane before it leaves here.
    await Promise.all([this.#unverified.normal.emptied(), this.#unverified.urgent.emptied()])
    await Promise.all([this.#lanes.normal.emptied(), this.#lanes.urgent.emptied()])
    await this.#scrubber.close()
    await this.#eraser.close()
    await this.#verifier.close()
  }

  async #register(read: Read, endTurn: () => void = () => undefined): Promise<SubmitResult> {
    const { handler, incoming } = read
    let endPreparing = this.#writer.beginPreparing()
    let leave = (): void => undefined
    try {
      const admitted = await this.#admitVerified(read)
      leave = admitted.leave
      endTurn()
      const repeat = this.#findRepeat(read)
      if (repeat !== undefined) return this.#answered(handler, repeat)
      if (handler.lane === 'urgent') await this.#options.space?.makeRoom()
      else this.#takeQuota(incoming, admitted.principal)
      for (let attempt = 0; attempt <= STALE_RETRIES; attempt++) {
        const submission = await prepareSubmission(handler, incoming, this.view())
        const queued = this.#writer.enqueue(handler, submission, read.bytes)
        endPreparing()
        const written = await this.#decided(queued)
        if (written.type === 'registered') return this.#answered(handler, written)
        // The batch is durable that held what made it stale: prepared on it, it can only lose to a new change.
        endPreparing = this.#writer.beginPreparing()
      }
    } finally {
      leave()
      endPreparing()
    }
    throw new ServiceError(
      'stale',
      `what the statement rests on changed ${STALE_RETRIES + 1} times while it was prepared`,
    )
  }

  /** Verifies, and lets what holds into its lane. @returns Who signed, and what takes it out again */
  async #admitVerified({ handler, incoming, bytes, signers }: Read): Promise<Admitted> {
    const { lane } = handler
    const { statement } = incoming
    const context = {
      origin: this.origin,
      principals: this.#options.principals,
      verifier: this.#verifier,
    }
    const verified = this.#unverified[lane].admit(bytes)
    try {
      const principal = await verifySigner(context, statement, this.view(), signers, lane)
      return { principal, leave: this.#lanes[lane].admit(bytes) }
    } finally {
      verified()
    }
  }

  /** Counts what will be an entry: a repeat is none, whoever decides about it. @throws {ServiceError} `quota_exceeded` */
  #takeQuota({ statement }: Read['incoming'], principal: Principal): void {
    const { quotas } = this.#options
    if (quotas !== undefined && findEvent(this.view(), statement.header) === undefined)
      quotas.take(principal)
  }

  /** The entry of a statement that was answered before, where no handler has a say in its repeat: not the writer's work. */
  #findRepeat({ handler, incoming }: Read): RegisteredWritten | undefined {
    if (handler.repeat !== undefined || this.#writer.fatal !== undefined) return undefined
    const head = this.head()
    const known = findEvent(this.view(), incoming.statement.header)
    if (known === undefined || known.index >= head.size) return undefined
    if (Buffer.compare(known.contentDigest, incoming.contentDigest) !== 0) return undefined
    const registered = this.#reader.registered(known.index)
    return registered && { type: 'registered', registered, repeated: true, head }
  }

  /** What the writer made of a submission. @throws {ServiceError} its refusal, or `outcome_unknown` */
  async #decided(queued: Promise<Written>): Promise<Written> {
    try {
      return await queued
    } catch (thrown) {
      if (thrown instanceof ServiceError) throw thrown
      throw this.#unknown(thrown)
    }
  }

  /** The answer of an entry that is durable. @throws {ServiceError} `outcome_unknown`, whatever goes wrong */
  #answered(handler: StatementHandler, written: RegisteredWritten): SubmitResult {
    try {
      return this.#answer(handler, written)
    } catch (thrown) {
      throw this.#unknown(thrown)
    }
  }

  #unknown(thrown: unknown): ServiceError {
    if (thrown instanceof Error && isDamage(thrown)) this.#writer.stop(thrown)
    return new ServiceError(
      'outcome_unknown',
      'the answer failed after the statement was handed to the log: repeat the same statement',
      { cause: thrown },
    )
  }

  #answer(handler: StatementHandler, written: RegisteredWritten): SubmitResult {
    const { registered, repeated, head } = written
    const { index, kind, outcome, timeMs } = registered.entry
    const receipt = this.#reader.receipt(index, head, this.#proverOf(head))
    const disclosures = handler.answer === undefined ? [] : this.#reader.disclosures(registered)
    const extra = handler.answer?.({ ...registered, repeated, disclosures })
    return {
      type: 'registered',
      index,
      kind,
      outcome,
      receipt,
      repeated,
      timeMs,
      ...(extra !== undefined && { extra }),
    }
  }

  #lastProver: { readonly head: SignedHead; readonly prover: Prover } | undefined

  /** One prover for the answers of one batch, dropped with the next and when the batch is answered. */
  #proverOf(head: SignedHead): Prover {
    if (this.#lastProver?.head !== head) {
      this.#lastProver = { head, prover: this.#reader.prover(head.size) }
      setImmediate(() => {
        this.#lastProver = undefined
      })
    }
    return this.#lastProver.prover
  }

  #answerable(thrown: unknown): Error {
    if (thrown instanceof ServiceError) return thrown
    // What was read to prepare or to answer is damaged: nothing more may be decided on it.
    if (thrown instanceof Error && isDamage(thrown)) this.#writer.stop(thrown)
    if (thrown instanceof LedgerError) return thrown
    return new ServiceError('internal', messageOf(thrown), { cause: thrown })
  }

  /** Whether submissions are under way. */
  #isBusy(): boolean {
    const admissions = [...Object.values(this.#unverified), ...Object.values(this.#lanes)]
    return admissions.some((admission) => admission.load().submissions > 0)
  }

  #afterBatch(batch: CommittedBatch): void {
    this.#scrubber.afterBatch()
    if (batch.erased.size > 0) this.#scrubber.interrupt()
    this.#eraser.take(batch)
    this.#options.onCommitted?.(batch)
  }
}

/** Whether what stopped a log is that something stored is not as it was written. */
function saysDamaged({ cause }: Error): boolean {
  return cause instanceof StoreError && isAboutData(cause) && cause.code !== 'store_failed'
}

interface Admitted {
  readonly principal: Principal
  readonly leave: () => void
}

type RegisteredWritten = Extract<Written, { readonly type: 'registered' }>
