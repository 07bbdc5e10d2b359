/**
 * @module `trustwarden trust`: prints what a verifier has to know of a log, and brings it up to date: after a rotation of the
 * log key, and when a log goes on in a successor. Nothing in an update is believed: each step is proven under what is
 * trusted already.
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import {
  equalBytes,
  followRotations,
  followSuccessor,
  formatTrust,
  formatTrustAnchor,
  formatVkey,
  type LogEnd,
  parseReceipt,
  parseTrust,
  ProofError,
  toBase64url,
  toHex,
  type Trust,
  type TrustedLog,
  utf8Encode,
} from '@trustwarden/proofs'
import { TrustWarden } from 'trustwarden'
import { nativePrimitives as p } from '../crypto.ts'
import { rangeDisagreement, readTrustText, writeTrustFile } from '../trust-file.ts'
import { type Call, type Command, type ExitCode, type Io, readCall, UsageError } from './command.ts'

const UPDATE_USAGE =
  'trust update --trust OLD (--url URL [--origin O] | --rotations FILE) [--out FILE]\n' +
  '       trustwarden trust update --trust OLD --successor ANCHOR|FILE (--url URL | --genesis RECEIPT) [--out FILE]'

/** See the module. */
export const trust: Command = {
  usage: `trust show (--data DIR | ANCHOR | FILE) [--json]\n       trustwarden ${UPDATE_USAGE}`,
  summary: 'print the trust anchor or file of a log, or bring one up to date',
  run: (args, io) => {
    const [verb, ...rest] = args
    if (verb === 'show') return Promise.resolve(show(rest, io))
    if (verb === 'update') return update(rest, io)
    return Promise.reject(new UsageError('show or update is needed'))
  },
}

function show(args: readonly string[], io: Io): ExitCode {
  const call = readCall(args, { values: ['data'], switches: ['json'], operands: [0, 1] })
  const [given] = call.operands
  if (given !== undefined && call.optional('data') !== undefined)
    throw new UsageError('--data and an anchor are both given: one is needed')
  const text = given === undefined ? readTrustText(call.required('data')) : readGiven(given)
  const { logs } = parseTrust(p, utf8Encode(text))
  if (call.has('json')) io.out(`${JSON.stringify(describeJson(text, logs))}\n`)
  else io.out(given === undefined ? `${text}\n` : logs.map(describe).join('\n'))
  return 0
}

/** The parts of the one log; of several, or one that changed its key, those of all beside it. */
function describeJson(text: string, logs: readonly TrustedLog[]): object {
  const parts = logs.map((log) => ({
    anchor: formatTrustAnchor(p, log.anchor),
    origin: log.origin,
    log_key: formatVkey(log.anchor.key),
    genesis: toHex(log.anchor.genesisHash),
    bundle: toHex(log.anchor.bundleHash),
    keys: log.keys.map(({ key, from, to }) => ({ vkey: formatVkey(key), from, to })),
    ...(log.end && { end: { size: log.end.size, root: toBase64url(log.end.root) } }),
  }))
  return { ...parts.at(-1), trust: text, logs: parts }
}

function describe({ origin, anchor, keys, end }: TrustedLog): string {
  const [first, ...later] = keys.map(({ key, from, to }) => {
    const range = from === 0 && to === null ? '' : `  sizes ${from} to ${to ?? 'now'}`
    return `${formatVkey(key)}${range}`
  })
  return (
    `origin   ${origin}\nlog key  ${first}\n${later.map((key) => `         ${key}\n`).join('')}` +
    `genesis  ${toHex(anchor.genesisHash)}  (leaf hash)\n` +
    `roots    ${toHex(anchor.bundleHash)}  (hash of the root certificates)\n` +
    (end === undefined ? '' : `ended    at size ${end.size}: a successor goes on\n`)
  )
}

async function update(args: readonly string[], io: Io): Promise<ExitCode> {
  const call = readCall(args, {
    values: ['trust', 'url', 'origin', 'rotations', 'successor', 'genesis', 'out'],
  })
  const old = parseTrust(p, utf8Encode(readGiven(call.required('trust'))))
  const successor = call.optional('successor')
  const followed = await (successor === undefined
    ? withRotations(call, old)
    : withSuccessor(call, old, successor))
  const text = formatTrust(p, followed)
  const out = call.optional('out')
  if (out === undefined) io.out(text)
  else {
    if (text === formatTrust(p, old)) {
      // A file that says the old would be taken for the update, and be in its way.
      io.out(`nothing changed, and nothing was written: ${UNCHANGED}\n`)
      return 0
    }
    if (isExtended(out, followed)) writeTrustFile(out, utf8Encode(text))
    else writeFileSync(out, text, { flag: 'wx', flush: true })
    io.out(`${out}: verified and updated; verify with --trust ${out}\n`)
  }
  return 0
}

const UNCHANGED =
  'no rotation is in force that the trust does not know. One is not effective before the last of the operators that it takes ' +
  'has signed ("keys activate" says so, and the size); then run the same command again'

/** Whether a file is there, a trust file, and all that it says is said by `next` too: every log, and the sizes of each key. */
function isExtended(path: string, next: Trust): boolean {
  if (!existsSync(path)) return false
  let before: Trust
  try {
    before = parseTrust(p, readFileSync(path))
  } catch (error) {
    if (error instanceof ProofError) return false
    throw error
  }
  return before.logs.every((log) => {
    const own = next.logs.find(({ origin }) => origin === log.origin)
    return (
      own !== undefined &&
      formatTrustAnchor(p, own.anchor) === formatTrustAnchor(p, log.anchor) &&
      rangeDisagreement(log.keys, own.keys) === undefined &&
      (log.end === undefined || isSameEnd(log.end, own.end))
    )
  })
}

function isSameEnd(a: LogEnd, b: LogEnd | undefined): boolean {
  return b !== undefined && a.size === b.size && equalBytes(a.root, b.root)
}

/** Follows the rotations of a file, or those that the service shows: both are proofs, wherever they come from. */
async function withRotations(call: Call, old: Trust): Promise<Trust> {
  const file = oneOf(call, 'rotations')
  if (file !== undefined) return followRotations(p, new Uint8Array(readFileSync(file)), old)
  const origin = call.optional('origin')
  const client = await TrustWarden.connect({
    url: call.required('url'),
    trust: formatTrust(p, old),
    ...(origin === undefined ? {} : { origin }),
  })
  return client.followRotations()
}

/** Follows a log to the successor whose anchor is given: its genesis is shown by the service, or by a receipt. */
async function withSuccessor(call: Call, old: Trust, given: string): Promise<Trust> {
  const text = readGiven(given)
  const log = parseTrust(p, utf8Encode(text)).logs.find(({ end }) => end === undefined)
  if (log === undefined) throw new UsageError('--successor names no log that goes on')
  const file = oneOf(call, 'genesis')
  if (file !== undefined) {
    const { entry } = parseReceipt(new Uint8Array(readFileSync(file)))
    return followSuccessor(p, old, log.anchor, entry)
  }
  const { genesisEntry } = await TrustWarden.connect({ url: call.required('url'), trust: text })
  return followSuccessor(p, old, log.anchor, genesisEntry)
}

/** The flag, if the service is not asked instead. @throws UsageError if neither or both are given */
function oneOf(call: Call, flag: 'rotations' | 'genesis'): string | undefined {
  const [url, file] = [call.optional('url'), call.optional(flag)]
  if ((url === undefined) === (file === undefined))
    throw new UsageError(`one of --url and --${flag} is needed`)
  return file
}

/** An anchor given as it is, or the file that holds it or a trust file. */
function readGiven(text: string): string {
  return text.startsWith('twtrust') ? text : readFileSync(text, 'utf8').trim()
}
