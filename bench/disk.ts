/**
 * @module `npm run bench:disk`: how many bytes of disk an entry takes, for the sizing table of the README. Decisions, and
 * then as many decisions with the actions on them, go through the real writer (ledger.ts); the files are counted as
 * the writer left them and after LevelDB compacted them, and the keys by what they hold. Flags: `--count N`,
 * `--json FILE` (raw results).
 */
import { mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { inParallel, LedgerAgents, openLedger } from './ledger.ts'
import { machineLine, thisMachine } from './report.ts'
import { type BenchLog, makeBenchLog } from './service.ts'
import { serviceModule } from './service-module.ts'

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
/** Where a key says its space. */
const SPACE_AT = 9
const EVERYTHING = { gte: Uint8Array.of(0), lt: Uint8Array.of(0xff) }
const AGENTS = 64
/** Statements between two lines of progress. */
const CHUNK = 1000

/** What a log takes. */
interface Taken {
  readonly size: number
  /** Files of the database as the writer left them, and after everything was compacted. */
  readonly filesBefore: number
  readonly files: number
  /** Bytes of keys and values by space, and how many keys. */
  readonly spaces: Readonly<Record<string, { readonly bytes: number; readonly keys: number }>>
}

function bytesOf(directory: string): number {
  const names = readdirSync(directory).filter((name) => /\.(ldb|log)$/.test(name))
  return names.reduce((sum, name) => sum + statSync(join(directory, name)).size, 0)
}

async function measure({ data }: BenchLog, size: number): Promise<Taken> {
  const { LevelStore } =
    await serviceModule<typeof import('../src/store/level-store.ts')>('store/level-store')
  const directory = join(data, 'db')
  const filesBefore = bytesOf(directory)
  const store = await LevelStore.open(directory)
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

/** Opens the log, lets agents decide, and act if they are to, and measures what it takes then. */
async function write(
  log: BenchLog,
  count: number,
  acts: boolean,
): Promise<Taken & { readonly statementBytes: number }> {
  const ledger = await openLedger(log)
  let size: number
  let length = 0
  try {
    const agents = await LedgerAgents.start(ledger, log, AGENTS)
    for (let done = 0; done < count; done += CHUNK) {
      await inParallel(Math.min(CHUNK, count - done), async (at) => {
        const ready = await agents.decideAndAct(at)
        length += ready.submission.statement.bytes.length
        if (acts) await agents.act(ready)
      })
      process.stderr.write(`${ledger.size()} entries\n`)
    }
    size = ledger.size()
  } finally {
    await ledger.close()
  }
  return { ...(await measure(log, size)), statementBytes: Math.round(length / count) }
}

const recordBytes = ({ spaces }: Taken): number => spaces['r']?.bytes ?? 0

/** Bytes that the files grew by, without batch records: how many entries share one is the load's affair. */
const growth = (from: Taken, to: Taken): number =>
  to.files - from.files - (recordBytes(to) - recordBytes(from))

const { values } = parseArgs({
  options: { count: { type: 'string', default: '20000' }, json: { type: 'string' } },
})
const count = Number(values.count)
const root = mkdtempSync(join(tmpdir(), 'trustwarden-bench-disk-'))
try {
  const log = makeBenchLog(root)
  const empty = await write(log, 1, false)
  const decisions = await write(log, count, false)
  const all = await write(log, count, true)
  // The agents of each part are entries of their own: 64 of them, counted as decisions.
  const decisionBytes = growth(empty, decisions) / (decisions.size - empty.size)
  const others = all.size - decisions.size - count
  const actionBytes = (growth(decisions, all) - others * decisionBytes) / count
  const figures = {
    decisionBytes: Math.round(decisionBytes),
    actionBytes: Math.round(actionBytes),
    actionStatementBytes: all.statementBytes,
    batchRecordBytes: Math.round(recordBytes(all) / (all.spaces['r']?.keys ?? 1)),
    entries: all.size,
    filesAsLeft: all.filesBefore,
    filesCompacted: all.files,
    bytesPerEntry: Object.fromEntries(
      Object.entries(all.spaces).map(([space, { bytes }]) => [
        SPACES[space] ?? space,
        Math.round((bytes / all.size) * 10) / 10,
      ]),
    ),
  }
  const machine = thisMachine()
  process.stdout.write(`${machineLine(machine)}\n${JSON.stringify(figures, null, 2)}\n`)
  if (values.json !== undefined) {
    const date = new Date().toISOString().slice(0, 10)
    const run = { date, machine, count, figures, raw: { empty, decisions, all } }
    writeFileSync(values.json, `${JSON.stringify(run, null, 2)}\n`)
  }
} finally {
  rmSync(root, { recursive: true, force: true })
}
