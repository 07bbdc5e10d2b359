#!/usr/bin/env node
/**
 * @module `verify` and `explain`: check a file from a log, offline, and say what it shows. Other programs call
 * `runVerify` and `runExplain`; started by itself, this is the command.
 */
import { realpathSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { fromBase64, fromBase64url, utf8Decode, utf8Encode } from '../bytes.ts'
import { ProofError, type ProofErrorCode } from '../errors.ts'
import { explainEvidence } from '../explain.ts'
import { noblePrimitives } from '../noble.ts'
import type { Primitives } from '../primitives.ts'
import { parseTrust, type Trust } from '../trust.ts'
import { type Companions, type Finding, inspect, MissingArgument, recognise } from './inspect.ts'
import { type CliIo, processIo } from './io.ts'

export type { CliIo } from './io.ts'

/** It holds. */
export const EXIT_HOLDS = 0
/** It was read, and does not hold. */
export const EXIT_FAILS = 1
/** It could not be read, or the arguments were wrong: nothing is said about it. */
export const EXIT_UNREAD = 2

/** What `--help` says, here and wherever else the two commands are called. */
export const USAGE = `usage: verify FILE --trust TRUST [--json]
       explain FILE --trust TRUST

FILE is an evidence bundle, a range, a receipt, a lineage or a .tlog-proof.
TRUST is a trust anchor (twtrust1,...), a file that holds one, or a trust file.

  --entry FILE          the entry that a .tlog-proof is of
  --genesis FILE        the receipt of entry 0, for a lineage
  --certificate FILE    the certificate that the agent presented (DER or PEM), for a lineage
  --owner KEY           base64url of the SubjectPublicKeyInfo of an owner whom genesis does not name
  --pattern PATTERN     what that owner's agents may be called; as often as needed
  --at TIME             the time in question (RFC 3339), for a lineage; now by default
  --json                one JSON object instead of text

exit status: 0 holds, 1 does not hold, 2 cannot be read
`

/** What to do about a failure, where there is something. */
const HINTS: ReadonlyMap<ProofErrorCode, string> = new Map([
  [
    'trust_mismatch',
    'Is this the trust anchor of the log that the file is from? `trustwarden trust show` prints it.',
  ],
  [
    'origin_mismatch',
    'Is this the trust anchor of the log that the file is from? `trustwarden trust show` prints it.',
  ],
  [
    'key_unknown',
    'The head is signed by a key that you do not trust. If the log rotated its key: `trustwarden trust update --trust T --url URL` (or `--rotations FILE`) proves the new one under yours.',
  ],
  [
    'head_out_of_range',
    'The key was retired, or the log ended, before this head: do not believe it. Ask for the file again, under a current head.',
  ],
  [
    'genesis_mismatch',
    'Somebody shows you another log under the same name, or the anchor is not its own. Ask for the anchor again, by another way.',
  ],
  ['version_unknown', 'A newer release wrote this. Update the verifier.'],
  ['decision_missing', 'Ask for the bundle again: it was cut, or put together wrongly.'],
  ['policy_missing', 'Ask for the bundle again: it was cut, or put together wrongly.'],
  ['issuance_unproven', 'Ask for the file again: it was cut, or the agent was never issued.'],
  [
    'owner_unproven',
    'Ask for the bundle again, or give the owner by --owner and --pattern for a lineage.',
  ],
  ['link_missing', 'Ask for the bundle again: it was cut, or put together wrongly.'],
])

/**
 * Runs `verify FILE --trust TRUST`.
 *
 * @param args - What follows the word `verify`.
 * @returns 0 holds, 1 does not hold, 2 cannot be read.
 */
export function runVerify(
  args: readonly string[],
  io: CliIo,
  p: Primitives = noblePrimitives,
): number {
  return run('verify', args, io, p)
}

/** Runs `explain FILE --trust TRUST`; as `runVerify`. */
export function runExplain(
  args: readonly string[],
  io: CliIo,
  p: Primitives = noblePrimitives,
): number {
  return run('explain', args, io, p)
}

/** Runs `verify …` or `explain …`. */
export function runProofs(args: readonly string[], io: CliIo): number {
  const [command, ...rest] = args
  if (command === 'verify') return runVerify(rest, io)
  if (command === 'explain') return runExplain(rest, io)
  const asked = command === '--help' || command === '-h'
  ;(asked ? io.out : io.err)(USAGE)
  return asked ? EXIT_HOLDS : EXIT_UNREAD
}

interface Request {
  readonly path: string
  readonly bytes: Uint8Array
  readonly trust: Trust
  readonly companions: Companions
  readonly json: boolean
}

/** Why nothing can be said. */
class Unreadable extends Error {
  override readonly name = 'Unreadable'
}

function run(
  command: 'verify' | 'explain',
  args: readonly string[],
  io: CliIo,
  p: Primitives,
): number {
  let json = args.includes('--json')
  try {
    if (args.includes('--help') || args.includes('-h')) {
      io.out(USAGE)
      return EXIT_HOLDS
    }
    const request = readRequest(args, io, p)
    json = request.json
    const kind = recognise(request.bytes)
    if (kind === undefined) {
      throw new Unreadable(
        `${request.path}: no evidence bundle, range, receipt, lineage or tlog-proof of a known version`,
      )
    }
    const found = inspect(p, kind, request.bytes, request.trust, request.companions)
    if (json) io.out(`${JSON.stringify({ holds: true, kind, ...found.data })}\n`)
    else io.out(command === 'explain' ? explain(found) : summarise(kind, found))
    return EXIT_HOLDS
  } catch (error) {
    if (error instanceof ProofError) return fail(error, json, io)
    if (!(error instanceof Unreadable) && !(error instanceof MissingArgument)) throw error
    if (json) io.out(`${JSON.stringify({ holds: null, message: error.message })}\n`)
    else io.err(`cannot be read: ${error.message}\n`)
    return EXIT_UNREAD
  }
}

function fail({ code, message }: ProofError, json: boolean, io: CliIo): number {
  const hint = HINTS.get(code)
  if (json)
    io.out(
      `${JSON.stringify({ holds: false, code, message, ...(hint === undefined ? {} : { hint }) })}\n`,
    )
  else
    io.err(
      `DOES NOT HOLD\ncode     ${code}\nbecause  ${message}\n${hint === undefined ? '' : `next     ${hint}\n`}`,
    )
  return EXIT_FAILS
}

function summarise(kind: string, { lines }: Finding): string {
  return ['HOLDS', `file     ${kind}`, ...lines, ''].join('\n')
}

function explain({ report, lines }: Finding): string {
  return report === undefined ? [...lines, ''].join('\n') : explainEvidence(report)
}

function readRequest(args: readonly string[], io: CliIo, p: Primitives): Request {
  const { values, positionals } = parse(args)
  const [path, ...more] = positionals
  if (path === undefined || more.length > 0) throw new Unreadable(`one FILE, please\n${USAGE}`)
  if (values.trust === undefined) throw new Unreadable(`--trust is missing\n${USAGE}`)
  const optional = (name: string | undefined): Uint8Array | undefined =>
    name === undefined ? undefined : read(io, name)
  const certificate = optional(values.certificate)
  return {
    path,
    bytes: read(io, path),
    trust: readTrust(io, p, values.trust),
    companions: {
      entry: optional(values.entry),
      genesis: optional(values.genesis),
      certificate: certificate === undefined ? undefined : fromPem(certificate),
      owner:
        values.owner === undefined
          ? undefined
          : { key: decodeKey(values.owner), patterns: values.pattern ?? [] },
      atMs: values.at === undefined ? Date.now() : readTime(values.at),
    },
    json: values.json === true,
  }
}

/** Of a flag that came twice nobody would know which of the two counts. */
function parse(args: readonly string[]) {
  try {
    const parsed = parseArgs({
      args: [...args],
      allowPositionals: true,
      tokens: true,
      options: {
        trust: { type: 'string' },
        entry: { type: 'string' },
        genesis: { type: 'string' },
        certificate: { type: 'string' },
        owner: { type: 'string' },
        pattern: { type: 'string', multiple: true },
        at: { type: 'string' },
        json: { type: 'boolean' },
      },
    })
    const given = new Set<string>()
    for (const token of parsed.tokens) {
      if (token.kind !== 'option' || token.name === 'pattern') continue
      if (given.has(token.name)) throw new Error(`--${token.name} is given twice`)
      given.add(token.name)
    }
    return parsed
  } catch (error) {
    // Only what is wrong with the arguments is thrown here.
    throw new Unreadable(`${(error as Error).message}\n${USAGE}`)
  }
}

function read(io: CliIo, path: string): Uint8Array {
  try {
    return io.readFile(path)
  } catch (error) {
    throw new Unreadable(`${path}: ${(error as Error).message}`)
  }
}

function readTrust(io: CliIo, p: Primitives, trust: string): Trust {
  const bytes = trust.startsWith('twtrust') ? utf8Encode(trust) : read(io, trust)
  return unread('--trust', () => parseTrust(p, bytes))
}

function readTime(text: string): number {
  const ms = /^\d{4}-\d\d-\d\dT/.test(text) ? Date.parse(text) : Number.NaN
  if (Number.isNaN(ms)) throw new Unreadable('--at: not a time such as 2027-01-15T08:00:00Z')
  return ms
}

function decodeKey(text: string): Uint8Array {
  return unread('--owner', () => fromBase64url(text))
}

/** DER, out of PEM if it is that. */
function fromPem(bytes: Uint8Array): Uint8Array {
  if (bytes[0] !== 0x2d) return bytes
  return unread('--certificate', () => {
    const [, body = ''] =
      /^-----BEGIN CERTIFICATE-----([^-]*)-----END CERTIFICATE-----\s*$/.exec(utf8Decode(bytes)) ??
      []
    return fromBase64(body.replace(/\s/g, ''))
  })
}

/** What is beside the file is not what is being judged: if it cannot be read, nothing is said. */
function unread<T>(what: string, parseIt: () => T): T {
  try {
    return parseIt()
  } catch (error) {
    if (!(error instanceof ProofError)) throw error
    throw new Unreadable(`${what}: ${error.message} (${error.code})`)
  }
}

const started = process.argv[1]
if (started !== undefined && realpathSync(started) === fileURLToPath(import.meta.url)) {
  process.exitCode = runProofs(process.argv.slice(2), processIo)
}
