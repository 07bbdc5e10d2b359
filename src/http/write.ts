/**
 * @module Submitting: statements in, receipts out. The authority to write is the statement's own signature.
 */
import {
  decodeEntry,
  type JsonObject,
  type JsonValue,
  receiptObject,
  receiptSetObject,
  toBase64url,
} from '@trustwarden/proofs'
import { isErrorCode, ServiceError } from '../errors.ts'
import type { SubmitResult } from '../ledger/submissions.ts'
import { type BodyValue, readStatements, readSubmitted, type Submitted } from './body.ts'
import { bodyOf } from './intake.ts'
import { lineageOf } from './lineage.ts'
import { logError, noteRefusal } from './logging.ts'
import { outcomeWord } from './outcome.ts'
import type { Allowed, HttpParts } from './parts.ts'
import { problemOf } from './problem.ts'
import { accessOf, ROLES } from './roles.ts'

type WriteRoute = 'agents' | 'evaluation' | 'statements'

/** Statement types that each route takes. */
const TYPES: Readonly<Record<WriteRoute, readonly string[]>> = {
  agents: ['agent.issue'],
  evaluation: ['decision'],
  statements: [
    'action',
    'agent.revoke',
    'erasure',
    'member.enroll',
    'operator.clock',
    'operator.enroll',
    'owner.enroll',
    'policy.activate',
    'key.rotate',
  ],
}

const signersOf = (route: WriteRoute) =>
  ROLES.filter((role) => accessOf(route, role, false) !== '-')

/** Roles whose statements each route takes, from the table. */
const SIGNERS: Readonly<Record<WriteRoute, readonly string[]>> = {
  agents: signersOf('agents'),
  evaluation: signersOf('evaluation'),
  statements: signersOf('statements'),
}

async function register(
  parts: HttpParts,
  route: WriteRoute,
  submitted: Submitted,
  request: Allowed['request'],
): Promise<SubmitResult> {
  const { statements } = parts.metrics
  try {
    const { statement, media, disclosures, pinned, csr } = submitted
    const result = await parts.log.submit({
      statement,
      disclosures,
      pinned,
      types: TYPES[route],
      signers: SIGNERS[route],
      source: request.raw.socket,
      urgentOnly: bodyOf(request.raw)?.urgentOnly ?? false,
      ...(media === undefined ? {} : { media }),
      ...(csr === undefined ? {} : { csr }),
    })
    statements.inc({ kind: result.kind, result: outcomeWord(result.outcome) })
    return result
  } catch (error) {
    statements.inc({ kind: 'none', result: problemOf(error).code })
    throw error
  }
}

const asJson = (value: unknown): JsonValue => value as JsonValue

/** Says that the log does not keep the unprotected header that a statement came with (FORMAT §3.1). */
const emptied = (result: SubmitResult): JsonObject =>
  result.emptied === true ? { unprotected_emptied: true } : {}

/** What became of one statement of a request. */
type Outcome =
  | { readonly result: SubmitResult; readonly statement: Submitted['statement'] }
  | { readonly problem: JsonValue }

async function oneOfMany(
  parts: HttpParts,
  { request }: Allowed,
  value: BodyValue,
  place: number,
): Promise<Outcome> {
  try {
    const submitted = readSubmitted(value, `statements[${place}]`)
    const result = await register(parts, 'statements', submitted, request)
    return { result, statement: submitted.statement }
  } catch (error) {
    // Where nobody knows what became of a statement there is no result: the whole request is to be repeated.
    if (!(error instanceof ServiceError) || error.code === 'outcome_unknown') throw error
    if (error.code === 'internal') logError(request, error, 'unexpected error')
    const problem = problemOf(error)
    parts.metrics.refusals.inc({ code: problem.code })
    return { problem: asJson(problem) }
  }
}

function resultOf(outcome: Outcome, receipt: (result: SubmitResult) => JsonValue): JsonValue {
  if ('problem' in outcome) return { status: 'refused', problem: outcome.problem }
  const { result } = outcome
  return {
    status: 'registered',
    index: result.index,
    kind: result.kind,
    outcome: outcomeWord(result.outcome),
    repeated: result.repeated,
    ...emptied(result),
    receipt: receipt(result),
    ...(result.extra === undefined ? {} : { answer: result.extra }),
  }
}

/**
 * `POST {log}/v1/statements`: one result per statement, in order, each independent of the others. Where it is asked for
 * the receipts are one set beside them, and `receipt` is a place in it.
 */
export async function statements(parts: HttpParts, allowed: Allowed): Promise<JsonValue> {
  const { statements: values, isShared } = readStatements(parsedBody(allowed.request))
  const outcomes = await Promise.all(
    values.map((value, place) => oneOfMany(parts, allowed, value, place)),
  )
  if (!isShared) {
    return {
      results: outcomes.map((one) => resultOf(one, ({ receipt }) => receiptObject(receipt))),
    }
  }
  const registered = outcomes.flatMap((one) => ('result' in one ? [one] : []))
  let place = 0
  return {
    results: outcomes.map((one) => resultOf(one, () => place++)),
    receipts: receiptSetObject(
      registered.map(({ result }) => result.receipt),
      registered.map(({ statement }) =>
        typeof statement === 'string' ? Buffer.from(statement, 'latin1') : statement,
      ),
    ),
  }
}

/** `POST {log}/v1/agents`: 201 with certificate, roots, receipt and lineage; 403 with code and receipt. */
export async function agents(parts: HttpParts, { request, reply }: Allowed): Promise<JsonValue> {
  const submitted = readSubmitted(parsedBody(request), 'body')
  const result = await register(parts, 'agents', submitted, request)
  const receipt = receiptObject(result.receipt)
  if (result.kind === 'agent.refuse') {
    const document = problemOf(refusal(outcomeWord(result.outcome)))
    noteRefusal(parts, request, document.code)
    reply.code(document.status).type('application/problem+json')
    const { index } = result
    return {
      ...asObject(asJson(document)),
      request_id: request.id,
      index,
      ...emptied(result),
      receipt,
    }
  }
  const instance = issuedInstance(result)
  const agent = parts.agents.find(parts.log.view(), instance)
  if (agent === undefined) throw new Error(`issued agent ${instance} is not in the fold`)
  reply.code(result.repeated ? 200 : 201)
  return {
    instance,
    index: result.index,
    repeated: result.repeated,
    ...emptied(result),
    ...asObject(result.extra ?? {}),
    ca: parts.roots.map((root) => toBase64url(root)),
    receipt,
    lineage: lineageOf(parts, agent),
  }
}

/** What the parser made of the body; a request without one has none. */
function parsedBody({ body }: Allowed['request']): BodyValue {
  return body === undefined ? null : (body as BodyValue)
}

/** The child: the first subject of an `agent.issue` entry (FORMAT §6). */
function issuedInstance({ receipt }: SubmitResult): string {
  const subject = decodeEntry(receipt.entry).links[0]?.subject ?? ''
  return subject.slice('inst:'.length)
}

function asObject(value: JsonValue): JsonObject {
  return value as JsonObject
}

function refusal(reason: string): ServiceError {
  return isErrorCode(reason)
    ? new ServiceError(reason, 'the issuance was refused, and the refusal is recorded')
    : new ServiceError('delegation_invalid', reason)
}

/** `POST /access/v1/evaluation` (AuthZEN 1.0): 200 for allow and deny alike; the decision is an entry already. */
export async function evaluation(parts: HttpParts, { request }: Allowed): Promise<JsonValue> {
  const submitted = readSubmitted(parsedBody(request), 'body')
  const result = await register(parts, 'evaluation', submitted, request)
  const answer = asObject(result.extra ?? {})
  return {
    ...answer,
    context: {
      ...asObject(answer['context'] ?? {}),
      index: result.index,
      ...emptied(result),
      receipt: receiptObject(result.receipt),
    },
  }
}
