/**
 * @module How much may be under way at once, by lane: what is being prepared, waiting, or in the batch being committed.
 *
 * Over the limit a caller is told to come back, so that memory and waiting time stay bounded. The two lanes share
 * nothing: a flood of decisions never keeps a revocation out (DESIGN §8). Nor does what is not verified share with what
 * is: a flood of forged revocations keeps no authentic one out.
 */
import { ServiceError } from '../errors.ts'

/** The two lanes of `StatementHandler.lane`. */
export type Lane = 'normal' | 'urgent'

/** What one lane holds at most. */
export interface LaneLimits {
  readonly submissionsMax: number
  readonly bytesMax: number
}

/** Room for some seconds of full load: what waits longer is better repeated by its caller. */
export const LANE_LIMITS: Readonly<Record<Lane, LaneLimits>> = {
  normal: { submissionsMax: 8192, bytesMax: 64 * 1024 * 1024 },
  urgent: { submissionsMax: 1024, bytesMax: 16 * 1024 * 1024 },
}

/**
 * What one lane holds at most of what is not verified yet; none of it is room in the lane itself. A verification takes
 * well under a millisecond: what stands here is gone in a fraction of a second. Anybody can send it under anybody's
 * name, so no name has a share: each source has its turn instead (`Turns`).
 */
export const UNVERIFIED_LIMITS: Readonly<Record<Lane, LaneLimits>> = {
  normal: { submissionsMax: 8192, bytesMax: 64 * 1024 * 1024 },
  urgent: { submissionsMax: 4096, bytesMax: 64 * 1024 * 1024 },
}

/** How long what comes in may wait for what is under way, ms. What would wait for longer is refused before it is read. */
export const WAIT_MS = 200
/** Bytes that may be under way however little has been done so far: enough for batches that are worth a synced write. */
export const UNDER_WAY_BYTES_MIN: number = 1024 * 1024
/** How long a lane is watched for each figure of its rate, ms of having something to do. */
const RATE_MS = 250
/** How much of the rate is the last figure's. */
const RATE_SHARE = 0.3

/** Submissions of one source that wait for their turn, at most: those of one request. */
export const TURNS_WAITING_MAX = 1000

/** What one lane holds now. */
export interface LaneLoad {
  readonly submissions: number
  readonly bytes: number
}

/** How many bytes a second leave a lane while it holds any. */
class Rate {
  #bytesPerMs = 0
  #bytes = 0
  #busyMs = 0
  #busySinceMs: number | undefined

  /** The lane holds something from now on. */
  begin(): void {
    this.#busySinceMs = performance.now()
  }

  /** So much left it, and whether it is empty now. */
  leave(bytes: number, isEmpty: boolean): void {
    const nowMs = performance.now()
    this.#bytes += bytes
    this.#busyMs += nowMs - (this.#busySinceMs ?? nowMs)
    this.#busySinceMs = isEmpty ? undefined : nowMs
    if (this.#busyMs < RATE_MS) return
    const last = this.#bytes / this.#busyMs
    const share = this.#bytesPerMs === 0 ? 1 : RATE_SHARE
    this.#bytesPerMs += (last - this.#bytesPerMs) * share
    this.#bytes = this.#busyMs = 0
  }

  /** What leaves in `ms`, at the rate of late. */
  bytesIn(ms: number): number {
    return this.#bytesPerMs * ms
  }
}

/** Counts what is under way in one lane. */
export class Admission {
  readonly #lane: Lane
  readonly #limits: LaneLimits
  #submissions = 0
  #bytes = 0
  #rejected = 0
  readonly #rate = new Rate()
  readonly #idle: (() => void)[] = []

  constructor(lane: Lane, limits: LaneLimits) {
    this.#lane = lane
    this.#limits = limits
  }

  /**
   * Lets a submission of `bytes` in.
   *
   * @returns Takes it out again; a second call does nothing.
   * @throws {ServiceError} `overloaded`
   */
  admit(bytes: number): () => void {
    const { submissionsMax, bytesMax } = this.#limits
    if (this.#submissions + 1 > submissionsMax || this.#bytes + bytes > bytesMax) {
      this.#rejected++
      throw new ServiceError(
        'overloaded',
        `the ${this.#lane} queue holds ${this.#submissions} submissions of ${this.#bytes} bytes, ` +
          `at most ${submissionsMax} of ${bytesMax}`,
      )
    }
    if (this.#submissions === 0) this.#rate.begin()
    this.#submissions++
    this.#bytes += bytes
    let released = false
    return () => {
      if (released) return
      released = true
      this.#submissions--
      this.#bytes -= bytes
      this.#rate.leave(bytes, this.#submissions === 0)
      if (this.#submissions === 0) for (const wake of this.#idle.splice(0)) wake()
    }
  }

  /** Whether `more` bytes can join what is here and be gone within `WAIT_MS`, as fast as it went of late. */
  hasTimeFor(more: number): boolean {
    const { bytesMax } = this.#limits
    const limit = Math.max(UNDER_WAY_BYTES_MIN, this.#rate.bytesIn(WAIT_MS))
    return this.#bytes + more < Math.min(limit, bytesMax)
  }

  /** What the lane holds now. */
  load(): LaneLoad {
    return { submissions: this.#submissions, bytes: this.#bytes }
  }

  /** How many were turned away since start. */
  get rejected(): number {
    return this.#rejected
  }

  /** Resolves when the lane is empty. */
  emptied(): Promise<void> {
    if (this.#submissions === 0) return Promise.resolve()
    return new Promise((resolve) => this.#idle.push(resolve))
  }
}

/**
 * Lets the submissions of each source go one at a time, in order, so that a source that sends many keeps only itself
 * waiting.
 */
export class Turns {
  /** What waits behind the one whose turn it is; a source of which nothing is under way has no queue. */
  readonly #queues = new WeakMap<object, (() => void)[]>()
  readonly #waitingMax: number
  #rejected = 0

  constructor(waitingMax: number = TURNS_WAITING_MAX) {
    this.#waitingMax = waitingMax
  }

  /**
   * Waits for the turn of one submission of `source`.
   *
   * @returns Ends the turn; a second call does nothing.
   * @throws {ServiceError} `overloaded`
   */
  async take(source: object): Promise<() => void> {
    const queue = this.#queues.get(source)
    if (queue === undefined) this.#queues.set(source, [])
    else if (queue.length >= this.#waitingMax) {
      this.#rejected++
      throw new ServiceError(
        'overloaded',
        `${queue.length} urgent submissions of this connection wait, at most ${this.#waitingMax}`,
      )
    } else await new Promise<void>((resolve) => queue.push(resolve))
    let ended = false
    return () => {
      if (ended) return
      ended = true
      this.#next(source)
    }
  }

  /** How many were turned away since start. */
  get rejected(): number {
    return this.#rejected
  }

  #next(source: object): void {
    const next = this.#queues.get(source)?.shift()
    if (next === undefined) this.#queues.delete(source)
    else next()
  }
}
