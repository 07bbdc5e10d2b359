/** @module A clock that only moves when told to. */
import type { Clock } from '../../src/clock.ts'

/** Wall time and time since boot move together by `advance` and apart by `step`. */
export class FakeClock implements Clock {
  #nowMs: number
  #bootMs = 1_000_000

  constructor(nowMs = 1_800_000_000_000) {
    this.#nowMs = nowMs
  }

  nowMs(): number {
    return this.#nowMs
  }

  bootMs(): number {
    return this.#bootMs
  }

  /** Lets time pass. */
  advance(ms: number): void {
    this.#nowMs += ms
    this.#bootMs += ms
  }

  /** Sets the wall clock forward or back while no time passes. */
  step(ms: number): void {
    this.#nowMs += ms
  }
}
