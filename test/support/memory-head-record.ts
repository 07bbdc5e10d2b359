/** @module A head record in memory that fails on demand: before or after the write took place. */
import { StoreError } from '../../src/store/errors.ts'
import type { RecordedHead } from '../../src/store/head-record.ts'
import type { FaultWhen } from './fault-store.ts'

/** What outlives the process. */
export interface RecordDisk {
  head: RecordedHead
}

export const emptyRecordDisk = (root: Uint8Array): RecordDisk => ({
  head: { size: 0, root, timeMs: 0 },
})

export class MemoryHeadRecord {
  readonly #disk: RecordDisk
  #fault: { readonly n: number; readonly when: FaultWhen } | undefined
  #writes = 0
  #failed = false

  constructor(disk: RecordDisk) {
    this.#disk = disk
  }

  get fired(): boolean {
    return this.#failed
  }

  failAt(n: number, when: FaultWhen): void {
    this.#fault = { n: this.#writes + n, when }
  }

  current(): RecordedHead {
    return this.#disk.head
  }

  async write(head: RecordedHead): Promise<void> {
    await Promise.resolve()
    if (this.#failed) throw new StoreError('head_record_failed', 'failed before')
    this.#writes++
    const fails = this.#fault?.n === this.#writes
    if (!fails || this.#fault?.when === 'after') this.#disk.head = head
    if (!fails) return
    this.#failed = true
    throw new StoreError('head_record_failed', 'injected fault')
  }
}
