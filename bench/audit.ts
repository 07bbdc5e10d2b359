/**
 * @module How fast a log is audited: with outcomes and folds but no signature verified, by processor time of one core; and
 * with all signatures, on all cores, beside the bare rate.
 */
import { fork } from 'node:child_process'
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { copyLog } from './copy.ts'
import { filledLog } from './fill.ts'
import { type Figure, Rounds } from './measure.ts'
import type { Plan } from './plan.ts'
import type { BenchLog } from './service.ts'
import type { BareRate } from './signature.ts'

/**
 * How much is audited: `hashes`: leaf hashes, tiles and chains, as `audit --hashes`; `outcomes`: all but signatures;
 * `signatures`: all.
 */
export type AuditDepth = 'hashes' | 'outcomes' | 'signatures'

/** What the process is told. */
export interface AuditOrder {
  readonly data: string
  readonly depth: AuditDepth
}

/** What one audit took. */
export interface AuditTimes {
  readonly ok: boolean
  readonly entries: number
  readonly ms: number
  readonly processorUs: number
  /** Processor time of one SHA-256 over as many bytes as an entry has, right after. */
  readonly hashUs: number
}

/** Audits a stopped log in a process of its own. @throws if the audit finds something */
export async function auditLog(
  { data }: Pick<BenchLog, 'data'>,
  depth: AuditDepth,
): Promise<AuditTimes> {
  const child = fork(fileURLToPath(new URL('./audit-process.js', import.meta.url)))
  const times = await new Promise<AuditTimes>((resolve, reject) => {
    child.once('exit', (code) => reject(new Error(`the audit ended with ${code}`)))
    child.once('message', (value) => resolve(value as AuditTimes))
    child.send({ data, depth } satisfies AuditOrder)
  })
  if (!times.ok) throw new Error(`the audit of ${data} found a difference`)
  return times
}

const UNSIGNED = [
  ['hashes', 'hashes, tiles, chains'],
  ['outcomes', 'hashes, tiles, chains, outcomes, folds'],
] as const

/** Measures audits of the smallest of the kept logs. */
export async function benchAudit(plan: Plan, bare: BareRate): Promise<readonly Figure[]> {
  const [size = 0] = plan.sizes
  const { log } = await filledLog(plan, size, plan.sizes)
  const rounds = new Rounds(`audit, ${size.toLocaleString('en-US')} entries`)
  const work = join(plan.cache, `work-${process.pid}`)
  try {
    for (let round = 1; round <= plan.rounds; round++) {
      plan.progress(`audit: round ${round} of ${plan.rounds}`)
      for (const [depth, name] of UNSIGNED) {
        const { entries, ms, processorUs, hashUs } = await auditLog(copyLog(log, work), depth)
        const hashes = { of: 'SHA-256 of as many bytes, 1 thread', rate: 1e6 / hashUs }
        const rate = (entries * 1e6) / processorUs
        rounds.add(`${name}: by processor time`, 'entries/s a core', rate, hashes)
        rounds.add(name, 'entries/s', (entries * 1000) / ms)
      }
      const ceiling = await bare.measure('ES256', 2, plan.primitiveMs)
      const signed = await auditLog(copyLog(log, work), 'signatures')
      rounds.add('all, signatures too', 'entries/s', (signed.entries * 1000) / signed.ms, ceiling)
      rounds.add(
        'all, signatures too: processor time',
        'µs/entry',
        signed.processorUs / signed.entries,
      )
    }
    return rounds.figures()
  } finally {
    rmSync(work, { recursive: true, force: true })
  }
}
