/**
 * @module `trustwarden audit`: reads a stopped log again and decides everything anew, or with `--url` a served one from
 * outside; and `trustwarden rebuild`: drops all folds and builds them again from the entries.
 */
import { readFileSync } from 'node:fs'
import { parseTrust, type TrustedLog, trustFor, utf8Encode } from '@trustwarden/proofs'
import { ALL_FOLDS } from '../rules.ts'
import { directoryPath } from '../config.ts'
import { nativePrimitives } from '../crypto.ts'
import { databasePath, readDescription } from '../directory.ts'
import { type AuditReport, audit as runAudit } from '../ledger/audit.ts'
import { type RebuildOptions, type RebuildReport, rebuildFolds } from '../ledger/rebuild.ts'
import { CommittedView } from '../ledger/state.ts'
import { VerifyPool } from '../ledger/verify-pool.ts'
import { type OfflineLog, openOffline } from '../offline.ts'
import { HeadRecord } from '../store/head-record.ts'
import { openKeepingJournals } from '../store/journals.ts'
import type { LevelStore } from '../store/level-store.ts'
import { keyRanges, rangeDisagreement } from '../trust-file.ts'
import { auditRange } from './audit-range.ts'
import { auditUrl, URL_FLAGS } from './audit-url.ts'
import { type Command, type Io, readCall, UsageError } from './command.ts'
import { startProgress } from './progress.ts'
import { withScratch } from './scratch.ts'

function describe(report: AuditReport): string {
  const lost = report.lost === 0 ? '' : `, of ${report.lost} lost for good`
  const counts =
    `${report.entries} of ${report.size} entries, ${report.batches} heads, ${report.signatures} signatures, ` +
    `${report.disclosures} disclosures (of ${report.erased} entries erased${lost})\n`
  if (report.difference === undefined)
    return `holds: ${counts}every hash, tile, head, chain, signature, outcome and fold is what the entries give\n`
  const { check, index, message } = report.difference
  const where = index === undefined ? '' : ` at entry ${index}`
  return `DIFFERS: ${check}${where}: ${message}\nchecked before it: ${counts}`
}

/** See the module. */
export const audit: Command = {
  usage:
    'audit --data DIR [--head DIR] [--trust ANCHOR|FILE] [--from A] [--to B] [--hashes] [--scratch DIR] [--json]\n' +
    '       trustwarden audit --url URL --trust ANCHOR|FILE [--key KEY] [--as reader|operator] [--from A] [--to B]\n' +
    '           [--hashes] [--since CHECKPOINT] [--save FILE] [--scratch DIR] [--json]',
  summary:
    'recompute a log from its entries, stopped or from outside, and report the first difference',
  run: async (args, io) => {
    const call = readCall(args, {
      values: [...new Set(['data', 'head', 'trust', 'scratch', 'from', 'to', ...URL_FLAGS])],
      switches: ['json', 'hashes'],
    })
    if (call.optional('url') !== undefined) return auditUrl(call, io)
    for (const flag of URL_FLAGS)
      if (call.optional(flag) !== undefined) throw new UsageError(`--${flag} is for audit --url`)
    const isPart =
      call.has('hashes') || call.optional('from') !== undefined || call.optional('to') !== undefined
    const data = directoryPath(call.required('data'))
    const trust = call.optional('trust')
    const paths = { data, head: call.optional('head') ?? `${data}.head` }
    const log = await (isPart ? openOffline(paths) : openComparing(paths, io))
    try {
      const trusted = trust === undefined ? undefined : readTrusted(trust, log.genesis.origin)
      if (isPart) return await auditRange(call, { log, anchor: trusted?.anchor }, io)
      const report = await withScratch(call, (scratch) => auditWith(scratch, log, trusted, io))
      if (report.ok) await log.journals.discard()
      io.out(call.has('json') ? `${JSON.stringify(report)}\n` : describe(report))
      return report.ok ? 0 : 1
    } finally {
      await log.close()
    }
  },
}

/** The audit of all that is stored begins with its tables. */
async function openComparing(
  paths: { readonly data: string; readonly head: string },
  io: Io,
): Promise<OfflineLog> {
  const progress = startProgress(io, 'audit')
  try {
    return await openOffline(paths, progress.tell)
  } finally {
    progress.end()
  }
}

/** What is trusted of the log: its anchor as it is, or a file that holds it or a trust file. */
function readTrusted(trust: string, origin: string): TrustedLog {
  const bytes = trust.startsWith('twtrust') ? utf8Encode(trust) : readFileSync(trust)
  return trustFor(parseTrust(nativePrimitives, bytes), origin)
}

async function auditWith(
  scratch: LevelStore,
  log: OfflineLog,
  trusted: TrustedLog | undefined,
  io: Io,
): Promise<AuditReport> {
  const progress = startProgress(io, 'audit')
  const verifier = new VerifyPool()
  try {
    const report = await runAudit({
      database: log.database,
      headRecord: log.headRecord,
      origin: log.genesis.origin,
      key: trusted?.anchor.key ?? log.genesis.keys.log,
      genesis: trusted?.anchor.genesisHash ?? log.hash,
      handlers: log.rules.handlers,
      folds: ALL_FOLDS,
      principals: log.rules.principals,
      rotations: log.rules.rotations,
      scratch,
      verifier,
      onProgress: progress.tell,
    })
    return report.ok ? withRanges(report, log, trusted) : report
  } finally {
    progress.end()
    await verifier.close()
  }
}

/** Holds the sizes for which the auditor trusts each key against the rotations, which the audit decided anew. */
function withRanges(
  report: AuditReport,
  { database, genesis, rules }: OfflineLog,
  trusted: TrustedLog | undefined,
): AuditReport {
  const rotations = rules.rotations(new CommittedView(database.folds, database.size, 0))
  const actual = keyRanges(genesis.keys.log, rotations)
  const message = trusted && rangeDisagreement(trusted.keys, actual)
  if (message === undefined) return report
  return { ...report, ok: false, difference: { check: 'head', message } }
}

/** See the module. */
export const rebuild: Command = {
  usage: 'rebuild --data DIR [--head DIR] [--scratch DIR] [--json]',
  summary: 'drop all derived state of a stopped log and build it again from its entries',
  run: async (args, io) => {
    const call = readCall(args, { values: ['data', 'head', 'scratch'], switches: ['json'] })
    const data = directoryPath(call.required('data'))
    const { origin } = readDescription(data)
    const headRecord = await HeadRecord.open(call.optional('head') ?? `${data}.head`, { origin })
    try {
      // The copy of the journals stays: only a start whose checks all pass removes it.
      const { store } = await openKeepingJournals(databasePath(data))
      try {
        const recorded = headRecord.current()
        const report = await withScratch(call, (scratch) =>
          rebuildWith(scratch, { store, origin, recorded }, io),
        )
        if (call.has('json')) io.out(`${JSON.stringify(report)}\n`)
        else {
          const folds = report.folds.map((fold) => `  ${fold.name.padEnd(12)} ${fold.count} keys\n`)
          io.out(`rebuilt from ${report.size} entries:\n${folds.join('')}`)
        }
        return 0
      } finally {
        await store.close()
      }
    } finally {
      await headRecord.close()
    }
  },
}

async function rebuildWith(
  scratch: LevelStore,
  log: Pick<RebuildOptions, 'store' | 'origin' | 'recorded'>,
  io: Io,
): Promise<RebuildReport> {
  const progress = startProgress(io, 'rebuild')
  try {
    return await rebuildFolds({
      ...log,
      folds: ALL_FOLDS,
      scratch,
      onProgress: progress.tell,
    })
  } finally {
    progress.end()
  }
}
