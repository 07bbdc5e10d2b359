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
 * What one lane holds at most of what is not verified yet. Anybody can send that under anybody's name, so each name has
 * a share alone, and none of it is room in the lane itself.
 */
export interface UnverifiedLimits extends LaneLimits {
  /** Submissions that say they are of one issuer. */
  readonly perIssuerMax: number
}

/** A verification takes well under a millisecond: what stands here is gone in a fraction of a second. */
export const UNVERIFIED_LIMITS: Readonly<Record<Lane, UnverifiedLimits>> = {
  normal: { submissionsMax: 8192, bytesMax: 64 * 1024 * 1024, perIssuerMax: 8192 },
  urgent: { submissionsMax: 4096, bytesMax: 64 * 1024 * 1024, perIssuerMax: 64 },
}

/** What one lane holds now. */
export interface LaneLoad {
  readonly submissions: number
  readonly bytes: number
}

/** Counts what is under way in one lane. */
export class Admission {
  readonly #lane: Lane
  readonly #limits: LaneLimits
  #submissions = 0
  #bytes = 0
  #rejected = 0
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
    this.#submissions++
    this.#bytes += bytes
    let released = false
    return () => {
      if (released) return
      released = true
      this.#submissions--
      this.#bytes -= bytes
      if (this.#submissions === 0) for (const wake of this.#idle.splice(0)) wake()
    }
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

/** Counts what of one lane is being verified, as a whole and by the issuer that it names. */
export class UnverifiedAdmission {
  readonly #lane: Lane
  readonly #all: Admission
  readonly #perIssuerMax: number
  readonly #issuers = new Map<string, number>()
  #rejected = 0

  constructor(lane: Lane, limits: UnverifiedLimits) {
    this.#lane = lane
    this.#all = new Admission(lane, limits)
    this.#perIssuerMax = limits.perIssuerMax
  }

  /**
   * Lets a submission of `bytes` in that says it is of `issuer`.
   *
   * @returns Takes it out again; a second call does nothing.
   * @throws {ServiceError} `overloaded`
   */
  admit(issuer: string, bytes: number): () => void {
    const count = this.#issuers.get(issuer) ?? 0
    if (count >= this.#perIssuerMax) {
      this.#rejected++
      throw new ServiceError(
        'overloaded',
        `${count} ${this.#lane} submissions of this issuer are being verified, at most ${this.#perIssuerMax}`,
      )
    }
    const release = this.#all.admit(bytes)
    this.#issuers.set(issuer, count + 1)
    let released = false
    return () => {
      if (released) return
      released = true
      release()
      const left = (this.#issuers.get(issuer) ?? 1) - 1
      if (left === 0) this.#issuers.delete(issuer)
      else this.#issuers.set(issuer, left)
    }
  }

  /** How many were turned away since start. */
  get rejected(): number {
    return this.#rejected + this.#all.rejected
  }

  /** Resolves when nothing is being verified. */
  emptied(): Promise<void> {
    return this.#all.emptied()
  }
}
