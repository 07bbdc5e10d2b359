/**
 * @module The only place that reads a clock. Everything else takes a `Clock`, so that tests can move time.
 */
import { uptime } from 'node:os'

/** Wall time, and time since boot with suspend included (CLOCK_BOOTTIME), both in ms. */
export interface Clock {
  nowMs(): number
  bootMs(): number
}

/** The machine's clocks. */
export const systemClock: Clock = {
  nowMs: () => Date.now(),
  bootMs: () => Math.round(uptime() * 1000),
}
