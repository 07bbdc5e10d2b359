/**
 * Goal: a request that gets no answer is made again with the same bytes, and at the end the message says where and why,
 * and nothing that is secret. Method: the transport alone, before servers that hang, break off and answer too much.
 */
import { createServer, type RequestListener, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { TrustWardenError } from '../../src/sdk/index.ts'
import { Transport, type TransportOptions } from '../../src/sdk/transport.ts'

const QUICK = { attempts: 2, backoffMs: 1, backoffMaxMs: 5, timeoutMs: 60_000 } as const
const PATH = '/logs/main/checkpoint'

let server: Server
let host: string
let asked: number
let answer: RequestListener

beforeEach(async () => {
  asked = 0
  server = createServer((request, response) => {
    asked += 1
    answer(request, response)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  host = `127.0.0.1:${(server.address() as AddressInfo).port}`
})

afterEach(async () => {
  server.closeAllConnections()
  await new Promise((resolve) => server.close(resolve))
})

/** What a request ends with. */
async function errorOf(options: TransportOptions = {}, at = host): Promise<TrustWardenError> {
  const url = new URL(`http://hidden:hidden@${at}${PATH}?q=hidden`)
  const transport = new Transport({ ...QUICK, ...options })
  const error = await transport
    .request({ method: 'GET', url, bytesMax: 1000 })
    .catch((thrown: unknown) => thrown)
  if (!(error instanceof TrustWardenError)) throw new Error('no TrustWardenError')
  return error
}

/** The message is exactly this: it names neither query nor user. */
function unreachable(reason: string, at = host): object {
  const message = `GET ${at}${PATH}: no answer in 2 attempts (${reason})`
  return { code: 'service_unreachable', message }
}

test('no answer in time', async () => {
  answer = () => undefined
  expect(await errorOf({ timeoutMs: 300 })).toMatchObject(unreachable('none within 300 ms'))
  expect(asked).toBe(2)
})

test('an answer that stops in its midst: it is the time that ended, not the connection', async () => {
  answer = (_request, response) => {
    response.writeHead(200, { 'content-length': '100' }).write('{')
  }
  expect(await errorOf({ timeoutMs: 300 })).toMatchObject(unreachable('none within 300 ms'))
  expect(asked).toBe(2)
})

test('a connection that ends before the answer, and in it', async () => {
  answer = (request) => request.socket.destroy()
  expect(await errorOf()).toMatchObject(unreachable('ECONNRESET'))
  answer = (request, response) => {
    response.writeHead(200, { 'content-length': '100' })
    response.write('{', () => request.socket.destroy())
  }
  expect(await errorOf()).toMatchObject(unreachable('ECONNRESET'))
  expect(asked).toBe(4)
})

test('nobody listens, also where several addresses are tried', async () => {
  const closed = createServer()
  await new Promise<void>((resolve) => closed.listen(0, '127.0.0.1', resolve))
  const { port } = closed.address() as AddressInfo
  await new Promise((resolve) => closed.close(resolve))
  for (const at of [`127.0.0.1:${port}`, `localhost:${port}`])
    expect(await errorOf({}, at)).toMatchObject(unreachable('ECONNREFUSED', at))
})

test('"not now" is asked again however long its page is; what is no "not now" is not', async () => {
  let status = 503
  answer = (_request, response) => {
    response.writeHead(status).end(' '.repeat(262_145))
  }
  const over = (of: number): object => ({
    code: 'answer_unexpected',
    status: of,
    message: `status ${of} and over 262144 bytes`,
  })
  expect(await errorOf()).toMatchObject(over(503))
  expect(asked).toBe(2)
  status = 404
  expect(await errorOf()).toMatchObject(over(404))
  expect(asked).toBe(3)
})
