/**
 * @module Statements into the log: one a request at several concurrencies, and a hundred a request; rate, share of the
 * bare signature rate, latency at full and at half load.
 */
import type { Load, LoadOrder, LoadReport } from './load.ts'
import { type Figure, Rounds } from './measure.ts'
import type { Plan } from './plan.ts'
import { keepProfiles } from './profile.ts'
import { profileText } from './profile-report.ts'
import type { BenchService } from './service.ts'
import type { BareCeiling, BareRate } from './signature.ts'

interface Shape {
  readonly name: string
  readonly perRequest: number
  readonly connections: number
  /** Whether it is measured at half of its full load too. */
  readonly halved: boolean
}

const SHAPES: readonly Shape[] = [
  { name: '1 a request, 1 connection', perRequest: 1, connections: 1, halved: false },
  { name: '1 a request, 16 connections', perRequest: 1, connections: 16, halved: false },
  { name: '1 a request, 64 connections', perRequest: 1, connections: 64, halved: true },
  { name: '100 a request, 8 connections', perRequest: 100, connections: 8, halved: true },
]

/** At half load the rate is given, so the connections are only as many as are never all busy. */
const HALF_LOAD_CONNECTIONS = 128
/** Each statement needs a decision made before, whose permit has 30 s. */
const STATEMENTS_MAX = 20_000

/** Statements that keep the service busy for about `ms` at `rate`, in whole requests and at least ten of them. */
export function countFor(rate: number, ms: number, perRequest: number): number {
  const requests = Math.round(Math.min((rate * ms) / 1000, STATEMENTS_MAX) / perRequest)
  return Math.max(requests, 10) * perRequest
}

function addReport(rounds: Rounds, name: string, report: LoadReport): void {
  rounds.add(`${name}: p50`, 'ms', report.p50Ms)
  rounds.add(`${name}: p99`, 'ms', report.p99Ms)
}

/** What an entry costs, and as how many verifications: a busy machine moves this less than it moves the rate. */
function addProcessor(
  rounds: Rounds,
  name: string,
  { serviceUs, loadUs }: LoadReport,
  { processorUs }: BareCeiling,
): void {
  const one = { of: 'processor time of one ES256 verification', rate: processorUs }
  if (serviceUs !== undefined)
    rounds.add(`${name}: processor time of the service`, 'µs/entry', serviceUs, one)
  rounds.add(`${name}: processor time of the load`, 'µs/entry', loadUs, one)
}

/** Measures submitting. Every statement is an action on a decision of its own, and has to come out as `matched`. */
export async function benchSubmit(
  plan: Plan,
  bare: BareRate,
  load: Load,
): Promise<readonly Figure[]> {
  const rounds = new Rounds('submit')
  const rates = new Map<Shape, number>()
  for (const shape of SHAPES) {
    plan.progress(`submit: warming up, ${shape.name}`)
    const { connections, perRequest } = shape
    const count = Math.max(connections === 1 ? plan.warmUp / 10 : plan.warmUp, 10 * perRequest)
    const order: LoadOrder = { what: 'action', ...shape, count }
    rates.set(shape, (await load.run(order)).rate)
  }
  let statementBytes = 0
  for (let round = 1; round <= plan.rounds; round++)
    for (const shape of SHAPES) {
      const { name, perRequest } = shape
      plan.progress(`submit: round ${round} of ${plan.rounds}, ${name}`)
      const ceiling = await bare.measure('ES256', 2, plan.primitiveMs)
      const count = countFor(rates.get(shape) ?? 0, plan.loadMs, perRequest)
      const full = await load.run({ what: 'action', ...shape, count })
      rates.set(shape, full.rate)
      statementBytes = full.statementBytes
      rounds.add(name, 'entries/s', full.rate, ceiling)
      addReport(rounds, name, full)
      addProcessor(rounds, name, full, ceiling)
      if (!shape.halved) continue
      const half = await load.run({
        what: 'action',
        perRequest,
        connections: HALF_LOAD_CONNECTIONS,
        count: countFor(full.rate / 2, plan.loadMs, perRequest),
        requestsPerSecond: full.rate / 2 / perRequest,
      })
      addReport(rounds, `${name}, half load`, half)
    }
  rounds.add("length of an action's statement", 'bytes', statementBytes)
  return rounds.figures()
}

/** Shapes whose full load is profiled. */
const PROFILED = SHAPES.slice(2)

/** Says where the service's processor time goes under full load. The sampling itself costs some of it. */
export async function profileSubmit(
  plan: Plan,
  bare: BareRate,
  load: Load,
  { profiler }: BenchService,
  folder: string,
): Promise<string> {
  const texts: string[] = []
  for (const { name, perRequest, connections } of PROFILED) {
    plan.progress(`profile: ${name}`)
    const order = { what: 'action', perRequest, connections } as const
    const { rate } = await load.run({ ...order, count: plan.warmUp * 4 })
    const ceiling = await bare.measure('ES256', 2, plan.primitiveMs)
    const count = countFor(rate, plan.loadMs * 5, perRequest)
    await load.prepare({ ...order, count })
    await profiler.start()
    const report = await load.send()
    const profiles = await profiler.stop()
    const share = (report.rate / ceiling.rate).toFixed(3)
    texts.push(
      profileText(name, profiles, count),
      `${report.rate.toFixed(0)} entries/s while sampled, ${share} of ${ceiling.of}; load ${report.loadUs.toFixed(1)} µs an entry`,
      ...keepProfiles(folder, `${perRequest}-a-request`, profiles),
      '',
    )
  }
  return texts.join('\n')
}
