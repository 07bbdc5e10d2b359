/**
 * @module Signatures that are verified elsewhere while the audit goes on: many at a time, reported in the order of their
 * entries.
 */
import type { AuditDifference } from './audit-difference.ts'
import { differ, differenceOf } from './audit-difference.ts'
import type { SignatureCheck, SignatureVerifier } from './verify.ts'

interface Pending {
  readonly index: number
  readonly verdict: Promise<boolean>
}

/** Signatures under way. */
export class PendingSignatures {
  readonly #verifier: SignatureVerifier
  /** Those added before the last turn, and since. */
  #before: readonly Pending[] = []
  #pending: Pending[] = []
  #verified = 0

  constructor(verifier: SignatureVerifier) {
    this.#verifier = verifier
  }

  /** How many verified so far. */
  get verified(): number {
    return this.#verified
  }

  /** Begins to verify the signature of entry `index`. */
  add(index: number, check: SignatureCheck): void {
    const verdict = this.#verifier.verify(check)
    // Whoever settles is told; until then nobody listens.
    verdict.catch(() => undefined)
    this.#pending.push({ index, verdict })
  }

  /**
   * Waits for those that were added before the last turn, so that those added since are verified while the audit goes on.
   *
   * @throws {Difference} as `settle`
   */
  async turn(): Promise<void> {
    const due = this.#before
    this.#before = this.#pending
    this.#pending = []
    await this.#wait(due)
  }

  /** Waits for all of them. @throws {Difference} `signature` for the first that does not verify */
  async settle(): Promise<void> {
    await this.turn()
    await this.turn()
  }

  async #wait(due: readonly Pending[]): Promise<void> {
    for (const { index, verdict } of due) {
      differ(await verdict, 'signature', 'the signature of the statement does not verify', index)
      this.#verified++
    }
  }

  /** The signature that fails before `difference`, if one does, else that: verdicts come late. */
  async earlier(difference: AuditDifference): Promise<AuditDifference> {
    try {
      await this.settle()
    } catch (thrown) {
      const signature = differenceOf(thrown, 'signature')
      const index = difference.index ?? Number.POSITIVE_INFINITY
      if ((signature.index ?? Number.POSITIVE_INFINITY) < index) return signature
    }
    return difference
  }
}
