/**
 * @module `trustwarden backup`: copies a log at one head, through the running service or from a stopped directory; and
 * `trustwarden mirror`: keeps a copy without anything that can be erased, which any web server can serve.
 */
import { setTimeout as wait } from 'node:timers/promises'
import { parseTrust, ProofError, type Trust, utf8Encode } from '@trustwarden/proofs'
import { TrustWardenError } from 'trustwarden'
import { copyLog, type CopyReport } from '../archive/copy.ts'
import { databaseSource } from '../archive/database-source.ts'
import { ArchiveDirectory } from '../archive/directory.ts'
import type { LogSource } from '../archive/source.ts'
import { type Get, openGet, serviceSource, tileSource } from '../archive/url-source.ts'
import { systemClock } from '../clock.ts'
import { directoryPath } from '../config.ts'
import { nativePrimitives } from '../crypto.ts'
import { DirectoryError } from '../directory.ts'
import { Pace } from '../ledger/pace.ts'
import { openOffline } from '../offline.ts'
import { StoreError } from '../store/errors.ts'
import { type Call, type Command, type ExitCode, type Io, readCall, UsageError } from './command.ts'
import { COMMON, COMMON_USAGE, connect, readTrust, type Session } from './people.ts'
import { startProgress } from './progress.ts'

/** MiB a second: far below what a disk does, so that the writer does not wait for it. */
const RATE_DEFAULT = 16
const RATE_MAX = 10_000
const MIB = 1_048_576

/** See the module. */
export const backup: Command = {
  usage:
    `backup --to DIR ${COMMON_USAGE} [--as reader|operator] [--rate MIB]\n` +
    '       trustwarden backup --to DIR --data DIR [--head DIR] [--trust ANCHOR|FILE] [--rate MIB] [--json]',
  summary:
    'copy a log at one head: through the running service, or a stopped one from its directory',
  run: async (args, io) => {
    const call = readCall(args, {
      values: [...COMMON, 'to', 'data', 'head', 'as', 'rate'],
      switches: ['json'],
    })
    const to = directoryPath(call.required('to'))
    const data = call.optional('data')
    if (data !== undefined && call.optional('url') !== undefined)
      throw new UsageError('--url and --data are both given: one is needed')
    if (data !== undefined) return backupStopped(call, directoryPath(data), to, io)
    const session = await connect(call)
    const source = serviceSource(call.required('url'), getAs(session, readerRole(call)))
    return copy({ call, io, source, to, trust: session.client.trust, kind: 'backup' })
  },
}

/** See the module. */
export const mirror: Command = {
  usage:
    `mirror --to DIR ${COMMON_USAGE} [--as reader|operator] [--rate MIB] [--every SECONDS]\n` +
    '       trustwarden mirror --to DIR --url LOG-URL --trust ANCHOR|FILE [--rate MIB] [--every SECONDS] [--json]',
  summary:
    'keep a copy of entries, tiles and head: what recover and auditors read, without personal data',
  run: async (args, io) => {
    const call = readCall(args, {
      values: [...COMMON, 'to', 'as', 'rate', 'every'],
      switches: ['json'],
    })
    const to = directoryPath(call.required('to'))
    const everyS = readNumber(call, 'every', 0, 86_400, 0)
    const { source, trust } = await openServed(call)
    const copying: Copying = { call, io, to, kind: 'mirror', source, trust }
    return everyS === 0 ? copy(copying) : repeat(copying, everyS * 1000)
  },
}

/** Without a key the URL is that of the log itself, and whoever serves it asks for none. */
async function openServed(call: Call): Promise<{ source: LogSource; trust: Trust }> {
  const url = call.required('url')
  if (call.optional('key') === undefined) {
    const trust = parseTrust(nativePrimitives, utf8Encode(readTrust(call.required('trust'))))
    return { source: tileSource(url, openGet(url)), trust }
  }
  const session = await connect(call)
  return {
    source: serviceSource(url, getAs(session, readerRole(call))),
    trust: session.client.trust,
  }
}

/** Goes on until a signal; a run that fails ends it, since a mirror that silently stands still is none. */
async function repeat(first: Copying, everyMs: number): Promise<ExitCode> {
  const stop = new AbortController()
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => stop.abort())
  let copying = first
  while (!stop.signal.aborted) {
    copying = await copyRound(copying)
    await wait(everyMs, undefined, { signal: stop.signal }).catch(() => undefined)
  }
  return 0
}

/**
 * One round. A log key that the trust does not name is looked for once in the file it came from, which whoever runs the
 * mirror replaces after a rotation.
 *
 * @returns What the next round goes by.
 * @throws {ProofError} `key_unknown` if the file does not name the key either
 */
async function copyRound(copying: Copying): Promise<Copying> {
  try {
    await copy(copying)
    return copying
  } catch (error) {
    if (!(error instanceof ProofError && error.code === 'key_unknown')) throw error
    const path = copying.call.required('trust')
    const text = readTrust(path)
    // An anchor that stands in the call itself says no more than before.
    if (text === path) throw error
    const again = { ...copying, trust: parseTrust(nativePrimitives, utf8Encode(text)) }
    await copy({ ...again, reread: path })
    return again
  }
}

function readerRole(call: Call): 'reader' | 'operator' {
  const role = call.optional('as') ?? 'reader'
  if (role !== 'reader' && role !== 'operator')
    throw new UsageError(`--as is "${role}", reader or operator is needed`)
  return role
}

function getAs({ client, key }: Session, role: 'reader' | 'operator'): Get {
  const signer = key.as(role)
  return async (path, bytesMax) => {
    try {
      return await client.readBytes(signer, path, { bytesMax })
    } catch (error) {
      if (error instanceof TrustWardenError && error.code === 'not_found') return undefined
      throw error
    }
  }
}

async function backupStopped(call: Call, data: string, to: string, io: Io): Promise<ExitCode> {
  const head = call.optional('head') ?? `${data}.head`
  const log = await openOffline({ data, head }).catch((error: unknown) => {
    const served = error instanceof StoreError && error.code.endsWith('_locked')
    if (!served) throw error
    throw new DirectoryError(
      'the log is being served: back it up through the service, with a key that is enrolled as a reader:\n' +
        `  trustwarden backup --to ${to} --url URL --trust ANCHOR --key READER.key`,
      { cause: error },
    )
  })
  try {
    const anchor = call.optional('trust')
    const trust =
      anchor === undefined
        ? log.trust()
        : parseTrust(nativePrimitives, utf8Encode(readTrust(anchor)))
    const source = databaseSource(log.database, log.headRecord.current(), data)
    const code = await copy({ call, io, source, to, trust, kind: 'backup' })
    await log.journals.discard()
    return code
  } finally {
    await log.close()
  }
}

interface Copying {
  readonly call: Call
  readonly io: Io
  readonly source: LogSource
  readonly to: string
  readonly trust: Trust
  readonly kind: 'backup' | 'mirror'
  /** The trust file, if it had to be read again for a key of the log. */
  readonly reread?: string
}

async function copy({ call, io, source, to, trust, kind, reread }: Copying): Promise<ExitCode> {
  const rate = readNumber(call, 'rate', 1, RATE_MAX, RATE_DEFAULT)
  const progress = startProgress(io, kind)
  try {
    const report = await copyLog({
      source,
      directory: new ArchiveDirectory(to),
      trust,
      kind,
      pace: new Pace(rate * MIB),
      nowMs: () => systemClock.nowMs(),
      onProgress: (done, total, part) => progress.update(done, total, part),
    })
    progress.end()
    const again = reread === undefined ? '' : `${reread} read again, for a log key it now names\n`
    io.out(
      call.has('json')
        ? `${JSON.stringify({ ...asJson(report, to), reread })}\n`
        : describe(report, to, kind) + again,
    )
    return 0
  } finally {
    progress.end()
  }
}

function asJson(report: CopyReport, to: string): object {
  return { to, ...report, root: Buffer.from(report.root).toString('base64') }
}

function describe(report: CopyReport, to: string, kind: string): string {
  const { origin, size, before, bytes, erasedBundles } = report
  const since = before === 0 ? '' : `, ${size - before} of them new`
  const erased =
    erasedBundles === 0 ? '' : `; what was erased since is gone from ${erasedBundles} of its files`
  const beside =
    kind === 'backup' ? 'It holds neither keys nor head record: keep those apart.\n' : ''
  return (
    `${to}: ${kind} of ${origin} at size ${size}${since}, ${(bytes / MIB).toFixed(1)} MiB written, ` +
    `every entry held against the signed head${erased}\n${beside}`
  )
}

function readNumber(call: Call, flag: string, min: number, max: number, byDefault: number): number {
  const text = call.optional(flag)
  if (text === undefined) return byDefault
  const value = /^(0|[1-9]\d{0,8})$/.test(text) ? Number(text) : Number.NaN
  if (!(value >= min && value <= max))
    throw new UsageError(`--${flag} is "${text}", an integer from ${min} to ${max} is needed`)
  return value
}
