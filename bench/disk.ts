/**
 * @module `npm run bench:disk`: how many bytes of disk an entry takes, for the sizing table of the README. The service
 * writes decisions and the actions on them; then its files are counted, before and after LevelDB compacted them, and
 * its keys by what they hold. README.md says how to read it. Flags: `--count N`, `--json FILE` (raw results).
 */
import { readdirSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { jsonObject, type JsonValue } from '@trustwarden/proofs'
import { PersonKey, type SignedStatement, TrustWarden } from 'trustwarden'
import { type Asking, ask, type BenchAgent, report as reportAction, startAgent } from './agents.ts'
import { machineLine, thisMachine } from './report.ts'
import { type BenchLog, makeBenchLog, startBenchService } from './service.ts'

/** The spaces of src/store/keys.ts, in words. */
const SPACES: Readonly<Record<string, string>> = {
  e: 'entries not in a bundle yet',
  b: 'entries',
  t: 'hash tiles',
  r: 'batch records',
  f: 'folds',
  s: 'set digests',
  x: 'disclosures',
  p: 'policies',
  m: 'meta',
  j: 'erasures',
}
const SPACE_AT = 9
const EVERYTHING = { gte: Uint8Array.of(0), lt: Uint8Array.of(0xff) }

/** What a log takes. */
interface Taken {
  readonly size: number
  /** Files of the database as the service left them, and after everything was compacted. */
  readonly filesBefore: number
  readonly files: number
  /** Bytes of keys and values by space, and how many keys. */
  readonly spaces: Readonly<Record<string, { readonly bytes: number; readonly keys: number }>>
}

function bytesOf(directory: string): number {
  const names = readdirSync(directory).filter((name) => /\.(ldb|log)$/.test(name))
  return names.reduce((sum, name) => sum + statSync(join(directory, name)).size, 0)
}

/** The store as compiled: the bench is no part of the service, and so imports only its packages. */
async function openStore(directory: string) {
  const url = new URL('../store/level-store.js', import.meta.url).href
  const { LevelStore } = (await import(url)) as typeof import('../src/store/level-store.ts')
  return LevelStore.open(directory)
}

async function measure({ data }: BenchLog, size: number): Promise<Taken> {
  const directory = join(data, 'db')
  const filesBefore = bytesOf(directory)
  const store = await openStore(directory)
  const spaces: Record<string, { bytes: number; keys: number }> = {}
  try {
    await store.compact(EVERYTHING)
    for await (const { key, value } of store.scan(EVERYTHING)) {
      const space = String.fromCharCode(key[SPACE_AT] ?? 0)
      spaces[space] ??= { bytes: 0, keys: 0 }
      spaces[space].bytes += key.length + value.length
      spaces[space].keys++
    }
  } finally {
    await store.close()
  }
  return { size, filesBefore, files: bytesOf(directory), spaces }
}

/** How many requests are under way. */
const CONNECTIONS = 8

/** What agents did: what they asked and were allowed, and the length of a statement. */
interface Worked {
  readonly size: number
  readonly statementBytes: number
}

/** Serves the log, lets agents work, and ends the service. */
async function serve(
  log: BenchLog,
  work: (client: TrustWarden, agents: readonly BenchAgent[]) => Promise<number>,
): Promise<Worked> {
  const service = await startBenchService(log)
  try {
    const client = await TrustWarden.connect({ url: service.url, trust: log.anchor })
    const owner = PersonKey.fromFile(log.owner)
    const agents: BenchAgent[] = []
    for (let n = 0; n < CONNECTIONS; n++)
      agents.push(await startAgent(client, owner, `bench/disk-${++started}`))
    const statementBytes = await work(client, agents)
    return { size: (await client.checkpoint()).head.size, statementBytes }
  } finally {
    await service.stop()
  }
}

/** Asks until `wanted` actions are allowed, each agent one after the other. @returns What was allowed, with its id */
async function decide(
  client: TrustWarden,
  agents: readonly BenchAgent[],
  wanted: number,
): Promise<readonly { readonly asking: Asking; readonly id: string }[]> {
  const allowed: { asking: Asking; id: string }[] = []
  await Promise.all(
    agents.map(async (agent) => {
      while (allowed.length < wanted) {
        const asking = ask(client, agent)
        const { answer } = await client.submit('evaluation', asking.signed)
        const { decision, context } = answer as { decision?: JsonValue; context?: JsonValue }
        const id = jsonObject(context, 'context')['decision_id']
        // On a busy machine a policy runs out of its time: that is an entry too, and allows nothing.
        if (decision === true && typeof id === 'string') allowed.push({ asking, id })
      }
    }),
  )
  return allowed
}

const meanLength = (statements: readonly SignedStatement[]): number =>
  Math.round(statements.reduce((sum, { text }) => sum + text.length, 0) / statements.length)

const { values } = parseArgs({
  options: { count: { type: 'string', default: '4000' }, json: { type: 'string' } },
})
const count = Number(values.count)
let started = 0
const say = (text: string): void => void process.stderr.write(`${text}\n`)
const log = makeBenchLog()
try {
  const start = await serve(log, () => Promise.resolve(0))
  const empty = await measure(log, start.size)
  say(`${count} decisions`)
  const decided = await serve(log, async (client, agents) => {
    const allowed = await decide(client, agents, count)
    return meanLength(allowed.map(({ asking }) => asking.signed))
  })
  const decisions = await measure(log, decided.size)
  say(`${count} actions, each on a decision of its own`)
  let actions = 0
  const acted = await serve(log, async (client, agents) => {
    let statementBytes = 0
    while (actions < count) {
      // A permission lives for seconds, so they come in portions.
      const allowed = await decide(client, agents, 100)
      const reports = allowed.map(({ asking, id }) => reportAction(client, asking, id))
      for (const result of await client.submitMany(reports)) {
        if (result instanceof Error) throw result
        actions++
      }
      statementBytes = meanLength(reports)
    }
    return statementBytes
  })
  const all = await measure(log, acted.size)
  const statementBytes = { decision: decided.statementBytes, action: acted.statementBytes }
  report(empty, decisions, all, actions, statementBytes)
} finally {
  log.remove()
}

function report(
  empty: Taken,
  decisions: Taken,
  all: Taken,
  actions: number,
  statementBytes: Readonly<Record<'decision' | 'action', number>>,
): void {
  const records = (taken: Taken): number => taken.spaces['r']?.bytes ?? 0
  const batches = (taken: Taken): number => taken.spaces['r']?.keys ?? 0
  // Batch records are counted for themselves: how many entries share one is the load's affair.
  const perBatch = records(all) / batches(all)
  const between = (from: Taken, to: Taken): number =>
    to.files - from.files - (records(to) - records(from))
  const decision = between(empty, decisions) / (decisions.size - empty.size)
  const others = all.size - decisions.size - actions
  const action = (between(decisions, all) - others * decision) / actions
  const figures = {
    decisionBytes: Math.round(decision),
    actionBytes: Math.round(action),
    batchRecordBytes: Math.round(perBatch),
    statementBytes,
    entries: all.size,
    filesBeforeCompaction: all.filesBefore,
    files: all.files,
    bytesPerEntryBySpace: Object.fromEntries(
      Object.entries(all.spaces).map(([space, { bytes }]) => [
        SPACES[space] ?? space,
        Math.round((bytes / all.size) * 10) / 10,
      ]),
    ),
  }
  const machine = thisMachine()
  process.stdout.write(`${machineLine(machine)}\n${JSON.stringify(figures, null, 2)}\n`)
  const run = { date: new Date().toISOString().slice(0, 10), machine, count, figures }
  if (values.json !== undefined)
    writeFileSync(
      values.json,
      `${JSON.stringify({ ...run, raw: { empty, decisions, all } }, null, 2)}\n`,
    )
}
