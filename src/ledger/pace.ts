/**
 * @module A pace: work that may wait goes no faster than so many bytes a second, so that what may not wait is not slowed.
 */

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

function nextTurn(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve)
  })
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
