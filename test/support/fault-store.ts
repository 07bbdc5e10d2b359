/**
 * @module A store that fails on demand, as a disk does: the n-th operation fails before or after it was persisted, and
 * from then on everything fails until the store is opened anew (as LevelDB after ENOSPC).
 */
import { StoreError } from '../../src/store/errors.ts'
import type { KeyRange, Op, Row, ScanRange, Store } from '../../src/store/store.ts'

/** `before`: nothing of the failing write is on disk. `after`: all of it is, though it said no. */
export type FaultWhen = 'before' | 'after'

/** Which operation fails, counted from 1 over `write` and `compact`. */
export interface Fault {
  readonly n: number
  readonly when: FaultWhen
}

/** Wraps a store. To "reopen", wrap the store that lies under it, or one on the same disk, again. */
export class FaultStore implements Store {
  readonly directory: string | undefined
  readonly #inner: Store
  #fault: Fault | undefined
  #operations = 0
  #fired = false

  constructor(inner: Store, fault?: Fault) {
    this.#inner = inner
    this.#fault = fault
    this.directory = inner.directory
  }

  /** Whether the fault has happened. */
  get fired(): boolean {
    return this.#fired
  }

  /** Operations so far. */
  get operations(): number {
    return this.#operations
  }

  /** Makes the `n`-th operation from now on fail. */
  failAt(n: number, when: FaultWhen): void {
    this.#fault = { n: this.#operations + n, when }
  }

  get(key: Uint8Array): Uint8Array | undefined {
    this.checkUsable()
    return this.#inner.get(key)
  }

  async *scan(range: ScanRange): AsyncIterable<Row> {
    this.checkUsable()
    for await (const row of this.#inner.scan(range)) {
      this.checkUsable()
      yield row
    }
  }

  write(ops: readonly Op[]): Promise<void> {
    return this.#run(() => this.#inner.write(ops))
  }

  compact(range: KeyRange): Promise<void> {
    return this.#run(() => this.#inner.compact(range))
  }

  scansEnded(): Promise<void> {
    return this.#inner.scansEnded()
  }

  openScans(): number {
    return this.#inner.openScans()
  }

  close(): Promise<void> {
    return this.#inner.close()
  }

  async #run(operation: () => Promise<void>): Promise<void> {
    this.checkUsable()
    this.#operations++
    if (this.#fault?.n !== this.#operations) return operation()
    this.#fired = true
    if (this.#fault.when === 'after') await operation()
    throw new StoreError('store_failed', `injected fault ${this.#fault.when} persisting`)
  }

  checkUsable(): void {
    if (this.#fired) throw new StoreError('store_failed', 'the store failed before')
  }
}
