/** @module A live log for foreign clients: the real service with some hundred entries, and a proxy that changes one byte. */
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { isAcknowledged, Load, Speaker, submitAll } from '../support/load.ts'
import { makeLog, removeLog, type RunningService, startService } from '../support/service.ts'

/** A service that serves at least `entries` entries to anyone. */
export interface ServedLog {
  readonly service: RunningService
  /** URL of the log, with a final slash. */
  readonly prefix: string
  /** Verifier key of the log (C2SP signed-note). */
  readonly vkey: string
  readonly load: Load
  readonly close: () => Promise<void>
}

/** Starts a service and fills its log. */
export async function serveLog(entries = 700): Promise<ServedLog> {
  const log = makeLog()
  const service = await startService(log, { flags: ['--open-reads', 'true'] })
  const load = new Load(Speaker.of(log))
  await load.begin(service.url)
  while (load.acknowledged.length < entries) {
    const all = Array.from({ length: 100 }, (_, n) =>
      load.speaker.report(load.agent, null, n % 2 === 0 ? 'x'.repeat(n) : undefined),
    )
    load.acknowledged.push(...(await submitAll(service.url, all)).filter(isAcknowledged))
  }
  const [, vkey = ''] = log.anchor.split(',')
  const close = async (): Promise<void> => {
    await service.stop('SIGKILL')
    removeLog(log)
  }
  return { service, prefix: `${service.url}/logs/agents/`, vkey, load, close }
}

/** A log as a liar in between shows it: one bit of each answer on a path is another. */
export async function serveLie(
  { service }: ServedLog,
  path: RegExp,
): Promise<{ readonly prefix: string; readonly close: () => void }> {
  const server = createServer((request, response) => {
    void fetch(service.url + (request.url ?? '')).then(async (answer) => {
      const bytes = Buffer.from(await answer.arrayBuffer())
      const middle = Math.floor(bytes.length / 2)
      if (path.test(request.url ?? '')) bytes[middle] = (bytes[middle] ?? 0) ^ 1
      response.writeHead(answer.status, {
        'content-type': answer.headers.get('content-type') ?? 'application/octet-stream',
      })
      response.end(bytes)
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  return { prefix: `http://127.0.0.1:${port}/logs/agents/`, close: () => server.close() }
}
