/**
 * Goal: nobody keeps an operator's revocations out by sending forged ones in the operator's name, and nobody stores
 * bytes for ever beside a statement that takes none. Method: the opened service listens; four connections send nothing
 * but forgeries, 900 in a request, while the operator revokes over a connection of its own.
 */
import { randomBytes } from 'node:crypto'
import { Agent, request } from 'node:http'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { outcomeOf, resultsOf, TestClient } from '../support/client.ts'
import { type OpenedService, openTestService } from '../support/opened-service.ts'

const STATEMENTS = '/logs/main/v1/statements'
const CONNECTIONS = 4
const REVOCATIONS = 20
const TOGETHER = 60

let opened: OpenedService
let operator: TestClient
let url: string
/** Agents that the tests revoke: of the flood's time, and in one request. */
let targets: readonly string[]

beforeAll(async () => {
  opened = await openTestService()
  url = await opened.service.app.listen({ host: '127.0.0.1', port: 0 })
  const { identity, target } = opened.operator
  const { origin, trustDomain } = target
  operator = new TestClient({ identity, url, origin, trustDomain })
  const issued = await Promise.all(
    Array.from({ length: REVOCATIONS + TOGETHER }, (_, at) =>
      opened.owner.issue(`finance/bot${at}/inst-00001`),
    ),
  )
  targets = issued.map(({ agent }) => `inst:${agent.principal}`)
})
afterAll(() => opened.close())

/** Sends one request over one of the flood's connections. */
function send(agent: Agent, body: Buffer): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const headers = { 'content-type': 'application/json', 'content-length': body.length }
    const sent = request(`${url}${STATEMENTS}`, { method: 'POST', agent, headers }, (answer) => {
      const parts: Buffer[] = []
      answer.on('data', (part: Buffer) => parts.push(part))
      answer.on('end', () => resolve(Buffer.concat(parts)))
    })
    sent.on('error', reject)
    sent.end(body)
  })
}

test('forged revocations in the operator’s name keep none of the operator’s out', async () => {
  const made = operator.makeRevocation(targets.at(-1) ?? '').statement
  const unsigned = made.slice(0, made.lastIndexOf('.'))
  const forged = Array.from({ length: 900 }, () => ({
    statement: `${unsigned}.${randomBytes(64).toString('base64url')}`,
  }))
  const body = Buffer.from(JSON.stringify({ statements: forged }))
  const agent = new Agent({ keepAlive: true, maxSockets: CONNECTIONS })
  const answers: Buffer[] = []
  let isOver = false
  const floods = Array.from({ length: CONNECTIONS }, async () => {
    while (!isOver) answers.push(await send(agent, body))
  })
  const outcomes: string[] = []
  for (const target of targets.slice(0, REVOCATIONS)) {
    outcomes.push(outcomeOf(await operator.revoke(target)))
  }
  isOver = true
  await Promise.all(floods)
  agent.destroy()
  expect(new Set(outcomes)).toEqual(new Set(['revoked']))
  expect(answers.length).toBeGreaterThanOrEqual(CONNECTIONS)
  const text = answers.join('')
  expect(text).toContain('signature_invalid')
  expect(text).not.toContain('"registered"')
}, 120_000)

test('a full request of authentic revocations is taken whole', async () => {
  const made = targets.slice(REVOCATIONS).map((target) => operator.makeRevocation(target))
  const results = resultsOf(await operator.submit(made))
  expect(results.map(({ outcome }) => outcome)).toEqual(made.map(() => 'revoked'))
}, 60_000)

test('attachments, requests and disclosures without number are refused, and nothing is kept', async () => {
  const { owner } = opened
  const { agent } = await owner.issue('finance/bot/inst-00002')
  const action = agent.makeAction()
  const many = Array.from({ length: 60_000 }, (_, at) => {
    const bytes = Buffer.alloc(3)
    bytes.writeUIntBE(at, 0, 3)
    return bytes.toString('base64url')
  })
  const size = opened.service.log.head().size
  for (const [beside, code] of [
    [{ attachments: many }, 'attachment_invalid'],
    [{ attachments: ['AAAA'] }, 'attachment_invalid'],
    [{ csr: 'AAAA' }, 'attachment_invalid'],
    [{ disclosures: many }, 'statement_too_large'],
  ] as const) {
    expect(outcomeOf(await agent.submit([{ ...action, ...beside }]))).toBe(code)
  }
  expect(opened.service.log.head().size).toBe(size)
  expect(opened.fatals).toEqual([])
  expect(outcomeOf(await agent.submit([action]))).toBe('absent')
})
