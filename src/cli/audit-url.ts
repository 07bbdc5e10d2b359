/**
 * @module `trustwarden audit --url URL`: a served log from outside. Nothing is trusted but the trust anchor: checkpoint,
 * bundles, tiles and proofs are read as anybody reads them, and everything they say is computed again.
 */
import { closeSync, fsyncSync, openSync, readFileSync, renameSync, writeSync } from 'node:fs'
import {
  type Head,
  jsonObject,
  openTrustedHead,
  parseLineage,
  printable,
  ProofError,
  TILE_WIDTH,
  trustFor,
  verifyConsistency,
} from '@trustwarden/proofs'
import { Reader, TrustWarden, TrustWardenError, type TrustWardenErrorCode } from 'trustwarden'
import { ALL_FOLDS } from '../rules.ts'
import { nativePrimitives } from '../crypto.ts'
import { type AuditCheck, Difference } from '../ledger/audit-difference.ts'
import { auditEntries, type EntriesReport, type EntrySource } from '../ledger/audit-entries.ts'
import { VerifyPool } from '../ledger/verify-pool.ts'
import { keylessRules } from '../offline.ts'
import { adviceFor } from './advice.ts'
import { RangePolicies } from './audit-policies.ts'
import { rangeOf } from './audit-range.ts'
import { describeDifference, describeEntries } from './audit-report.ts'
import { type Call, type ExitCode, type Io, UsageError } from './command.ts'
import { readTrust } from './people.ts'
import { openPersonKey } from './passphrase.ts'
import { startProgress } from './progress.ts'
import { withScratch } from './scratch.ts'

/** Flags that are for an audit from outside alone. */
export const URL_FLAGS: readonly string[] = [
  'url',
  'ca',
  'key',
  'as',
  'passphrase-file',
  'passphrase-fd',
  'since',
  'save',
]

/**
 * What the log answers that is not an obstacle but a finding: its head commits to more than it shows. An answer can be
 * malformed with status 200 alone: any other that is no problem document is `answer_unexpected`, and is none.
 */
const FINDINGS: ReadonlyMap<TrustWardenErrorCode, AuditCheck> = new Map([
  ['not_found', 'missing'],
  ['range_invalid', 'missing'],
  ['answer_malformed', 'malformed'],
  ['receipt_invalid', 'checkpoint'],
  ['service_untrusted', 'genesis'],
  ['log_forked', 'forked'],
])

/** What an audit from outside found. */
interface UrlReport extends EntriesReport {
  /** Policies that the range activates, fetched and loaded; null if they are not asked for, or the range does not hold. */
  readonly policies: number | null
}

interface Session {
  readonly client: TrustWarden
  readonly reader: Reader
  readonly note: string
  readonly head: Head
}

/**
 * Audits a served log.
 *
 * @returns 0 it holds, 1 it differs, 2 it could not be read.
 */
export async function auditUrl(call: Call, io: Io): Promise<ExitCode> {
  for (const flag of ['data', 'head'])
    if (call.optional(flag) !== undefined) throw new UsageError(`--${flag} is not for audit --url`)
  try {
    const session = await named(() => connect(call))
    const since = readSince(call, session)
    // What the log shows comes before what is asked of it: a head that went back may lie below the range.
    if (since !== undefined) await named(() => checkSince(session, since))
    if (session.head.size === 0)
      throw new Difference('genesis', 'the head has no entries, the trust anchor names a genesis')
    const range = rangeOf(call, session.head.size)
    const report = await auditSession(call, session, range, io)
    const out = since === undefined ? report : { ...report, since: since.size }
    io.out(call.has('json') ? `${JSON.stringify(out)}\n` : describeEntries(report, report.policies))
    if (!report.ok) return 1
    const save = call.optional('save')
    if (save !== undefined) saveCheckpoint(save, session.note)
    return 0
  } catch (error) {
    if (error instanceof Difference) {
      io.out(
        call.has('json')
          ? `${JSON.stringify({ ok: false, difference: error.difference })}\n`
          : `${describeDifference(error.difference)}nothing was read under it\n`,
      )
      return 1
    }
    if (!(error instanceof TrustWardenError)) throw error
    const advice = adviceFor(error.code)
    io.err(`cannot be read: ${error.code}: ${printable(error.message)}\n`)
    if (advice !== undefined) io.err(`${advice}\n`)
    return 2
  }
}

/** Runs a read; what the log answers wrongly becomes a `Difference`, what keeps it from answering goes on its way. */
async function named<T>(read: () => Promise<T>): Promise<T> {
  try {
    return await read()
  } catch (error) {
    const check = error instanceof TrustWardenError ? FINDINGS.get(error.code) : undefined
    if (check === undefined) throw error
    throw new Difference(check, (error as TrustWardenError).message)
  }
}

async function connect(call: Call): Promise<Session> {
  const keyFile = call.optional('key')
  const role = call.optional('as') ?? 'reader'
  if (role !== 'reader' && role !== 'operator')
    throw new UsageError(`--as is "${role}", reader or operator is needed`)
  const key = keyFile === undefined ? undefined : await openPersonKey(call, keyFile)
  const ca = call.optional('ca')
  const client = await TrustWarden.connect({
    url: call.required('url'),
    trust: readTrust(call.required('trust')),
    ...(ca === undefined ? {} : { ca: readFileSync(ca, 'utf8') }),
  })
  const { note, head } = await client.checkpoint()
  return { client, reader: new Reader(client, key?.as(role)), note, head }
}

/** The checkpoint that an earlier audit kept. @throws UsageError if it is not one of this log */
function readSince(call: Call, { client }: Session): Head | undefined {
  const path = call.optional('since')
  if (path === undefined) return undefined
  try {
    const head = openTrustedHead(nativePrimitives, client.trust, readFileSync(path))
    if (head.origin === client.origin) return head
  } catch (error) {
    if (!(error instanceof ProofError)) throw error
    throw new UsageError(`--since ${path}: ${error.code}: ${error.message}`)
  }
  throw new UsageError(`--since ${path}: a checkpoint of another log`)
}

/** The log of today goes on from the log of then. @throws {Difference} `rolled_back`, `forked`, `malformed` */
async function checkSince({ reader, head }: Session, since: Head): Promise<void> {
  if (since.size > head.size) {
    const what = `the log shows ${head.size} entries, the kept checkpoint has ${since.size}`
    throw new Difference('rolled_back', what)
  }
  if (since.size === 0) return
  const path = since.size === head.size ? [] : await reader.consistency(since.size, head.size)
  try {
    verifyConsistency(nativePrimitives, {
      oldSize: since.size,
      newSize: head.size,
      oldRoot: since.root,
      newRoot: head.root,
      path,
    })
  } catch (error) {
    if (!(error instanceof ProofError)) throw error
    const isFork = error.code === 'consistency_mismatch' || error.code === 'root_mismatch'
    const what = `from the kept checkpoint of ${since.size} entries: ${error.message}`
    throw new Difference(isFork ? 'forked' : 'malformed', what)
  }
}

async function auditSession(
  call: Call,
  { client, reader, head }: Session,
  range: { readonly from: number; readonly to: number },
  io: Io,
): Promise<UrlReport> {
  const { genesis, trust, origin } = client
  const rules = keylessRules(genesis)
  const progress = startProgress(io, 'audit')
  const verifier = new VerifyPool()
  // What was asked for ahead and is not needed any more would keep the process from ending.
  const stop = new AbortController()
  const policies = call.has('hashes') ? undefined : new RangePolicies(range)
  try {
    const report = await withScratch(call, (scratch) =>
      auditEntries({
        source: sourceOf(reader, head, policies, stop.signal),
        head,
        genesis,
        genesisHash: trustFor(trust, origin).anchor.genesisHash,
        ...range,
        hashesOnly: call.has('hashes'),
        handlers: rules.handlers,
        folds: ALL_FOLDS,
        principals: rules.principals,
        scratch,
        verifier,
        onProgress: (done, total) => progress.update(done, total),
      }),
    )
    if (!report.ok || policies === undefined) return { ...report, policies: null }
    return await withPolicies(report, policies, reader)
  } finally {
    stop.abort()
    progress.end()
    await verifier.close()
  }
}

/** What is found of the policies, once the entries that name them hold. */
async function withPolicies(
  report: EntriesReport,
  policies: RangePolicies,
  reader: Reader,
): Promise<UrlReport> {
  try {
    return { ...report, policies: await policies.check(reader) }
  } catch (error) {
    if (!(error instanceof Difference)) throw error
    return { ...report, ok: false, policies: null, difference: error.difference }
  }
}

function sourceOf(
  reader: Reader,
  head: Head,
  policies: RangePolicies | undefined,
  signal: AbortSignal,
): EntrySource {
  const options = { signal }
  return {
    readBundle: (index, width) =>
      named(async () => {
        const entries = await reader.bundle(index, index * TILE_WIDTH + width, options)
        policies?.note(index * TILE_WIDTH, entries)
        return entries
      }),
    readTile: (level, index, width) => named(() => reader.tile(level, index, width, options)),
    readRangeProof: (start, end) => named(() => reader.rangeProof(start, end, head.size, options)),
    findIssuance: (instance) =>
      named(async () => {
        const answer = await reader.agent(instance, options)
        const receipt = lineageOf(answer).receipts.at(-1)
        if (receipt === undefined) return undefined
        const { index, entry: bytes } = receipt
        return { index, bytes, path: await reader.inclusion(index, head.size, options) }
      }),
  }
}

function lineageOf(answer: Awaited<ReturnType<Reader['agent']>>): ReturnType<typeof parseLineage> {
  try {
    return parseLineage(jsonObject(answer['lineage'], 'lineage'))
  } catch (error) {
    if (!(error instanceof ProofError)) throw error
    throw new Difference('malformed', `lineage: ${error.message}`)
  }
}

/**
 * Keeps a checkpoint for the next `--since`. It takes the place of an earlier one as a whole: a crash leaves that, or
 * this, and beside it a file `FILE.new` that the next run overwrites.
 */
function saveCheckpoint(path: string, note: string): void {
  const file = openSync(`${path}.new`, 'w', 0o644)
  try {
    writeSync(file, note)
    fsyncSync(file)
  } finally {
    closeSync(file)
  }
  renameSync(`${path}.new`, path)
}
