/**
 * Goal: SIGTERM loses nothing that was acknowledged, whatever is under way, and ends within a bound; readiness fails
 * before the listener closes; a second signal ends at once; SIGHUP takes a new certificate and never ends anything.
 * Method: the built service as a process of its own, under load from several connections.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { get } from 'node:https'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { Auditor, httpSource } from '../e2e/auditor.ts'
import { Load, Speaker } from '../support/load.ts'
import {
  type LogDirectory,
  makeLog,
  removeLog,
  type RunningService,
  startService,
} from '../support/service.ts'
import { makeAuthority, writePair } from '../support/tls-files.ts'

let log: LogDirectory
let service: RunningService | undefined
beforeEach(() => {
  log = makeLog()
})
afterEach(async () => {
  await service?.stop('SIGKILL')
  removeLog(log)
})

const start = async (...flags: readonly string[]): Promise<RunningService> => {
  service = await startService(log, { flags: ['--open-reads', 'true', ...flags] })
  return service
}

const messages = ({ stderr }: RunningService): readonly string[] =>
  stderr()
    .trim()
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => (JSON.parse(line) as { msg: string }).msg)

describe('SIGTERM', () => {
  test('under load, three times: exit 0 in time, and every acknowledged statement is in the log', async () => {
    const load = new Load(Speaker.of(log))
    const auditor = new Auditor(log.anchor)
    let running = await start()
    await load.begin(running.url)
    for (let round = 0; round < 3; round++) {
      const before = load.acknowledged.length
      load.start(running.url, { connections: 6, batch: 8 })
      await expect
        .poll(() => load.acknowledged.length - before, { timeout: 20_000 })
        .toBeGreaterThan(30)
      const since = performance.now()
      // Nobody stops the load: requests are under way, and new ones keep coming.
      const code = await running.stop('SIGTERM')
      const took = performance.now() - since
      await load.ended()
      expect([code, load.problems]).toEqual([0, []])
      expect(took).toBeLessThan(10_000)
      running = await start()
      await auditor.check(httpSource(running.url), load.acknowledged)
      // What was not answered is found or registered by its repeat, once.
      await load.repeat(running.url, Number.POSITIVE_INFINITY)
      expect(load.unanswered.size).toBe(0)
    }
    await auditor.check(httpSource(running.url), load.acknowledged)
    auditor.checkOnce()
    expect(await running.stop()).toBe(0)
  })

  test('fails readiness first, and answers until the delay is over', async () => {
    const running = await start('--drain-delay', '2', '--log-level', 'info')
    const status = async (path: string) => (await fetch(running.url + path)).status
    expect(await status('/readyz')).toBe(200)
    const since = performance.now()
    const exited = running.stop('SIGTERM')
    await expect.poll(() => status('/readyz'), { interval: 50 }).toBe(503)
    expect([await status('/livez'), await status('/logs/agents/checkpoint')]).toEqual([200, 200])
    const load = new Load(Speaker.of(log))
    await load.begin(running.url)
    expect(load.acknowledged).toHaveLength(1)
    expect(await exited).toBe(0)
    expect(performance.now() - since).toBeGreaterThan(2000)
    const said = messages(running)
    expect(said).toContain('started')
    expect(said).toContain('stopping: what is under way is answered')
    expect(said.at(-1)).toBe('stopped')
  })

  test.each(['SIGTERM', 'SIGINT'] as const)(
    'and then %s: the process ends at once',
    async (second) => {
      const running = await start('--drain-delay', '60')
      const exited = running.stop('SIGTERM')
      await expect
        .poll(async () => (await fetch(`${running.url}/readyz`)).status, { interval: 50 })
        .toBe(503)
      const since = performance.now()
      running.process.kill(second)
      expect(await exited).toBe(second === 'SIGTERM' ? 143 : 130)
      expect(performance.now() - since).toBeLessThan(5000)
      expect(messages(running).at(-1)).toBe(`${second} again: the process ends at once`)
    },
  )

  test('is not held up by connections that send and take nothing', async () => {
    const running = await start()
    const port = Number(new URL(running.url).port)
    const sockets = Array.from({ length: 20 }, () =>
      connect(port, '127.0.0.1').on('error', () => undefined),
    )
    for (const socket of sockets)
      socket.write('POST /access/v1/evaluation HTTP/1.1\r\nhost: x\r\ncontent-length: 99\r\n\r\n{')
    expect((await fetch(`${running.url}/livez`)).status).toBe(200)
    expect(await running.stop()).toBe(0)
    for (const socket of sockets) socket.destroy()
  })
})

describe('SIGHUP', () => {
  test('ends nothing where there is no certificate', async () => {
    const running = await start('--log-level', 'info')
    running.process.kill('SIGHUP')
    await expect.poll(() => messages(running)).toContain('reload')
    expect((await fetch(`${running.url}/livez`)).status).toBe(200)
    expect(await running.stop()).toBe(0)
  })

  test('takes a new certificate at once, and leaves a wrong one', async () => {
    const root = mkdtempSync(join(tmpdir(), 'trustwarden-signals-'))
    try {
      const files = { cert: join(root, 'cert.pem'), key: join(root, 'key.pem') }
      const authority = await makeAuthority()
      writePair(files, await authority.issue())
      const running = await start(
        '--tls-cert',
        files.cert,
        '--tls-key',
        files.key,
        '--log-level',
        'info',
      )
      expect(running.url).toMatch(/^https:/)
      const daysLeft = () =>
        new Promise<number>((resolve, reject) => {
          const options = { ca: authority.pem, agent: false }
          get(`${running.url}/livez`, options, (answer) => {
            const { valid_to: until } = (
              answer.socket as unknown as { getPeerCertificate: () => { valid_to: string } }
            ).getPeerCertificate()
            answer.resume()
            resolve(Math.round((Date.parse(until) - Date.now()) / 86_400_000))
          }).on('error', reject)
        })
      expect(await daysLeft()).toBe(90)
      writePair(files, await authority.issue({ days: 40 }))
      running.process.kill('SIGHUP')
      await expect.poll(() => messages(running)).toContain('reload')
      expect(await daysLeft()).toBe(40)
      writePair(files, { cert: 'x', key: 'y' })
      running.process.kill('SIGHUP')
      await expect
        .poll(() => messages(running).some((said) => said.includes('tls_certificate_malformed')))
        .toBe(true)
      await sleep(100)
      expect(await daysLeft()).toBe(40)
      expect(await running.stop()).toBe(0)
    } finally {
      rmSync(root, { recursive: true, force: true })
    }
  })
})
