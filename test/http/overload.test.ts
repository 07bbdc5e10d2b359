/**
 * Goal: while more is sent than is done, a revocation is answered, a refusal says so in a problem document and leaves
 * nothing half done, an acknowledgement stays true, and the figures count what was refused. Method: the opened service
 * listens; connections send actions as large as they can be, each the next when it is answered.
 */
import { Agent, request } from 'node:http'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Made, outcomeOf, resultsOf, TestClient } from '../support/client.ts'
import { type OpenedService, openTestService } from '../support/opened-service.ts'

const CONNECTIONS = 150
const STATEMENTS = '/logs/main/v1/statements'
const REVOCATIONS = 4

let opened: OpenedService
let agent: TestClient
let operator: TestClient
let url: string
let targets: readonly string[]

beforeAll(async () => {
  opened = await openTestService({ openReads: true })
  url = await opened.service.app.listen({ host: '127.0.0.1', port: 0 })
  const { origin, trustDomain } = opened.operator.target
  operator = new TestClient({ identity: opened.operator.identity, url, origin, trustDomain })
  ;({ agent } = await opened.owner.issue('finance/bot/inst-00001'))
  const issued = await Promise.all(
    Array.from({ length: REVOCATIONS }, (_, at) =>
      opened.owner.issue(`finance/bot${at}/inst-00001`),
    ),
  )
  targets = issued.map((one) => `inst:${one.agent.principal}`)
}, 60_000)
afterAll(() => opened.close())

interface Answer {
  readonly status: number
  readonly headers: Readonly<Record<string, unknown>>
  readonly body: string
}

function send(connections: Agent, { statement, disclosures }: Made): Promise<Answer> {
  const body = JSON.stringify({ statement, disclosures })
  return new Promise((resolve, reject) => {
    const headers = {
      'content-type': 'application/json',
      'content-length': Buffer.byteLength(body),
      'x-request-id': 'flood-1',
    }
    const options = { method: 'POST', agent: connections, headers }
    const sent = request(`${url}${STATEMENTS}`, options, (answer) => {
      const parts: Buffer[] = []
      answer.on('data', (part: Buffer) => parts.push(part))
      answer.on('end', () => {
        const { statusCode: status = 0, headers: answered } = answer
        resolve({ status, headers: answered, body: Buffer.concat(parts).toString() })
      })
    })
    sent.on('error', reject)
    sent.end(body)
  })
}

test('in the midst of an overload revocations are taken, and what is refused is not recorded', async () => {
  const connections = new Agent({ keepAlive: true, maxSockets: CONNECTIONS })
  const before = opened.service.log.head().size
  const acknowledged: Made[] = []
  const refused: Made[] = []
  const answers: Answer[] = []
  let isOver = false
  const floods = Array.from({ length: CONNECTIONS }, async () => {
    while (!isOver) {
      const made = agent.makeAction(null, { details: { note: 'x'.repeat(12_000) } })
      const answer = await send(connections, made)
      const isTaken = answer.status === 200
      if (isTaken && answer.body.includes('"status":"registered"')) acknowledged.push(made)
      else {
        answers.push(answer)
        refused.push(made)
      }
    }
  })
  const outcomes: string[] = []
  for (const target of targets) outcomes.push(outcomeOf(await operator.revoke(target)))
  const stats = opened.service.log.stats()
  isOver = true
  await Promise.all(floods)
  connections.destroy()
  expect(new Set(outcomes)).toEqual(new Set(['revoked']))
  const unread = answers.filter(({ status }) => status === 503)
  // Random bytes of a signature may look like an urgent type: the intake lets them in, and the ledger refuses in a result.
  const read = answers.filter(({ status }) => status !== 503)
  for (const { status, body } of read)
    expect({ status, body: JSON.parse(body) }).toMatchObject({
      status: 200,
      body: { results: [{ status: 'refused', problem: { code: 'overloaded' } }] },
    })
  const sample = unread.at(-1)
  expect(sample).toMatchObject({
    status: 503,
    headers: {
      'content-type': 'application/problem+json',
      'retry-after': '1',
      'cache-control': 'no-store',
      'x-request-id': 'flood-1',
    },
  })
  expect(JSON.parse(sample?.body ?? '')).toEqual({
    type: 'urn:trustwarden:problem:overloaded',
    title: expect.any(String),
    status: 503,
    code: 'overloaded',
    detail: expect.any(String),
    request_id: 'flood-1',
  })
  expect(stats.lanes.urgent.rejected).toBe(0)
  expect(opened.service.log.head().size).toBe(before + acknowledged.length + REVOCATIONS)
  const some = refused.slice(0, 20)
  const again = resultsOf(await agent.submit(some))
  expect(again.map(({ repeated }) => repeated)).toEqual(some.map(() => false))
  const known = resultsOf(await agent.submit(acknowledged.slice(0, 20)))
  expect(known.every(({ repeated }) => repeated === true)).toBe(true)
  const metrics = await (await fetch(`${url}/metrics`)).text()
  const count = (name: string): number =>
    Number(new RegExp(`^trustwarden_${name} (\\d+)`, 'm').exec(metrics)?.[1])
  expect(count('refusals_total{code="overloaded"}')).toBe(refused.length)
  expect(count('overload_refusals_total{lane="normal"}')).toBe(refused.length)
  expect(count('request_seconds_count{route="statements",status="503"}')).toBe(unread.length)
  await expect.poll(() => opened.logged()).toContain('refused, for want of room')
  expect(opened.fatals).toEqual([])
}, 120_000)

test('afterwards all is taken again', async () => {
  expect(outcomeOf(await agent.submit([agent.makeAction()]))).toBe('absent')
})
