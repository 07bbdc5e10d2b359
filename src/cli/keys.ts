/**
 * @module `trustwarden keys`: gives a log a new key. `rotate-log` is for whoever runs the service: it makes the key, and what
 * old and new key sign of the change. `activate` is for operators: each signs that, and the k-th puts the key in force.
 */
import { readFileSync } from 'node:fs'
import { ROTATION_OVERLAP_MAX, ROTATION_OVERLAP_MIN } from '@trustwarden/proofs'
import { rotateLogKey } from 'trustwarden'
import { directoryPath } from '../config.ts'
import { proposeRotation, type RotationReport } from '../rotation.ts'
import { type Command, type ExitCode, type Io, readCall, UsageError } from './command.ts'
import { givenPassphrase } from './passphrase.ts'
import { COMMON, COMMON_USAGE, connect, report } from './people.ts'

/** Entries: what is registered until the last operator signed, and until clients followed. */
const OVERLAP_DEFAULT = 100_000

/** See the module. */
export const keys: Command = {
  usage:
    'keys rotate-log --data DIR --out FILE [--head DIR] [--keys DIR] [--overlap ENTRIES] ' +
    '[--passphrase-file F | --passphrase-fd N] [--json]\n' +
    `       trustwarden keys activate FILE  ${COMMON_USAGE}`,
  summary: 'give the log a new key: make it, and have operators put it in force',
  run: (args, io) => {
    const [verb, ...rest] = args
    if (verb === 'rotate-log') return rotateLog(rest, io)
    if (verb === 'activate') return activate(rest, io)
    return Promise.reject(new UsageError('rotate-log or activate is needed'))
  },
}

async function rotateLog(args: readonly string[], io: Io): Promise<ExitCode> {
  const call = readCall(args, {
    values: ['data', 'head', 'keys', 'out', 'overlap', 'passphrase-file', 'passphrase-fd'],
    switches: ['json'],
  })
  const data = directoryPath(call.required('data'))
  const passphrase = givenPassphrase(call)
  const made = await proposeRotation({
    data,
    head: call.optional('head') ?? `${data}.head`,
    keys: call.optional('keys') ?? `${data}.keys`,
    out: call.required('out'),
    overlap: readOverlap(call.optional('overlap')),
    passphrase,
  })
  if (call.has('json')) io.out(`${JSON.stringify(made)}\n`)
  else io.out(describe(made, passphrase === undefined))
  return 0
}

function describe(made: RotationReport, isPlain: boolean): string {
  return `made a new log key${isPlain ? ' (NOT encrypted, as the old one)' : ''}; the old one signs on until the log says otherwise

  key       ${made.key}
  proposal  ${made.proposal}
  old       ${made.old}
  new       ${made.new}
  until     size ${made.until}: up to it both keys sign, and the old key file stays

Next: 1 start the service again: it reads keys at its start
      2 each operator: trustwarden keys activate ${made.proposal} --key KEY --url URL --trust T
      3 everyone who verifies: trustwarden trust update --trust T --url URL --out trust.json
`
}

function readOverlap(text: string | undefined): number {
  if (text === undefined) return OVERLAP_DEFAULT
  const overlap = /^[1-9]\d{0,11}$/.test(text) ? Number(text) : 0
  if (overlap < ROTATION_OVERLAP_MIN || overlap > ROTATION_OVERLAP_MAX) {
    const range = `from ${ROTATION_OVERLAP_MIN} to ${ROTATION_OVERLAP_MAX}`
    throw new UsageError(`--overlap is "${text}", a count of entries ${range} is needed`)
  }
  return overlap
}

async function activate(args: readonly string[], io: Io): Promise<ExitCode> {
  const call = readCall(args, { values: COMMON, switches: ['json'], operands: [1, 1] })
  const [file = ''] = call.operands
  const proposal = new Uint8Array(readFileSync(file))
  const { client, key } = await connect(call)
  const registered = await rotateLogKey(client, key, proposal)
  const at = `--url ${call.required('url')} --trust ${call.required('trust')}`
  // Not "enroll join": who reads the file sees the two keys, and until when both sign.
  const next =
    registered.outcome === 'pending'
      ? `pending: another operator looks at old, new and until in the same file, and signs it:\n  trustwarden keys activate ${file} --key KEY ${at}\n`
      : `the new key is in force; whoever verifies: trustwarden trust update ${at} --out trust.json\n`
  return report(call, io, registered, next)
}
