/**
 * @module The handler of `agent.issue`: an owner or an instance delegates, the rules decide, the CA signs.
 *
 * The same rules run twice: in prepare, so that the CA signs only what would be issued now, and in register, which
 * decides. A refusal is recorded without a certificate, whatever prepare attached (DESIGN §1).
 */
import { randomBytes } from 'node:crypto'
import {
  CERTIFICATE_BYTES_MAX,
  encodeSvidExtension,
  equalBytes,
  parseDelegation,
  ProofError,
  toBase64url,
} from '@trustwarden/proofs'
import type { Delegation, JsonValue } from '@trustwarden/proofs'
import type { Clock } from '../clock.ts'
import { nativePrimitives } from '../crypto.ts'
import { isErrorCode, ServiceError } from '../errors.ts'
import type { ErrorCode } from '../errors.ts'
import type {
  AgentReader,
  CborMap,
  Incoming,
  Registered,
  Registration,
  RevocationReader,
  State,
  StatementHandler,
  Submission,
} from '../ledger/contract.ts'
import { checkWindow } from '../ledger/window.ts'
import { findKeyHolder, ISSUE_KIND } from './agents.ts'
import type { NameDecider } from './agents.ts'
import type { Authority } from './authority.ts'
import { boundCertificateEnd } from './certificate-binding.ts'
import { openCsr } from './csr.ts'
import { IdentityError } from './errors.ts'
import { LIFE_LEFT_MIN_MS, LIFE_MIN_MS, ruleIssue } from './rules.ts'
import type { IssueFacts, IssueRuling } from './rules.ts'

/** Kind of the entries that record a refused issuance (FORMAT §6). */
const REFUSE_KIND = 'agent.refuse'

/** How far a certificate begins before it was made, for verifiers whose clocks are behind (FORMAT §8.1). */
const BACKDATED_MS = 10_000
const CERTIFICATE_KEY = 1

/** What of the kit's errors about a record has a code of its own here: ids and scopes out of their grammar. */
const NAMED: ReadonlySet<string> = new Set(['spiffe_id_invalid', 'scope_invalid'])

/** What the handler needs of others. */
export interface IssueOptions {
  readonly origin: string
  readonly trustDomain: string
  readonly authority: Pick<Authority, 'issueSvid' | 'notAfterMs'>
  readonly agents: AgentReader
  readonly revocations: RevocationReader
  readonly decideName: NameDecider
  readonly clock: Clock
}

/** `contradiction`: it reads completely, and is recorded as refused. `refuse`: it does not read, and leaves no leaf. */
type Reading =
  | { readonly type: 'record'; readonly record: Delegation }
  | { readonly type: 'contradiction' }
  | { readonly type: 'refuse'; readonly code: ErrorCode; readonly message: string }

/** Makes the handler of `agent.issue`. */
export function createIssueHandler(options: IssueOptions): StatementHandler {
  return {
    type: ISSUE_KIND,
    lane: 'normal',
    disclosable: [],
    takesCsr: true,
    prepare: (incoming, view) => prepare(options, incoming, view),
    register: (state, submission) => register(options, state, submission),
    answer: ({ entry }: Registered): JsonValue => {
      const certificate = entry.prepared.get(CERTIFICATE_KEY)
      return certificate instanceof Uint8Array ? { certificate: toBase64url(certificate) } : {}
    },
  }
}

async function prepare(options: IssueOptions, incoming: Incoming, view: State): Promise<CborMap> {
  const { statement } = incoming
  const prepared = new Map<number, number | Uint8Array>([[0, view.size]])
  if (statement.issuer.role !== 'owner' && statement.issuer.role !== 'agent') {
    throw new ServiceError('signer_forbidden', 'agents are issued by owners and by instances')
  }
  const reading = readRecord(incoming)
  if (reading.type === 'refuse') throw new ServiceError(reading.code, reading.message)
  if (reading.type === 'contradiction') return prepared
  const { record } = reading
  const spki = openRequest(incoming, record)
  const timeMs = Math.max(view.timeMs, options.clock.nowMs())
  const facts = factsOf(options, view, incoming, record)
  const ruling = ruleIssue({ ...facts, timeMs, lifeMinMs: LIFE_MIN_MS })
  if (ruling.type === 'refuse') return prepared
  prepared.set(CERTIFICATE_KEY, await certify(options, incoming, { record, ruling, spki, timeMs }))
  return prepared
}

function register(options: IssueOptions, state: State, submission: Submission): Registration {
  const { statement, prepared } = submission
  const parent = signingAgent(options, state, submission)
  if (statement.issuer.role === 'agent' && parent === undefined) {
    return refuse('signer_unknown', 'no such instance was issued')
  }
  const outside = checkWindow(state, statement)
  if (outside !== undefined) return outside
  const size = prepared.get(0) ?? state.size
  const { iss } = statement.header
  const refused = (code: ErrorCode): Registration => ({
    type: 'entry',
    kind: REFUSE_KIND,
    prepared: new Map([[0, size]]),
    outcome: new Map([[0, code]]),
    subjects: parent ? [`inst:${iss}`, parent.owner] : [iss],
  })
  const reading = readRecord(submission)
  if (reading.type === 'refuse') return reading
  if (reading.type === 'contradiction') return refused('delegation_invalid')
  const { record } = reading
  const certificate = prepared.get(CERTIFICATE_KEY)
  // Without a certificate it was refused when it was prepared, and a shorter life would not mend that.
  const lifeMinMs = certificate === undefined ? LIFE_MIN_MS : LIFE_LEFT_MIN_MS
  const facts = factsOf(options, state, submission, record)
  const ruling = ruleIssue({ ...facts, timeMs: state.timeMs, lifeMinMs })
  if (ruling.type === 'refuse') return refused(ruling.code)
  const notAfterMs = boundCertificateEnd(certificate, {
    instance: record.child.instance.id,
    kid: record.child.kid,
    delegation: extensionOf(options, submission, record, ruling),
    timeMs: state.timeMs,
    notAfterMaxMs: ruling.notAfterMaxMs,
    notBeforeMinMs: ruling.notBeforeMinMs,
    lifeMinMs,
  })
  if (certificate === undefined || notAfterMs === undefined) return { type: 'stale' }
  const child = record.child.instance
  return {
    type: 'entry',
    kind: ISSUE_KIND,
    prepared: new Map([
      [0, size],
      [CERTIFICATE_KEY, certificate],
    ]),
    outcome: new Map<number, string | number>([
      [0, 'issued'],
      [1, notAfterMs],
    ]),
    subjects: [
      `inst:${child.id}`,
      ...(parent ? [`inst:${iss}`] : []),
      `agent:${child.name}`,
      record.owner,
    ],
  }
}

function factsOf(
  options: IssueOptions,
  state: State,
  incoming: Incoming,
  record: Delegation,
): Omit<IssueFacts, 'timeMs' | 'lifeMinMs'> {
  const { agents, revocations, decideName, trustDomain } = options
  const { header } = incoming.statement
  return {
    record,
    contentDigest: incoming.contentDigest,
    signer: header.iss,
    subject: header.sub,
    parent: signingAgent(options, state, incoming),
    trustDomain,
    size: state.size,
    isInstanceUsed: agents.find(state, record.child.instance.id) !== undefined,
    isKeyUsed: findKeyHolder(state, record.child.kid) !== undefined,
    nameOwner: decideName(state, record.child.instance.nameSegments)?.owner,
    governs: (agent) => revocations.governs(state, agent),
  }
}

function signingAgent({ agents }: IssueOptions, state: State, { statement }: Incoming) {
  return statement.issuer.role === 'agent' ? agents.find(state, statement.header.iss) : undefined
}

function readRecord({ statement }: Incoming): Reading {
  try {
    return { type: 'record', record: parseDelegation(statement) }
  } catch (error) {
    if (!(error instanceof ProofError)) throw error
    const { code, message } = error
    // Both are found once every member is read: parent, authorization, depth and signer, and the signer's key.
    if (code === 'delegation_invalid' || code === 'key_mismatch') return { type: 'contradiction' }
    const isNamed = NAMED.has(code) && isErrorCode(code)
    return { type: 'refuse', code: isNamed ? code : 'statement_malformed', message }
  }
}

/** The key of the certificate request that the record names. @throws ServiceError */
function openRequest({ csr }: Incoming, record: Delegation): Uint8Array {
  if (csr === undefined || !equalBytes(nativePrimitives.sha256(csr), record.child.csr)) {
    const rule = 'the certificate request is missing, or is not the one that child.csr names'
    throw new ServiceError('attachment_invalid', rule)
  }
  try {
    const { spki, kid } = openCsr(csr)
    if (kid === record.child.kid) return spki
  } catch (cause) {
    if (!(cause instanceof IdentityError)) throw cause
    throw new ServiceError('csr_invalid', cause.message, { cause })
  }
  throw new ServiceError('csr_invalid', 'the key of the request is not child.key')
}

async function certify(
  options: IssueOptions,
  incoming: Incoming,
  made: {
    readonly record: Delegation
    readonly ruling: Extract<IssueRuling, { readonly type: 'issue' }>
    readonly spki: Uint8Array
    readonly timeMs: number
  },
): Promise<Uint8Array> {
  const { record, ruling, spki, timeMs } = made
  const certificate = await sign(options.authority, {
    spiffeId: record.child.instance.id,
    publicKeySpki: spki,
    notBeforeMs: Math.max(timeMs - BACKDATED_MS, ruling.notBeforeMinMs),
    notAfterMs: Math.min(ruling.notAfterMaxMs, options.authority.notAfterMs),
    serial: drawSerial(),
    delegationExtension: extensionOf(options, incoming, record, ruling),
  })
  const { length } = certificate
  if (length > CERTIFICATE_BYTES_MAX) {
    const rule = `the certificate would be ${length} bytes, at most ${CERTIFICATE_BYTES_MAX}: a smaller scope is needed`
    throw new ServiceError('entry_too_large', rule)
  }
  return certificate
}

async function sign(
  authority: IssueOptions['authority'],
  request: Parameters<Authority['issueSvid']>[0],
): Promise<Uint8Array> {
  try {
    return await authority.issueSvid(request)
  } catch (cause) {
    if (!(cause instanceof IdentityError)) throw cause
    throw new ServiceError('internal', `the authority cannot sign: ${cause.message}`, { cause })
  }
}

function extensionOf(
  { origin }: IssueOptions,
  { contentDigest }: Incoming,
  record: Delegation,
  { ancestors }: Extract<IssueRuling, { readonly type: 'issue' }>,
): Uint8Array {
  const { owner, depth, scope, size } = record
  return encodeSvidExtension(nativePrimitives, {
    recordDigest: contentDigest,
    owner,
    depth,
    ancestors,
    scope,
    origin,
    size,
  })
}

/** 16 random bytes; one bit is fixed, so that they are never the zero that no serial may be. */
function drawSerial(): Uint8Array {
  const serial = new Uint8Array(randomBytes(16))
  serial[0] = (serial[0] ?? 0) | 1
  return serial
}

function refuse(code: ErrorCode, message: string): Extract<Registration, { type: 'refuse' }> {
  return { type: 'refuse', code, message }
}
