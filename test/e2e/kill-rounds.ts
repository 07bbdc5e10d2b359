/** @module Rounds of `kill -9` under load, for the fast and the slow test. */
import { setTimeout as wait } from 'node:timers/promises'
import { expect } from 'vitest'
import { readHeadRecord } from '../../src/store/head-record.ts'
import { Load, Speaker } from '../support/load.ts'
import {
  type LogDirectory,
  makeLog,
  removeLog,
  runCli,
  type RunningService,
  startService,
} from '../support/service.ts'
import { Auditor, httpSource } from './auditor.ts'
import { seededRandom } from './random.ts'

const FLAGS = ['--open-reads', 'true']

/** What the rounds came to. */
export interface KillReport {
  readonly kills: number
  /** Starts that found the database ahead of its head record, and rolled it forward. */
  readonly rolledForward: number
  readonly acknowledged: number
  readonly unanswered: number
  readonly size: number
}

/** Starts the service and kills it on its way up. The wrapper is the process that is waited for. */
async function killAtStart(log: LogDirectory, seconds: number): Promise<void> {
  const wrapper = ['timeout', '-s', 'KILL', seconds.toFixed(3)]
  const service = await startService(log, { flags: FLAGS, wrapper }).catch(() => undefined)
  if (service === undefined || service.process.exitCode !== null) return
  await new Promise((resolve) => service.process.once('exit', resolve))
}

/** Kills the service `kills` times and holds every restart to everything that was acknowledged before. */
export async function killRounds(kills: number): Promise<KillReport> {
  const random = seededRandom('kill -9')
  const log = makeLog()
  let service: RunningService | undefined
  try {
    const load = new Load(Speaker.of(log))
    const auditor = new Auditor(log.anchor)
    let rolledForward = 0
    service = await startService(log, { flags: FLAGS })
    await load.begin(service.url)
    for (let round = 0; round < kills; round++) {
      load.start(service.url, { connections: 1 + random.below(8), batch: 1 + random.below(16) })
      await wait(50 + random.below(250))
      expect(await service.stop('SIGKILL')).toBe('SIGKILL')
      await load.ended()
      if (round % 8 === 7) await killAtStart(log, 0.1 + random.below(400) / 1000)
      const recorded = await readHeadRecord(log.head)
      service = await startService(log, { flags: FLAGS })
      await auditor.check(httpSource(service.url), load.acknowledged)
      expect(auditor.size).toBeGreaterThanOrEqual(recorded.size)
      if (auditor.size > recorded.size) rolledForward++
      await load.repeat(service.url)
    }
    await load.repeat(service.url, Number.POSITIVE_INFINITY)
    await auditor.check(httpSource(service.url), load.acknowledged)
    auditor.checkOnce()
    expect(load.problems).toEqual([])
    expect(await service.stop()).toBe(0)
    expect(runCli(['audit', '--data', log.data, '--trust', log.anchor])).toMatch(/^holds: /)
    return {
      kills,
      rolledForward,
      acknowledged: load.acknowledged.length,
      unanswered: load.unanswered.size,
      size: auditor.size,
    }
  } finally {
    await service?.stop('SIGKILL')
    removeLog(log)
  }
}
