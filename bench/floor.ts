/**
 * @module The floor under the cost of a statement, so that the service's own can be seen above it: what any service on
 * Node.js has to do (floor-process.ts), under the same kind of load, beside the bare rate.
 */
import { fork } from 'node:child_process'
import { generateKeyPairSync, sign } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { requestBytes } from './connection.ts'
import type { FloorOrder } from './floor-process.ts'
import { type Figure, Rounds } from './measure.ts'
import type { Plan } from './plan.ts'
import { processorUs } from './processor.ts'
import { sendAll } from './send.ts'
import type { BareRate } from './signature.ts'
import { countFor } from './submit.ts'

const CONNECTIONS = [64, 256] as const
/** As an action and its answer have them, with one statement a request. */
const [INPUT_BYTES, DISCLOSURES_BYTES, ANSWER_BYTES] = [1370, 350, 3300] as const

interface Floor {
  readonly url: URL
  readonly pid: number
  readonly body: string
  readonly stop: () => void
}

async function startFloor(): Promise<Floor> {
  const folder = mkdtempSync(join(tmpdir(), 'trustwarden-floor-'))
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const spki = publicKey.export({ type: 'spki', format: 'der' })
  const input = 'A'.repeat(INPUT_BYTES)
  const key = { key: privateKey, dsaEncoding: 'ieee-p1363' } as const
  const mark = sign('sha256', Buffer.from(input), key).toString('base64url')
  const path = fileURLToPath(new URL('./floor-process.js', import.meta.url))
  const child = fork(path, { serialization: 'advanced' })
  const order: FloorOrder = {
    folder: join(folder, 'db'),
    publicKey: new Uint8Array(spki.subarray(-65)),
    answerBytes: ANSWER_BYTES,
  }
  const port = await new Promise<number>((resolve, reject) => {
    child.once('exit', () => reject(new Error('the floor ended')))
    child.once('message', (value) => resolve(Number(value)))
    child.send(order)
  })
  return {
    url: new URL(`http://127.0.0.1:${port}`),
    pid: child.pid ?? 0,
    body: JSON.stringify({
      statement: `${input}.${mark}`,
      disclosures: ['A'.repeat(DISCLOSURES_BYTES)],
    }),
    stop: () => {
      child.disconnect()
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

/** Measures it. @throws if a statement is refused */
export async function benchFloor(plan: Plan, bare: BareRate): Promise<readonly Figure[]> {
  const rounds = new Rounds('floor: verified and written, nothing else')
  const floor = await startFloor()
  const request = requestBytes(floor.url, '/', floor.body)
  const run = async (connections: number, count: number) => {
    const before = processorUs(floor.pid)
    const requests = Array.from({ length: count }, () => request)
    const { answers, ms } = await sendAll(floor.url, requests, connections)
    if (answers.some(({ status }) => status !== 200)) throw new Error('a statement was refused')
    const after = processorUs(floor.pid)
    const us = before === undefined || after === undefined ? undefined : (after - before) / count
    return { rate: (count * 1000) / ms, us }
  }
  try {
    const rates = new Map<number, number>()
    for (const connections of CONNECTIONS)
      rates.set(connections, (await run(connections, plan.warmUp)).rate)
    for (let round = 1; round <= plan.rounds; round++)
      for (const connections of CONNECTIONS) {
        plan.progress(`floor: round ${round} of ${plan.rounds}, ${connections} connections`)
        const ceiling = await bare.measure('ES256', 2, plan.primitiveMs)
        const count = countFor(rates.get(connections) ?? 0, plan.loadMs, 1)
        const { rate, us } = await run(connections, count)
        rates.set(connections, rate)
        const name = `1 a request, ${connections} connections`
        rounds.add(name, 'entries/s', rate, ceiling)
        if (us === undefined) continue
        const { of, processorUs: one } = ceiling
        const verification = { of: `processor time of one of ${of}`, rate: one }
        rounds.add(`${name}: processor time`, 'µs/entry', us, verification)
      }
  } finally {
    floor.stop()
  }
  return rounds.figures()
}
