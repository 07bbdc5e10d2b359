/**
 * Goal: a wall clock that is set forward or back never dates an entry wrongly, never takes ledger time back, and never
 * keeps a revocation out (DESIGN §3 "Time", §8).
 * Method: the whole service in this process over a real directory, with a clock that runs as time does and can be set.
 */
import { decodeEntry } from '@trustwarden/proofs'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { openService, type Service } from '../../src/build.ts'
import type { Clock } from '../../src/clock.ts'
import { readConfig } from '../../src/config.ts'
import type { SubmitResult } from '../../src/ledger/submissions.ts'
import { type LoadAgent, type Said, Speaker, submittedOf } from '../support/load.ts'
import { type LogDirectory, makeLog, removeLog } from '../support/service.ts'

const HOUR_MS = 3_600_000

let log: LogDirectory
let offsetMs: number
let bootOffsetMs: number
let service: Service | undefined
let speaker: Speaker
const clock: Clock = {
  nowMs: () => Date.now() + offsetMs,
  bootMs: () => Math.round(performance.now()) + bootOffsetMs,
}

const open = async (): Promise<Service> => {
  const config = readConfig({ data: log.data, port: '0', 'log-level': 'silent' }, {})
  const fatal = (error: Error) => expect.fail(error.message)
  service = await openService(config, { clock, onFatal: fatal })
  return service
}

const submit = (said: Said): Promise<SubmitResult> => {
  if (service === undefined) throw new Error('the service is not open')
  return service.log.submit(submittedOf(said))
}

const issue = async (path: string): Promise<LoadAgent> => {
  const { agent, said } = speaker.requestAgent(path)
  expect((await submit(said)).kind).toBe('agent.issue')
  return agent
}

const ledgerTimes = ({ log: { reader } }: Service): readonly number[] => {
  const { size } = reader.head()
  return Array.from({ length: size }, (_, index) =>
    decodeEntry(reader.entryBytes(index) ?? new Uint8Array(0)),
  ).map(({ timeMs }) => timeMs)
}

const neverBack = (times: readonly number[]): void => {
  for (const [at, time] of times.entries())
    expect(time, `entry ${at}`).toBeGreaterThanOrEqual(times[at - 1] ?? 0)
}

beforeEach(() => {
  log = makeLog()
  offsetMs = 0
  bootOffsetMs = 0
  const { owner, operator, origin, trustDomain } = Speaker.of(log)
  const people = { owner: owner.signer, operator: operator.signer }
  speaker = new Speaker({ ...people, origin, trustDomain, nowMs: () => clock.nowMs() })
}, 60_000)

afterEach(async () => {
  await service?.close()
  service = undefined
  removeLog(log)
})

test.each([
  ['forward', HOUR_MS],
  ['back', -HOUR_MS],
])(
  'set %s by an hour: intake stops, a revocation is taken and dated by time since boot, and there is a way on',
  async (_, step) => {
    const opened = await open()
    const { app } = opened
    const agent = await issue('clock/reader')
    const other = await issue('clock/other')
    const before = await submit(speaker.report(agent, null))

    offsetMs = step
    await expect(submit(speaker.report(agent, null))).rejects.toMatchObject({
      code: 'clock_stopped',
    })
    await expect(submit(speaker.ask(agent).said)).rejects.toMatchObject({ code: 'clock_stopped' })
    const readyz = await app.inject('/readyz')
    expect(readyz.statusCode).toBe(503)
    expect(readyz.json()).toMatchObject({ reason: expect.stringContaining('clock') })

    const revoked = await submit(speaker.revoke(`inst:${other.principal}`))
    expect(revoked.outcome.get(0)).toBe('revoked')
    expect(revoked.timeMs).toBeGreaterThanOrEqual(before.timeMs)
    expect(revoked.timeMs - before.timeMs).toBeLessThan(HOUR_MS / 2)
    await expect(submit(speaker.report(agent, null))).rejects.toMatchObject({
      code: 'clock_stopped',
    })

    if (step > 0) {
      expect((await submit(speaker.acceptClock())).outcome.get(0)).toBe('accepted')
    } else {
      // Ledger time never goes back, so a clock behind it cannot be accepted: the way on is to set it right.
      await expect(submit(speaker.acceptClock())).rejects.toMatchObject({
        code: 'iat_out_of_window',
      })
      offsetMs = 0
    }
    expect((await app.inject('/readyz')).statusCode).toBe(200)
    const after = await submit(speaker.report(agent, null))
    if (step > 0) expect(after.timeMs - before.timeMs).toBeGreaterThanOrEqual(HOUR_MS)
    neverBack(ledgerTimes(opened))
  },
)

test('a clock that comes back by itself lets intake go on', async () => {
  const opened = await open()
  const agent = await issue('clock/reader')
  offsetMs = 11_000
  await expect(submit(speaker.report(agent, null))).rejects.toMatchObject({ code: 'clock_stopped' })
  offsetMs = 9_000
  await submit(speaker.report(agent, null))
  offsetMs = 0
  const back = await submit(speaker.report(agent, null))
  expect(back.timeMs).toBeGreaterThan(clock.nowMs() + 5_000)
  neverBack(ledgerTimes(opened))
})

test('an entry that was dated ahead stops intake until its time has passed, and a restart then lets it go on', async () => {
  offsetMs = HOUR_MS
  const opened = await open()
  const agent = await issue('clock/reader')
  const other = await issue('clock/other')
  offsetMs = 0
  const stopped = async (): Promise<void> => {
    await expect(submit(speaker.acceptClock())).rejects.toMatchObject({ code: 'iat_out_of_window' })
    await expect(submit(speaker.report(agent, null))).rejects.toMatchObject({
      code: 'clock_stopped',
    })
  }
  await stopped()
  // A revocation is taken, dated ahead as the service reckons.
  const revoked = await submit(speaker.revoke(`inst:${other.principal}`))
  expect(revoked.timeMs).toBeGreaterThan(clock.nowMs() + HOUR_MS / 2)
  // Time goes on by an hour and more, for both clocks: the service itself does not learn that it was wrong.
  offsetMs = HOUR_MS + 60_000
  bootOffsetMs = HOUR_MS + 60_000
  expect(clock.nowMs()).toBeGreaterThan(opened.log.head().timeMs)
  await stopped()
  await opened.close()
  const reopened = await open()
  const later = await issue('clock/later')
  await submit(speaker.report(later, null))
  neverBack(ledgerTimes(reopened))
})

test('at start a clock that is behind by over 5 s is refused by name, a little is waited for', async () => {
  await open()
  const agent = await issue('clock/reader')
  offsetMs = 9_000
  await submit(speaker.report(agent, null))
  await service?.close()
  service = undefined
  offsetMs = 0
  await expect(open()).rejects.toMatchObject({
    code: 'start_refused',
    message: expect.stringMatching(/clock_behind.*set the clock/s),
  })
  offsetMs = 7_000
  const reopened = await open()
  expect(clock.nowMs()).toBeGreaterThanOrEqual(reopened.log.head().timeMs)
  await submit(speaker.report(agent, null))
  neverBack(ledgerTimes(reopened))
})
