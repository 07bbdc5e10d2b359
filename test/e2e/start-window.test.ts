/**
 * Goal: while the check behind a start has not come to a fold, a key that `get` has lost is missed all the same, even one
 * that is read and never written: a decision that was spent is not answered as an allow, and a parent is not taken for
 * none. What is new costs no look beside `get`.
 * Method: the whole service in this process over a real directory, opened again with the scans of whole folds held, over a
 * store whose `get` hides one key.
 */
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { openService, type Service } from '../../src/build.ts'
import { readConfig } from '../../src/config.ts'
import { FOLDS } from '../../src/ledger/contract.ts'
import type { SubmitResult } from '../../src/ledger/submissions.ts'
import { Keys } from '../../src/store/keys.ts'
import { LevelStore } from '../../src/store/level-store.ts'
import type { ScanRange } from '../../src/store/store.ts'
import { type LoadAgent, type Said, Speaker, submittedOf } from '../support/load.ts'
import { type LogDirectory, makeLog, removeLog } from '../support/service.ts'

let log: LogDirectory
let service: Service | undefined
let speaker: Speaker
let keys: Keys
const fatals: Error[] = []
let letGo = (): void => undefined

const open = async (): Promise<Service> => {
  const config = readConfig({ data: log.data, port: '0', 'log-level': 'silent' }, {})
  service = await openService(config, { onFatal: (error) => fatals.push(error) })
  return service
}

const submit = (said: Said): Promise<SubmitResult> =>
  service?.log.submit(submittedOf(said)) ?? expect.fail('the service is not open')

const issue = async (path: string, parent?: LoadAgent): Promise<LoadAgent> => {
  const size = service?.log.head().size ?? 1
  const { agent, said } = speaker.requestAgent(path, parent === undefined ? {} : { parent, size })
  expect((await submit(said)).kind).toBe('agent.issue')
  return agent
}

/** What was decided, and by which id. */
const decisionOf = ({ extra }: SubmitResult) => {
  const { decision, context } = extra as { decision: boolean; context: { decision_id: string } }
  return { allowed: decision, id: context.decision_id }
}

const RESIDENT: ReadonlySet<number> = new Set(
  Object.values(FOLDS).flatMap(({ id, resident }) => (resident ? [id] : [])),
)

/** Opens again: what scans whole folds waits, and `get` does not find the keys that `hides` names. Counts looks. */
const openHiding = async (hides: (key: Uint8Array) => boolean): Promise<{ looks: number }> => {
  const seen = { looks: 0 }
  const held = new Promise<void>((resolve) => {
    letGo = resolve
  })
  const get = Reflect.get(LevelStore.prototype, 'get') as LevelStore['get']
  const scan = Reflect.get(LevelStore.prototype, 'scan') as LevelStore['scan']
  vi.spyOn(LevelStore.prototype, 'scan').mockImplementation(async function* (
    this: LevelStore,
    range: ScanRange,
  ) {
    const [space, fold] = [range.gte[9], range.gte[10] ?? 0]
    if (range.limit === 1) seen.looks++
    const isWhole = range.limit === undefined && range.gte.length === 11
    if (space === 0x66 && isWhole && !RESIDENT.has(fold)) await held
    yield* scan.call(this, range)
  })
  vi.spyOn(LevelStore.prototype, 'get').mockImplementation(function (this: LevelStore, key) {
    return hides(key) ? undefined : get.call(this, key)
  })
  await open()
  return seen
}

beforeEach(() => {
  log = makeLog()
  speaker = Speaker.of(log)
  keys = new Keys(speaker.origin)
  fatals.length = 0
}, 60_000)

afterEach(async () => {
  letGo()
  await service?.close().catch(() => undefined)
  service = undefined
  vi.restoreAllMocks()
  removeLog(log)
})

const stoppedOver = (): unknown => fatals[0]?.cause ?? fatals[0]

test('a spent decision whose action get has lost is not answered again', async () => {
  await open()
  const agent = await issue('window/agent')
  const asked = speaker.ask(agent)
  const { allowed, id } = decisionOf(await submit(asked.said))
  expect(allowed).toBe(true)
  await submit(speaker.report(agent, { id, salt: asked.salt }))
  await expect(submit(asked.said)).rejects.toMatchObject({ code: 'decision_spent' })
  await service?.close()
  const spent = keys.fold(FOLDS.decisions.id, new Uint8Array(Buffer.from(`m${id}`)))
  await openHiding((key) => Buffer.compare(key, spent) === 0)
  await expect(submit(asked.said)).rejects.toMatchObject({ code: 'outcome_unknown' })
  expect(stoppedOver()).toMatchObject({ code: 'fold_key_lost' })
})

test('a parent that get has lost is not taken for none', async () => {
  await open()
  const parent = await issue('window/parent')
  const child = await issue('window/child', parent)
  expect(decisionOf(await submit(speaker.ask(child).said)).allowed).toBe(true)
  const size = service?.log.head().size
  await service?.close()
  const row = keys.fold(FOLDS.agents.id, new Uint8Array(Buffer.from(parent.principal)))
  await openHiding((key) => Buffer.compare(key, row) === 0)
  await expect(submit(speaker.ask(child).said)).rejects.toMatchObject({ code: 'outcome_unknown' })
  expect(stoppedOver()).toMatchObject({ code: 'fold_key_lost' })
  expect(service?.log.head().size).toBe(size)
})

test('what is new is taken without a look', async () => {
  await open()
  const agent = await issue('window/agent')
  for (let n = 0; n < 20; n++) await submit(speaker.report(agent, null))
  await service?.close()
  const seen = await openHiding(() => false)
  for (let n = 0; n < 20; n++) {
    await submit(speaker.report(agent, null))
    await submit(speaker.ask(agent).said)
  }
  expect(service?.log.stats().startChecked).toBeLessThan(1)
  expect(seen.looks).toBeLessThan(3)
  expect(fatals).toEqual([])
})
