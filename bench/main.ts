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
import { benchFloor } from './floor.ts'
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
const USUAL = ['signature', 'floor', 'submit', 'peer', 'decide', 'proofs', 'durable'] as const
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

/** Gathers the figures of all parts. One that fails ends itself alone: what others found is not lost. */
class Results {
  readonly figures: Figure[] = []
  failures = 0
  readonly #plan: Plan
  readonly #parts: ReadonlySet<Part>

  constructor(plan: Plan, parts: ReadonlySet<Part>) {
    this.#plan = plan
    this.#parts = parts
  }

  wants(...parts: readonly Part[]): boolean {
    return parts.some((part) => this.#parts.has(part))
  }

  async add(part: Part, measure: () => Promise<readonly Figure[]>): Promise<void> {
    if (!this.wants(part)) return
    try {
      this.figures.push(...(await measure()))
    } catch (error) {
      this.failures++
      this.#plan.progress(`${part} FAILED: ${error instanceof Error ? error.stack : String(error)}`)
    }
  }
}

async function measureAll(plan: Plan, parts: ReadonlySet<Part>): Promise<Results> {
  const results = new Results(plan, parts)
  const bare = await BareRate.start()
  const log = makeBenchLog()
  const missing = results.wants('peer') ? missingPeer() : undefined
  if (missing !== undefined) plan.progress(missing)
  try {
    await results.add('signature', () => benchSignature(plan, bare))
    await results.add('floor', () => benchFloor(plan, bare))
    if (results.wants('submit', 'peer', 'decide', 'proofs'))
      await withLoad(log, false, async (load) => {
        await results.add('submit', () => benchSubmit(plan, bare, load))
        if (missing === undefined) await results.add('peer', () => benchPeer(plan, load))
        await results.add('decide', () => benchDecide(plan, bare, load))
        await results.add('proofs', () => benchProofsOverHttp(plan, load))
      })
    await results.add('proofs', () => benchProofsInProcess(plan, bare, log))
    await results.add('durable', () => benchDurable(plan))
    await results.add('audit', () => benchAudit(plan, bare))
    await results.add('scale', () => benchScale(plan))
    await results.add('overload', () => benchOverload(plan))
    await results.add('soak', () => benchSoak(plan))
    return results
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
  const { figures, failures } = await measureAll(plan, parts)
  const date = new Date().toISOString().slice(0, 10)
  const run: Run = { date, quick, rounds: plan.rounds, machine, figures }
  process.stdout.write(`${tableOf(run)}\n`)
  if (values.json !== undefined) writeFileSync(values.json, `${JSON.stringify(run, null, 2)}\n`)
  if (failures > 0) process.exitCode = 1
}
