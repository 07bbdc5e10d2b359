/**
 * @module Five times as much as the service can take, for a minute: what still gets through, how fast the rest is refused,
 * whether a revocation gets through, and how soon all is well again. Then revocations while intake is stopped for other
 * reasons.
 */
import { statfsSync } from 'node:fs'
import { PersonKey, TrustWarden } from 'trustwarden'
import { countLost } from './acknowledged.ts'
import { startAgent } from './agents.ts'
import { Connection } from './connection.ts'
import { Load } from './load.ts'
import { type Figure, medianOf, Rounds } from './measure.ts'
import type { Plan } from './plan.ts'
import { statementRequest } from './prepare.ts'
import { memoryMib, processorUs } from './processor.ts'
import {
  type BenchLog,
  type BenchService,
  makeBenchLog,
  type StartOptions,
  startBenchService,
} from './service.ts'
import { serviceModule } from './service-module.ts'
import { type Signer, signerOf, signStatement } from './sign.ts'
import { Steady } from './steady.ts'
import { countFor } from './submit.ts'

const TIMES = 5

/** One overload. */
interface Shape {
  readonly perRequest: number
  /** Over which the capacity is found. */
  readonly few: number
  /** Over which the overload is sent: more than the service has time for at once; files are the limit. */
  readonly many: number
}

/** A refusal costs the service and the load as much for ten statements as for one. */
const SHAPES: readonly Shape[] = [
  { perRequest: 1, few: 256, many: 9_000 },
  { perRequest: 10, few: 64, many: 2_000 },
]
/** A service that has just started is slower than it will be. */
const CAPACITY_STATEMENTS_MIN = 4_000
const REVOCATIONS = 10
const PROBE_MS = 50
const PROBES = 10
/** A revocation that takes longer is given up, and counts as this long. */
const ANSWER_MS_MAX = 10_000
const RECOVERY_MS_MAX = 60_000
const METRICS_MS = 500
const SECOND_MS = 1000
/** Submissions under way, of each lane and stage, as the service says it to Prometheus. */
const QUEUED = /^trustwarden_queue_submissions\{[^}]*\} (\d+)/gm
/** Beyond what may part before intake stops. */
const CLOCK_STEP_MS = 60_000
const GIB = 1_073_741_824

const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))

/** An owner, who has agents that are there to be revoked. */
class Revoker {
  readonly instances: string[] = []
  readonly #url: URL
  readonly #origin: string
  readonly #signer: Signer
  #kept: Connection
  readonly #progress: Plan['progress']

  private constructor(log: BenchLog, url: string, kept: Connection, { progress }: Plan) {
    const owner = PersonKey.fromFile(log.owner)
    this.#url = new URL(url)
    this.#origin = log.origin
    this.#signer = signerOf(owner.principal('owner'), owner)
    this.#kept = kept
    this.#progress = progress
  }

  static async start(plan: Plan, log: BenchLog, url: string): Promise<Revoker> {
    return new Revoker(log, url, await Connection.open(new URL(url)), plan)
  }

  /** Revokes an agent over a connection of its own or over one that is there. @returns how long that took, in ms */
  async revoke(instance: string, over: 'new' | 'kept'): Promise<number> {
    const target = `inst:${instance}`
    const signed = signStatement(this.#signer, this.#origin, {
      type: 'agent.revoke',
      subject: target,
      payload: { reason: 'compromised', target },
    })
    const request = statementRequest(this.#url, this.#origin, signed)
    const start = performance.now()
    try {
      const connection = over === 'kept' ? this.#kept : await Connection.open(this.#url)
      const answer = await within(connection.request(request), ANSWER_MS_MAX)
      const ms = performance.now() - start
      if (over === 'new') connection.close()
      const text = answer.body.toString()
      if (answer.status !== 200 || !text.includes('"status":"registered"'))
        throw new Error(`status ${answer.status}: ${text.slice(0, 200)}`)
      return ms
    } catch (error) {
      // It counts as long as it took to fail: the figure says that it is none.
      this.#progress(`overload: a revocation was not taken: ${messageOf(error)}`)
      return Math.max(ANSWER_MS_MAX, performance.now() - start)
    }
  }

  /** Opens the connection that is there anew: one that says nothing for long is closed by the service. */
  async keep(): Promise<void> {
    this.#kept.close()
    this.#kept = await Connection.open(this.#url)
  }

  close(): void {
    this.#kept.close()
  }
}

/** Issues agents that are there to be revoked. */
async function issueAgents(log: BenchLog, url: string): Promise<readonly string[]> {
  const client = await TrustWarden.connect({ url, trust: log.anchor })
  const owner = PersonKey.fromFile(log.owner)
  const instances: string[] = []
  for (let at = 0; at < REVOCATIONS; at++)
    instances.push((await startAgent(client, owner, `bench/revoked-${at}`)).instance)
  return instances
}

function within<T>(promise: Promise<T>, ms: number): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`no answer in ${ms} ms`)), ms)
    promise.then(resolve, reject).finally(() => clearTimeout(timer))
  })
}

const messageOf = (error: unknown): string =>
  error instanceof Error ? error.message : String(error)

/** In statements a second. */
async function findCapacity(
  plan: Plan,
  log: BenchLog,
  service: BenchService,
  { perRequest, few: connections }: Shape,
): Promise<number> {
  const load = await Load.start(log, service)
  try {
    const order = { what: 'undecided', perRequest, connections } as const
    let { rate } = await load.run({ ...order, count: CAPACITY_STATEMENTS_MIN })
    const rates: number[] = []
    for (let round = 0; round < plan.rounds; round++) {
      const count = Math.max(CAPACITY_STATEMENTS_MIN, countFor(rate, plan.loadMs, perRequest))
      ;({ rate } = await load.run({ ...order, count }))
      rates.push(rate)
    }
    return medianOf(rates)
  } finally {
    load.stop()
  }
}

/** Watches what the service says of its queue, until it is told to stop. */
function watchQueue(url: string): { readonly stop: () => number } {
  let most = 0
  const timer = setInterval(() => {
    fetch(`${url}/metrics`)
      .then((answer) => answer.text())
      .then((text) => {
        const lengths = [...text.matchAll(QUEUED)].map(([, length]) => Number(length))
        // Without the gauge no number is better than 0.
        const length = lengths.length === 0 ? Number.NaN : lengths.reduce((a, b) => a + b)
        most = Math.max(most, length)
      })
      .catch(() => undefined)
  }, METRICS_MS)
  return {
    stop: () => {
      clearInterval(timer)
      return most
    },
  }
}

/** From now until several requests in a row were answered at once, in ms, without the time that those took. */
async function timeRecovery(url: string): Promise<number> {
  const start = performance.now()
  let [inRow, since] = [0, start]
  while (inRow < PROBES) {
    const from = performance.now()
    if (from - start > RECOVERY_MS_MAX) return RECOVERY_MS_MAX
    const answer = await fetch(`${url}/readyz`)
    await answer.arrayBuffer()
    const isGood = answer.status === 200 && performance.now() - from < PROBE_MS
    if (!isGood) [inRow, since] = [0, performance.now()]
    else inRow++
  }
  return since - start
}

interface Ceiling {
  readonly of: string
  readonly rate: number
}

async function overload(plan: Plan, rounds: Rounds, log: BenchLog, shape: Shape): Promise<void> {
  const { perRequest, few, many } = shape
  const add = (name: string, unit: string, value: number, ceiling?: Ceiling): void =>
    rounds.add(`${perRequest} a request: ${name}`, unit, value, ceiling)
  const service = await startBenchService(log)
  try {
    const instances = await issueAgents(log, service.url)
    const revoker = await Revoker.start(plan, log, service.url)
    plan.progress('overload: finding the capacity')
    const capacity = await findCapacity(plan, log, service, shape)
    add(`capacity, ${few} connections`, 'entries/s', capacity)
    const before = memoryMib(service.pid)
    const steady = await Steady.start(log, service.url)
    try {
      plan.progress(
        `overload: ${TIMES} times ${capacity.toFixed(0)}/s, ${perRequest} a request, for ${plan.overloadSeconds} s`,
      )
      const queue = watchQueue(service.url)
      await steady.begin({
        what: 'undecided',
        requestsPerSecond: (capacity * TIMES) / perRequest,
        connections: many,
        perRequest,
      })
      const used = processorUs(service.pid) ?? 0
      const stepMs = (plan.overloadSeconds * SECOND_MS) / (REVOCATIONS + 1)
      for (const [at, instance] of instances.entries()) {
        const over = at % 2 === 0 ? 'new' : 'kept'
        await sleep(stepMs / 2)
        await revoker.keep()
        await sleep(stepMs / 2)
        const ms = await revoker.revoke(instance, over)
        add(`a revocation in the midst of it, ${over} connection`, 'ms', ms)
      }
      await sleep(stepMs)
      const usedUs = (processorUs(service.pid) ?? 0) - used
      add('processors that the service got', 'of them', usedUs / 1e6 / plan.overloadSeconds)
      add('memory, most', 'MiB', memoryMib(service.pid).most)
      add('memory before it', 'MiB', before.now)
      const finished = steady.finish()
      const recovery = await timeRecovery(service.url)
      const report = await finished
      add('recovery', 'ms', recovery)
      add('queue, most that was seen', 'entries', queue.stop())
      const whole = report.seconds.slice(1, plan.overloadSeconds)
      for (const second of whole)
        add('goodput by second', 'entries/s', second.good * perRequest, {
          of: 'capacity',
          rate: capacity,
        })
      const offered = whole.map(
        ({ s, good, refused, unsent }) => ((good + refused + unsent) * perRequest) / s,
      )
      add('due by second', 'entries/s', medianOf(offered))
      const sent = whole.map(({ s, good, refused }) => ((good + refused) * perRequest) / s)
      add('answered by second', 'entries/s', medianOf(sent))
      add('refused', 'requests', report.refused)
      add('refused: p99', 'ms', report.refusedP99Ms)
      add('taken: p50', 'ms', report.goodP50Ms)
      add('taken: p99', 'ms', report.goodP99Ms)
      add('connections cut', 'requests', report.cut)
      for (const [code, count] of report.codes) add(`refused as ${code}`, 'requests', count)
      add('processor time of the load', 'µs/request', report.loadUs)
      add("delay of the load's own event loop: p99", 'ms', report.loadDelayP99Ms)
      add('crashes', 'processes', service.isRunning() ? 0 : 1)
      await service.stop()
      add('entries lost', 'entries', await countLost(log, report))
    } finally {
      steady.stop()
    }
  } finally {
    if (service.isRunning()) await service.stop()
  }
}

/** Revokes agents while intake is stopped; that it is stopped is seen by an issuance being refused. */
async function revokeWhileStopped(
  plan: Plan,
  rounds: Rounds,
  log: BenchLog,
  why: string,
  options: StartOptions,
  stopIntake: (service: BenchService) => void,
): Promise<void> {
  plan.progress(`overload: revocations under ${why}`)
  // By a service of its own: this one may take no issuance from its start on.
  const before = await startBenchService(log)
  const instances = await issueAgents(log, before.url)
  await before.stop()
  const service = await startBenchService(log, options)
  try {
    const revoker = await Revoker.start(plan, log, service.url)
    stopIntake(service)
    const refused = await issueAgents(log, service.url).then(
      () => false,
      () => true,
    )
    if (!refused) throw new Error(`intake was not stopped by ${why}`)
    for (const instance of instances)
      rounds.add(`a revocation under ${why}`, 'ms', await revoker.revoke(instance, 'new'))
    revoker.close()
  } finally {
    await service.stop()
  }
}

/** The flag that sets the floor of free space, if this service has one. */
async function floorFlag(): Promise<string | undefined> {
  const { SETTINGS } = await serviceModule<typeof import('../src/config.ts')>('config')
  const settings: Readonly<Record<string, { readonly flag: string }>> = SETTINGS
  return settings['freeSpaceFloor']?.flag
}

/** More than is free, in GiB. */
function floorAbove(path: string): string {
  const { bavail, bsize } = statfsSync(path)
  return `${Math.ceil((bavail * bsize) / GIB) + 64}GiB`
}

/** Measures an overload, and revocations under everything else that stops intake. What fails does not end the rest. */
export async function benchOverload(plan: Plan): Promise<readonly Figure[]> {
  const rounds = new Rounds('overload')
  const log = makeBenchLog()
  const attempt = async (what: string, run: () => Promise<void>): Promise<void> => {
    try {
      await run()
    } catch (error) {
      plan.progress(`overload: ${what} FAILED: ${messageOf(error)}`)
      rounds.add(`${what}: FAILED`, 'processes', 1)
    }
  }
  try {
    for (const shape of SHAPES)
      await attempt(`the overload, ${shape.perRequest} a request`, () =>
        overload(plan, rounds, log, shape),
      )
    const settable = { settable: true }
    await attempt('revocations under a clock stop', () =>
      revokeWhileStopped(plan, rounds, log, 'a clock stop', settable, (service) =>
        service.setClock(CLOCK_STEP_MS),
      ),
    )
    const flag = await floorFlag()
    if (flag === undefined)
      plan.progress('overload: this service has no floor of free space to revoke under')
    else {
      const flags = [`--${flag}`, floorAbove(log.data)]
      const why = 'the floor of free space'
      await attempt(`revocations under ${why}`, () =>
        revokeWhileStopped(plan, rounds, log, why, { flags }, () => undefined),
      )
    }
    return rounds.figures()
  } finally {
    log.remove()
  }
}
