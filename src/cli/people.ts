/**
 * @module What people do to a running log: enrol, revoke, erase, activate a policy, accept a clock, read an entry or a
 * range, collect evidence. Each signs a statement or a request with a key that never leaves its person.
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { formatRange, parseSubject, toBase64url } from '@trustwarden/proofs'
import {
  acceptClock,
  activatePolicy,
  type Enrolment,
  type Envelope,
  enrollOperator,
  enrollOwner,
  enrollReader,
  erase as eraseEntries,
  formatReceipt,
  joinProposal,
  type PersonKey,
  type Registered,
  Reader,
  revoke as revokeTarget,
  TrustWarden,
} from 'trustwarden'
import { encodePublicKey } from '../crypto.ts'
import { readPublicKeyFile } from '../keys.ts'
import { type Call, type Command, type ExitCode, type Io, readCall, UsageError } from './command.ts'
import { openPersonKey } from './passphrase.ts'

/** Flags of every command that signs, a request or a statement. */
export const COMMON = ['url', 'ca', 'trust', 'key', 'passphrase-file', 'passphrase-fd'] as const
/** Flags of those that sign a statement. */
const SIGNS = [...COMMON, 'envelope'] as const
/** How they are used. */
export const COMMON_USAGE: string =
  '--url URL [--ca FILE] --trust ANCHOR|FILE --key KEY [--passphrase-file F | --passphrase-fd N] [--json]'
const SIGNS_USAGE = `${COMMON_USAGE} [--envelope jws|cose]`

/** Somebody at a running service. */
export interface Session {
  readonly client: TrustWarden
  readonly key: PersonKey
}

/** An anchor given as it is, or the file that holds it or a trust file. */
export function readTrust(text: string): string {
  return text.startsWith('twtrust') ? text : readFileSync(text, 'utf8')
}

/** Connects with the key that the call names. */
export async function connect(call: Call): Promise<Session> {
  const key = await openPersonKey(call, call.required('key'))
  const ca = call.optional('ca')
  const client = await TrustWarden.connect({
    url: call.required('url'),
    trust: readTrust(call.required('trust')),
    envelope: envelopeOf(call),
    ...(ca === undefined ? {} : { ca: readFileSync(ca, 'utf8') }),
  })
  return { client, key }
}

function envelopeOf(call: Call): Envelope {
  const envelope = call.optional('envelope') ?? 'jws'
  if (envelope !== 'jws' && envelope !== 'cose')
    throw new UsageError(`--envelope is "${envelope}", jws or cose is needed`)
  return envelope
}

function roleOf(call: Call): 'operator' | 'owner' {
  const role = call.optional('as') ?? 'operator'
  if (role !== 'operator' && role !== 'owner')
    throw new UsageError(`--as is "${role}", operator or owner is needed`)
  return role
}

/** Prints what became of a statement. */
export function report(call: Call, io: Io, registered: Registered, next = ''): ExitCode {
  const { index, kind, outcome, repeated } = registered
  if (call.has('json')) io.out(`${JSON.stringify({ index, kind, outcome, repeated })}\n`)
  else {
    const again = repeated ? ' (it was there before)' : ''
    io.out(`${outcome}: ${kind} is entry ${index}${again}, its receipt verified\n${next}`)
  }
  return 0
}

/** What to do about a proposal that waits. */
const PENDING_HELP =
  'pending: another operator signs the same proposal with "trustwarden enroll join INDEX …"\n'

/** See the module. */
export const enroll: Command = {
  usage: `enroll owner|reader|operator PUB [--pattern P …] | enroll join INDEX  ${SIGNS_USAGE}`,
  summary: "an operator enrols an owner, a reader or an operator, or signs another's proposal",
  run: async (args, io) => {
    const call = readCall(args, {
      values: SIGNS,
      repeated: ['pattern'],
      switches: ['json'],
      operands: [2, 2],
    })
    const [what = '', operand = ''] = call.operands
    const { client, key } = await connect(call)
    const submit = async (): Promise<Registered> => {
      if (what === 'join') return joinProposal(client, key, readIndex(operand))
      const enrolment: Enrolment = { key: encodePublicKey(readPublicKeyFile(operand)).spki }
      if (what === 'reader') return enrollReader(client, key, enrolment)
      if (what === 'operator') return enrollOperator(client, key, enrolment)
      if (what !== 'owner') throw new UsageError('owner, reader, operator or join is needed')
      const patterns = call.all('pattern')
      if (patterns.length === 0) throw new UsageError('--pattern is missing: what may it name?')
      return enrollOwner(client, key, { ...enrolment, patterns })
    }
    const registered = await submit()
    return report(call, io, registered, registered.outcome === 'pending' ? PENDING_HELP : '')
  },
}

/** See the module. */
export const revoke: Command = {
  usage:
    'revoke spiffe://…/inst-… | agent:spiffe://… | owner:KID  [--as operator|owner] ' +
    `[--reason compromised|superseded|ceased|unspecified] ${SIGNS_USAGE}`,
  summary: 'stop an agent instance, an agent by name, or all agents of an owner, now',
  run: async (args, io) => {
    const call = readCall(args, {
      values: [...SIGNS, 'as', 'reason'],
      switches: ['json'],
      operands: [1, 1],
    })
    const [given = ''] = call.operands
    const target = given.startsWith('spiffe://') ? `inst:${given}` : given
    parseSubject(target)
    const reason = call.optional('reason') ?? 'unspecified'
    const known = ['compromised', 'superseded', 'ceased', 'unspecified'] as const
    const found = known.find((one) => one === reason)
    if (found === undefined) throw new UsageError(`--reason is one of ${known.join(', ')}`)
    const { client, key } = await connect(call)
    const registered = await revokeTarget(client, key.as(roleOf(call)), target, { reason: found })
    return report(
      call,
      io,
      registered,
      'gate, issuer and action check obey from the next entry on\n',
    )
  },
}

/** See the module. */
export const erase: Command = {
  usage: `erase INDEX … [--as operator|owner] ${SIGNS_USAGE}`,
  summary: 'erase the disclosures of entries; their proofs still verify',
  run: async (args, io) => {
    const call = readCall(args, {
      values: [...SIGNS, 'as'],
      switches: ['json'],
      operands: [1, 100],
    })
    const { client, key } = await connect(call)
    const entries = call.operands.map(readIndex)
    const registered = await eraseEntries(client, { key, role: roleOf(call) }, entries)
    return report(
      call,
      io,
      registered,
      'the service deletes, compacts and searches its files behind this\n',
    )
  },
}

/** See the module. */
export const policy: Command = {
  usage: `policy activate --wasm FILE --data FILE --revision TEXT ${SIGNS_USAGE}`,
  summary: 'an operator puts a policy in force; the log proves which one governed each decision',
  run: async (args, io) => {
    const call = readCall(args, {
      values: [...SIGNS, 'wasm', 'data', 'revision'],
      switches: ['json'],
      operands: [1, 1],
    })
    if (call.operands[0] !== 'activate') throw new UsageError('only "policy activate" is known')
    const { encodePolicy } = await import('../gate/policy-pack.ts')
    const pack = encodePolicy({
      wasm: readFileSync(call.required('wasm')),
      data: readFileSync(call.required('data')),
      revision: call.required('revision'),
    })
    const { client, key } = await connect(call)
    const registered = await activatePolicy(client, key, pack)
    return report(call, io, registered, registered.outcome === 'pending' ? PENDING_HELP : '')
  },
}

/** See the module. */
export const clock: Command = {
  usage: `clock accept ${SIGNS_USAGE}`,
  summary: 'an operator accepts a wall clock that jumped, so that intake goes on',
  run: async (args, io) => {
    const call = readCall(args, { values: SIGNS, switches: ['json'], operands: [1, 1] })
    if (call.operands[0] !== 'accept') throw new UsageError('only "clock accept" is known')
    const { client, key } = await connect(call)
    return report(call, io, await acceptClock(client, key))
  },
}

/** Who reads: the role under which the key is enrolled. */
export function readerOf(call: Call, { client, key }: Session): Reader {
  const role = call.optional('as') ?? 'reader'
  if (role !== 'reader' && role !== 'operator' && role !== 'owner')
    throw new UsageError(`--as is "${role}", reader, operator or owner is needed`)
  return new Reader(client, key.as(role))
}

/** See the module. */
export const entry: Command = {
  usage: `entry INDEX [--out FILE] [--as reader|operator|owner] ${COMMON_USAGE}`,
  summary: 'read one entry, its receipt verified; --out keeps the receipt, which verifies offline',
  run: async (args, io) => {
    const call = readCall(args, {
      values: [...COMMON, 'as', 'out'],
      switches: ['json'],
      operands: [1, 1],
    })
    const out = call.optional('out')
    const reader = readerOf(call, await connect(call))
    const read = await reader.entry(readIndex(call.operands[0] ?? ''))
    if (out !== undefined) return keep(call, io, out, formatReceipt(read.receipt))
    const { index, kind, timeMs, outcome, links, statement } = read.entry
    io.out(
      `${JSON.stringify(
        {
          index,
          kind,
          time: new Date(timeMs).toISOString(),
          outcome: outcome.get(0),
          subjects: links.map((link) => `${link.subject} #${link.seq}`),
          statement: Buffer.from(statement).toString('latin1'),
          disclosures: read.disclosures,
        },
        (_name, value: unknown) => (value instanceof Uint8Array ? toBase64url(value) : value),
        2,
      )}\n`,
    )
    return 0
  },
}

/** See the module. */
export const evidence: Command = {
  usage: `evidence INDEX --out FILE [--as reader|operator|owner] ${COMMON_USAGE}`,
  summary: 'collect all that one action rests on into a file that verifies offline',
  run: async (args, io) => {
    const call = readCall(args, {
      values: [...COMMON, 'as', 'out'],
      switches: ['json'],
      operands: [1, 1],
    })
    const out = call.required('out')
    const reader = readerOf(call, await connect(call))
    const bundle = await reader.evidence(readIndex(call.operands[0] ?? ''))
    return keep(call, io, out, bundle)
  },
}

/** Writes a file that verifies offline; nothing is overwritten. */
function keep(call: Call, io: Io, out: string, bytes: Uint8Array): ExitCode {
  writeFileSync(out, bytes, { flag: 'wx' })
  if (call.has('json')) io.out(`${JSON.stringify({ out, bytes: bytes.length })}\n`)
  else io.out(`${out}: ${bytes.length} bytes\ncheck it: trustwarden verify ${out} --trust ANCHOR\n`)
  return 0
}

/** See the module. */
export const range: Command = {
  usage: `range START END --out FILE [--as reader|operator|owner] ${COMMON_USAGE}`,
  summary:
    'write all entries from START to before END into a file that shows that none is left out',
  run: async (args, io) => {
    const call = readCall(args, {
      values: [...COMMON, 'as', 'out'],
      switches: ['json'],
      operands: [2, 2],
    })
    const out = call.required('out')
    const [start = 0, end = 0] = call.operands.map(readIndex)
    const reader = readerOf(call, await connect(call))
    const read = await reader.entries(start, end)
    const bytes = formatRange(read.range)
    writeFileSync(out, bytes, { flag: 'wx' })
    const { size } = read.head
    if (call.has('json'))
      io.out(`${JSON.stringify({ out, bytes: bytes.length, start, end, size })}\n`)
    else
      io.out(
        `${out}: entries ${start} to ${end - 1}, ${bytes.length} bytes\ncheck it: trustwarden verify ${out} --trust ANCHOR\n`,
      )
    return 0
  },
}

/** An index, size or count. @throws UsageError */
export function readIndex(text: string): number {
  const index = /^(0|[1-9]\d{0,15})$/.test(text) ? Number(text) : Number.NaN
  if (!Number.isSafeInteger(index)) throw new UsageError(`"${text}" is not an index`)
  return index
}
