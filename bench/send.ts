/**
 * @module Sends prepared requests and times their answers: as fast as the connections get them answered, or at a rate.
 */
import { type Answer, type Connection, openConnections } from './connection.ts'

/** Answers in the order of their requests. */
export interface Sent {
  readonly answers: readonly Answer[]
  readonly latenciesMs: readonly number[]
  readonly ms: number
}

/** Every connection sends its next request when it has its answer. @throws if a connection ends */
export async function sendAll(
  url: URL,
  requests: readonly Buffer[],
  connections: number,
): Promise<Sent> {
  const open = await openConnections(url, Math.min(connections, requests.length))
  const answers: Answer[] = []
  const latenciesMs: number[] = []
  const start = performance.now()
  try {
    await new Promise<void>((resolve, reject) => {
      let next = 0
      const sendNext = (connection: Connection): void => {
        const at = next++
        const request = requests[at]
        if (request === undefined) return
        const from = performance.now()
        connection.send(request, (answer) => {
          if (answer instanceof Error) return reject(answer)
          answers[at] = answer
          latenciesMs.push(performance.now() - from)
          if (latenciesMs.length === requests.length) resolve()
          else sendNext(connection)
        })
      }
      if (requests.length === 0) resolve()
      for (const connection of open) sendNext(connection)
    })
    return { answers, latenciesMs, ms: performance.now() - start }
  } finally {
    for (const connection of open) connection.close()
  }
}

/** Requests are sent when they are due; one that finds no connection free waits, and the wait counts. */
export async function sendPaced(
  url: URL,
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
  try {
    await new Promise<void>((resolve, reject) => {
      const send = (connection: Connection, at: number): void => {
        connection.send(requests[at] ?? Buffer.alloc(0), (answer) => {
          if (answer instanceof Error) return reject(answer)
          answers[at] = answer
          latenciesMs.push(performance.now() - dueAt(at))
          free.push(connection)
          if (latenciesMs.length === requests.length) resolve()
          else sendDue()
        })
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
    return { answers, latenciesMs, ms: performance.now() - start }
  } finally {
    for (const connection of open) connection.close()
  }
}
