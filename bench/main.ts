/**
 * @module `npm run bench`: measures the service beside the primitives that it stands on, in one run. README.md says how,
 * and how to read it. Flags: `--quick` (a look, seconds), `--json FILE` (raw results).
 */
import { writeFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { benchDecide } from './decide.ts'
import { Load } from './load.ts'
import type { Figure } from './measure.ts'
import { type Plan, planOf } from './plan.ts'
import { benchProofsInProcess, benchProofsOverHttp } from './proofs.ts'
import { machineLine, type Run, tableOf, thisMachine } from './report.ts'
import { makeBenchLog, startBenchService } from './service.ts'
import { BareRate, benchSignature } from './signature.ts'
import { benchSubmit } from './submit.ts'

async function measureAll(plan: Plan): Promise<readonly Figure[]> {
  const bare = await BareRate.start()
  const log = makeBenchLog()
  try {
    const figures = [...(await benchSignature(plan, bare))]
    const service = await startBenchService(log)
    try {
      const load = await Load.start(log, service)
      try {
        figures.push(...(await benchSubmit(plan, bare, load)))
        figures.push(...(await benchDecide(plan, bare, load)))
        figures.push(...(await benchProofsOverHttp(plan, bare, load)))
      } finally {
        load.stop()
      }
    } finally {
      await service.stop()
    }
    figures.push(...(await benchProofsInProcess(plan, bare, log)))
    return figures
  } finally {
    await bare.stop()
    log.remove()
  }
}

const { values } = parseArgs({
  options: { json: { type: 'string' }, quick: { type: 'boolean', default: false } },
})
const plan = planOf(values.quick)
const machine = thisMachine()
process.stdout.write(`${machineLine(machine)}\n`)
const run: Run = {
  date: new Date().toISOString().slice(0, 10),
  quick: values.quick,
  rounds: plan.rounds,
  machine,
  figures: await measureAll(plan),
}
process.stdout.write(`${tableOf(run)}\n`)
if (values.json !== undefined) writeFileSync(values.json, `${JSON.stringify(run, null, 2)}\n`)
