/**
 * @module Finishes erasures behind a running log, one run at a time: those that were due at its start, then those of
 * each batch. What cannot be finished yet is tried again, and at the latest by the next start.
 */
import type { Database } from '../store/database.ts'
import { finishErasures } from '../store/erasure.ts'
import type { Erasure, ErasureResult } from '../store/erasure.ts'
import { erasureOf } from './disclosures.ts'
import { isDamage } from './reader.ts'
import type { CommittedBatch } from './writer.ts'

/** After how long an erasure that is not done is tried again, ms: an open iterator may have kept the bytes. */
const RETRY_MS = 60_000

/** What an eraser works with. */
export interface EraserOptions {
  readonly database: Database
  /** Whether the log has stopped: nothing is written then. */
  readonly isStopped: () => boolean
  /** Told when an erasure meets damage: the log is to stop. */
  readonly onDamage: (error: Error) => void
  /** Called when an erasure is finished, or was not yet. */
  readonly onErasure?: (result: ErasureResult) => void
  /** Default: a minute. */
  readonly retryMs?: number
}

/** Finishes the erasures of one log. */
export class Eraser {
  readonly #options: EraserOptions
  /** Erasures to be finished, by the entry that ordered them. */
  readonly #due = new Map<number, Erasure>()
  /** The run that finishes them; the next one waits behind it. */
  #running: Promise<void> = Promise.resolve()
  #timer: NodeJS.Timeout | undefined
  readonly #stop = new AbortController()

  constructor(options: EraserOptions) {
    this.#options = options
  }

  /** Finishes these too. */
  resume(erasures: Iterable<Erasure>): void {
    for (const erasure of erasures) this.#due.set(erasure.job, erasure)
    if (this.#due.size > 0) this.#schedule()
  }

  /** Takes up the erasures of a batch. */
  take({ erased }: CommittedBatch): void {
    const erasures = [...erased].map(([job, indexes]) =>
      erasureOf(this.#options.database, job, indexes),
    )
    const due = erasures.filter(({ targets }) => targets.length > 0)
    if (due.length > 0) this.resume(due)
  }

  /** Ends the run between two steps; what is not done is due again at the next start. */
  async close(): Promise<void> {
    clearTimeout(this.#timer)
    this.#stop.abort()
    await this.#running
  }

  #schedule(): void {
    clearTimeout(this.#timer)
    this.#running = this.#running.then(() => this.#run())
  }

  #isIdle(): boolean {
    return this.#due.size === 0 || this.#stop.signal.aborted || this.#options.isStopped()
  }

  async #run(): Promise<void> {
    if (this.#isIdle()) return
    const { database, onErasure, onDamage, retryMs = RETRY_MS } = this.#options
    try {
      // Files that are held back for their comparison keep what LevelDB has removed.
      await database.folds.compared(this.#stop.signal)
      await finishErasures(database, [...this.#due.values()], {
        signal: this.#stop.signal,
        onProgress: (result) => {
          if (result.gone) this.#due.delete(result.job)
          onErasure?.(result)
        },
      })
    } catch (thrown) {
      // It has no mark, and the next run or start does it again, whatever this one met.
      if (thrown instanceof Error && isDamage(thrown)) onDamage(thrown)
    }
    if (this.#isIdle()) return
    clearTimeout(this.#timer)
    this.#timer = setTimeout(() => this.#schedule(), retryMs).unref()
  }
}
