/**
 * @module The only place that reads a clock. Everything else takes a `Clock`, so that tests can move time.
 */
import { uptime } from 'node:os'

/** Wall time, and time since boot with suspend included (CLOCK_BOOTTIME), both in ms. */
export interface Clock {
  nowMs(): number
  bootMs(): number
}

/** How long the time since boot is counted on from one look at it, ms of a clock that a suspend stops. */
const LOOK_MS = 100

/**
 * Time since boot. Asking the system costs a read of a file (measured: 24 µs, and each statement asks), so between two
 * looks the process's own clock counts on; what that misses of a suspend shows at most `LOOK_MS` after it.
 */
function bootClock(): () => number {
  let lookedAt = Number.NEGATIVE_INFINITY
  let seenMs = 0
  return () => {
    const now = performance.now()
    if (now - lookedAt >= LOOK_MS) {
      lookedAt = now
      seenMs = uptime() * 1000
    }
    return Math.round(seenMs + (now - lookedAt))
  }
}

/** The machine's clocks. */
export const systemClock: Clock = { nowMs: () => Date.now(), bootMs: bootClock() }
