/**
 * Goal: a copied or restored directory never signs a second history where anything local can tell, and it is said
 * plainly where nothing local can (DESIGN §4.2).
 * Method: real processes over copies of data and head record of different times; what was acknowledged is kept by
 * somebody outside, who finds what the service itself cannot.
 */
import { cpSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest'
import { isAcknowledged, Load, Speaker, submitAll } from '../support/load.ts'
import {
  type LogDirectory,
  makeLog,
  removeLog,
  type RunningService,
  startService,
} from '../support/service.ts'
import { Auditor, httpSource } from './auditor.ts'

const FLAGS = ['--open-reads', 'true']

/** A log with some entries, made once; each test has a copy of its own. */
let made: LogDirectory
let log: LogDirectory
let load: Load
/** How many receipts the log was made with; each test begins with those. */
let receipts: number
let running: RunningService[] = []
let copies = 0

const start = async (directory: LogDirectory = log): Promise<RunningService> => {
  const service = await startService(directory, { flags: FLAGS })
  running.push(service)
  return service
}

/** Copies data, head record and keys of a stopped log to a place of their own. */
const copyOf = (from: LogDirectory, name: string): LogDirectory => {
  const data = join(from.root, name)
  for (const tail of ['', '.head', '.keys'])
    cpSync(`${from.data}${tail}`, `${data}${tail}`, { recursive: true })
  return { ...from, data, head: `${data}.head`, keys: `${data}.keys` }
}

const copyTo = (name: string): LogDirectory => copyOf(log, `${name}-${copies}`)

const say = async ({ url }: RunningService, count: number): Promise<void> => {
  const all = Array.from({ length: count }, () => load.speaker.report(load.agent, null))
  for (const one of await submitAll(url, all)) {
    expect(isAcknowledged(one)).toBe(true)
    if (isAcknowledged(one)) load.acknowledged.push(one)
  }
}

beforeAll(async () => {
  made = makeLog()
  log = made
  load = new Load(Speaker.of(log))
  const service = await start()
  await load.begin(service.url)
  await say(service, 3)
  expect(await service.stop()).toBe(0)
  receipts = load.acknowledged.length
}, 60_000)

beforeEach(() => {
  running = []
  log = copyOf(made, `log-${++copies}`)
  load.acknowledged.splice(receipts)
})

afterEach(async () => {
  for (const service of running) await service.stop('SIGKILL')
})

afterAll(() => removeLog(made))

test('a second process on the same directories is refused by name, and the first goes on', async () => {
  const first = await start()
  await expect(start()).rejects.toThrow(/head_record_locked: another process/)
  await say(first, 2)
})

test('the same data with a head record of its own is locked too', async () => {
  const first = await start()
  const other = join(log.root, 'other.head')
  cpSync(log.head, other, { recursive: true, filter: (path) => !path.includes('/lock/') })
  const second = startService(log, { flags: [...FLAGS, '--head', other] })
  await expect(second).rejects.toThrow(/store_locked: another process/)
  await say(first, 2)
})

test('data without its head record is refused, and the message says the way on', async () => {
  const copy = copyTo('copy')
  rmSync(copy.head, { recursive: true })
  await expect(start(copy)).rejects.toThrow(/head_record_missing/)
})

test('older data under the newer head record is refused', async () => {
  const old = copyTo('old')
  const service = await start()
  await say(service, 5)
  expect(await service.stop()).toBe(0)
  rmSync(old.head, { recursive: true })
  cpSync(log.head, old.head, { recursive: true })
  await expect(start(old)).rejects.toThrow(/store_behind_record.*older copy/s)
})

test('other data of the same size under the head record is refused', async () => {
  const fork = copyTo('fork')
  const [one, two] = [await start(), await start(fork)]
  await say(one, 1)
  await say(two, 1)
  expect(await one.stop()).toBe(0)
  expect(await two.stop()).toBe(0)
  rmSync(fork.head, { recursive: true })
  cpSync(log.head, fork.head, { recursive: true })
  await expect(start(fork)).rejects.toThrow(/store_differs_from_record/)
})

test('not caught locally: data and record restored together start, and a receipt in other hands shows it', async () => {
  const old = copyTo('old')
  const service = await start()
  await say(service, 5)
  const auditor = new Auditor(log.anchor)
  await auditor.check(httpSource(service.url), load.acknowledged)
  expect(await service.stop()).toBe(0)

  const restored = await start(old)
  await expect(auditor.check(httpSource(restored.url), load.acknowledged)).rejects.toThrow(
    /newest head is not older/,
  )
  // Grown past the lost entries it signs another head of a size that was signed before.
  await say(restored, 5)
  expect(() => auditor.receive(load.acknowledged)).toThrow(/two heads of size/)
})

test('not caught locally: a copy of both used at once forks, and two receipts show it', async () => {
  const copy = copyTo('copy')
  const [one, two] = [await start(), await start(copy)]
  await say(one, 1)
  await say(two, 1)
  const auditor = new Auditor(log.anchor)
  expect(() => auditor.receive(load.acknowledged)).toThrow(/two heads of size/)
})
