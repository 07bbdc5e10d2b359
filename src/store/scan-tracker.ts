/**
 * @module Which scans are open, for erasure: LevelDB keeps what an open iterator may still read through every
 * compaction (measured: through four).
 */

/** Counts the open scans of one store. */
export class ScanTracker {
  readonly #scans = new Set<Promise<void>>()

  /** Number of open scans. */
  get open(): number {
    return this.#scans.size
  }

  /** Notes a new scan; what it returns is called once, when that scan has let go of its iterator. */
  begin(): () => void {
    let resolve: () => void = () => undefined
    const scan = new Promise<void>((done) => {
      resolve = done
    })
    this.#scans.add(scan)
    return () => {
      this.#scans.delete(scan)
      resolve()
    }
  }

  /** Resolves when every scan open now has ended. */
  async ended(): Promise<void> {
    await Promise.all(this.#scans)
  }
}
