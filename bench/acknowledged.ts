/**
 * @module Nothing that was acknowledged is lost: each entry lies in the stopped log where its answer said, with the very
 * bytes that the answer held.
 */
import { openLedger } from './ledger.ts'
import type { BenchLog } from './service.ts'
import { entryDigest, type SteadyReport } from './steady.ts'

/** Counts acknowledged entries that are not in the log, or are others. */
export async function countLost(
  log: BenchLog,
  { indexes, digests }: Pick<SteadyReport, 'indexes' | 'digests'>,
): Promise<number> {
  const ledger = await openLedger(log)
  try {
    const size = ledger.size()
    let lost = 0
    for (const [at, index] of indexes.entries()) {
      const isThere =
        index < size &&
        entryDigest(Buffer.from(ledger.entryBytes(index)).toString('base64url')) === digests[at]
      if (!isThere) lost++
    }
    return lost
  } finally {
    await ledger.close()
  }
}
