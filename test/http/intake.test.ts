/**
 * Goal: under any load a request is answered in its place on its connection, what has no room is refused unparsed, what
 * may be urgent is not, and nobody holds room by sending half of a body. Method: an intake before a server of Node that
 * answers what reaches it with the length of the body; raw sockets.
 */
import { once } from 'node:events'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { type AddressInfo, connect, type Socket } from 'node:net'
import { PassThrough } from 'node:stream'
import { afterEach, expect, test } from 'vitest'
import {
  bodyOf,
  Intake,
  LOOK_BYTES,
  READING_BYTES_MAX,
  REQUESTS_MIN,
  traces,
} from '../../src/http/intake.ts'

const MIB = 1_048_576
const URGENT = 'agent.revoke'

class Tested {
  /** Bodies that came through, by their bytes; undefined for one over the limit. */
  readonly handled: { readonly length: number | undefined; readonly urgentOnly: boolean }[] = []
  /** Whether what is under way leaves time. */
  hasTime = true
  /** Whether requests are answered, or held. */
  answers = true
  refused = 0
  readonly intake: Intake
  readonly #held: (() => void)[] = []
  readonly #server: Server
  readonly #sockets: Client[] = []

  constructor() {
    this.intake = new Intake({
      handle: (request, response) => this.#handle(request, response),
      urgentTypes: [URGENT],
      hasTimeFor: () => this.hasTime,
      isStopped: () => false,
      refuse: ({ response }) => {
        this.refused++
        response.writeHead(503, ['content-length', '4']).end('full')
      },
    })
    this.#server = createServer((request, response) => this.intake.take(request, response))
    // Who is cut off was cut off by the intake.
    this.#server.keepAliveTimeout = 60_000
  }

  async client(): Promise<Client> {
    if (!this.#server.listening) await once(this.#server.listen(0, '127.0.0.1'), 'listening')
    const socket = connect((this.#server.address() as AddressInfo).port, '127.0.0.1')
    await once(socket, 'connect')
    const client = new Client(socket)
    this.#sockets.push(client)
    return client
  }

  /** Fills what is always taken, with requests that are not answered before `letGo`. */
  async fill(): Promise<void> {
    this.answers = false
    for (let at = 0; at < REQUESTS_MIN; at++) (await this.client()).write(post('{}'))
    await until(() => this.handled.length === REQUESTS_MIN)
    this.answers = true
    this.hasTime = false
  }

  letGo(): void {
    for (const answer of this.#held.splice(0)) answer()
  }

  close(): void {
    for (const { socket } of this.#sockets) socket.destroy()
    this.#server.close()
  }

  #handle(request: IncomingMessage, response: ServerResponse): void {
    const body = bodyOf(request)
    this.handled.push({ length: body?.bytes?.length, urgentOnly: body?.urgentOnly ?? false })
    const answer = (): void => {
      const text = String(body?.bytes?.length)
      response.writeHead(200, ['content-length', String(text.length)]).end(text)
      this.intake.answered(request)
    }
    if (this.answers) answer()
    else this.#held.push(answer)
  }
}

class Client {
  readonly socket: Socket
  #text = ''

  constructor(socket: Socket) {
    this.socket = socket
    socket.on('data', (part: Buffer) => {
      this.#text += part.toString('latin1')
    })
    socket.on('error', () => undefined)
  }

  write(text: string): void {
    this.socket.write(text)
  }

  /** Status and body of what was answered so far; `100` for a continue. */
  get answers(): readonly string[] {
    return [...this.#text.matchAll(/HTTP\/1\.1 (\d{3})[^]*?\r\n\r\n([^H]*)/g)].map(
      ([, status, body]) => `${status} ${body}`.trim(),
    )
  }

  async answered(count: number): Promise<readonly string[]> {
    await until(() => this.answers.length >= count)
    return this.answers
  }
}

async function until(isTrue: () => boolean): Promise<void> {
  for (let turn = 0; turn < 2000 && !isTrue(); turn++)
    await new Promise((resolve) => setTimeout(resolve, 5))
  expect(isTrue()).toBe(true)
}

const post = (body: string, headers = ''): string =>
  `POST /x HTTP/1.1\r\nhost: a\r\ncontent-length: ${body.length}\r\n${headers}\r\n${body}`
const urgent = `{"statement":"${Buffer.from(`{"typ":"${URGENT}"}`).toString('base64url')}.e30.AA"}`

const statementOf = (body: string): string =>
  (JSON.parse(body) as { readonly statement: string }).statement

let tested: Tested
afterEach(() => tested.close())

test('an urgent type is found wherever it stands in a header, signed as JWS or as COSE', () => {
  tested = new Tested()
  const isFound = (bytes: Buffer): boolean => traces(URGENT).some((trace) => bytes.includes(trace))
  for (let before = 0; before < 24; before++) {
    const header = `{"kid":"${'k'.repeat(before)}","typ":"${URGENT}","iat":1}`
    expect(isFound(Buffer.from(Buffer.from(header).toString('base64url')))).toBe(true)
    expect(isFound(Buffer.from(header))).toBe(true)
    const other = header.replace(URGENT, 'agent.review')
    expect(isFound(Buffer.from(Buffer.from(other).toString('base64url')))).toBe(false)
    expect(isFound(Buffer.from(other))).toBe(false)
  }
})

test('so many requests are taken whatever their size, and the rest is refused until there is time', async () => {
  tested = new Tested()
  await tested.fill()
  const client = await tested.client()
  client.write(post('{"a":1}'))
  expect(await client.answered(1)).toEqual(['503 full'])
  tested.letGo()
  client.write(post('x'.repeat(MIB)))
  // What was under way is answered: a whole request has its room again.
  expect(await client.answered(2)).toEqual(['503 full', `200 ${MIB}`])
  expect(tested.handled.every(({ urgentOnly }) => !urgentOnly)).toBe(true)
})

test('a connection stays in step over refusals, pipelined ones, and what is urgent between them', async () => {
  tested = new Tested()
  await tested.fill()
  const client = await tested.client()
  client.write(post('{"a":1}') + post(urgent) + post('{"b":2}') + post(urgent))
  const taken = `200 ${urgent.length}`
  expect(await client.answered(4)).toEqual(['503 full', taken, '503 full', taken])
  expect(tested.handled.slice(REQUESTS_MIN)).toEqual([
    { length: urgent.length, urgentOnly: true },
    { length: urgent.length, urgentOnly: true },
  ])
  client.write('GET / HTTP/1.1\r\nhost: a\r\n\r\n')
  // What has no body is nothing that is refused here.
  expect((await client.answered(5))[4]).toBe('200 undefined')
})

test('bodies of unknown length, in pieces, after a continue, and of every size are refused and passed over', async () => {
  tested = new Tested()
  await tested.fill()
  const client = await tested.client()
  client.write('POST /x HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n3\r\n{"a\r\n')
  client.write('4\r\n":1}\r\n0\r\n\r\n')
  expect(await client.answered(1)).toEqual(['503 full'])
  client.write(
    post('', 'expect: 100-continue\r\n').replace('content-length: 0', 'content-length: 2'),
  )
  expect((await client.answered(2))[1]).toBe('100')
  client.write('{}')
  expect((await client.answered(3))[2]).toBe('503 full')
  const large = post('x'.repeat(MIB))
  client.write(large.slice(0, LOOK_BYTES * 2))
  // It is answered before the rest has come.
  expect((await client.answered(4))[3]).toBe('503 full')
  client.write(large.slice(LOOK_BYTES * 2) + post(urgent))
  expect((await client.answered(5))[4]).toBe(`200 ${urgent.length}`)
  expect(tested.refused).toBe(3)
})

test('a body that is over the limit is handed on for its own refusal, or cut off where it was refused before', async () => {
  tested = new Tested()
  const announced = await tested.client()
  announced.write(`POST /x HTTP/1.1\r\nhost: a\r\ncontent-length: ${MIB + 1}\r\n\r\n`)
  expect(await announced.answered(1)).toEqual(['200 undefined'])
  const chunk = `${MIB.toString(16)}\r\n${'x'.repeat(MIB)}\r\n`
  const start = 'POST /x HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n'
  const chunked = await tested.client()
  chunked.write(`${start}${chunk}1\r\n`)
  chunked.write('x\r\n')
  expect(await chunked.answered(1)).toEqual(['200 undefined'])
  tested.handled.length = 0
  await tested.fill()
  const endless = await tested.client()
  endless.write(`${start}${chunk}${chunk}${chunk}`)
  await until(() => endless.socket.destroyed)
})

test('half a body holds no room, and the oldest half gives way when there are too many', async () => {
  tested = new Tested()
  const first = await tested.client()
  const half = `POST /x HTTP/1.1\r\nhost: a\r\ncontent-length: ${MIB}\r\n\r\n`
  first.write(half)
  const halves: Client[] = []
  for (let at = 0; at < READING_BYTES_MAX / MIB + 2; at++) {
    const client = await tested.client()
    client.write(half + 'x'.repeat(MIB - 1))
    halves.push(client)
    if (at === REQUESTS_MIN) {
      // Nothing of it is under way: even where there is no time, a whole request is taken.
      tested.hasTime = false
      const whole = await tested.client()
      whole.write(post('{}'))
      expect(await whole.answered(1)).toEqual(['200 2'])
    }
  }
  await until(() => first.socket.destroyed)
  await until(() => halves[0]?.socket.destroyed === true)
  expect(halves.at(-1)?.socket.destroyed).toBe(false)
  halves.at(-1)?.write('x')
  expect(await halves.at(-1)?.answered(1)).toEqual([`200 ${MIB}`])
}, 60_000)

test('an urgent type is found that is written with the escapes of JSON, in the header or around it', async () => {
  const escaped = String.raw`{"typ":"agent.r\u0065voke"}`
  const statement = `${Buffer.from(escaped).toString('base64url')}.e30.AA`
  const hidden = Buffer.from(statementOf(urgent)).toString('hex').replace(/../g, String.raw`\u00$&`)
  const bodies = [`{"statement":"${statement}"}`, `{"statement":"${hidden}"}`]
  expect(JSON.parse(bodies[1] ?? '')).toEqual(JSON.parse(urgent))
  tested = new Tested()
  await tested.fill()
  const client = await tested.client()
  for (const body of bodies) client.write(post(body))
  expect(await client.answered(2)).toEqual(bodies.map(({ length }) => `200 ${length}`))
  expect(tested.refused).toBe(0)
})

test('what is urgent goes before all that waits, and who is gone is not handed on', async () => {
  tested = new Tested()
  const client = await tested.client()
  const normal = 'x'.repeat(12_000)
  // One read of the server brings all three.
  client.write(post(normal) + post(normal) + post(urgent))
  await client.answered(3)
  const lengths = tested.handled.map(({ length }) => length)
  expect(lengths).toEqual([urgent.length, normal.length, normal.length])
  const gone = { method: 'POST', headers: {}, socket: { destroyed: true } }
  const request = Object.assign(new PassThrough(), gone) as unknown as IncomingMessage
  tested.intake.take(request, new PassThrough() as unknown as ServerResponse)
  ;(request as unknown as PassThrough).end('{"gone":1}')
  await new Promise((resolve) => setTimeout(resolve, 50))
  expect(tested.handled).toHaveLength(3)
})
