/**
 * @module `npm run bench`: measures the service beside the primitives that it stands on, in one run. README.md says how,
 * and how to read it. Flags: `--only PART,…`, `--quick` (a look, seconds), `--json FILE` (raw results), `--profile`
 * (where the processor time of submitting goes, instead of figures).
 */
import { mkdtempSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { benchAudit } from './audit.ts'
import { benchDecide } from './decide.ts'
import { benchDurable } from './durable.ts'
import { Load } from './load.ts'
import type { Figure } from './measure.ts'
import { benchOverload } from './overload.ts'
import { benchPeer, missingPeer } from './peer.ts'
import { type Plan, planOf } from './plan.ts'
import { benchProofsInProcess, benchProofsOverHttp } from './proofs.ts'
import { machineLine, type Run, tableOf, thisMachine } from './report.ts'
import { benchScale } from './scale.ts'
import { type BenchLog, type BenchService, makeBenchLog, startBenchService } from './service.ts'
import { benchSoak } from './soak.ts'
import { BareRate, benchSignature } from './signature.ts'
import { benchSubmit, profileSubmit } from './submit.ts'

/** What a run without `--only` measures. */
const USUAL = ['signature', 'submit', 'peer', 'decide', 'proofs', 'durable'] as const
/** What takes longer, or makes logs that are kept: by name alone. */
const LONG = ['audit', 'scale', 'overload', 'soak'] as const
const PARTS = [...USUAL, ...LONG] as const
type Part = (typeof PARTS)[number]

const isPart = (name: string): name is Part => (PARTS as readonly string[]).includes(name)

function readParts(only: string | undefined): ReadonlySet<Part> {
  const names = only?.split(',') ?? USUAL
  const parts = names.filter(isPart)
  if (parts.length < names.length) throw new Error(`--only takes of ${PARTS.join(', ')}`)
  return new Set(parts)
}

async function withLoad<T>(
  log: BenchLog,
  profiled: boolean,
  run: (load: Load, service: BenchService) => Promise<T>,
): Promise<T> {
  const service = await startBenchService(log, { profiled })
  try {
    const load = await Load.start(log, service)
    try {
      return await run(load, service)
    } finally {
      load.stop()
    }
  } finally {
    await service.stop()
  }
}

async function measureAll(plan: Plan, parts: ReadonlySet<Part>): Promise<readonly Figure[]> {
  const bare = await BareRate.start()
  const log = makeBenchLog()
  try {
    const figures: Figure[] = []
    if (parts.has('signature')) figures.push(...(await benchSignature(plan, bare)))
    const missing = missingPeer()
    if (parts.has('peer') && missing !== undefined) plan.progress(missing)
    if (parts.has('submit') || parts.has('peer') || parts.has('decide') || parts.has('proofs'))
      await withLoad(log, false, async (load) => {
        if (parts.has('submit')) figures.push(...(await benchSubmit(plan, bare, load)))
        if (parts.has('peer') && missing === undefined)
          figures.push(...(await benchPeer(plan, load)))
        if (parts.has('decide')) figures.push(...(await benchDecide(plan, bare, load)))
        if (parts.has('proofs')) figures.push(...(await benchProofsOverHttp(plan, bare, load)))
      })
    if (parts.has('proofs')) figures.push(...(await benchProofsInProcess(plan, bare, log)))
    if (parts.has('durable')) figures.push(...(await benchDurable(plan)))
    if (parts.has('audit')) figures.push(...(await benchAudit(plan, bare)))
    if (parts.has('scale')) figures.push(...(await benchScale(plan)))
    if (parts.has('overload')) figures.push(...(await benchOverload(plan)))
    if (parts.has('soak')) figures.push(...(await benchSoak(plan)))
    return figures
  } finally {
    await bare.stop()
    log.remove()
  }
}

async function profile(plan: Plan): Promise<string> {
  const bare = await BareRate.start()
  const log = makeBenchLog()
  const folder = mkdtempSync(join(tmpdir(), 'trustwarden-profile-'))
  try {
    return await withLoad(log, true, (load, service) =>
      profileSubmit(plan, bare, load, service, folder),
    )
  } finally {
    await bare.stop()
    log.remove()
  }
}

const { values } = parseArgs({
  options: {
    cache: { type: 'string' },
    'fill-minutes': { type: 'string' },
    json: { type: 'string' },
    minutes: { type: 'string' },
    only: { type: 'string' },
    profile: { type: 'boolean', default: false },
    quick: { type: 'boolean', default: false },
    rounds: { type: 'string' },
    sizes: { type: 'string' },
  },
})

/** A positive number of a flag. */
function numberOf(flag: string, text: string): number {
  const value = Number(text)
  if (!(value > 0)) throw new Error(`--${flag} is "${text}", a positive number is needed`)
  return value
}

const { quick, cache, minutes, rounds, sizes, 'fill-minutes': fillMinutes } = values
const plan = planOf({
  quick,
  ...(cache === undefined ? {} : { cache }),
  ...(rounds === undefined ? {} : { rounds: numberOf('rounds', rounds) }),
  ...(minutes === undefined ? {} : { minutes: numberOf('minutes', minutes) }),
  ...(fillMinutes === undefined ? {} : { fillMinutes: numberOf('fill-minutes', fillMinutes) }),
  ...(sizes === undefined
    ? {}
    : {
        sizes: sizes
          .split(',')
          .map((size) => numberOf('sizes', size))
          .toSorted((a, b) => a - b),
      }),
})
const parts = readParts(values.only)
const machine = thisMachine()
process.stdout.write(`${machineLine(machine)}\n`)
if (values.profile) {
  process.stdout.write(`${await profile(plan)}\n`)
} else {
  const run: Run = {
    date: new Date().toISOString().slice(0, 10),
    quick: values.quick,
    rounds: plan.rounds,
    machine,
    figures: await measureAll(plan, parts),
  }
  process.stdout.write(`${tableOf(run)}\n`)
  if (values.json !== undefined) writeFileSync(values.json, `${JSON.stringify(run, null, 2)}\n`)
}
