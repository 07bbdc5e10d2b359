/**
 * @module `trustwarden audit --data DIR --from A --to B`: a part of a stopped log, without recomputing all before it; and
 * `--hashes`: no more than hashes, times and chains.
 */
import type { TrustAnchor } from '@trustwarden/proofs'
import { ALL_FOLDS } from '../rules.ts'
import { agentReader } from '../identity/agents.ts'
import { auditEntries } from '../ledger/audit-entries.ts'
import { openStored } from '../ledger/audit-stored.ts'
import { LogKeys } from '../ledger/log-keys.ts'
import { VerifyPool } from '../ledger/verify-pool.ts'
import type { OfflineLog } from '../offline.ts'
import { describeEntries } from './audit-report.ts'
import { type Call, type ExitCode, type Io, UsageError } from './command.ts'
import { readIndex } from './people.ts'
import { startProgress } from './progress.ts'
import { withScratch } from './scratch.ts'

/** The entries that `--from` and `--to` name, within a head of `size`. @throws UsageError */
export function rangeOf(call: Call, size: number): { readonly from: number; readonly to: number } {
  const from = readIndex(call.optional('from') ?? '0')
  const to = readIndex(call.optional('to') ?? String(size))
  if (to > size) throw new UsageError(`--to is ${to}, the head has ${size} entries`)
  if (from >= to) throw new UsageError(`--from is ${from}, below ${to} is needed`)
  return { from, to }
}

/** Audits a part of a log that no process serves. @throws UsageError, LedgerError, StoreError */
export async function auditRange(
  call: Call,
  { log, anchor }: { readonly log: OfflineLog; readonly anchor: TrustAnchor | undefined },
  io: Io,
): Promise<ExitCode> {
  const { database, genesis, hash, rules } = log
  const keys = new LogKeys(anchor?.key ?? genesis.keys.log, [], rules.rotations)
  const { head, source } = openStored(database, keys, agentReader)
  const range = rangeOf(call, head.size)
  const progress = startProgress(io, 'audit')
  const verifier = new VerifyPool()
  try {
    const report = await withScratch(call, (scratch) =>
      auditEntries({
        source,
        head: { origin: genesis.origin, size: head.size, root: head.root },
        genesis,
        genesisHash: anchor?.genesisHash ?? hash,
        ...range,
        hashesOnly: call.has('hashes'),
        handlers: rules.handlers,
        folds: ALL_FOLDS,
        principals: rules.principals,
        scratch,
        verifier,
        onProgress: (done, total) => progress.update(done, total),
      }),
    )
    progress.end()
    io.out(call.has('json') ? `${JSON.stringify(report)}\n` : describeEntries(report, 'data'))
    return report.ok ? 0 : 1
  } finally {
    progress.end()
    await verifier.close()
  }
}
