/**
 * @module Watches the free space of the data disk (DESIGN §8: no free-space floor refuses a revocation).
 *
 * LevelDB's handle is of no use after one failed write, and what it writes by itself (two write buffers as tables, a
 * compaction of twelve such tables at most) can be far more than what was just registered. So normal intake stops at a
 * floor that covers that, while everything still succeeds. From there on:
 *
 * - going low, the memory of the database is written to a table while there is room, so that from then on a
 *   revocation costs its own bytes in the journal and no more;
 * - if others fill the disk further, the reserve is given up just before the next revocation is registered.
 *
 * It reads the space every second: whoever fills the floor within one second makes a batch fail, the process ends, and
 * the next start gives up the reserve to open at all (build.ts), and is low.
 */
import { ServiceError } from '../errors.ts'
import type { DiskReserve } from '../store/disk-space.ts'
import { messageOf } from './errors.ts'

/** How often free space is read, ms. */
export const SPACE_POLL_MS = 1000
/** How far above the floor intake goes on: what a compaction frees must not switch it on and off. */
const RESUME_FACTOR = 1.1

/** What the guard watches. */
export interface SpaceGuardOptions {
  /** Bytes below which normal intake stops. */
  readonly floorBytes: number
  readonly freeBytes: () => Promise<number>
  readonly reserve: Pick<DiskReserve, 'held' | 'wanted' | 'measure' | 'fill' | 'release'>
  /** Writes what the database holds in memory to disk; called once on going low, with what is free. */
  readonly onLow: (freeBytes: number) => Promise<void>
  /** Told in words when intake stops and goes on, and when something about the disk fails. */
  readonly onChange: (message: string) => void
}

/** Says whether there is room for entries. */
export class SpaceGuard {
  readonly #options: SpaceGuardOptions
  #free = Number.POSITIVE_INFINITY
  #low = false
  #unreadable: string | undefined
  #timer: NodeJS.Timeout | undefined
  #reading: Promise<void> = Promise.resolve()
  #filling = false
  #told = ''

  constructor(options: SpaceGuardOptions) {
    this.#options = options
  }

  /** Looks once, and from then on every second; makes the reserve where there is space for it. */
  async start(everyMs: number = SPACE_POLL_MS): Promise<void> {
    await this.#lookAndFill()
    this.#timer = setInterval(() => void this.#lookAndFill(), everyMs)
    this.#timer.unref()
  }

  /** Stops reading. */
  async stop(): Promise<void> {
    clearInterval(this.#timer)
    await this.#reading
  }

  /** Bytes that were free when last read. */
  get freeBytes(): number {
    return this.#free
  }

  /** Bytes that the reserve holds. */
  get reserveBytes(): number {
    return this.#options.reserve.held
  }

  /** Why normal intake is stopped, or undefined. */
  reason(): string | undefined {
    if (this.#unreadable !== undefined) return `free space cannot be read: ${this.#unreadable}`
    if (!this.#low) return undefined
    return `${this.#free} bytes are free on the data disk, ${this.#options.floorBytes} are kept free`
  }

  /** @throws {ServiceError} `disk_low` while normal intake is stopped */
  checkIntake(): void {
    const reason = this.reason()
    if (reason !== undefined) throw new ServiceError('disk_low', reason)
  }

  /**
   * Sees to it that what is about to be registered although space is low finds room: below the size of the reserve,
   * the reserve is given up. Never throws: whether there is room the write itself decides.
   */
  async makeRoom(): Promise<void> {
    if (this.reason() === undefined) return
    const { reserve, freeBytes } = this.#options
    try {
      if (reserve.held === 0 || (await freeBytes()) >= reserve.wanted) return
      await reserve.release()
      this.#tell('the disk is full: the reserve was given up for what is registered now')
    } catch (error) {
      this.#tell(`the reserve could not be given up: ${messageOf(error)}`)
    }
  }

  /** Reads the space and decides. One at a time; never throws. */
  look(): Promise<void> {
    this.#reading = this.#reading.then(() => this.#look())
    return this.#reading
  }

  async #lookAndFill(): Promise<void> {
    if (this.#filling) return this.look()
    await this.#options.reserve.measure()
    await this.look()
    if (this.reason() === undefined) this.#fillReserve()
  }

  async #look(): Promise<void> {
    const { floorBytes, freeBytes } = this.#options
    try {
      this.#free = await freeBytes()
      this.#unreadable = undefined
    } catch (error) {
      // What cannot be seen is taken for full.
      this.#unreadable = messageOf(error)
      this.#tell(`intake stops: ${this.reason()}`)
      return
    }
    const isLow = this.#free < (this.#low ? floorBytes * RESUME_FACTOR : floorBytes)
    if (isLow && !this.#low) await this.#goLow()
    else if (!isLow && this.#low) {
      this.#low = false
      this.#tell(`intake goes on: ${this.#free} bytes are free`)
    }
  }

  async #goLow(): Promise<void> {
    const { onLow } = this.#options
    this.#low = true
    this.#tell(`intake stops: ${this.reason()}; revocations are still taken`)
    try {
      await onLow(this.#free)
    } catch (error) {
      this.#tell(`the database could not write its memory out: ${messageOf(error)}`)
    }
  }

  /** Fills the reserve where that leaves the floor; the space goes on being read meanwhile. */
  #fillReserve(): void {
    const { reserve, floorBytes } = this.#options
    const missing = reserve.wanted - reserve.held
    if (this.#filling || missing === 0 || this.#free - missing < floorBytes * RESUME_FACTOR) return
    this.#filling = true
    void reserve
      .fill()
      .catch((error: unknown) => this.#tell(`the reserve could not be made: ${messageOf(error)}`))
      .finally(() => {
        this.#filling = false
      })
  }

  /** Says what is new, once. */
  #tell(message: string): void {
    if (message === this.#told) return
    this.#told = message
    this.#options.onChange(message)
  }
}
