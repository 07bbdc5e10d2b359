/**
 * @module The append path by itself: verified statements, prepared, through the real writer onto disk, beside a bare
 * LevelDB that writes the same bytes, synced, as values of 256 entries.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type BareLevel, keyOf, openBareLevel } from './bare-level.ts'
import { inParallel, type Ledger, LedgerAgents, openLedger } from './ledger.ts'
import { type Figure, Rounds } from './measure.ts'
import type { Plan } from './plan.ts'
import { makeBenchLog } from './service.ts'

const ENTRIES_OF_VALUE = 256
/** Entries of a synced batch: as many as the writer takes into one of its own at most. */
const ENTRIES_OF_BATCH = 1024
const AGENTS = 8

/** Writes entries as values of 256 in synced batches. @returns entries a second */
async function writeBare(
  database: BareLevel,
  entries: readonly Uint8Array[],
  first: number,
): Promise<number> {
  const start = performance.now()
  for (let from = 0; from < entries.length; from += ENTRIES_OF_BATCH) {
    const batch = database.batch()
    const to = Math.min(from + ENTRIES_OF_BATCH, entries.length)
    for (let at = from; at < to; at += ENTRIES_OF_VALUE)
      batch.put(
        keyOf(first + at),
        Buffer.concat(entries.slice(at, Math.min(at + ENTRIES_OF_VALUE, to))),
      )
    await batch.write({ sync: true })
  }
  return (entries.length * 1000) / (performance.now() - start)
}

async function appendOnce(
  ledger: Ledger,
  agents: LedgerAgents,
  count: number,
): Promise<{
  readonly rate: number
  readonly us: number
  readonly entries: readonly Uint8Array[]
}> {
  const ready = await inParallel(count, (at) => agents.decideAndAct(at))
  const before = process.cpuUsage()
  const start = performance.now()
  const indexes = await Promise.all(ready.map((one) => agents.act(one)))
  const ms = performance.now() - start
  const { user, system } = process.cpuUsage(before)
  const entries = indexes.map((index) => ledger.entryBytes(index))
  return { rate: (count * 1000) / ms, us: (user + system) / count, entries }
}

/** Measures both in turn, over the same entries. */
export async function benchDurable(plan: Plan): Promise<readonly Figure[]> {
  const rounds = new Rounds('durable')
  const root = mkdtempSync(join(tmpdir(), 'trustwarden-bare-'))
  const database = await openBareLevel(root)
  const log = makeBenchLog()
  try {
    const ledger = await openLedger(log)
    try {
      const agents = await LedgerAgents.start(ledger, log, AGENTS)
      plan.progress('durable: warming up')
      await appendOnce(ledger, agents, plan.appended / 4)
      for (let round = 0; round < plan.rounds; round++) {
        plan.progress(`durable: round ${round + 1} of ${plan.rounds}`)
        const { rate, us, entries } = await appendOnce(ledger, agents, plan.appended)
        const bare = await writeBare(database, entries, round * plan.appended)
        rounds.add('bare LevelDB, the same bytes', 'entries/s', bare)
        const ceiling = { of: 'bare LevelDB, the same bytes', rate: bare }
        rounds.add('append of verified entries', 'entries/s', rate, ceiling)
        rounds.add('append of verified entries: processor time', 'µs/entry', us)
        const bytes = entries.reduce((sum, { length }) => sum + length, 0)
        rounds.add('length of an entry', 'bytes', Math.round(bytes / entries.length))
      }
      return rounds.figures()
    } finally {
      await ledger.close()
    }
  } finally {
    await database.close()
    log.remove()
    rmSync(root, { recursive: true, force: true })
  }
}
