/**
 * @module Paces: work that may wait goes no faster than so many bytes a second, or takes a part of the time while others
 * have work, so that what may not wait is not slowed.
 */
import { setImmediate as nextTurn } from 'node:timers/promises'

/** Sleeps shorter than this are saved up: a timer is not more exact. */
const SLEEP_MS_MIN = 5

/** Spreads work over time. Time that was not used is not made up for. */
export class Pace {
  readonly #bytesPerS: number
  #freeMs = 0

  /** @param bytesPerS - More than 0; `Infinity` never waits, but lets others run. */
  constructor(bytesPerS: number) {
    this.#bytesPerS = bytesPerS
  }

  /** Resolves when the work that cost `bytes` has had its time, at the earliest in the next turn of the event loop. */
  async spend(bytes: number, signal?: AbortSignal): Promise<void> {
    const nowMs = performance.now()
    this.#freeMs = Math.max(this.#freeMs, nowMs) + (bytes / this.#bytesPerS) * 1000
    const waitMs = this.#freeMs - nowMs
    await (waitMs < SLEEP_MS_MIN ? nextTurn() : sleep(waitMs, signal))
  }
}

/** Of the time, while others have work: a quarter. */
const SHARE = 1 / 4
/** A turn that took longer was somebody else's too. */
const SLEEP_MS_MAX = 20

/** Spends as much time as there is, and a quarter of it while others have work. */
export class SharedPace {
  readonly #othersWork: () => boolean
  #sinceMs = performance.now()

  constructor(othersWork: () => boolean) {
    this.#othersWork = othersWork
  }

  /** Resolves when the work since the last call has had its time, at the earliest in the next turn of the event loop. */
  async spend(_bytes: number, signal?: AbortSignal): Promise<void> {
    const workedMs = performance.now() - this.#sinceMs
    const waitMs = Math.min(SLEEP_MS_MAX, workedMs * (1 / SHARE - 1))
    await (this.#othersWork() ? sleep(waitMs, signal) : nextTurn())
    this.#sinceMs = performance.now()
  }
}

function sleep(ms: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve) => {
    if (signal?.aborted === true) {
      resolve()
      return
    }
    const end = (): void => {
      clearTimeout(timer)
      signal?.removeEventListener('abort', end)
      resolve()
    }
    const timer = setTimeout(end, ms)
    signal?.addEventListener('abort', end, { once: true })
  })
}
