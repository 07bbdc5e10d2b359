/**
 * @module The store in memory, under the same contract, for tests and throw-away logs. Nothing of it is durable.
 */
import { latin1 } from './bytes.ts'
import { StoreError } from './errors.ts'
import { ScanTracker } from './scan-tracker.ts'
import type { KeyRange, Op, Row, ScanRange, Store } from './store.ts'

/** What stands for the disk: keys as strings of one character a byte. Outlives the stores opened on it. */
export type MemoryDisk = Map<string, Uint8Array>

/** A store on a `MemoryDisk`. Opening another one on the same disk is a restart. */
export class MemoryStore implements Store {
  readonly directory: undefined = undefined
  readonly #disk: MemoryDisk
  readonly #scans = new ScanTracker()
  /** All keys in order, or undefined since a write added or removed one. */
  #sorted: readonly string[] | undefined
  #closed = false

  constructor(disk: MemoryDisk = new Map()) {
    this.#disk = disk
  }

  get(key: Uint8Array): Uint8Array | undefined {
    this.checkUsable()
    const value = this.#disk.get(latin1(key))
    return value === undefined ? undefined : new Uint8Array(value)
  }

  async *scan(range: ScanRange): AsyncIterable<Row> {
    this.checkUsable()
    const rows = this.#rowsOf(range)
    const ended = this.#scans.begin()
    try {
      for (const row of rows) {
        await Promise.resolve()
        this.checkUsable()
        yield row
      }
    } finally {
      ended()
    }
  }

  write(ops: readonly Op[]): Promise<void> {
    try {
      this.checkUsable()
    } catch (error) {
      return Promise.reject(error instanceof Error ? error : new Error('unknown'))
    }
    for (const op of ops) {
      const name = latin1(op.key)
      if (op.type === 'put') this.#disk.set(name, new Uint8Array(op.value))
      else this.#disk.delete(name)
    }
    this.#sorted = undefined
    return Promise.resolve()
  }

  async compact(_range: KeyRange): Promise<void> {
    await Promise.resolve()
    this.checkUsable()
  }

  scansEnded(): Promise<void> {
    return this.#scans.ended()
  }

  openScans(): number {
    return this.#scans.open
  }

  async close(): Promise<void> {
    await Promise.resolve()
    this.#closed = true
  }

  #rowsOf(range: ScanRange): readonly Row[] {
    this.#sorted ??= [...this.#disk.keys()].sort()
    const names = this.#sorted.slice(
      lowerBound(this.#sorted, latin1(range.gte)),
      lowerBound(this.#sorted, latin1(range.lt)),
    )
    if (range.reverse === true) names.reverse()
    const limit = range.limit === undefined || range.limit < 0 ? names.length : range.limit
    return names.slice(0, limit).map((name) => ({
      key: new Uint8Array(Buffer.from(name, 'latin1')),
      value:
        range.keysOnly === true ? new Uint8Array(0) : new Uint8Array(this.#disk.get(name) ?? []),
    }))
  }

  checkUsable(): void {
    if (this.#closed) throw new StoreError('store_closed', 'the store is closed')
  }
}

function lowerBound(sorted: readonly string[], name: string): number {
  let low = 0
  let high = sorted.length
  while (low < high) {
    const middle = Math.floor((low + high) / 2)
    if ((sorted[middle] ?? '') < name) low = middle + 1
    else high = middle
  }
  return low
}
