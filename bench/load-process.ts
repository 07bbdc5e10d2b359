/**
 * @module The load generator: signs before the clock starts, sends prepared bytes, and reads the answers after the
 * clock stopped.
 */
import { readAnswer } from './answers.ts'
import type { LoadAnswer, LoadMessage, LoadOrder, LoadReport } from './load.ts'
import { quantile } from './measure.ts'
import { open, type Opened, prepare, type Prepared } from './prepare.ts'
import { processorUs } from './processor.ts'
import { sendAll, sendPaced } from './send.ts'

async function run(
  { target }: Opened,
  { connections, requestsPerSecond, count, to = target }: LoadOrder,
  { requests, check, statementBytes }: Prepared,
): Promise<LoadReport> {
  const url = new URL(to.url)
  const service = processorUs(to.pid)
  const own = process.cpuUsage()
  const sent = await (requestsPerSecond === undefined
    ? sendAll(url, requests, connections)
    : sendPaced(url, requests, connections, requestsPerSecond))
  const { user, system } = process.cpuUsage(own)
  const serviceAfter = processorUs(to.pid)
  const good = sent.answers.reduce((sum, answer, at) => sum + check(readAnswer(answer), at), 0)
  if (good !== count) throw new Error(`${good} good answers, not ${count}`)
  const known = service !== undefined && serviceAfter !== undefined
  return {
    rate: (count * 1000) / sent.ms,
    p50Ms: quantile(sent.latenciesMs, 0.5),
    p99Ms: quantile(sent.latenciesMs, 0.99),
    worstMs: quantile(sent.latenciesMs, 1),
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
