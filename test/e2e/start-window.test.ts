/**
 * Goal: while the check behind a start has not come to a fold, a key that `get` has lost is missed all the same, even one
 * that is read and never written: a decision that was spent is not answered as an allow, and a parent is not taken for
 * none. What is new costs no look beside `get`. Tables that are compared behind a start are damaged by name whenever it is
 * found, a process that ends before is followed by one that checks everything, and no erasure is done while they are held.
 * Method: the whole service in this process over a real directory, opened again with the scans of whole folds held, over a
 * store whose `get` hides one key; opened with the comparison of its tables held, or with a bit of them flipped.
 */
import { existsSync, cpSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { openService, type Service, type ServiceOptions } from '../../src/build.ts'
import { readConfig } from '../../src/config.ts'
import { FOLDS } from '../../src/ledger/contract.ts'
import type { SubmitResult } from '../../src/ledger/submissions.ts'
import { FoldTables } from '../../src/store/fold-tables.ts'
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

const open = async (options: Partial<ServiceOptions> = {}): Promise<Service> => {
  const config = readConfig({ data: log.data, port: '0', 'log-level': 'silent' }, {})
  service = await openService(config, { onFatal: (error) => fatals.push(error), ...options })
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

describe('tables that are compared behind a start', () => {
  /** Tables are held whatever their size. */
  const HELD = { heldBytes: 0 }
  /** On a busy machine a thread takes seconds to begin. */
  const PATIENCE = { timeout: 30_000 }
  const markOf = ({ data }: LogDirectory): string => join(data, 'damage-possible')
  const databaseOf = ({ data }: LogDirectory): string => join(data, 'db')

  /** Opens with the comparison held until `letGo`. */
  const openHeld = async (): Promise<Service> => {
    const held = new Promise<void>((resolve) => {
      letGo = resolve
    })
    const begin = Reflect.get(FoldTables.prototype, 'begin') as FoldTables['begin']
    vi.spyOn(FoldTables.prototype, 'begin').mockImplementation(async function (
      this: FoldTables,
      onProgress,
    ) {
      await held
      return begin.call(this, onProgress)
    })
    return open(HELD)
  }

  /** A log with tables of several blocks, and an agent. */
  const write = async (): Promise<LoadAgent> => {
    await open()
    const agent = await issue('window/agent')
    for (let n = 0; n < 60; n++) await submit(speaker.report(agent, null))
    await service?.close()
    // A start turns the journal into a table.
    await open()
    await service?.close()
    return agent
  }

  const disclose = async (agent: LoadAgent): Promise<{ index: number; value: Buffer }> => {
    const said = speaker.report(agent, null, 'a detail that is to be erased')
    const { index } = await submit(said)
    const [disclosure = ''] = said.disclosures
    return { index, value: Buffer.from(disclosure) }
  }

  test('leave the mark until they are, and a process that ends before has everything checked after it', async () => {
    const agent = await write()
    const opened = await openHeld()
    const looks = vi.spyOn(LevelStore.prototype, 'scan')
    expect(existsSync(markOf(log))).toBe(true)
    const asked = speaker.ask(agent)
    const { id } = decisionOf(await submit(asked.said))
    await submit(speaker.report(agent, { id, salt: asked.salt }))
    await expect(submit(asked.said)).rejects.toMatchObject({ code: 'decision_spent' })
    await issue('window/child', agent)
    // Nobody looked for what `get` did not find: its blocks were compared.
    expect(looks.mock.calls.filter(([{ limit }]) => limit === 1)).toEqual([])
    expect(opened.log.stats().startChecked).toBe(0)
    // As a crash leaves it.
    const crashed = makeLog()
    for (const tail of ['', '.head', '.keys'])
      cpSync(`${log.data}${tail}`, `${crashed.data}${tail}`, { recursive: true })
    letGo()
    await expect.poll(() => opened.log.stats().startChecked, PATIENCE).toBe(1)
    expect(existsSync(markOf(log))).toBe(false)
    await expect(submit(asked.said)).rejects.toMatchObject({ code: 'decision_spent' })
    await opened.close()
    vi.restoreAllMocks()
    try {
      const warnings: string[] = []
      const config = readConfig({ data: crashed.data, port: '0', 'log-level': 'silent' }, {})
      const onWarning = (message: string) => warnings.push(message)
      const after = await openService(config, {
        ...HELD,
        onFatal: (error) => expect.fail(error.message),
        onWarning,
      })
      expect(after.log.stats().startChecked).toBe(1)
      expect(warnings.join()).toContain('everything is checked')
      expect(existsSync(markOf(crashed))).toBe(false)
      await after.close()
    } finally {
      removeLog(crashed)
    }
    expect(fatals).toEqual([])
  })

  test('are compared by a service that is closed before, and leave no mark', async () => {
    await write()
    const opened = await open(HELD)
    await opened.close()
    expect(existsSync(markOf(log))).toBe(false)
    expect(fatals).toEqual([])
  })

  /** Flips a bit that is in no block which is compared before the first answer. */
  const flip = async (agent: LoadAgent): Promise<void> => {
    const directory = databaseOf(log)
    const name = readdirSync(directory).findLast((one) => one.endsWith('.ldb')) ?? ''
    const bytes = readFileSync(join(directory, name))
    const isFoundBehind = async (at: number): Promise<boolean> => {
      const changed = Buffer.from(bytes)
      changed[at] = (changed[at] ?? 0) ^ 1
      writeFileSync(join(directory, name), changed)
      const tables = await FoldTables.open(directory, speaker.origin, HELD).catch(() => undefined)
      let found = false
      try {
        // What a start looks through for erasures that are due.
        tables?.checkRange(keys.range('f', Uint8Array.of(FOLDS.erasures.id)))
        found = await (tables?.begin() ?? Promise.resolve()).then(
          () => false,
          () => true,
        )
      } catch {}
      await tables?.close()
      return tables !== undefined && found
    }
    // Folds lie behind entries in a table.
    let at = bytes.lastIndexOf(agent.principal)
    while (!(await isFoundBehind(at))) at = bytes.lastIndexOf(agent.principal, at - 1)
  }

  test('stop it by name over a bit that has flipped, and the next start refuses', async () => {
    await flip(await write())
    await open(HELD)
    await expect.poll(stoppedOver, PATIENCE).toMatchObject({ code: 'table_corrupt' })
    await service?.close()
    expect(existsSync(markOf(log))).toBe(true)
    await expect(open(HELD)).rejects.toMatchObject({ code: 'table_corrupt' })
    expect(existsSync(markOf(log))).toBe(true)
  })

  test('are damaged for whoever reads a key that may be in the block, before all are compared', async () => {
    const agent = await write()
    const store = await LevelStore.open(databaseOf(log))
    const rows: [fold: number, key: Uint8Array, value: Uint8Array][] = []
    for await (const { key, value } of store.scan(keys.range('f')))
      rows.push([keys.rest(key)[0] ?? -1, keys.rest(key, 1), value])
    await store.close()
    await flip(agent)
    const opened = await openHeld()
    const view = opened.log.view()
    const onDisk = Object.values(FOLDS).filter(({ resident }) => !resident)
    const read = (): void => {
      for (const [fold, key] of rows) {
        const spec = onDisk.find(({ id }) => id === fold)
        if (spec !== undefined) view.get(spec, key)
      }
    }
    expect(read).toThrow(expect.objectContaining({ code: 'table_corrupt' }))
    await expect.poll(stoppedOver, PATIENCE).toMatchObject({ code: 'table_corrupt' })
  })

  test('keep an erasure from being done', async () => {
    const agent = await write()
    const opened = await openHeld()
    const { index, value } = await disclose(agent)
    const isStored = (): boolean =>
      readdirSync(databaseOf(log)).some((name) => {
        const path = join(databaseOf(log), name)
        return readFileSync(path).includes(value)
      })
    await submit(speaker.erase([index]))
    expect(isStored()).toBe(true)
    await new Promise((resolve) => setTimeout(resolve, 300))
    expect(isStored()).toBe(true)
    letGo()
    await expect.poll(isStored, PATIENCE).toBe(false)
    await opened.close()
    expect(fatals).toEqual([])
  })
})
