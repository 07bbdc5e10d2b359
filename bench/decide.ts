/**
 * @module Decisions: a signed request in, policy, a durable entry, a signed permit out, one a request as AuthZEN has it.
 */
import type { Load } from './load.ts'
import { type Figure, Rounds } from './measure.ts'
import type { Plan } from './plan.ts'
import type { BareRate } from './signature.ts'
import { countFor } from './submit.ts'

const CONNECTIONS: readonly number[] = [1, 64]

/** Measures `/access/v1/evaluation`. Every answer has to be an allow. */
export async function benchDecide(
  plan: Plan,
  bare: BareRate,
  load: Load,
): Promise<readonly Figure[]> {
  const rounds = new Rounds('decide')
  const rates = new Map<number, number>()
  const run = async (connections: number, count: number) => {
    const report = await load.run({ what: 'decision', perRequest: 1, connections, count })
    rates.set(connections, report.rate)
    return report
  }
  for (const connections of CONNECTIONS) await run(connections, plan.warmUp / 2)
  for (let round = 1; round <= plan.rounds; round++)
    for (const connections of CONNECTIONS) {
      const name = `${connections} ${connections === 1 ? 'connection' : 'connections'}`
      plan.progress(`decide: round ${round} of ${plan.rounds}, ${name}`)
      const ceiling = await bare.measure('ES256', 2, plan.primitiveMs)
      const report = await run(connections, countFor(rates.get(connections) ?? 0, plan.loadMs, 1))
      rounds.add(name, 'evaluations/s', report.rate, ceiling)
      rounds.add(`${name}: p50`, 'ms', report.p50Ms)
      rounds.add(`${name}: p99`, 'ms', report.p99Ms)
    }
  return rounds.figures()
}
