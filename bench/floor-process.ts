/**
 * @module The least that a service on Node.js has to do for a statement: read it over Node's own HTTP, verify its signature
 * on two threads, write it in a synced batch, and answer as many bytes as a receipt has. No rule, no hash, no tree.
 */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { keyOf, openBareLevel } from './bare-level.ts'
import { serviceModule } from './service-module.ts'

/** What the process is told to begin. */
export interface FloorOrder {
  readonly folder: string
  /** The 65-byte point of the one key that signs. */
  readonly publicKey: Uint8Array
  /** Bytes of an answer. */
  readonly answerBytes: number
}

interface Waiting {
  readonly bytes: Uint8Array
  readonly response: ServerResponse
}

const THREADS = 2

function answer(response: ServerResponse, status: number, body: string): void {
  const type = 'application/json; charset=utf-8'
  response.writeHead(status, ['content-type', type, 'content-length', String(body.length)])
  response.end(body)
}

async function listen({ folder, publicKey, answerBytes }: FloorOrder): Promise<number> {
  const { VerifyPool } =
    await serviceModule<typeof import('../src/ledger/verify-pool.ts')>('ledger/verify-pool')
  const pool = new VerifyPool(THREADS)
  const database = await openBareLevel(folder)
  const receipt = JSON.stringify('A'.repeat(answerBytes - 2))
  let queue: Waiting[] = []
  let isWriting = false
  let written = 0
  /** What comes during a write is in the next one. */
  const write = async (): Promise<void> => {
    while (queue.length > 0) {
      const taken = queue
      queue = []
      const batch = database.batch()
      for (const { bytes } of taken) batch.put(keyOf(written++), bytes)
      await batch.write({ sync: true })
      for (const { response } of taken) answer(response, 200, receipt)
    }
    isWriting = false
  }
  const take = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const parts: Buffer[] = []
    for await (const part of request as AsyncIterable<Buffer>) parts.push(part)
    const { statement } = JSON.parse(Buffer.concat(parts).toString()) as { statement: string }
    const end = statement.lastIndexOf('.')
    const isGood = await pool.verify({
      alg: 'ES256',
      publicKey,
      message: Buffer.from(statement.slice(0, end), 'latin1'),
      signature: Buffer.from(statement.slice(end + 1), 'base64url'),
    })
    if (!isGood) {
      answer(response, 400, '{}')
      return
    }
    queue.push({ bytes: Buffer.from(statement, 'latin1'), response })
    if (isWriting) return
    isWriting = true
    setImmediate(() => void write())
  }
  const server = createServer((request, response) => void take(request, response))
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve)
  })
  return (server.address() as AddressInfo).port
}

process.on('disconnect', () => process.exit())
process.on('message', (order) => {
  void listen(order as FloorOrder).then((port) => process.send?.(port))
})
