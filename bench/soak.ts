/**
 * @module Half an hour of ordinary life at 60 % of what the service can take: decisions and the actions on them, restarts,
 * and audits and backups beside it. Nothing may be lost, and nothing may grow but the log.
 */
import { execFile, spawn } from 'node:child_process'
import { readdirSync, rmSync, statSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { countLost } from './acknowledged.ts'
import { auditLog } from './audit.ts'
import { copyLog } from './copy.ts'
import { type Figure, medianOf, Rounds } from './measure.ts'
import type { Plan } from './plan.ts'
import { memoryMib, openFiles } from './processor.ts'
import {
  type BenchLog,
  type BenchService,
  freePort,
  MAIN,
  makeBenchLog,
  serviceEnvironment,
  startBenchService,
} from './service.ts'
import { Steady, type SteadyReport } from './steady.ts'

const SHARE = 0.6
const CONNECTIONS = 64
const CAPACITY_MS = 10_000
/** More than can be taken: each connection sends its next request when it has its answer. */
const WITHOUT_LIMIT = 100_000
const SAMPLE_MS = 2_000
const RESTARTS = 5
const MINUTE_MS = 60_000

const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))

/** What is seen of the service from time to time. */
interface Sample {
  /** Which process of the service it was. */
  readonly life: number
  readonly memory: number
  readonly files: number
  readonly diskBytes: number
  readonly entries: number
}

/** Bytes of all files below a folder; one that goes away meanwhile counts no more. */
function bytesOf(folder: string): number {
  let sum = 0
  for (const file of readdirSync(folder, { withFileTypes: true, recursive: true }))
    try {
      if (file.isFile()) sum += statSync(join(file.parentPath, file.name)).size
    } catch {
      continue
    }
  return sum
}

async function sizeOf(log: BenchLog, url: string): Promise<number> {
  const name = log.origin.slice(log.origin.lastIndexOf('/') + 1)
  const answer = await fetch(`${url}/logs/${name}/checkpoint`)
  return Number((await answer.text()).split('\n')[1])
}

function succeeds(args: readonly string[]): Promise<boolean> {
  return new Promise((resolve) => {
    const child = spawn(process.execPath, [MAIN, ...args], {
      env: serviceEnvironment(),
      stdio: ['ignore', 'ignore', 'inherit'],
    })
    child.once('exit', (code) => resolve(code === 0))
  })
}

/** Whether this release has a command. */
function hasCommand(name: string): Promise<boolean> {
  return new Promise((resolve) => {
    execFile(process.execPath, [MAIN, '--help'], { env: serviceEnvironment() }, (_, out) =>
      resolve(new RegExp(`^ {2}${name} `, 'm').test(out)),
    )
  })
}

async function findCapacity(log: BenchLog, url: string): Promise<number> {
  const steady = await Steady.start(log, url)
  try {
    const order = { requestsPerSecond: WITHOUT_LIMIT, connections: CONNECTIONS } as const
    await steady.begin({ what: 'decided', ...order })
    await sleep(CAPACITY_MS)
    const { seconds } = await steady.finish()
    return medianOf(seconds.slice(1, -1).map(({ good, s }) => good / s))
  } finally {
    steady.stop()
  }
}

/** The service, its restarts, and what goes on beside it. */
class Soak {
  readonly samples: Sample[] = []
  /** How many of what went on beside. */
  readonly beside = new Map<string, number>()
  readonly #plan: Plan
  readonly #log: BenchLog
  readonly #rounds: Rounds
  readonly #port: number
  readonly #work: string
  #service: BenchService
  #life = 0
  /** One audit or backup at a time: they share the machine with the service. */
  #beside: Promise<void> = Promise.resolve()
  #busy = false

  constructor(plan: Plan, log: BenchLog, rounds: Rounds, port: number, service: BenchService) {
    this.#plan = plan
    this.#log = log
    this.#rounds = rounds
    this.#port = port
    this.#service = service
    // Beside the folder that is copied, not in it.
    this.#work = `${dirname(log.data)}-copy`
  }

  async run(steady: Steady): Promise<void> {
    const ms = this.#plan.minutes * MINUTE_MS
    const end = performance.now() + ms
    const hasBackup = await hasCommand('backup')
    if (!hasBackup) this.#plan.progress('soak: this service has no backups')
    for (let part = 1; part <= RESTARTS + 1; part++) {
      const until = end - (ms * (RESTARTS + 1 - part)) / (RESTARTS + 1)
      if (hasBackup) this.#goOnBeside('backups', () => this.#backUp(part))
      while (performance.now() < until) {
        await this.#sample()
        await sleep(SAMPLE_MS)
      }
      this.#plan.progress(`soak: part ${part} of ${RESTARTS + 1} is over`)
      if (part <= RESTARTS) await this.#restart(steady)
    }
    await this.#beside
  }

  async stop(): Promise<void> {
    await this.#beside
    rmSync(this.#work, { recursive: true, force: true })
    if (this.#service.isRunning()) await this.#service.stop()
  }

  async #restart(steady: Steady): Promise<void> {
    const from = Date.now()
    await this.#service.stop()
    const copy = this.#busy ? undefined : copyLog(this.#log, this.#work)
    const answered = steady.firstGoodAfter(Date.now())
    this.#service = await startBenchService(this.#log, { port: this.#port })
    this.#life++
    this.#rounds.add("restart: SIGTERM to the next one's answer", 'ms', (await answered) - from)
    if (copy !== undefined)
      this.#goOnBeside('audits', async () => {
        await auditLog(copy, 'signatures')
        rmSync(this.#work, { recursive: true, force: true })
      })
  }

  #goOnBeside(what: string, run: () => Promise<void>): void {
    if (this.#busy) return
    this.#busy = true
    this.#beside = run()
      .then(
        () => this.#count(`${what} that were good`),
        (error: unknown) => {
          this.#plan.progress(`soak: ${error instanceof Error ? error.message : String(error)}`)
          this.#count(`${what} that were not good`)
        },
      )
      .finally(() => {
        this.#busy = false
      })
  }

  #count(what: string): void {
    this.beside.set(what, (this.beside.get(what) ?? 0) + 1)
  }

  async #backUp(part: number): Promise<void> {
    const to = `${dirname(this.#log.data)}-backup-${part}`
    const { operator, anchor } = this.#log
    const who = ['--trust', anchor, '--key', operator, '--as', 'operator']
    const isGood = await succeeds(['backup', '--to', to, '--url', this.#service.url, ...who])
    rmSync(to, { recursive: true, force: true })
    if (!isGood) throw new Error('a backup failed')
  }

  async #sample(): Promise<void> {
    const { pid, url } = this.#service
    this.samples.push({
      life: this.#life,
      memory: memoryMib(pid).now,
      files: openFiles(pid),
      diskBytes: bytesOf(this.#log.data),
      entries: await sizeOf(this.#log, url),
    })
  }
}

/** The second half of one life: what it held once it was warm. */
function settled(samples: readonly Sample[], life: number): readonly Sample[] {
  const own = samples.filter((sample) => sample.life === life)
  return own.slice(Math.floor(own.length / 2))
}

function addGrowth(rounds: Rounds, samples: readonly Sample[]): void {
  const lives = [...new Set(samples.map(({ life }) => life))]
  for (const life of lives) {
    const own = settled(samples, life)
    if (own.length === 0) continue
    rounds.add('memory, each process once warm', 'MiB', medianOf(own.map(({ memory }) => memory)))
    rounds.add(
      'open files, each process once warm',
      'files',
      medianOf(own.map(({ files }) => files)),
    )
  }
  const third = Math.floor(samples.length / 3)
  const parts = [samples.slice(0, third), samples.slice(third, 2 * third), samples.slice(2 * third)]
  for (const part of parts) {
    const [first, last] = [part[0], part.at(-1)]
    if (first === undefined || last === undefined || last.entries <= first.entries) continue
    const bytes = (last.diskBytes - first.diskBytes) / (last.entries - first.entries)
    rounds.add('disk, each third of the time', 'bytes/entry', bytes)
  }
}

function addReport(rounds: Rounds, report: SteadyReport): void {
  rounds.add('requests answered', 'requests', report.good)
  rounds.add('requests: p50', 'ms', report.goodP50Ms)
  rounds.add('requests: p99', 'ms', report.goodP99Ms)
  rounds.add('requests: worst', 'ms', report.goodWorstMs)
  rounds.add('connections cut by restarts', 'requests', report.cut)
  for (const [code, count] of report.codes) rounds.add(`refused as ${code}`, 'requests', count)
  for (const [outcome, count] of report.outcomes)
    rounds.add(`entries: ${outcome}`, 'entries', count)
  rounds.add('not answered at the end', 'requests', report.unanswered)
}

/** Lives through the soak. */
export async function benchSoak(plan: Plan): Promise<readonly Figure[]> {
  const rounds = new Rounds(`soak, ${plan.minutes} minutes`)
  const log = makeBenchLog()
  const port = await freePort()
  const service = await startBenchService(log, { port })
  const soak = new Soak(plan, log, rounds, port, service)
  try {
    plan.progress('soak: finding the capacity')
    const capacity = await findCapacity(log, service.url)
    rounds.add('capacity, decisions and actions, 64 connections', 'requests/s', capacity)
    const steady = await Steady.start(log, service.url)
    try {
      const requestsPerSecond = capacity * SHARE
      await steady.begin({ what: 'decided', requestsPerSecond, connections: CONNECTIONS })
      await soak.run(steady)
      const report = await steady.finish()
      addReport(rounds, report)
      addGrowth(rounds, soak.samples)
      for (const [what, count] of soak.beside) rounds.add(what, 'processes', count)
      await soak.stop()
      plan.progress('soak: looking for what was acknowledged')
      rounds.add('entries lost', 'entries', await countLost(log, report))
      plan.progress('soak: the last audit')
      const { entries } = await auditLog(log, 'signatures')
      rounds.add('entries of the last audit, which holds', 'entries', entries)
    } finally {
      steady.stop()
    }
    return rounds.figures()
  } finally {
    await soak.stop()
    log.remove()
  }
}
