/**
 * Goal: whatever operation of the disk fails, persisted or not, under the full real rules: nothing acknowledged is lost,
 * no second history begins, and a caller who repeats everything gets every entry once.
 * Method: a real log (real keys, certificates, policy) copied into a store in memory that fails at its n-th operation,
 * for every n of a history of every kind; the same for the head record. After each fault: nothing more is answered; a
 * new process on the same disk is audited and held against every receipt; the history is sent again, byte for byte.
 */
import { join } from 'node:path'
import {
  contentDigest,
  decodeEntry,
  openReceipt,
  parseEntryStatement,
  parseTrust,
  toHex,
  utf8Encode,
  verifyConsistency,
} from '@trustwarden/proofs'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { readGenesis } from '../../src/genesis.ts'
import { ALL_FOLDS, composeRules, type Rules } from '../../src/rules.ts'
import { systemClock } from '../../src/clock.ts'
import { nativePrimitives, signerFromPrivateKey } from '../../src/crypto.ts'
import { ServiceError } from '../../src/errors.ts'
import { readDescription } from '../../src/directory.ts'
import { PolicyShelf } from '../../src/gate/policies.ts'
import { DENIES_NOTHING_KNOWN } from '../../src/gate/policy-host.ts'
import { Authority } from '../../src/identity/authority.ts'
import { readKeyFile } from '../../src/keys.ts'
import { audit } from '../../src/ledger/audit.ts'
import { Log } from '../../src/ledger/log.ts'
import { LogKeys } from '../../src/ledger/log-keys.ts'
import { foldSpecs } from '../../src/ledger/rebuild.ts'
import { inlineVerifier } from '../../src/ledger/verify.ts'
import { Database } from '../../src/store/database.ts'
import { erasuresDone } from '../../src/store/erasure.ts'
import { readHeadRecord, type RecordedHead } from '../../src/store/head-record.ts'
import { LevelStore } from '../../src/store/level-store.ts'
import { MemoryStore, type MemoryDisk } from '../../src/store/memory-store.ts'
import { FaultStore, type FaultWhen } from '../support/fault-store.ts'
import {
  type Acknowledged,
  type LoadAgent,
  type Said,
  Speaker,
  submittedOf,
} from '../support/load.ts'
import { MemoryHeadRecord, type RecordDisk } from '../support/memory-head-record.ts'
import { word } from '../support/rule-harness.ts'
import { type LogDirectory, makeLog, removeLog } from '../support/service.ts'

/** Where the fault is, counted from 1. */
interface FaultAt {
  readonly part: 'store' | 'head record'
  readonly n: number
  readonly when: FaultWhen
}

/** A statement of the history: what it is, and how it is made once those before it were answered. */
interface Step {
  readonly name: string
  readonly make: (told: History) => readonly Said[]
}

/** One telling of the history: what each step said, said again as it was. */
class History {
  readonly speaker: Speaker
  readonly agents = new Map<string, LoadAgent>()
  readonly said = new Map<string, readonly Said[]>()
  readonly decisions = new Map<string, { readonly id: string; readonly salt: Uint8Array }>()
  readonly salts = new Map<string, Uint8Array>()
  readonly acknowledged = new Map<string, Acknowledged>()

  constructor(speaker: Speaker) {
    this.speaker = speaker
  }

  agent(name: string): LoadAgent {
    const found = this.agents.get(name)
    if (found === undefined) throw new Error(`no agent ${name}`)
    return found
  }

  indexOf(name: string): number {
    const [said] = this.said.get(name) ?? []
    const index = this.acknowledged.get(said?.text ?? '')?.receipt.index
    if (index === undefined) throw new Error(`${name} was not acknowledged`)
    return index
  }

  request(name: string, parent?: string, patch = {}): readonly Said[] {
    const above = parent === undefined ? {} : { parent: this.agent(parent) }
    const { agent, said } = this.speaker.requestAgent(`faults/${name}`, {
      ...above,
      patch,
      size: 4,
    })
    this.agents.set(name, agent)
    return [said]
  }

  ask(name: string, agent: string): readonly Said[] {
    const { said, salt } = this.speaker.ask(this.agent(agent), { context: { why: name } })
    this.salts.set(said.text, salt)
    return [said]
  }

  act(decision: string): readonly Said[] {
    const [said] = this.said.get(decision) ?? []
    const decided = this.decisions.get(said?.text ?? '')
    if (decided === undefined) throw new Error(`${decision} was not decided`)
    return [this.speaker.report(this.agent('parent'), decided, 'what was done')]
  }
}

const HISTORY: readonly Step[] = [
  { name: 'parent', make: (told) => told.request('parent') },
  { name: 'child', make: (told) => told.request('child', 'parent') },
  { name: 'refused', make: (told) => told.request('wide', 'parent', { scope: ['delete:**'] }) },
  { name: 'decision', make: (told) => told.ask('decision', 'parent') },
  { name: 'action', make: (told) => told.act('decision') },
  {
    name: 'together',
    make: (told) => [
      told.speaker.report(told.agent('child'), null, 'together'),
      told.speaker.report(told.agent('child'), null),
      ...told.ask('together', 'child'),
    ],
  },
  { name: 'erasure', make: (told) => [told.speaker.erase([told.indexOf('action')])] },
  {
    name: 'revocation',
    make: (told) => [told.speaker.revoke(`inst:${told.agent('child').principal}`, 'why')],
  },
  { name: 'after', make: (told) => [told.speaker.report(told.agent('child'), null)] },
]
const STATEMENTS = 11

let log: LogDirectory
let shelf: PolicyShelf
let rules: Rules
let logKeys: LogKeys
let origin: string
const image: MemoryDisk = new Map()
let recorded: RecordedHead

beforeAll(async () => {
  log = makeLog()
  const store = await LevelStore.open(join(log.data, 'db'))
  const copy = new MemoryStore(image)
  for await (const { key, value } of store.scan({
    gte: new Uint8Array(0),
    lt: Uint8Array.of(0xff),
  }))
    await copy.write([{ type: 'put', key, value }])
  await store.close()
  recorded = await readHeadRecord(log.head)
  const description = readDescription(log.data)
  ;({ origin } = description)
  const database = await Database.open({ store: copy, origin, folds: foldSpecs(ALL_FOLDS) })
  const { genesis } = readGenesis(database, description)
  const key = (name: string) => readKeyFile(join(log.keys, `${name}.key`))
  const [certificateDer] = genesis.ca
  if (certificateDer === undefined) throw new Error('genesis names no root')
  logKeys = LogKeys.only(signerFromPrivateKey(key('log')), origin)
  // Loaded once for all processes: what it evaluates does not depend on the disk.
  const host = { workers: 1, deadlineMs: 10_000, selfTest: [DENIES_NOTHING_KNOWN] }
  shelf = new PolicyShelf({ pinned: (digest) => database.pinned(digest), host })
  rules = composeRules({
    origin,
    trustDomain: description.trustDomain,
    serviceSpki: genesis.keys.service,
    logKeys,
    authority: Authority.open({ key: key('ca'), certificateDer }),
    permitSigner: signerFromPrivateKey(key('permit')),
    policies: shelf,
    clock: systemClock,
  })
}, 60_000)

afterAll(async () => {
  await shelf.close()
  removeLog(log)
})

/** One process over a disk. */
interface Opened {
  readonly log: Log
  readonly database: Database
  readonly store: FaultStore
  readonly record: MemoryHeadRecord
  readonly fatal: readonly Error[]
}

async function open(disk: MemoryDisk, recordDisk: RecordDisk, fault?: FaultAt): Promise<Opened> {
  const store = new FaultStore(new MemoryStore(disk))
  const record = new MemoryHeadRecord(recordDisk)
  if (fault?.part === 'store') store.failAt(fault.n, fault.when)
  if (fault?.part === 'head record') record.failAt(fault.n, fault.when)
  const database = await Database.open({ store, origin, folds: foldSpecs(ALL_FOLDS) })
  const fatal: Error[] = []
  const opened = await Log.open({
    database,
    headRecord: record,
    keys: logKeys,
    origin,
    ...rules,
    clock: systemClock,
    verifier: inlineVerifier,
    onFatal: (error) => fatal.push(error),
  })
  // What is checked behind the start holds scans open, which an erasure waits for: where a fault fires is not to hang on it.
  await vi.waitUntil(() => opened.stats().startChecked === 1 || fatal.length > 0, 60_000)
  return { log: opened, database, store, record, fatal }
}

/** Tells the history from its beginning; what was said before is said again. Ends at the first answer that fails. */
async function tell(history: History, { log: open_ }: Opened): Promise<unknown> {
  for (const { name, make } of HISTORY) {
    const all = history.said.get(name) ?? make(history)
    history.said.set(name, all)
    const results = await Promise.allSettled(all.map((said) => open_.submit(submittedOf(said))))
    for (const [at, result] of results.entries()) {
      const said = all[at]
      if (said === undefined) continue
      if (result.status === 'rejected') {
        // A decision that was used, erased or revoked is not given out again; its entry is where it was.
        const spent =
          result.reason instanceof ServiceError && result.reason.code === 'decision_spent'
        if (spent && history.acknowledged.has(said.text)) continue
        return result.reason
      }
      const { receipt, repeated } = result.value
      keep(history, { said, receipt, repeated })
      const salt = history.salts.get(said.text)
      if (salt === undefined) continue
      const id = word(decodeEntry(receipt.entry).prepared.get(1))
      history.decisions.set(said.text, { id, salt })
    }
  }
  return undefined
}

function keep(history: History, acknowledged: Acknowledged): void {
  const { said, receipt } = acknowledged
  const known = history.acknowledged.get(said.text)
  if (known !== undefined) {
    expect(receipt.index).toBe(known.receipt.index)
    expect(receipt.entry).toEqual(known.receipt.entry)
    return
  }
  history.acknowledged.set(said.text, acknowledged)
}

/** Holds a process to every receipt, and audits its disk. */
async function hold({ log: open_, database, record }: Opened, history: History): Promise<void> {
  const trust = parseTrust(nativePrimitives, utf8Encode(log.anchor))
  const head = open_.head()
  for (const { receipt } of history.acknowledged.values()) {
    const opened = openReceipt(nativePrimitives, receipt, trust)
    expect(database.entry(receipt.index)).toEqual(receipt.entry)
    const path = open_.reader.consistency(opened.head.size, head.size)
    const sizes = { oldSize: opened.head.size, newSize: head.size }
    verifyConsistency(nativePrimitives, {
      ...sizes,
      oldRoot: opened.head.root,
      newRoot: head.root,
      path,
    })
  }
  expect(record.current().size).toBe(head.size)
  const { handlers, principals } = rules
  const report = await audit({
    database,
    headRecord: record,
    origin,
    key: open_.key,
    handlers,
    folds: ALL_FOLDS,
    principals,
    scratch: new MemoryStore(),
  })
  expect(report.difference).toBeUndefined()
}

/** Runs the history into a fault, and on. @returns whether the fault was reached. */
async function runInto(fault: FaultAt): Promise<boolean> {
  const disk: MemoryDisk = new Map(image)
  const recordDisk: RecordDisk = { head: recorded }
  const history = new History(Speaker.of(log))
  const faulty = await open(disk, recordDisk, fault)
  const failed = await tell(history, faulty)
  if (failed !== undefined) {
    // `outcome_unknown`: the caller is to repeat it; `internal`: what it was prepared on could not be read any more.
    const codes = ['outcome_unknown', 'internal', 'log_stopped']
    expect(codes).toContain((failed as { readonly code?: unknown }).code)
    const late = faulty.log.submit(submittedOf(history.speaker.erase([0])))
    await expect(late).rejects.toMatchObject({ code: 'log_stopped' })
  }
  await faulty.log.close()
  // The job of an erasure goes on behind its answer: its fault may come when all was told.
  const fired = fault.part === 'store' ? faulty.store.fired : faulty.record.fired
  expect(faulty.fatal.length, JSON.stringify(fault)).toBe(fired ? 1 : 0)
  if (!fired) expect(failed).toBeUndefined()

  const next = await open(disk, recordDisk)
  await hold(next, history)
  expect(await tell(history, next)).toBeUndefined()
  await next.log.close()
  expect(next.fatal).toEqual([])
  await hold(next, history)
  const done = await erasuresDone(next.database)
  expect([...done.keys()]).toEqual([history.indexOf('erasure')])
  expect(history.acknowledged.size).toBe(STATEMENTS)
  expect(next.database.size).toBe(recorded.size + STATEMENTS)
  const digests = [...next.database.entries(0, next.database.size)].map((bytes) =>
    toHex(contentDigest(nativePrimitives, parseEntryStatement(decodeEntry(bytes)))),
  )
  expect(new Set(digests).size).toBe(digests.length)
  return fired
}

describe.each([
  ['store', 'before'],
  ['store', 'after'],
  ['head record', 'before'],
  ['head record', 'after'],
] as const)('an operation of the %s that fails %s it persists', (part, when) => {
  test('loses nothing, at each of its places', async () => {
    let n = 1
    while (await runInto({ part, n, when })) n++
    // One commit for each step at least; the erasure's job has three operations more.
    expect(n - 1).toBeGreaterThanOrEqual(part === 'store' ? HISTORY.length + 3 : HISTORY.length)
  })
})
