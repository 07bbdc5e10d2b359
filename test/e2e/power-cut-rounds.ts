/** @module Rounds of power cuts under load, for the fast and the slow test. */
import { existsSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { expect } from 'vitest'
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
import { PowerCutDisk, type CutOptions } from './power-cut-disk.ts'
import { seededRandom } from './random.ts'
import { killTraced, readTrace, straceTo } from './trace.ts'

const FLAGS = ['--open-reads', 'true']

/** What the rounds came to. */
export interface PowerCutReport {
  readonly cuts: number
  readonly syncs: number
  /** Bytes and names that the cuts took away. */
  readonly bytes: number
  readonly names: number
  readonly acknowledged: number
  readonly size: number
}

/** How the rounds are to go wrong, for the controls. */
export interface PowerCutOptions {
  /** Calls that do nothing and say that they did. */
  readonly inject?: string
  readonly ignoreSyncOf?: RegExp
}

/** Waits for so many answers: a traced process on a busy machine is slow. */
async function answered(load: Load, count: number): Promise<void> {
  for (let turn = 0; load.acknowledged.length < count && turn < 2000; turn++) await wait(5)
}

/** Kills the service on its way up. The tracer ends by itself when what it traces has. */
async function cutAtStart(
  log: LogDirectory,
  tracer: readonly string[],
  seconds: number,
): Promise<void> {
  const wrapper = [...tracer, 'timeout', '-s', 'KILL', seconds.toFixed(3)]
  const service = await startService(log, { flags: FLAGS, wrapper }).catch(() => undefined)
  if (service === undefined || service.process.exitCode !== null) return
  await new Promise((resolve) => service.process.once('exit', resolve))
}

/** Cuts the power `cuts` times and holds every restart to everything that was acknowledged before. */
export async function powerCutRounds(
  cuts: number,
  options: PowerCutOptions = {},
): Promise<PowerCutReport> {
  const random = seededRandom('power cut')
  const log = makeLog()
  const trace = join(log.root, 'trace')
  let service: RunningService | undefined
  try {
    const load = new Load(Speaker.of(log))
    const auditor = new Auditor(log.anchor)
    service = await startService(log, { flags: FLAGS })
    await load.begin(service.url)
    await service.stop()
    let [syncs, bytes, names] = [0, 0, 0]
    for (let cut = 0; cut < cuts; cut++) {
      const disk = new PowerCutDisk([log.data, log.head])
      const wrapper = straceTo(trace, options.inject)
      if (cut % 3 === 2) await cutAtStart(log, wrapper, 0.2 + random.below(600) / 1000)
      else {
        service = await startService(log, { flags: FLAGS, wrapper })
        load.start(service.url, { connections: 1 + random.below(6), batch: 1 + random.below(12) })
        await answered(load, load.acknowledged.length + 1 + random.below(100))
        await wait(random.below(20))
        await killTraced(service)
        await load.ended()
      }
      const { ignoreSyncOf } = options
      const how: CutOptions = {
        undoNames: cut % 2 === 0,
        ...(cut % 4 < 2 ? {} : { random }),
        ...(ignoreSyncOf === undefined ? {} : { ignoreSyncOf }),
      }
      const report = disk.cut(readTrace(trace), how)
      syncs += report.syncs
      bytes += report.bytes
      names += report.names
      service = await startService(log, { flags: FLAGS })
      await auditor.check(httpSource(service.url), load.acknowledged)
      await load.repeat(service.url)
      expect(await service.stop()).toBe(0)
    }
    service = await startService(log, { flags: FLAGS })
    await load.repeat(service.url, Number.POSITIVE_INFINITY)
    await auditor.check(httpSource(service.url), load.acknowledged)
    auditor.checkOnce()
    expect(load.problems).toEqual([])
    expect(await service.stop()).toBe(0)
    expect(runCli(['audit', '--data', log.data, '--trust', log.anchor])).toMatch(/^holds: /)
    const acknowledged = load.acknowledged.length
    return { cuts, syncs, bytes, names, acknowledged, size: auditor.size }
  } finally {
    await service?.stop('SIGKILL')
    if (existsSync(trace)) rmSync(trace)
    removeLog(log)
  }
}
