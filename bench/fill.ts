/**
 * @module Logs of a size, made through the real writer and kept between runs: half decisions, half the actions on them.
 * One that was cut off is gone on with.
 */
import { existsSync, mkdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { copyWhole } from './copy.ts'
import { inParallel, LedgerAgents, openLedger } from './ledger.ts'
import type { Plan } from './plan.ts'
import { benchLogIn, type BenchLog, makeBenchLog } from './service.ts'

const AGENTS = 64
/** Pairs of a decision and its action between two looks at the clock. */
const CHUNK = 2_000
const MINUTE_MS = 60_000

/** A log that was filled, and how. */
export interface Filled {
  readonly log: BenchLog
  readonly size: number
  /** Entries a second while it was filled here and now; undefined if it lay there. */
  readonly rate: number | undefined
}

function folderOf(plan: Plan, size: number): string {
  return join(plan.cache, String(size))
}

function logIn(folder: string): BenchLog | undefined {
  return existsSync(join(folder, 'log', 'trust-anchor')) ? benchLogIn(folder) : undefined
}

/** Begins with a copy of the largest kept log that is smaller, or with a new one. */
function beginLog(plan: Plan, size: number, smaller: readonly number[]): BenchLog {
  const folder = folderOf(plan, size)
  rmSync(folder, { recursive: true, force: true })
  const base = smaller
    .filter((one) => one < size && logIn(folderOf(plan, one)) !== undefined)
    .toSorted((a, b) => b - a)[0]
  if (base === undefined) {
    mkdirSync(folder, { recursive: true })
    return makeBenchLog(folder)
  }
  plan.progress(`fill: ${size} entries begin with a copy of ${base}`)
  return copyWhole(benchLogIn(folderOf(plan, base)), folder)
}

/**
 * Gives a log of at least `size` entries.
 *
 * @param sizes - All sizes that are kept.
 * @throws if it is not full after `plan.fillMinutes`; the next run goes on with it
 */
export async function filledLog(
  plan: Plan,
  size: number,
  sizes: readonly number[],
): Promise<Filled> {
  const log = logIn(folderOf(plan, size)) ?? beginLog(plan, size, sizes)
  const ledger = await openLedger(log)
  try {
    const first = ledger.size()
    if (first >= size) return { log, size: first, rate: undefined }
    const start = performance.now()
    const agents = await LedgerAgents.start(ledger, log, AGENTS)
    while (ledger.size() < size) {
      const pairs = Math.min(CHUNK, Math.ceil((size - ledger.size()) / 2))
      await inParallel(pairs, async (at) => agents.act(await agents.decideAndAct(at)))
      const ms = performance.now() - start
      const rate = ((ledger.size() - first) * 1000) / ms
      const left = Math.max(0, size - ledger.size()) / rate
      plan.progress(
        `fill: ${ledger.size()} of ${size} entries, ${rate.toFixed(0)}/s, ${Math.ceil(left)} s left`,
      )
      if (ms > plan.fillMinutes * MINUTE_MS && ledger.size() < size)
        throw new Error(
          `the log of ${size} entries is not full after ${plan.fillMinutes} minutes: run again, or with --fill-minutes`,
        )
    }
    const rate = ((ledger.size() - first) * 1000) / (performance.now() - start)
    return { log, size: ledger.size(), rate }
  } finally {
    await ledger.close()
  }
}
