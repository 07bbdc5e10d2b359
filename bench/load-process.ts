/**
 * @module The load generator: signs before the clock starts, sends prepared bytes, and reads the answers after the
 * clock stopped.
 */
import { jsonObject, type JsonObject, type JsonValue } from '@trustwarden/proofs'
import { readFileSync } from 'node:fs'
import { PersonKey, type SignedStatement, TrustWarden } from 'trustwarden'
import { ask, type Asking, type BenchAgent, report, startAgent } from './agents.ts'
import { type Answer, Connection, requestBytes } from './connection.ts'
import type { LoadAnswer, LoadMessage, LoadOrder, LoadReport, LoadTarget } from './load.ts'
import { quantile } from './measure.ts'

interface Prepared {
  readonly requests: readonly Buffer[]
  readonly statementBytes: number
  /** How many good statements or proofs an answer holds; throws for one that is not as it has to be. */
  readonly check: (answer: JsonObject) => number
}

interface Sent {
  readonly answers: readonly Answer[]
  readonly latenciesMs: readonly number[]
  readonly ms: number
}

interface Opened {
  readonly target: LoadTarget
  readonly url: URL
  readonly client: TrustWarden
  readonly agents: readonly BenchAgent[]
}

/** Linux counts processor time of other processes in hundredths of a second (proc(5), USER_HZ). */
const TICK_US = 10_000
/** Connections over which decisions are got before a run of actions. */
const DECIDING_CONNECTIONS = 64
const DECIDING_TURNS = 5
/** Leading fields of /proc/<pid>/stat up to the state are cut off; user and system time then are these. */
const [UTIME, STIME] = [11, 12]

const EVALUATION = '/access/v1/evaluation'

async function open(target: LoadTarget): Promise<Opened> {
  const url = new URL(target.url)
  const client = await TrustWarden.connect({ url, trust: target.anchor })
  const owner = PersonKey.fromFile(target.owner)
  const agents: BenchAgent[] = []
  for (let at = 0; at < target.agents; at++)
    agents.push(await startAgent(client, owner, `bench/agent-${at}`))
  return { target, url, client, agents }
}

function frame({ text, disclosures }: SignedStatement): JsonObject {
  return { statement: text, disclosures }
}

function logPath({ client }: Opened, path: string): string {
  return `/logs/${client.origin.slice(client.origin.lastIndexOf('/') + 1)}${path}`
}

function agentAt({ agents }: Opened, at: number): BenchAgent {
  const agent = agents[at % agents.length]
  if (agent === undefined) throw new Error('no agents')
  return agent
}

function meanLength(statements: readonly SignedStatement[]): number {
  const length = statements.reduce((sum, { text }) => sum + text.length, 0)
  return Math.round(length / statements.length)
}

/** The decision's id, or undefined where the policy was not evaluated in time: the machine was busy with others. */
function allowedId(answer: JsonObject): string | undefined {
  const { decision, context } = answer as { decision?: JsonValue; context?: JsonValue }
  const { decision_id: id, reasons } = jsonObject(context, 'context')
  if (decision === true && typeof id === 'string') return id
  if (Array.isArray(reasons) && reasons.includes('gate_timeout')) return undefined
  throw new Error(`not allowed: ${JSON.stringify(answer).slice(0, 400)}`)
}

function prepareDecisions(
  opened: Opened,
  count: number,
): Prepared & { readonly asked: readonly Asking[] } {
  const asked = Array.from({ length: count }, (_, at) => ask(opened.client, agentAt(opened, at)))
  return {
    asked,
    requests: asked.map(({ signed }) =>
      requestBytes(opened.url, EVALUATION, JSON.stringify(frame(signed))),
    ),
    statementBytes: meanLength(asked.map(({ signed }) => signed)),
    check: (answer) => (allowedId(answer) === undefined ? 0 : 1),
  }
}

/** Gets `count` decisions that allow, and reports the actions. What timed out in the gate is asked for again. */
async function actOn(opened: Opened, count: number): Promise<readonly SignedStatement[]> {
  const reports: SignedStatement[] = []
  for (let turn = 0; turn < DECIDING_TURNS && reports.length < count; turn++) {
    const { asked, requests } = prepareDecisions(opened, count - reports.length)
    const { answers } = await sendAll(opened, requests, DECIDING_CONNECTIONS)
    for (const [at, asking] of asked.entries()) {
      const id = allowedId(readAnswer(answers[at]))
      if (id !== undefined) reports.push(report(opened.client, asking, id))
    }
  }
  if (reports.length < count) throw new Error('the gate kept timing out: the machine is too busy')
  return reports
}

/** Actions that each have a decision of their own, got here and now: a permit lives for seconds. */
async function prepareActions(opened: Opened, { count, perRequest }: LoadOrder): Promise<Prepared> {
  const reports = await actOn(opened, count)
  const path = logPath(opened, '/v1/statements')
  const bodies: Buffer[] = []
  for (let at = 0; at < count; at += perRequest) {
    const statements = reports.slice(at, at + perRequest).map(frame)
    bodies.push(requestBytes(opened.url, path, JSON.stringify({ statements })))
  }
  return { requests: bodies, statementBytes: meanLength(reports), check: countMatched }
}

function countMatched(answer: JsonObject): number {
  const results = answer['results']
  if (!Array.isArray(results)) throw new Error('an answer without results')
  for (const result of results as readonly JsonObject[])
    if (result['outcome'] !== 'matched' || result['repeated'] !== false)
      throw new Error(`not matched: ${JSON.stringify(result).slice(0, 400)}`)
  return results.length
}

async function prepareProofs(opened: Opened, count: number): Promise<Prepared> {
  const { size } = (await opened.client.checkpoint()).head
  const requests = Array.from({ length: count }, () => {
    const index = Math.floor(Math.random() * size)
    const path = logPath(opened, `/v1/proofs/inclusion?index=${index}&size=${size}`)
    return requestBytes(opened.url, path)
  })
  const check = (answer: JsonObject): number => {
    if (!Array.isArray(answer['path'])) throw new Error('an answer without a path')
    return 1
  }
  return { requests, statementBytes: 0, check }
}

function readAnswer(answer: Answer | undefined): JsonObject {
  const body = answer?.body.toString() ?? ''
  if (answer?.status !== 200) throw new Error(`status ${answer?.status}: ${body.slice(0, 400)}`)
  return JSON.parse(body) as JsonObject
}

/** Every connection sends its next request when it has its answer. */
async function sendAll(
  { url }: Opened,
  requests: readonly Buffer[],
  connections: number,
): Promise<Sent> {
  const open = await openConnections(url, connections)
  const answers: Answer[] = []
  const latenciesMs: number[] = []
  const start = performance.now()
  let next = 0
  await Promise.all(
    open.map(async (connection) => {
      for (let at = next++; at < requests.length; at = next++) {
        const from = performance.now()
        answers[at] = await connection.request(requests[at] ?? Buffer.alloc(0))
        latenciesMs.push(performance.now() - from)
      }
    }),
  )
  const ms = performance.now() - start
  for (const connection of open) connection.close()
  return { answers, latenciesMs, ms }
}

/** Requests are sent when they are due; one that finds no connection free waits, and the wait counts. */
async function sendPaced(
  { url }: Opened,
  requests: readonly Buffer[],
  connections: number,
  perSecond: number,
): Promise<Sent> {
  const open = await openConnections(url, connections)
  const free = [...open]
  const answers: Answer[] = []
  const latenciesMs: number[] = []
  const start = performance.now()
  const dueAt = (at: number): number => start + (at * 1000) / perSecond
  let next = 0
  await new Promise<void>((resolve, reject) => {
    const send = (connection: Connection, at: number): void => {
      connection.request(requests[at] ?? Buffer.alloc(0)).then((answer) => {
        answers[at] = answer
        latenciesMs.push(performance.now() - dueAt(at))
        free.push(connection)
        if (latenciesMs.length === requests.length) resolve()
        else sendDue()
      }, reject)
    }
    const sendDue = (): void => {
      const now = performance.now()
      while (next < requests.length && dueAt(next) <= now) {
        const connection = free.pop()
        if (connection === undefined) return
        send(connection, next++)
      }
    }
    const tick = (): void => {
      sendDue()
      if (next < requests.length) setTimeout(tick, 1)
    }
    tick()
  })
  const ms = performance.now() - start
  for (const connection of open) connection.close()
  return { answers, latenciesMs, ms }
}

function openConnections(url: URL, count: number): Promise<readonly Connection[]> {
  return Promise.all(Array.from({ length: count }, () => Connection.open(url)))
}

/** Processor time of a process in µs, all its threads, or undefined where there is no proc(5). */
function processorUs(pid: number): number | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1')
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    return (Number(fields[UTIME]) + Number(fields[STIME])) * TICK_US
  } catch {
    return undefined
  }
}

function prepare(opened: Opened, order: LoadOrder): Prepared | Promise<Prepared> {
  switch (order.what) {
    case 'action':
      return prepareActions(opened, order)
    case 'decision':
      return prepareDecisions(opened, order.count)
    case 'proof':
      return prepareProofs(opened, order.count)
  }
}

async function run(
  opened: Opened,
  { connections, requestsPerSecond, count }: LoadOrder,
  { requests, check, statementBytes }: Prepared,
): Promise<LoadReport> {
  const service = processorUs(opened.target.pid)
  const own = process.cpuUsage()
  const sent = await (requestsPerSecond === undefined
    ? sendAll(opened, requests, connections)
    : sendPaced(opened, requests, connections, requestsPerSecond))
  const { user, system } = process.cpuUsage(own)
  const serviceAfter = processorUs(opened.target.pid)
  const good = sent.answers.reduce((sum, answer) => sum + check(readAnswer(answer)), 0)
  if (good !== count) throw new Error(`${good} good answers, not ${count}`)
  const known = service !== undefined && serviceAfter !== undefined
  return {
    rate: (count * 1000) / sent.ms,
    p50Ms: quantile(sent.latenciesMs, 0.5),
    p99Ms: quantile(sent.latenciesMs, 0.99),
    serviceUs: known ? (serviceAfter - service) / count : undefined,
    loadUs: (user + system) / count,
    statementBytes,
  }
}

let opened: Opened | undefined
let prepared: { readonly order: LoadOrder; readonly requests: Prepared } | undefined

async function obey(message: LoadMessage): Promise<LoadAnswer> {
  try {
    if ('open' in message) {
      opened = await open(message.open)
      return {}
    }
    if (opened === undefined) throw new Error('no service was opened')
    if ('prepare' in message) {
      const order = message.prepare
      prepared = { order, requests: await prepare(opened, order) }
      return {}
    }
    if (prepared === undefined) throw new Error('nothing was prepared')
    const { order, requests } = prepared
    prepared = undefined
    return { report: await run(opened, order, requests) }
  } catch (error) {
    return { error: error instanceof Error ? error.message : String(error) }
  }
}

process.on('disconnect', () => process.exit())
process.on('message', (message) => {
  void obey(message as LoadMessage).then((answer) => process.send?.(answer))
})
