/**
 * @module A log: one writer, any number of readers, from its first batch on.
 *
 * It owns neither database nor head record: whoever opened them closes them after `close`. What is registered and what
 * it means is the handlers' and folds' affair; this knows bytes, order, proofs and durability.
 */
import type { NoteKey } from '@trustwarden/proofs'
import type { Clock } from '../clock.ts'
import { nativePrimitives } from '../crypto.ts'
import { Edge } from '../merkle/grow.ts'
import type { Database } from '../store/database.ts'
import type { ErasureResult } from '../store/erasure.ts'
import { StoreError } from '../store/errors.ts'
import { isAboutData } from '../store/journals.ts'
import type { KeptJournals } from '../store/journals.ts'
import type { CheckProgress } from '../store/start-checks.ts'
import type { Lane, LaneLimits } from './admission.ts'
import { chainsFold } from './chains.ts'
import { ClockGuard } from './clock-guard.ts'
import type { Fold, PrincipalReader, State, StatementHandler } from './contract.ts'
import { dedupFold } from './dedup.ts'
import { Eraser } from './eraser.ts'
import { erasuresFold } from './erasures.ts'
import { LedgerError } from './errors.ts'
import { writeFirstBatch } from './first-batch.ts'
import type { FirstStatement } from './first-batch.ts'
import type { SignedHead } from './head-note.ts'
import type { LogKeys } from './log-keys.ts'
import type { Submitted } from './prepare.ts'
import type { Quotas } from './quotas.ts'
import { LogReader } from './reader.ts'
import type { Published } from './reader.ts'
import { recover } from './recovery.ts'
import { Scrubber } from './scrub.ts'
import type { LeftByStart, ScrubOptions, ScrubStats } from './scrub.ts'
import { sequencesFold } from './sequences.ts'
import type { SpaceGuard } from './space-guard.ts'
import { Submissions } from './submissions.ts'
import type { LaneStats, SubmitResult } from './submissions.ts'
import { VerifyPool } from './verify-pool.ts'
import type { SignatureVerifier } from './verify.ts'
import { Writer } from './writer.ts'
import type { CommittedBatch, HeadRecordWriter } from './writer.ts'

/** Folds that every log has, whatever its handlers. */
export const CORE_FOLDS: readonly Fold[] = [dedupFold, chainsFold, sequencesFold, erasuresFold]

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
 * Says to the next start that a process stopped over damage, or may have ended before it met some: then everything is
 * checked before the first answer, so that what was found is not served again until it is found again.
 */
export interface DamageMark {
  /** Whether the process before left it. */
  wasLeft(): boolean
  /** Never throws. */
  set(): void
  /** Never throws. */
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
  readonly #folds: readonly Fold[]
  readonly #guard: ClockGuard
  readonly #reader: LogReader
  readonly #writer: Writer
  readonly #verifier: SignatureVerifier
  readonly #submissions: Submissions
  #closing: Promise<void> | undefined
  readonly #eraser: Eraser
  readonly #scrubber: Scrubber

  private constructor(options: LogOptions, published: Published, left?: LeftByStart) {
    const { database, headRecord, keys, origin, clock } = options
    this.origin = origin
    this.#options = options
    this.#folds = [...CORE_FOLDS, ...options.folds]
    this.#guard = options.guard ?? new ClockGuard(clock)
    this.#reader = new LogReader(database, keys, published, (error) => this.#writer.stop(error))
    this.#verifier = options.verifier ?? new VerifyPool()
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
      isBusy: () => this.#submissions.isBusy(),
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
    // Only now: it tells at once what it has found.
    database.folds.onDamage((error) => this.#writer.stop(error))
    this.#submissions = new Submissions({
      origin,
      handlers: options.handlers,
      principals: options.principals,
      guard: this.#guard,
      reader: this.#reader,
      writer: this.#writer,
      verifier: this.#verifier,
      space: options.space,
      quotas: options.quotas,
      limits: options.limits,
      unverifiedLimits: options.unverifiedLimits,
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
      ...(damage !== undefined && { everything: damage.wasLeft() }),
      ...(onProgress !== undefined && { onProgress }),
      ...(sleep !== undefined && { sleep }),
    })
    if (damage?.wasLeft() === true) damage.clear()
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
    return this.#submissions.urgentTypes
  }

  /** See `Submissions.hasTimeFor`. */
  hasTimeFor(bytes: number): boolean {
    return this.#submissions.hasTimeFor(bytes)
  }

  /** Counts what was refused before it came here. */
  turnAway(lane: Lane): void {
    this.#submissions.turnAway(lane)
  }

  /** See `Submissions.submit`. */
  submit(submitted: Submitted): Promise<SubmitResult> {
    return this.#submissions.submit(submitted)
  }

  /** Figures for metrics. */
  stats(): LogStats {
    const { size, timeMs } = this.head()
    return {
      size,
      timeMs,
      lanes: {
        normal: this.#submissions.stats('normal'),
        urgent: this.#submissions.stats('urgent'),
      },
      ...this.#writer.stats,
      clockStopped: this.#guard.isStopped(),
      clockOffsetMs: this.#guard.offsetMs(),
      stopped: this.#writer.fatal !== undefined,
      startChecked: this.#scrubber.startPosition,
      scrub: this.#scrubber.stats,
    }
  }

  /** Stops taking statements, answers those that are under way, and ends its threads. A second call does nothing more. */
  close(): Promise<void> {
    this.#closing ??= this.#drain()
    return this.#closing
  }

  async #drain(): Promise<void> {
    await this.#submissions.close()
    await this.#scrubber.close()
    await this.#eraser.close()
    await this.#verifier.close()
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
