/**
 * @module The way of a submission: read, admitted, verified, prepared, handed to the writer, answered (src/README.md "The
 * write path"). What is refused is refused here; what was handed on is answered, or its outcome is unknown.
 */
import { checkDisclosures } from '@trustwarden/proofs'
import type { JsonValue, Receipt } from '@trustwarden/proofs'
import { nativePrimitives } from '../crypto.ts'
import { ServiceError } from '../errors.ts'
import type { Prover } from '../merkle/prove.ts'
import { Admission, LANE_LIMITS, Turns, UNVERIFIED_LIMITS } from './admission.ts'
import type { Lane, LaneLimits, LaneLoad } from './admission.ts'
import type { ClockGuard } from './clock-guard.ts'
import { NOTHING_DISCLOSED } from './contract.ts'
import type {
  CborMap,
  Principal,
  PrincipalReader,
  Registered,
  StatementHandler,
  Submission,
} from './contract.ts'
import { findEvent } from './dedup.ts'
import { LedgerError, messageOf } from './errors.ts'
import type { SignedHead } from './head-note.ts'
import { prepareSubmission, readSubmitted, verifySigner } from './prepare.ts'
import type { Read, Submitted } from './prepare.ts'
import type { Quotas } from './quotas.ts'
import { isDamage } from './reader.ts'
import type { LogReader } from './reader.ts'
import type { SpaceGuard } from './space-guard.ts'
import type { SignatureVerifier } from './verify.ts'
import { clockStopped } from './writer.ts'
import type { Writer, Written } from './writer.ts'

/** How often a submission whose ground changed is prepared again before its caller is told to come back. */
export const STALE_RETRIES = 3

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

/** What submissions go through. */
export interface SubmissionsOptions {
  readonly origin: string
  /** One for each statement type that is accepted. */
  readonly handlers: readonly StatementHandler[]
  readonly principals: PrincipalReader
  readonly guard: ClockGuard
  readonly reader: LogReader
  readonly writer: Writer
  readonly verifier: SignatureVerifier
  /** Whether the disk has room. Default: it has. */
  readonly space: Pick<SpaceGuard, 'checkIntake' | 'makeRoom'> | undefined
  /** Default: none. */
  readonly quotas: Pick<Quotas, 'take'> | undefined
  readonly limits: Readonly<Record<Lane, LaneLimits>> | undefined
  readonly unverifiedLimits: Readonly<Record<Lane, LaneLimits>> | undefined
}

/** All submissions that are under way. */
export class Submissions {
  readonly #options: SubmissionsOptions
  readonly #handlers: ReadonlyMap<string, StatementHandler>
  readonly #reader: LogReader
  readonly #writer: Writer
  /** What is verified, until it is answered. */
  readonly #lanes: Readonly<Record<Lane, Admission>>
  /** What is not verified yet. */
  readonly #unverified: Readonly<Record<Lane, Admission>>
  readonly #turnedAway: Record<Lane, number> = { normal: 0, urgent: 0 }
  /** Whose urgent submission is verified next, of each source. */
  readonly #turns = new Turns()
  #isClosing = false

  constructor(options: SubmissionsOptions) {
    const { handlers, reader, writer } = options
    const limits = options.limits ?? LANE_LIMITS
    const unverified = options.unverifiedLimits ?? UNVERIFIED_LIMITS
    this.#options = options
    this.#handlers = new Map(handlers.map((handler) => [handler.type, handler]))
    this.#reader = reader
    this.#writer = writer
    this.#lanes = {
      normal: new Admission('normal', limits.normal),
      urgent: new Admission('urgent', limits.urgent),
    }
    this.#unverified = {
      normal: new Admission('normal', unverified.normal),
      urgent: new Admission('urgent', unverified.urgent),
    }
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

  /** Figures of a lane. */
  stats(lane: Lane): LaneStats {
    const admission = this.#lanes[lane]
    const turnedAway = this.#turnedAway[lane] + (lane === 'urgent' ? this.#turns.rejected : 0)
    const rejected = admission.rejected + this.#unverified[lane].rejected + turnedAway
    const unverified = this.#unverified[lane].load().submissions
    return { ...admission.load(), unverified, rejected }
  }

  /** Whether any are under way. */
  isBusy(): boolean {
    const admissions = [...Object.values(this.#unverified), ...Object.values(this.#lanes)]
    return admissions.some((admission) => admission.load().submissions > 0)
  }

  /** Takes no more from now on, and resolves when those under way are answered. */
  async close(): Promise<void> {
    this.#isClosing = true
    // What is verified enters its lane before it leaves here.
    await Promise.all([this.#unverified.normal.emptied(), this.#unverified.urgent.emptied()])
    await Promise.all([this.#lanes.normal.emptied(), this.#lanes.urgent.emptied()])
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
    if (this.#isClosing) {
      throw new ServiceError('shutting_down', 'the service is stopping')
    }
    if (this.#writer.fatal !== undefined) {
      throw new LedgerError('log_stopped', 'the log stopped', { cause: this.#writer.fatal })
    }
    const read = readSubmitted(submitted, this.#handlers)
    const { lane } = read.handler
    if (lane === 'normal' && this.#options.guard.isStopped())
      throw clockStopped(this.#options.guard)
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
      if (this.#isClosing) {
        throw new ServiceError('shutting_down', 'the service is stopping')
      }
      return await this.#register(read, endTurn)
    } finally {
      endTurn()
    }
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
        const submission = await prepareSubmission(handler, incoming, this.#reader.view())
        const queued = this.#writer.enqueue(handler, submission, read.bytes)
        endPreparing()
        const written = await this.#decided(queued)
        if (written.type === 'registered') return this.#answered(handler, written, submission)
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
      origin: this.#options.origin,
      principals: this.#options.principals,
      verifier: this.#options.verifier,
    }
    const verified = this.#unverified[lane].admit(bytes)
    try {
      const principal = await verifySigner(context, statement, this.#reader.view(), signers, lane)
      return { principal, leave: this.#lanes[lane].admit(bytes) }
    } finally {
      verified()
    }
  }

  /** Counts what will be an entry: a repeat is none, whoever decides about it. @throws {ServiceError} `quota_exceeded` */
  #takeQuota({ statement }: Read['incoming'], principal: Principal): void {
    const { quotas } = this.#options
    if (quotas !== undefined && findEvent(this.#reader.view(), statement.header) === undefined)
      quotas.take(principal)
  }

  /** The entry of a statement that was answered before, where no handler has a say in its repeat: not the writer's work. */
  #findRepeat({ handler, incoming }: Read): RegisteredWritten | undefined {
    if (handler.repeat !== undefined || this.#writer.fatal !== undefined) return undefined
    const head = this.#reader.head()
    const known = findEvent(this.#reader.view(), incoming.statement.header)
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
  #answered(
    handler: StatementHandler,
    written: RegisteredWritten,
    submission?: Submission,
  ): SubmitResult {
    try {
      return this.#answer(handler, written, submission)
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

  #answer(
    handler: StatementHandler,
    written: RegisteredWritten,
    submission: Submission | undefined,
  ): SubmitResult {
    const { registered, repeated, head } = written
    const { index, kind, outcome, timeMs } = registered.entry
    const receipt = this.#reader.receipt(index, head, this.#proverOf(head))
    const extra = handler.answer?.({
      ...registered,
      repeated,
      disclosed: this.#disclosed(handler, written, submission),
    })
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

  /** What was disclosed beside an entry and is still there: of a new one as it came, or nothing if its batch erases it. */
  #disclosed(
    { disclosable }: StatementHandler,
    { registered, repeated }: RegisteredWritten,
    submission: Submission | undefined,
  ): Registered['disclosed'] {
    const { entry, statement } = registered
    if (submission !== undefined && !repeated) {
      return this.#reader.isErased(entry.index)
        ? NOTHING_DISCLOSED.values
        : submission.disclosed.values
    }
    const texts = this.#reader.disclosures(registered)
    if (texts.length === 0) return NOTHING_DISCLOSED.values
    return checkDisclosures(nativePrimitives, statement.payload, texts, disclosable)
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
}

interface Admitted {
  readonly principal: Principal
  readonly leave: () => void
}

type RegisteredWritten = Extract<Written, { readonly type: 'registered' }>
