/**
 * @module The service over logs of several sizes: start, memory, half load right after a start and once what it left is
 * checked, rates, proofs, and a restart under load.
 */
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { countLost } from './acknowledged.ts'
import { copyLog } from './copy.ts'
import { filledLog } from './fill.ts'
import { Load, type LoadOrder } from './load.ts'
import { type Figure, Rounds } from './measure.ts'
import type { Plan } from './plan.ts'
import { memoryMib } from './processor.ts'
import { type BenchLog, type BenchService, freePort, startBenchService } from './service.ts'
import { Steady } from './steady.ts'
import { addLatency, countFor } from './submit.ts'

const CONNECTIONS = 64
const HALF_LOAD_CONNECTIONS = 128
const MANY = { perRequest: 100, connections: 8 } as const
/** How long load runs before it is restarted under, and after. */
const AROUND_RESTART_MS = 3_000

const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))

/** From starting the process to its first answer over HTTP, in ms. */
async function startTime(log: BenchLog): Promise<{ service: BenchService; answeredMs: number }> {
  const start = performance.now()
  const service = await startBenchService(log)
  const answer = await fetch(`${service.url}/readyz`)
  await answer.arrayBuffer()
  if (answer.status !== 200) throw new Error(`readyz answered ${answer.status}`)
  return { service, answeredMs: performance.now() - start }
}

const CHECKED = /^trustwarden_start_check_position 1$/m
const CHECK_POLL_MS = 250
const CHECK_MS_MAX = 1_200_000

/** Waits until the check behind the start is done. Returns how long that took, in ms. */
async function startChecked({ url }: BenchService): Promise<number> {
  const start = performance.now()
  for (;;) {
    const answer = await fetch(`${new URL(url).origin}/metrics`)
    if (CHECKED.test(await answer.text())) return performance.now() - start
    if (performance.now() - start > CHECK_MS_MAX)
      throw new Error('the check behind the start does not end')
    await sleep(CHECK_POLL_MS)
  }
}

/** Rates that the next round counts by. */
interface Rates {
  single: number
  many: number
  proofs: number
}

const halfOf = (plan: Plan, rate: number): LoadOrder => ({
  what: 'action',
  perRequest: 1,
  connections: HALF_LOAD_CONNECTIONS,
  count: countFor(rate / 2, plan.halfMs, 1),
  requestsPerSecond: rate / 2,
})

/** One round of load on a copy of the log, so that no round finds a larger one than the round before. */
async function measureLoad(plan: Plan, rounds: Rounds, log: BenchLog, rates: Rates): Promise<void> {
  const single = { what: 'action', perRequest: 1, connections: CONNECTIONS } as const
  const many = { what: 'action', ...MANY } as const
  const proofs = { what: 'proof', perRequest: 1, connections: CONNECTIONS } as const
  const { service } = await startTime(log)
  try {
    const load = await Load.start(log, service)
    try {
      // What half of the load is only an earlier round knows.
      if (rates.single > 0)
        addLatency(
          rounds,
          '1 a request, half load, right after the start',
          await load.run(halfOf(plan, rates.single)),
        )
      rounds.add('rest of the check behind the start', 'ms', await startChecked(service))
      rates.single = (await load.run({ ...single, count: plan.warmUp })).rate
      rates.many = (await load.run({ ...many, count: Math.max(plan.warmUp, 1000) })).rate
      rates.proofs = (await load.run({ ...proofs, count: plan.warmUp })).rate
      const full = await load.run({ ...single, count: countFor(rates.single, plan.loadMs, 1) })
      rates.single = full.rate
      rounds.add('1 a request, 64 connections', 'entries/s', full.rate)
      addLatency(rounds, '1 a request, 64 connections', full)
      const hundred = countFor(rates.many, plan.loadMs, MANY.perRequest)
      const { rate } = await load.run({ ...many, count: hundred })
      rounds.add('100 a request, 8 connections', 'entries/s', rate)
      const half = await load.run(halfOf(plan, full.rate))
      addLatency(rounds, '1 a request, half load', half)
      const proven = await load.run({ ...proofs, count: countFor(rates.proofs, plan.loadMs, 1) })
      rounds.add('inclusion proofs over HTTP, 64 connections', 'proofs/s', proven.rate)
      const { now, most } = memoryMib(service.pid)
      rounds.add('memory after load', 'MiB', now)
      rounds.add('memory, most', 'MiB', most)
    } finally {
      load.stop()
    }
  } finally {
    await service.stop()
  }
}

/** SIGTERM at half load, and at once the next process: when it first answers, and what became of what was answered. */
async function measureRestarts(
  plan: Plan,
  rounds: Rounds,
  log: BenchLog,
  perSecond: number,
): Promise<void> {
  const port = await freePort()
  let service = await startBenchService(log, { port })
  try {
    const steady = await Steady.start(log, service.url)
    try {
      await steady.begin({
        what: 'undecided',
        requestsPerSecond: perSecond,
        connections: CONNECTIONS,
      })
      for (let round = 1; round <= plan.rounds; round++) {
        plan.progress(`scale: restart ${round} of ${plan.rounds}`)
        await sleep(AROUND_RESTART_MS)
        const sentAt = Date.now()
        await service.stop()
        const stoppedAt = Date.now()
        const answered = steady.firstGoodAfter(stoppedAt)
        service = await startBenchService(log, { port })
        rounds.add('restart under half load: SIGTERM to its end', 'ms', stoppedAt - sentAt)
        const firstAt = await answered
        rounds.add(
          "restart under half load: SIGTERM to the next one's answer",
          'ms',
          firstAt - sentAt,
        )
      }
      await sleep(AROUND_RESTART_MS)
      const report = await steady.finish()
      rounds.add('restart under half load: entries answered', 'entries', report.good)
      rounds.add('restart under half load: not answered at the end', 'entries', report.unanswered)
      await service.stop()
      rounds.add('restart under half load: entries lost', 'entries', await countLost(log, report))
    } finally {
      steady.stop()
    }
  } finally {
    if (service.isRunning()) await service.stop()
  }
}

async function measureSize(plan: Plan, size: number): Promise<readonly Figure[]> {
  const name = size.toLocaleString('en-US')
  const rounds = new Rounds(`scale, ${name} entries`)
  const filled = await filledLog(plan, size, plan.sizes)
  const { log } = filled
  const work = join(plan.cache, `work-${process.pid}`)
  if (filled.rate !== undefined) rounds.add('filling it', 'entries/s', filled.rate)
  rounds.add('size of the tree', 'entries', filled.size)
  for (let round = 1; round <= plan.rounds; round++) {
    plan.progress(`scale: ${name} entries, start ${round} of ${plan.rounds}`)
    const { service, answeredMs } = await startTime(log)
    rounds.add('start to first answer', 'ms', answeredMs)
    rounds.add('memory after start', 'MiB', memoryMib(service.pid).now)
    await service.stop()
  }
  const rates: Rates = { single: 0, many: 0, proofs: 0 }
  for (let round = 1; round <= plan.rounds; round++) {
    plan.progress(`scale: ${name} entries, load, round ${round} of ${plan.rounds}`)
    await measureLoad(plan, rounds, copyLog(log, work), rates)
  }
  await measureRestarts(plan, rounds, copyLog(log, work), rates.single / 2)
  rmSync(work, { recursive: true, force: true })
  return rounds.figures()
}

/** The figures of one size as shares of those of another. */
function compared(few: readonly Figure[], many: readonly Figure[]): readonly Figure[] {
  const of = few[0]?.group ?? ''
  return many.map((figure) => {
    const before = few.find(({ name }) => name === figure.name)
    if (before === undefined || before.value.median === 0) return figure
    const rounds = figure.value.rounds.map((value) => value / before.value.median)
    const { median, low, high } = figure.value
    const share = (value: number): number => value / before.value.median
    return {
      ...figure,
      ratio: { of, rounds, median: share(median), low: share(low), high: share(high) },
    }
  })
}

/** Measures every size; ratios are to the medians of the smallest. A size that cannot be filled in time is left out. */
export async function benchScale(plan: Plan): Promise<readonly Figure[]> {
  const figures: (readonly Figure[])[] = []
  for (const size of plan.sizes)
    try {
      figures.push(await measureSize(plan, size))
    } catch (error) {
      plan.progress(
        `scale: ${size} entries: ${error instanceof Error ? error.message : String(error)}`,
      )
    }
  const [smallest = []] = figures
  return [smallest, ...figures.slice(1).map((one) => compared(smallest, one))].flat()
}
