/**
 * @module `trustwarden restore`: makes a data directory out of a backup, everything decided anew; and `trustwarden recover`:
 * completes one that is older than its head record from a backup and a mirror.
 */
import { readFileSync } from 'node:fs'
import { parseTrust, toBase64, toHex, utf8Encode } from '@trustwarden/proofs'
import { openDirectory } from '../archive/directory.ts'
import type { LogSource } from '../archive/source.ts'
import { openGet, tileSource } from '../archive/url-source.ts'
import { directoryPath } from '../config.ts'
import { nativePrimitives } from '../crypto.ts'
import { type RecoverReport, recoverLog, type RestoreReport, restoreLog } from '../restore.ts'
import { StoreError } from '../store/errors.ts'
import { readHeadRecord, type RecordedHead } from '../store/head-record.ts'
import { readTrustText } from '../trust-file.ts'
import { type Call, type Command, placeFlags, readCall } from './command.ts'
import { readTrust } from './people.ts'
import { startProgress } from './progress.ts'
import { readAcceptedHead } from './serve.ts'

/** Indexes that are named, of those that lost their disclosures. */
const NAMED_MAX = 20

/** See the module. */
export const restore: Command = {
  usage: 'restore --from BACKUP --to DIR --trust ANCHOR|FILE [--head DIR] [--json]',
  summary: 'make a data directory out of a backup: every signature, outcome and fold decided anew',
  run: async (args, io) => {
    const call = readCall(args, {
      values: ['from', 'to', 'trust', 'head'],
      switches: ['json'],
    })
    const to = directoryPath(call.required('to'))
    const source = await openDirectory(directoryPath(call.required('from')))
    const trust = parseTrust(nativePrimitives, utf8Encode(readTrust(call.required('trust'))))
    const head = call.optional('head') ?? `${to}.head`
    const recorded = await findRecord(head)
    const progress = startProgress(io, 'restore')
    try {
      const report = await restoreLog({
        source,
        to,
        trust,
        onProgress: progress.tell,
        ...(recorded === undefined ? {} : { recorded }),
      })
      progress.end()
      const next = nextStep(report, to, head, recorded)
      if (call.has('json')) {
        const { lost, cleanErasures: _, root, ...counts } = report
        io.out(`${JSON.stringify({ to, ...counts, root: toBase64(root), lost, next })}\n`)
      } else io.out(`${describe(report, to)}${next}`)
      return 0
    } finally {
      progress.end()
    }
  },
}

/** See the module. */
export const recover: Command = {
  usage:
    'recover --data DIR --from BACKUP|MIRROR|URL [--head DIR | --accept-head SIZE:ROOT] [--trust ANCHOR|FILE] ' +
    '[--pinned FILE …] [--json]',
  summary: 'fetch what the data lacks: from a backup first, with disclosures, then from a mirror',
  run: async (args, io) => {
    const call = readCall(args, {
      values: ['data', 'from', 'head', 'accept-head', 'trust'],
      repeated: ['pinned'],
      switches: ['json'],
    })
    const data = directoryPath(call.required('data'))
    const source = await openSource(call.required('from'))
    const given = call.optional('trust')
    const text = given === undefined ? readTrustText(data) : readTrust(given)
    const acceptHead = readAcceptedHead(call.optional('accept-head'))
    const head = call.optional('head') ?? `${data}.head`
    const progress = startProgress(io, 'recover')
    try {
      const report = await recoverLog({
        data,
        head,
        source,
        trust: parseTrust(nativePrimitives, utf8Encode(text)),
        pinned: readPinned(call),
        onProgress: progress.tell,
        ...(acceptHead === undefined ? {} : { acceptHead }),
      })
      progress.end()
      if (call.has('json')) {
        const { lost, cleanErasures: _, root, ...counts } = report
        io.out(`${JSON.stringify({ data, ...counts, root: toBase64(root), lost })}\n`)
      } else io.out(describeRecovery(report, { data, head }, call.optional('accept-head'), source))
      return 0
    } finally {
      progress.end()
    }
  },
}

function openSource(from: string): Promise<LogSource> {
  if (!/^https?:\/\//.test(from)) return openDirectory(directoryPath(from))
  return Promise.resolve(tileSource(from, openGet(from)))
}

function readPinned(call: Call): ReadonlyMap<string, Uint8Array> {
  const files = call.all('pinned').map((path) => new Uint8Array(readFileSync(path)))
  return new Map(files.map((bytes) => [toHex(nativePrimitives.sha256(bytes)), bytes]))
}

/** What the head record says, if there is one: `restore` reads it and writes none. */
async function findRecord(path: string): Promise<RecordedHead | undefined> {
  try {
    return await readHeadRecord(path)
  } catch (error) {
    if (error instanceof StoreError && error.code === 'head_record_missing') return undefined
    throw error
  }
}

function describe(report: RestoreReport, to: string): string {
  return (
    `${to}: ${report.origin} at size ${report.size}, out of ${report.batches} batches; ${report.signatures} signatures and ` +
    `${report.disclosures} disclosures hold, and every hash, head, outcome and fold is what the entries give\n` +
    describeLost(report.lost, 'were erased after its head, or cut out of it')
  )
}

/** The head record decides what a start takes; what is missing is said here already. */
function nextStep(
  { size, root }: RestoreReport,
  to: string,
  head: string,
  recorded: RecordedHead | undefined,
): string {
  const at = placeFlags({ data: to, head })
  const accept = `trustwarden serve ${at} --accept-head ${size}:${toBase64(root)}`
  if (recorded === undefined)
    return (
      `There is no head record at ${head}. Put it back, or name where it lies by --head. If it is lost: take size and root of\n` +
      'the latest checkpoint that somebody else holds, and if they are above this size, recover from a mirror up to there.\n' +
      `Only if nothing was acknowledged after this backup:\n  ${accept}\n`
    )
  if (recorded.size > size)
    return missing(`The head record says ${recorded.size}`, recorded.size - size, at)
  if (recorded.size === size) return 'It ends where the head record ends: a start takes it.\n'
  return `The head record at ${head} says ${recorded.size} and is older than the backup. Put its newest copy back, or:\n  ${accept}\n`
}

function missing(said: string, count: number, at: string): string {
  return (
    `${said}: ${count} acknowledged ${count === 1 ? 'entry is' : 'entries are'} missing, and a start is ` +
    `refused until ${count === 1 ? 'it is' : 'they are'} there:\n  trustwarden recover ${at} --from MIRROR\n`
  )
}

function describeRecovery(
  report: RecoverReport,
  paths: { readonly data: string; readonly head: string },
  acceptHead: string | undefined,
  { name, isWhole }: LogSource,
): string {
  const { before, size, sourceSize, recordedSize, signatures, filled } = report
  const beyond = size > recordedSize ? `, beyond the recorded ${recordedSize}` : ''
  const place = placeFlags(paths)
  const at = acceptHead === undefined ? place : `${place} --accept-head ${acceptHead}`
  const recorded = acceptHead === undefined ? 'The head record' : 'The accepted head'
  const fetched =
    size > before
      ? `entries ${before} to ${size - 1} are there again, from ${name}, up to its signed head${beyond}; ` +
        `${signatures} signatures hold, and every entry is what the rules give\n`
      : `has ${size} entries, ${name} has ${sourceSize}: none were to be fetched\n`
  return (
    `${paths.data}: ${fetched}` +
    (filled === 0 ? '' : `Disclosures of ${filled} entries that were missing are there again\n`) +
    describeLost(report.lost, 'were in no copy that was read, and a mirror has none') +
    (report.lost.length === 0
      ? ''
      : `A backup that has them brings them, now or later:\n  trustwarden recover ${at} --from BACKUP\n`) +
    (recordedSize > size
      ? missing(`${recorded} says ${recordedSize}`, recordedSize - size, at)
      : // Beyond what was recorded nothing here says where the log ended.
        (isWhole && size > recordedSize
          ? `A mirror may have more, and a start would then sign a second history. First:\n  trustwarden recover ${at} --from MIRROR\n`
          : '') + `Next: trustwarden audit ${place}, and a start\n`)
  )
}

function describeLost(lost: readonly number[], why: string): string {
  if (lost.length === 0) return ''
  const named = lost.slice(0, NAMED_MAX).join(', ')
  const more = lost.length > NAMED_MAX ? `, and ${lost.length - NAMED_MAX} more` : ''
  return `Disclosures of ${lost.length} entries are not there; they ${why}: ${named}${more}\n`
}
