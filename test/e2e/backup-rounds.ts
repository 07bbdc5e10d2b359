/**
 * @module Backup, restore and recover, killed at any moment and run again, for the fast and the slow test: each ends complete,
 * or is refused by name and can be repeated.
 */
import { spawn } from 'node:child_process'
import { cpSync, existsSync, mkdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { parseTrust, utf8Encode } from '@trustwarden/proofs'
import { expect } from 'vitest'
import { openDirectory } from '../../src/archive/directory.ts'
import { nativePrimitives } from '../../src/crypto.ts'
import { restoreLog } from '../../src/restore.ts'
import { readHeadRecord } from '../../src/store/head-record.ts'
import { trustwarden } from '../support/command-line.ts'
import { Load, Speaker, submitAll } from '../support/load.ts'
import {
  cleanEnvironment,
  type LogDirectory,
  makeLog,
  removeLog,
  runCli,
  startService,
} from '../support/service.ts'
import { Auditor, httpSource } from './auditor.ts'
import type { Random } from './random.ts'

const MAIN = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url))

/** A stopped log, a backup that lacks its end, and a mirror that has it. */
export interface Copies {
  readonly log: LogDirectory
  readonly load: Load
  readonly size: number
  readonly backup: string
  readonly backupSize: number
  readonly mirror: string
}

/** Makes a log of `entries`, of which the backup has all but a third. */
export async function makeCopies(entries: number): Promise<Copies> {
  const log = makeLog()
  const load = new Load(Speaker.of(log))
  const say = async (url: string, count: number): Promise<void> => {
    for (let n = 0; n < count; n += 200) {
      const all = Array.from({ length: 200 }, (_, i) =>
        load.speaker.report(load.agent, null, i % 3 === 0 ? `detail ${n + i}` : undefined),
      )
      for (const one of await submitAll(url, all)) load.acknowledged.push(one as never)
    }
  }
  const [backup, mirror] = [join(log.root, 'backup'), join(log.root, 'mirror')]
  let service = await startService(log, { flags: ['--open-reads', 'true'] })
  await load.begin(service.url)
  await say(service.url, (2 * entries) / 3)
  expect(await service.stop()).toBe(0)
  runCli(['backup', '--to', backup, '--data', log.data])
  const backupSize = (await readHeadRecord(log.head)).size
  service = await startService(log, { flags: ['--open-reads', 'true'] })
  await say(service.url, entries / 3)
  runCli(['mirror', '--to', mirror, '--url', `${service.url}/logs/agents`, '--trust', log.anchor])
  expect(await service.stop()).toBe(0)
  const { size } = await readHeadRecord(log.head)
  return { log, load, size, backup, backupSize, mirror }
}

/** Runs a command and kills it after `ms`. @returns its exit code, or undefined if it was killed. */
async function killed(args: readonly string[], ms: number): Promise<number | undefined> {
  const child = spawn(process.execPath, [MAIN, ...args], {
    env: cleanEnvironment(),
    stdio: 'ignore',
  })
  const ended = new Promise<number | undefined>((resolve) => {
    child.once('close', (code) => resolve(code ?? undefined))
  })
  await Promise.race([ended, wait(ms)])
  child.kill('SIGKILL')
  return ended
}

/** How long a whole run takes, so that kills fall into it. */
function timed(args: readonly string[]): number {
  const since = performance.now()
  expect(trustwarden(args).code, args.join(' ')).toBe(0)
  return performance.now() - since
}

/** Kills that fall into runs of a command, however long one takes by then: the machine has others to serve too. */
class Kills {
  #tookMs: number

  /** @param args - A run to its end. */
  constructor(args: readonly string[]) {
    this.#tookMs = timed(args)
  }

  /** Runs a command and kills it after a part of its time. @returns its exit code, or undefined if it was killed */
  async kill(args: readonly string[], part: number): Promise<number | undefined> {
    const since = performance.now()
    const code = await killed(args, this.#tookMs * part)
    if (code !== undefined) this.#tookMs = performance.now() - since
    return code
  }
}

const trust = ({ log }: Copies) => parseTrust(nativePrimitives, utf8Encode(log.anchor))

/** Kills backups: whatever lies there is a whole backup or says that it is none, and the next run completes it. */
export async function killBackups(copies: Copies, rounds: number, random: Random): Promise<number> {
  const { log, backup } = copies
  let cut = 0
  const fresh = (to: string) => ['backup', '--to', to, '--data', log.data, '--rate', '2']
  const kills = new Kills(fresh(join(log.root, 'timed')))
  for (let round = 0; round < rounds; round++) {
    const to = join(log.root, `killed-backup-${round}`)
    const continues = round % 2 === 1
    if (continues) cpSync(backup, to, { recursive: true })
    const code = await kills.kill(fresh(to), 0.3 + random.below(700) / 1000)
    if (code === undefined) cut++
    const opened = await openDirectory(to).catch((error: unknown) => error)
    if (opened instanceof Error) {
      expect(continues, opened.message).toBe(false)
      expect(opened).toMatchObject({
        code: expect.stringMatching(/archive_(?:incomplete|missing)/),
      })
    }
    // What a continued backup was it is until it is the new one.
    if (continues) {
      const restored = join(log.root, `from-killed-${round}`)
      const source = await openDirectory(to)
      const { size } = await restoreLog({ source, to: restored, trust: trust(copies) })
      expect([copies.backupSize, copies.size]).toContain(size)
      rmSync(restored, { recursive: true })
    }
    expect(trustwarden(fresh(to)).code).toBe(0)
    const restored = join(log.root, `from-completed-${round}`)
    const source = await openDirectory(to)
    const report = await restoreLog({ source, to: restored, trust: trust(copies) })
    expect([report.size, report.lost]).toEqual([copies.size, []])
    for (const path of [restored, to]) rmSync(path, { recursive: true })
  }
  return cut
}

/** Kills restores: there is the whole directory or none, and the next run makes it. */
export async function killRestores(
  copies: Copies,
  rounds: number,
  random: Random,
): Promise<number> {
  const { log, backup } = copies
  let cut = 0
  const args = (to: string) => ['restore', '--from', backup, '--to', to, '--trust', log.anchor]
  const kills = new Kills(args(join(log.root, 'timed-restore')))
  for (let round = 0; round < rounds; round++) {
    const to = join(log.root, `killed-restore-${round}`)
    if ((await kills.kill(args(to), 0.4 + random.below(600) / 1000)) === undefined) cut++
    if (!existsSync(to)) expect(trustwarden(args(to)).code).toBe(0)
    expect(existsSync(`${to}.partial`)).toBe(false)
    cpSync(log.head, `${to}.head`, { recursive: true })
    const served = trustwarden(['serve', '--data', to, '--keys', log.keys, '--port', '0'])
    expect([served.code, served.err]).toEqual([1, expect.stringContaining('store_behind_record')])
    rmSync(to, { recursive: true })
  }
  return cut
}

/** Kills recovers: a start is refused by name until one has ended, and then everything acknowledged is there. */
export async function killRecovers(
  copies: Copies,
  rounds: number,
  random: Random,
): Promise<number> {
  const { log, backup, mirror } = copies
  const old = join(log.root, 'old')
  await restoreLog({ source: await openDirectory(backup), to: old, trust: trust(copies) })
  const place = (name: string): string => {
    const data = join(log.root, name)
    mkdirSync(data)
    cpSync(old, data, { recursive: true })
    cpSync(log.head, `${data}.head`, { recursive: true })
    return data
  }
  const args = (data: string) => ['recover', '--data', data, '--from', mirror]
  const kills = new Kills(args(place('timed-recover')))
  let cut = 0
  for (let round = 0; round < rounds; round++) {
    const data = place(`killed-recover-${round}`)
    const flags = ['--keys', log.keys, '--open-reads', 'true']
    for (let kill = 0; kill < 2; kill++) {
      const code = await kills.kill(args(data), 0.4 + random.below(600) / 1000)
      if (code !== undefined) break
      cut++
      const started = startService({ ...log, data, head: `${data}.head` }, { flags })
      const said = await started.then(
        (service) => service.stop(),
        (error: unknown) => String(error),
      )
      if (said !== 0) expect(said).toMatch(/store_behind_record|recovery_unfinished/)
    }
    const again = trustwarden(args(data))
    expect([again.code, again.err]).toEqual([0, ''])
    const service = await startService({ ...log, data, head: `${data}.head` }, { flags })
    await new Auditor(log.anchor).check(httpSource(service.url), copies.load.acknowledged)
    expect(await service.stop()).toBe(0)
    expect(runCli(['audit', '--data', data, '--trust', log.anchor])).toMatch(/^holds: /)
    rmSync(data, { recursive: true })
  }
  return cut
}

/** Removes everything. */
export function removeCopies({ log }: Copies): void {
  removeLog(log)
}
