/**
 * @module Watches the wall clock against the time since boot (DESIGN §3 "Time").
 *
 * A wall clock that is set while the service runs would date entries wrongly, and ledger time cannot be taken back.
 * So when the two clocks part by more than 10 s, normal intake stops until they meet again or an operator accepts the
 * new time by a statement. What is still registered meanwhile (revocations, that statement) is dated by the time since
 * boot, which nobody can set.
 */
import type { Clock } from '../clock.ts'
import { ServiceError } from '../errors.ts'
import { LedgerError } from './errors.ts'

/** How far wall clock and time since boot may part before intake stops, ms. */
export const CLOCK_STEP_MAX_MS = 10_000
/** How far the clock may be behind the last ledger time at start: it is waited for, ms. */
export const CLOCK_WAIT_MAX_MS = 5_000
/** How far the clock may be ahead of the last ledger time at start, unless the operator says more, ms: 24 h. */
export const CLOCK_AHEAD_MAX_MS = 86_400_000

/** Kind whose registration accepts the clock (FORMAT §6). */
export const CLOCK_KIND = 'operator.clock'

/**
 * Compares the wall clock with the time since boot, from an anchor on.
 *
 * It is itself a clock, whose time nobody can set: handlers read time through it, so that what they sign and what dates
 * the entries is the same.
 */
export class ClockGuard implements Clock {
  readonly #clock: Clock
  #wallAnchorMs: number
  #bootAnchorMs: number

  constructor(clock: Clock) {
    this.#clock = clock
    this.#wallAnchorMs = clock.nowMs()
    this.#bootAnchorMs = clock.bootMs()
  }

  /** By how much the wall clock is ahead of where the time since boot puts it, ms; negative if behind. */
  offsetMs(): number {
    return this.#clock.nowMs() - this.#expectedMs()
  }

  /** Whether normal intake is stopped. */
  isStopped(): boolean {
    return Math.abs(this.offsetMs()) > CLOCK_STEP_MAX_MS
  }

  /** In words: by how much, in s, the two clocks part. */
  parted(): string {
    const seconds = Math.round(this.offsetMs() / 1000)
    return `the wall clock is ${Math.abs(seconds)} s ${seconds < 0 ? 'behind' : 'ahead of'} the time since boot`
  }

  /** The time to date entries by, ms: the wall clock, or while it is stopped the anchor carried on by time since boot. */
  nowMs(): number {
    return this.isStopped() ? this.#expectedMs() : this.#clock.nowMs()
  }

  bootMs(): number {
    return this.#clock.bootMs()
  }

  /**
   * Decides about a statement by which an operator accepts `timeMs`: it must be what the clock says now, so that a
   * statement that was held back accepts nothing; and not before the last entries, or ledger time would stand still.
   *
   * @throws {ServiceError} `iat_out_of_window`
   */
  checkAcceptable(timeMs: number, ledgerTimeMs: number): void {
    const clockMs = this.#clock.nowMs()
    const apartMs = Math.abs(clockMs - timeMs)
    if (apartMs > CLOCK_STEP_MAX_MS) {
      const message =
        `time_ms: ${Math.ceil(apartMs / 1000)} s from the service's clock, which says ` +
        `${new Date(clockMs).toISOString()}; at most 10 s`
      throw new ServiceError('iat_out_of_window', message)
    }
    const behindMs = ledgerTimeMs - timeMs
    if (behindMs > CLOCK_WAIT_MAX_MS) {
      const message = `time_ms: ${Math.ceil(behindMs / 1000)} s behind ledger time, at most 5 s`
      throw new ServiceError('iat_out_of_window', message)
    }
  }

  /** Takes `timeMs` for right as of now. Called when the operator's statement that accepts it is registered. */
  accept(timeMs: number): void {
    this.#wallAnchorMs = timeMs
    this.#bootAnchorMs = this.#clock.bootMs()
  }

  #expectedMs(): number {
    return this.#wallAnchorMs + (this.#clock.bootMs() - this.#bootAnchorMs)
  }
}

/**
 * Whether a start can wait for the clock to reach the last ledger time.
 *
 * @param acceptAheadMs - How far ahead of it the operator says that the clock is right, ms.
 * @returns How long until then, ms; at most 0 if it is reached.
 * @throws {LedgerError} `clock_behind` if it is behind by more than 5 s; `clock_ahead` if it is ahead by more than 24 h
 *   and `acceptAheadMs`: a first entry dated by it could not be taken back
 */
export function checkStartClock(nowMs: number, ledgerTimeMs: number, acceptAheadMs = 0): number {
  const behindMs = ledgerTimeMs - nowMs
  const last = new Date(ledgerTimeMs).toISOString()
  if (-behindMs > Math.max(CLOCK_AHEAD_MAX_MS, acceptAheadMs)) {
    const hours = Math.floor(-behindMs / 3_600_000)
    throw new LedgerError(
      'clock_ahead',
      `the clock is ${hours} h ahead of the last ledger time ${last}, at most 24 h are taken for granted`,
    )
  }
  if (behindMs > CLOCK_WAIT_MAX_MS) {
    const seconds = Math.ceil(behindMs / 1000)
    throw new LedgerError(
      'clock_behind',
      `the clock is ${seconds} s behind the last ledger time ${last}, at most 5 s are waited for`,
    )
  }
  return behindMs
}

/** Waits until the clock has reached the last ledger time. @throws {LedgerError} as `checkStartClock` */
export async function awaitClock(
  clock: Clock,
  ledgerTimeMs: number,
  sleep: (ms: number) => Promise<void>,
  acceptAheadMs = 0,
): Promise<void> {
  for (;;) {
    const behindMs = checkStartClock(clock.nowMs(), ledgerTimeMs, acceptAheadMs)
    if (behindMs <= 0) return
    await sleep(behindMs)
  }
}
