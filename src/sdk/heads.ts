/**
 * @module The heads that a client has seen. A log that shows one client two histories contradicts itself, and this is
 * where it is noticed: two roots of one size at once, everything else by consistency proofs (RFC 9162 §2.1.4).
 */
import { randomInt } from 'node:crypto'
import {
  equalBytes,
  type Hash,
  type Head,
  type Primitives,
  ProofError,
  verifyConsistency,
} from '@trustwarden/proofs'
import { TrustWardenError } from './errors.ts'

/** Sizes whose roots are remembered. */
const REMEMBERED_MAX = 4096
/** Heads that one round connects: the newest and others by lot, so that nobody knows which a busy client looks at. */
const ROUND_MAX = 32
/** How long a log may fail to connect its heads, in ms. */
const UNPROVEN_MS_MAX = 60_000

/** Gets a consistency proof between two sizes. */
export type ProveConsistency = (from: number, to: number) => Promise<readonly Hash[]>

/** Every head that a client saw, held against each other. */
export class Heads {
  readonly #primitives: Primitives
  readonly #intervalMs: number
  readonly #roots = new Map<number, Hash>()
  readonly #unproven = new Map<number, Head>()
  #latest: Head | undefined
  #proven: Head | undefined
  #fork: TrustWardenError | undefined
  #triedAtMs = 0
  #unprovenSinceMs: number | undefined

  constructor(primitives: Primitives, intervalMs: number) {
    this.#primitives = primitives
    this.#intervalMs = intervalMs
  }

  /** The largest head that was seen. */
  get latest(): Head | undefined {
    return this.#latest
  }

  /** Sizes of heads that no consistency proof connects to the others yet. */
  get unproven(): readonly number[] {
    return [...this.#unproven.keys()]
  }

  /**
   * Takes a head whose signature verified.
   *
   * @throws TrustWardenError `log_forked` if a head of this size had another root, now and at every later call.
   */
  observe(head: Head): void {
    this.assertWhole()
    const known = this.#roots.get(head.size)
    if (known !== undefined) {
      if (!equalBytes(known, head.root)) this.#forked(`two heads of size ${head.size}`)
      return
    }
    this.#roots.set(head.size, head.root)
    if (this.#latest === undefined || head.size > this.#latest.size) this.#latest = head
    if (head.size > 0) {
      if (this.#proven === undefined) this.#proven = head
      else this.#unproven.set(head.size, head)
    }
    for (const map of [this.#roots, this.#unproven]) {
      const [oldest] = map.keys()
      if (map.size > REMEMBERED_MAX && oldest !== undefined) map.delete(oldest)
    }
  }

  /** @throws TrustWardenError `log_forked` */
  assertWhole(): void {
    if (this.#fork !== undefined) throw this.#fork
  }

  /**
   * Connects heads seen since by consistency proofs: some of them, at most once in the interval that was set.
   *
   * A proof that cannot be had is waited for up to a minute; a proof that is wrong ends the client.
   *
   * @param force - All of them, now; a proof that cannot be had is thrown.
   * @throws TrustWardenError `log_forked`, `log_unproven`; with `force` also what `prove` throws.
   */
  async confirm(prove: ProveConsistency, force = false): Promise<void> {
    this.assertWhole()
    const nowMs = Date.now()
    if (this.#unproven.size === 0) return
    if (!force && nowMs - this.#triedAtMs < this.#intervalMs) return
    this.#triedAtMs = nowMs
    this.#unprovenSinceMs ??= nowMs
    try {
      do await this.#connect(prove)
      while (force && this.#unproven.size > 0)
    } catch (error) {
      if (force || !(error instanceof TrustWardenError) || error.code === 'log_forked') throw error
      if (nowMs - this.#unprovenSinceMs > UNPROVEN_MS_MAX) {
        const why = `no consistency proof for ${UNPROVEN_MS_MAX / 1000} s: ${error.message}`
        throw new TrustWardenError('log_unproven', why, { cause: error })
      }
      return
    }
    this.#unprovenSinceMs = undefined
  }

  async #connect(prove: ProveConsistency): Promise<void> {
    // The newest first: every other one is then below a head that is proven.
    const [newest, ...others] = [...this.#unproven.values()].toSorted((a, b) => b.size - a.size)
    const drawn = others
      .map((head) => ({ head, lot: randomInt(2 ** 32) }))
      .toSorted((a, b) => a.lot - b.lot)
      .map(({ head }) => head)
    for (const head of newest === undefined ? [] : [newest, ...drawn.slice(0, ROUND_MAX - 1)]) {
      const proven = this.#proven
      if (proven === undefined) return
      const [older, newer] = head.size < proven.size ? [head, proven] : [proven, head]
      const path = await prove(older.size, newer.size)
      this.#verify(older, newer, path)
      this.#unproven.delete(head.size)
      if (head.size > (this.#proven?.size ?? 0)) this.#proven = head
    }
  }

  #verify(older: Head, newer: Head, path: readonly Hash[]): void {
    try {
      verifyConsistency(this.#primitives, {
        oldSize: older.size,
        newSize: newer.size,
        oldRoot: older.root,
        newRoot: newer.root,
        path,
      })
    } catch (cause) {
      if (!(cause instanceof ProofError)) throw cause
      if (cause.code !== 'consistency_mismatch' && cause.code !== 'root_mismatch')
        throw new TrustWardenError('answer_malformed', cause.message, { cause })
      this.#forked(`heads of sizes ${older.size} and ${newer.size}: ${cause.message}`, cause)
    }
  }

  #forked(what: string, cause?: unknown): never {
    this.#fork = new TrustWardenError('log_forked', `the log showed two histories: ${what}`, {
      cause,
    })
    throw this.#fork
  }
}
