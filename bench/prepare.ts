/**
 * @module What a run of load sends: statements that are signed and requests that are bytes before the clock starts.
 */
import type { JsonObject } from '@trustwarden/proofs'
import { PersonKey, TrustWarden } from 'trustwarden'
import {
  ask,
  type Asking,
  type BenchAgent,
  enrollReader,
  report,
  reportUndecided,
  startAgent,
} from './agents.ts'
import { allowedId, checkDecision, checkResults, readAnswer } from './answers.ts'
import { requestBytes } from './connection.ts'
import type { LoadOrder, LoadTarget } from './load.ts'
import { sendAll } from './send.ts'
import { type Signed, type Signer, signerOf } from './sign.ts'

/** Requests, and what their answers have to be. */
export interface Prepared {
  readonly requests: readonly Buffer[]
  readonly statementBytes: number
  /** How many good statements or proofs the answer to the request at this place holds; throws for one that is not. */
  readonly check: (answer: JsonObject, place: number) => number
}

/** A service that load is sent to, and who sends it. */
export interface Opened {
  readonly target: LoadTarget
  readonly url: URL
  readonly client: TrustWarden
  readonly agents: readonly BenchAgent[]
  readonly operator: Signer
}

/** Connections over which decisions are got before a run of actions. */
const DECIDING_CONNECTIONS = 64
const DECIDING_TURNS = 5
const EVALUATION = '/access/v1/evaluation'

/** Connects, and has agents issued. */
export async function open(target: LoadTarget): Promise<Opened> {
  const url = new URL(target.url)
  const client = await TrustWarden.connect({ url, trust: target.anchor })
  const owner = PersonKey.fromFile(target.owner)
  const agents: BenchAgent[] = []
  for (let at = 0; at < target.agents; at++)
    agents.push(await startAgent(client, owner, `bench/agent-${at}`))
  const operator = PersonKey.fromFile(target.operator)
  const signer = signerOf(operator.principal('operator'), operator)
  return { target, url, client, agents, operator: signer }
}

/** The JSON of a statement and what travels beside it. */
export function frame({ text, disclosures }: Signed): JsonObject {
  return { statement: text, disclosures }
}

/** A path under the log. */
export function logPath(origin: string, path: string): string {
  return `/logs/${origin.slice(origin.lastIndexOf('/') + 1)}${path}`
}

/** The request that asks for a decision. */
export function evaluationRequest(url: URL, signed: Signed): Buffer {
  return requestBytes(url, EVALUATION, JSON.stringify(frame(signed)))
}

/** The request that submits statements, and gets their receipts whole, the entries in them. */
export function statementsRequest(url: URL, origin: string, statements: readonly Signed[]): Buffer {
  const body = JSON.stringify({ statements: statements.map(frame) })
  return requestBytes(url, logPath(origin, '/v1/statements'), body)
}

/** The same, of one statement. */
export function statementRequest(url: URL, origin: string, signed: Signed): Buffer {
  return statementsRequest(url, origin, [signed])
}

/** The request that submits statements as the SDK does: what their receipts have in common is answered once. */
function sharedRequest(url: URL, origin: string, statements: readonly Signed[]): Buffer {
  const body = JSON.stringify({ statements: statements.map(frame), receipts: 'shared' })
  return requestBytes(url, logPath(origin, '/v1/statements'), body)
}

function agentAt({ agents }: Opened, at: number): BenchAgent {
  const agent = agents[at % agents.length]
  if (agent === undefined) throw new Error('no agents')
  return agent
}

function meanLength(statements: readonly Signed[]): number {
  const length = statements.reduce((sum, { text }) => sum + text.length, 0)
  return Math.round(length / statements.length)
}

function askMany(opened: Opened, count: number): readonly Asking[] {
  return Array.from({ length: count }, (_, at) => ask(opened.client.origin, agentAt(opened, at)))
}

function prepareDecisions(opened: Opened, count: number): Prepared {
  const asked = askMany(opened, count).map(({ signed }) => signed)
  return {
    requests: asked.map((signed) => evaluationRequest(opened.url, signed)),
    statementBytes: meanLength(asked),
    check: (answer, place) => checkDecision(opened.client, answer, at(asked, place)),
  }
}

/** Gets `count` decisions that allow, and reports the actions. What timed out in the gate is asked for again. */
async function actOn(opened: Opened, count: number): Promise<readonly Signed[]> {
  const { url, client } = opened
  const reports: Signed[] = []
  for (let turn = 0; turn < DECIDING_TURNS && reports.length < count; turn++) {
    const asked = askMany(opened, count - reports.length)
    const requests = asked.map(({ signed }) => evaluationRequest(url, signed))
    const { answers } = await sendAll(url, requests, DECIDING_CONNECTIONS)
    for (const [place, asking] of asked.entries()) {
      const id = allowedId(readAnswer(answers[place]))
      if (id !== undefined) reports.push(report(client.origin, asking, id))
    }
  }
  if (reports.length < count) throw new Error('the gate kept timing out: the machine is too busy')
  return reports
}

function inRequests(
  { url, client }: Opened,
  statements: readonly Signed[],
  perRequest: number,
  outcome: string,
): Prepared {
  const parts: (readonly Signed[])[] = []
  for (let from = 0; from < statements.length; from += perRequest)
    parts.push(statements.slice(from, from + perRequest))
  return {
    requests: parts.map((part) => sharedRequest(url, client.origin, part)),
    statementBytes: meanLength(statements),
    check: (answer, place) => checkResults(client, answer, at(parts, place), outcome),
  }
}

async function prepareProofs({ url, client }: Opened, count: number): Promise<Prepared> {
  const { size } = (await client.checkpoint()).head
  const requests = Array.from({ length: count }, () => {
    const index = Math.floor(Math.random() * size)
    const path = logPath(client.origin, `/v1/proofs/inclusion?index=${index}&size=${size}`)
    return requestBytes(url, path)
  })
  const check = (answer: JsonObject): number => {
    if (!Array.isArray(answer['path'])) throw new Error('an answer without a path')
    return 1
  }
  return { requests, statementBytes: 0, check }
}

function at<T>(values: readonly T[], place: number): T {
  const value = values[place]
  if (value === undefined) throw new Error(`nothing at ${place}`)
  return value
}

/** Prepares a run. Decisions are got here and now, and their actions signed: what they say was then stays so. */
export async function prepare(opened: Opened, order: LoadOrder): Promise<Prepared> {
  const { what, count, perRequest } = order
  const many = (one: (place: number) => Signed): readonly Signed[] =>
    Array.from({ length: count }, (_, place) => one(place))
  const { origin } = opened.client
  switch (what) {
    case 'action':
      return inRequests(opened, await actOn(opened, count), perRequest, 'matched')
    case 'undecided': {
      const undecided = many((place) => reportUndecided(origin, agentAt(opened, place)))
      return inRequests(opened, undecided, perRequest, 'absent')
    }
    case 'enrolment': {
      const enrolments = many(() => enrollReader(origin, opened.operator))
      return inRequests(opened, enrolments, perRequest, 'effective')
    }
    case 'decision':
      return prepareDecisions(opened, count)
    case 'proof':
      return prepareProofs(opened, count)
  }
}
