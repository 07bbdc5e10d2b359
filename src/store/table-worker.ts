/**
 * @module The thread that compares the tables of folds behind a start, and gathers their keys (fold-tables.ts). It reads by
 * descriptors that its parent holds, and ends when it is done.
 */
import { readFileSync } from 'node:fs'
import { parentPort, workerData } from 'node:worker_threads'
import { StoreError } from './errors.ts'
import type { ComparisonOrder, ComparisonReport } from './fold-tables.ts'
import { Keys } from './keys.ts'
import { StoredKeys, readJournalKeys } from './stored-keys.ts'
import { TableFile } from './table-file.ts'
import type { OnKey } from './table-file.ts'

const port = parentPort
const say = (report: ComparisonReport, transfer: ArrayBuffer[] = []): void =>
  port?.postMessage(report, transfer)

function compare({ origin, seed, tables, journals }: ComparisonOrder): void {
  const keys = new Keys(origin)
  const stored = new StoredKeys(keys, seed)
  const onKey: OnKey = (key, length) => stored.add(key, length)
  for (const journal of journals) readJournalKeys(readFileSync(journal), onKey)
  let done = 0
  for (const table of tables) {
    new TableFile(table).readRange(keys.range('f'), onKey)
    done += table.size
    say({ done })
  }
  const filters = [...stored.filters()]
  const parts = filters.flatMap(([, slices]) =>
    slices.map(({ bits }) => bits.buffer as ArrayBuffer),
  )
  say({ filters }, parts)
}

try {
  compare(workerData as ComparisonOrder)
} catch (error) {
  if (!(error instanceof StoreError)) throw error
  say({ code: error.code, message: error.message })
}
