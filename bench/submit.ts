/**
 * @module Statements into the log: one a request at several concurrencies, and a hundred a request; rate, share of the
 * bare signature rate, latency at full and at half load.
 */
import type { Load, LoadKind, LoadReport } from './load.ts'
import { type Figure, Rounds } from './measure.ts'
import type { Plan } from './plan.ts'
import { keepProfiles } from './profile.ts'
import { profileText } from './profile-report.ts'
import type { BenchService } from './service.ts'
import type { Algorithm, BareCeiling, BareRate } from './signature.ts'

interface Shape {
  readonly name: string
  readonly what: LoadKind
  readonly alg: Algorithm
  readonly perRequest: number
  readonly connections: number
  /** Whether it is measured at half of its full load too. */
  readonly halved: boolean
}

const actions = { what: 'action', alg: 'ES256' } as const
/** The only statements that an Ed25519 key signs in any number: agents' keys are P-256. */
const enrolments = { what: 'enrolment', alg: 'EdDSA', halved: false } as const

const SHAPES: readonly Shape[] = [
  { name: '1 a request, 1 connection', ...actions, perRequest: 1, connections: 1, halved: false },
  { name: '1 a request, 64 connections', ...actions, perRequest: 1, connections: 64, halved: true },
  {
    name: '1 a request, 256 connections',
    ...actions,
    perRequest: 1,
    connections: 256,
    halved: false,
  },
  {
    name: '100 a request, 8 connections',
    ...actions,
    perRequest: 100,
    connections: 8,
    halved: true,
  },
  { name: 'Ed25519, 1 a request, 64 connections', ...enrolments, perRequest: 1, connections: 64 },
  { name: 'Ed25519, 100 a request, 8 connections', ...enrolments, perRequest: 100, connections: 8 },
]

/** At half load the rate is given, so the connections are only as many as are never all busy. */
const HALF_LOAD_CONNECTIONS = 128
/** Statements of a run, at most: each is signed before, and an action needs a decision. */
const STATEMENTS_MAX = 40_000

/** Statements that keep the service busy for about `ms` at `rate`, in whole requests and at least ten of them. */
export function countFor(rate: number, ms: number, perRequest: number): number {
  const requests = Math.round(Math.min((rate * ms) / 1000, STATEMENTS_MAX) / perRequest)
  return Math.max(requests, 10) * perRequest
}

/** Adds a run's latencies. */
export function addLatency(rounds: Rounds, name: string, report: LoadReport): void {
  rounds.add(`${name}: p50`, 'ms', report.p50Ms)
  rounds.add(`${name}: p99`, 'ms', report.p99Ms)
  rounds.add(`${name}: worst`, 'ms', report.worstMs)
}

/** What an entry costs, and as how many verifications: a busy machine moves this less than it moves the rate. */
function addProcessor(
  rounds: Rounds,
  name: string,
  { serviceUs, loadUs }: LoadReport,
  { processorUs, of }: BareCeiling,
): void {
  const one = { of: `processor time of one of ${of}`, rate: processorUs }
  if (serviceUs !== undefined)
    rounds.add(`${name}: processor time of the service`, 'µs/entry', serviceUs, one)
  rounds.add(`${name}: processor time of the load`, 'µs/entry', loadUs, one)
}

async function warmUp(plan: Plan, load: Load, shape: Shape): Promise<number> {
  plan.progress(`submit: warming up, ${shape.name}`)
  const { connections, perRequest, what } = shape
  const most = connections === 1 ? plan.warmUp / 10 : plan.warmUp
  const count = Math.max(most, 10 * perRequest)
  return (await load.run({ what, perRequest, connections, count })).rate
}

/** Measures submitting. Every statement has to be registered with the outcome it must have, and its receipt to open. */
export async function benchSubmit(
  plan: Plan,
  bare: BareRate,
  load: Load,
): Promise<readonly Figure[]> {
  const rounds = new Rounds('submit')
  const rates = new Map<Shape, number>()
  for (const shape of SHAPES) rates.set(shape, await warmUp(plan, load, shape))
  const lengths = new Map<LoadKind, number>()
  for (let round = 1; round <= plan.rounds; round++)
    for (const shape of SHAPES) {
      const { name, perRequest, what, alg, connections } = shape
      plan.progress(`submit: round ${round} of ${plan.rounds}, ${name}`)
      const count = countFor(rates.get(shape) ?? 0, plan.loadMs, perRequest)
      await load.prepare({ what, perRequest, connections, count })
      // Right before the load: a machine that is busy with others is so for both.
      const ceiling = await bare.measure(alg, 2, plan.primitiveMs)
      const full = await load.send()
      rates.set(shape, full.rate)
      lengths.set(what, full.statementBytes)
      rounds.add(name, 'entries/s', full.rate, ceiling)
      addLatency(rounds, name, full)
      addProcessor(rounds, name, full, ceiling)
      if (!shape.halved) continue
      const half = await load.run({
        what,
        perRequest,
        connections: HALF_LOAD_CONNECTIONS,
        count: countFor(full.rate / 2, plan.loadMs, perRequest),
        requestsPerSecond: full.rate / 2 / perRequest,
      })
      addLatency(rounds, `${name}, half load`, half)
    }
  rounds.add("length of an action's statement", 'bytes', lengths.get('action') ?? 0)
  rounds.add("length of an enrolment's statement", 'bytes', lengths.get('enrolment') ?? 0)
  return rounds.figures()
}

/** Shapes whose full load is profiled. */
const PROFILED = SHAPES.slice(1).filter(({ connections }) => connections !== 256)

/** Says where the service's processor time goes under full load. The sampling itself costs some of it. */
export async function profileSubmit(
  plan: Plan,
  bare: BareRate,
  load: Load,
  { profiler }: BenchService,
  folder: string,
): Promise<string> {
  const texts: string[] = []
  for (const { name, what, alg, perRequest, connections } of PROFILED) {
    plan.progress(`profile: ${name}`)
    const order = { what, perRequest, connections } as const
    const { rate } = await load.run({ ...order, count: plan.warmUp * 4 })
    const ceiling = await bare.measure(alg, 2, plan.primitiveMs)
    const count = countFor(rate, plan.loadMs * 5, perRequest)
    await load.prepare({ ...order, count })
    await profiler.start()
    const report = await load.send()
    const profiles = await profiler.stop()
    const share = (report.rate / ceiling.rate).toFixed(3)
    texts.push(
      profileText(name, profiles, count),
      `${report.rate.toFixed(0)} entries/s while sampled, ${share} of ${ceiling.of}; load ${report.loadUs.toFixed(1)} µs an entry`,
      ...keepProfiles(folder, `${what}-${perRequest}-a-request`, profiles),
      '',
    )
  }
  return texts.join('\n')
}
