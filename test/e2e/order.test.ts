/**
 * Goal: nothing is answered before it is durable: batch first, then head record, then the answer (DESIGN §1).
 * Method: the real process under strace. For every answer to a submission the trace must show, after its request was
 * read: bytes into LevelDB's journal, an fdatasync of it that ended, then bytes into the head record, an fdatasync of
 * that which ended, and only then the first byte of the answer. The check is shown to fail on traces that lack a step.
 */
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { bodyOf, Load, post, Speaker, submitAll } from '../support/load.ts'
import { makeLog, removeLog, startService } from '../support/service.ts'
import { type Call, canTrace, killTraced, NO_STRACE, readTrace, straceTo } from './trace.ts'

const JOURNAL = /\/db\/\d+\.log$/
const RECORD = /\.head\/record$/
const SYNCS = ['fsync', 'fdatasync']
const WRITES = ['write', 'writev', 'sendto', 'sendmsg']

const isSync = (call: Call, path: RegExp): boolean =>
  SYNCS.includes(call.name) && path.test(call.path) && call.result === 0 && !call.injected
const startsWith = (call: Call, text: string): boolean =>
  call.strings[0]?.subarray(0, text.length).toString('latin1') === text
const isSocket = ({ path }: Call): boolean => path.startsWith('socket:') || path.startsWith('TCP')

interface Order {
  readonly answers: number
  readonly violations: readonly string[]
}

/** Whether `write` and then `sync` lie whole between two places of the trace; the end of the sync, or undefined. */
function findSynced(
  calls: readonly Call[],
  path: RegExp,
  from: number,
  to: number,
): number | undefined {
  const written = calls.find(
    (call) =>
      /^p?write/.test(call.name) && path.test(call.path) && call.begin > from && call.end < to,
  )
  if (written === undefined) return undefined
  return calls.find((call) => isSync(call, path) && call.begin > written.end && call.end < to)?.end
}

/** Every answer to a submission, and those that came too early. */
function orderOf(calls: readonly Call[]): Order {
  const violations: string[] = []
  let answers = 0
  for (const answer of calls) {
    const isAnswer =
      WRITES.includes(answer.name) && isSocket(answer) && startsWith(answer, 'HTTP/1.1 20')
    if (!isAnswer) continue
    const asked = calls.findLast(
      (call) => call.name === 'read' && call.path === answer.path && call.end < answer.begin,
    )
    if (asked === undefined || !startsWith(asked, 'POST ')) continue
    answers++
    const batch = findSynced(calls, JOURNAL, asked.end, answer.begin)
    const record = batch === undefined ? undefined : findSynced(calls, RECORD, batch, answer.begin)
    if (batch === undefined) violations.push(`line ${answer.begin}: answered before its batch`)
    else if (record === undefined) violations.push(`line ${answer.begin}: answered before its head`)
  }
  return { answers, violations }
}

describe.skipIf(!canTrace())(`the order of durability (skipped where ${NO_STRACE})`, () => {
  const log = makeLog()
  afterAll(() => removeLog(log))

  test('journal, then head record, then answer, for every submission', async () => {
    const trace = join(log.root, 'trace')
    const service = await startService(log, { wrapper: straceTo(trace) })
    const load = new Load(Speaker.of(log))
    try {
      await load.begin(service.url)
      const { speaker, agent } = load
      for (let n = 0; n < 10; n++) {
        await submitAll(service.url, [speaker.report(agent, null, n % 2 === 0 ? 'x' : undefined)])
        await post(service.url, '/access/v1/evaluation', bodyOf(speaker.ask(agent).said))
      }
      const together = Array.from({ length: 12 }, () =>
        submitAll(service.url, [speaker.report(agent, null), speaker.report(agent, null)]),
      )
      await Promise.all(together)
      await submitAll(service.url, [speaker.revoke(`inst:${agent.principal}`)])
    } finally {
      await killTraced(service)
    }
    const calls = readTrace(trace)
    expect(orderOf(calls)).toEqual({ answers: 1 + 20 + 12 + 1, violations: [] })

    const withoutJournal = orderOf(calls.filter((call) => !isSync(call, JOURNAL)))
    expect(withoutJournal.violations).toHaveLength(34)
    const withoutRecord = orderOf(calls.filter((call) => !isSync(call, RECORD)))
    expect(withoutRecord.violations).toHaveLength(34)
    const reversed = calls.map((call) => {
      const at = isSync(call, RECORD) ? -1e6 : 0
      return { ...call, begin: call.begin + at, end: call.end + at }
    })
    expect(orderOf(reversed).violations).toHaveLength(34)
  })
})
