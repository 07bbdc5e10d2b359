/**
 * @module A server that does nothing: what HTTP costs by itself. It answers every request with the same proof, over Node's
 * own server or over fastify with nothing added, in a process of its own as the service is.
 */
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { fastify } from 'fastify'
import type { BareServerKind } from './bare-http.ts'

/** As long as the proof of an entry among a million. */
const ANSWER = JSON.stringify({
  index: 123_456,
  size: 1_000_000,
  path: Array.from({ length: 20 }, () => 'A'.repeat(43)),
})

async function listen(kind: BareServerKind): Promise<number> {
  if (kind === 'fastify') {
    const app = fastify()
    app.get('/*', (_request, reply) => {
      void reply.type('application/json; charset=utf-8').send(ANSWER)
    })
    await app.listen({ port: 0, host: '127.0.0.1' })
    return (app.server.address() as AddressInfo).port
  }
  const server = createServer((_request, response) => {
    response.setHeader('content-type', 'application/json; charset=utf-8')
    response.setHeader('content-length', ANSWER.length)
    response.end(ANSWER)
  })
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve)
  })
  return (server.address() as AddressInfo).port
}

process.on('disconnect', () => process.exit())
process.on('message', (kind) => {
  void listen(kind as BareServerKind).then((port) => process.send?.(port))
})
