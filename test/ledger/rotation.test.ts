/**
 * Goal: on disk every head is signed by the keys of its size and no other: across a crash between every two steps of the
 * commit that puts a key in force, with two rotations in one batch, and with a head record that lags; whoever starts without a
 * key, or signed with the wrong one, is found. Method: a real log's disk in memory, faults before and after each write, new
 * processes over what is left, the audit, and the kit from outside.
 */
import { join } from 'node:path'
import {
  followRotations,
  formatVkey,
  keyId,
  parseNote,
  parseTrust,
  rotationInput,
  toBase64url,
  utf8Encode,
} from '@trustwarden/proofs'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { anchorOf, readGenesis } from '../../src/genesis.ts'
import { ALL_FOLDS, composeRules, type Rules } from '../../src/rules.ts'
import { systemClock } from '../../src/clock.ts'
import {
  generateKey,
  nativePrimitives,
  type Signer,
  signerFromPrivateKey,
} from '../../src/crypto.ts'
import { readDescription } from '../../src/directory.ts'
import { readKeyFile } from '../../src/keys.ts'
import { audit, type AuditReport } from '../../src/ledger/audit.ts'
import { headKey } from '../../src/ledger/head-note.ts'
import { Log } from '../../src/ledger/log.ts'
import type { SubmitResult } from '../../src/ledger/submissions.ts'
import { LogKeys, type RotationReader } from '../../src/ledger/log-keys.ts'
import { foldSpecs } from '../../src/ledger/rebuild.ts'
import { RotationProofs } from '../../src/ledger/rotation-proofs.ts'
import { readRotations } from '../../src/ledger/rotations.ts'
import { inlineVerifier } from '../../src/ledger/verify.ts'
import { Database } from '../../src/store/database.ts'
import { readHeadRecord, type RecordedHead } from '../../src/store/head-record.ts'
import { LevelStore } from '../../src/store/level-store.ts'
import { MemoryStore, type MemoryDisk } from '../../src/store/memory-store.ts'
import { FaultStore, type FaultWhen } from '../support/fault-store.ts'
import { Speaker } from '../support/load.ts'
import { MemoryHeadRecord, type RecordDisk } from '../support/memory-head-record.ts'
import { removeLog } from '../support/service.ts'
import { makeTwoOperatorLog, type TwoOperators } from '../support/two-operators.ts'

const ORIGIN = 'acme.example/logs/agents'

let made: TwoOperators
let first: Signer
let speaker: Speaker
let recorded: RecordedHead
let anchor: string
const image: MemoryDisk = new Map()
const [second, third] = [0, 1].map(() => signerFromPrivateKey(generateKey('EdDSA'))) as [
  Signer,
  Signer,
]

beforeAll(async () => {
  made = makeTwoOperatorLog(ORIGIN)
  const store = await LevelStore.open(join(made.data, 'db'))
  const copy = new MemoryStore(image)
  const all = { gte: new Uint8Array(0), lt: Uint8Array.of(0xff) }
  for await (const { key, value } of store.scan(all))
    await copy.write([{ type: 'put', key, value }])
  await store.close()
  recorded = await readHeadRecord(made.head)
  first = signerFromPrivateKey(readKeyFile(join(made.keys, 'log.key')))
  speaker = Speaker.of(made, ORIGIN)
}, 60_000)

afterAll(() => removeLog(made))

/** What outlives a process. */
interface Disk {
  readonly store: MemoryDisk
  readonly record: RecordDisk
}

const newDisk = (): Disk => ({ store: new Map(image), record: { head: recorded } })

interface Opened {
  readonly log: Log
  readonly database: Database
  readonly store: FaultStore
  readonly record: MemoryHeadRecord
  readonly rules: Rules
}

/** A process over the disk that holds these keys, and goes by these rotations. */
async function open(
  disk: Disk,
  held: readonly Signer[],
  rotations: RotationReader = readRotations,
): Promise<Opened> {
  const store = new FaultStore(new MemoryStore(disk.store))
  const record = new MemoryHeadRecord(disk.record)
  const database = await Database.open({ store, origin: ORIGIN, folds: foldSpecs(ALL_FOLDS) })
  const { genesis, hash } = readGenesis(database, readDescription(made.data))
  anchor = anchorOf(genesis, hash)
  const keys = new LogKeys(genesis.keys.log, held, rotations)
  const unavailable = () => Promise.reject(new Error('no certificate or policy is asked for'))
  const rules = composeRules({
    origin: ORIGIN,
    trustDomain: genesis.trustDomain,
    serviceSpki: genesis.keys.service,
    logKeys: keys,
    authority: { notAfterMs: 0, issueSvid: unavailable },
    permitSigner: first,
    policies: { find: () => Promise.resolve(undefined), tryOut: unavailable },
    clock: systemClock,
  })
  const log = await Log.open({
    database,
    headRecord: record,
    keys,
    origin: ORIGIN,
    ...rules,
    clock: systemClock,
    verifier: inlineVerifier,
    decideBudgetMs: Number.POSITIVE_INFINITY,
    onFatal: () => undefined,
  })
  return { log, database, store, record, rules }
}

/** The two statements that put a key in force. */
function rotation(old: Signer, next: Signer, until = 5000): readonly [string, string] {
  const [from, to] = [headKey(old, ORIGIN), headKey(next, ORIGIN)]
  const input = rotationInput({ old: from, new: to, until })
  const payload = {
    key: 'log',
    old: formatVkey(from),
    new: formatVkey(to),
    until,
    old_signature: toBase64url(old.sign(input)),
    new_signature: toBase64url(next.sign(input)),
  }
  const sign = (path: string): string => {
    const signer = signerFromPrivateKey(readKeyFile(path))
    const kid = keyId(nativePrimitives, signer.spki)
    return speaker.sign({ principal: `operator:${kid}`, kid, signer }, 'key.rotate', 'log', payload)
      .text
  }
  return [sign(made.operators[0]), sign(made.operators[1])]
}

const submit = ({ log }: Opened, statement: string): Promise<SubmitResult> =>
  log.submit({ statement })

const signers = ({ log }: Opened): readonly string[] =>
  parseNote(utf8Encode(log.head().note)).signatures.map(({ keyId: id }) => toBase64url(id))
const ids = (...keys: readonly Signer[]) =>
  keys.map((key) => toBase64url(headKey(key, ORIGIN).keyId))

async function auditOf(disk: Disk, held: readonly Signer[]): Promise<AuditReport> {
  const { database, record, rules, log } = await open(disk, held)
  await log.close()
  return audit({
    database,
    headRecord: record,
    origin: ORIGIN,
    key: headKey(first, ORIGIN),
    ...rules,
    folds: ALL_FOLDS,
    scratch: new MemoryStore(new Map()),
  })
}

describe('a crash', () => {
  const faults: readonly (readonly ['batch' | 'head record', FaultWhen, boolean])[] = [
    ['batch', 'before', false],
    ['batch', 'after', true],
    ['head record', 'before', true],
    ['head record', 'after', true],
  ]
  test.each(faults)(
    'at the %s, %s it is written: the entries decide which keys sign',
    async (part, when, applied) => {
      const disk = newDisk()
      const [one, two] = rotation(first, second)
      const before = await open(disk, [first, second])
      expect((await submit(before, one)).outcome.get(0)).toBe('pending')
      if (part === 'batch') before.store.failAt(1, when)
      else before.record.failAt(1, when)
      await expect(submit(before, two)).rejects.toThrow()
      // Without the new key the log goes on exactly if the rotation is not on disk.
      const without = open({ store: new Map(disk.store), record: { ...disk.record } }, [first])
      if (applied) await expect(without).rejects.toThrow(/log_key_missing.*put the key file back/)
      else await (await without).log.close()
      const after = await open(disk, [first, second])
      expect(signers(after)).toEqual(applied ? ids(second, first) : ids(first))
      const again = await submit(after, two)
      expect([again.outcome.get(0), again.repeated]).toEqual(['effective', applied])
      expect(signers(after)).toEqual(ids(second, first))
      await after.log.close()
      expect(await auditOf(disk, [first, second])).toMatchObject({ ok: true })
    },
  )
})

describe('two rotations in one batch', () => {
  test('are both in force at its head, which all three keys sign, and both are learnt by proof', async () => {
    const disk = newDisk()
    const opened = await open(disk, [first, second, third])
    const batches = opened.log.stats().batches
    const all = [...rotation(first, second), ...rotation(second, third, 6000)]
    const results = await Promise.all(all.map((one) => submit(opened, one)))
    expect(opened.log.stats().batches).toBe(batches + 1)
    expect(results.map(({ outcome }) => outcome.get(0))).toEqual([
      'pending',
      'effective',
      'pending',
      'effective',
    ])
    expect(signers(opened)).toEqual(ids(third, second, first))
    const file = new RotationProofs(opened.log.reader).file()
    const trust = parseTrust(nativePrimitives, utf8Encode(anchor))
    const followed = followRotations(nativePrimitives, file, trust)
    const [, at, , then] = results.map(({ index }) => index)
    expect(
      followed.logs[0]?.keys.map(({ key, from, to }) => [toBase64url(key.keyId), from, to]),
    ).toEqual([
      [...ids(first), 0, at],
      [...ids(second), Number(at) + 1, then],
      [...ids(third), Number(then) + 1, null],
    ])
    await opened.log.close()
    expect(await auditOf(disk, [first, second, third])).toMatchObject({ ok: true })
  })
})

describe('a head that the wrong key signed', () => {
  /** A writer that goes by other rotations than the log's, then what a start and an audit say. */
  async function misled(
    held: readonly Signer[],
    rotations: RotationReader,
  ): Promise<readonly unknown[]> {
    const disk = newDisk()
    const [one, two] = rotation(first, second)
    const honest = await open(disk, [first, second])
    await submit(honest, one)
    await honest.log.close()
    const hostile = await open(disk, held, rotations)
    await submit(hostile, two)
    await hostile.log.close()
    const start = open(disk, [first, second])
    const audited = audit({
      database: hostile.database,
      origin: ORIGIN,
      key: headKey(first, ORIGIN),
      ...hostile.rules,
      folds: ALL_FOLDS,
      scratch: new MemoryStore(new Map()),
    })
    await expect(start).rejects.toThrow(/head_invalid/)
    const { ok, difference } = await audited
    return [ok, difference?.check]
  }

  test('by the old key alone, after its range', async () => {
    expect(await misled([first, second], () => [])).toEqual([false, 'head'])
  })

  test('by the new key alone, while the old one has to sign too', async () => {
    const skipping: RotationReader = (state) =>
      readRotations(state).map((one) => ({ ...one, until: 0 }))
    expect(await misled([first, second], skipping)).toEqual([false, 'head'])
  })

  test('by the new key before its range', async () => {
    const disk = newDisk()
    const rotations: RotationReader = () => [
      {
        index: recorded.size,
        old: headKey(first, ORIGIN),
        new: headKey(second, ORIGIN),
        until: 5000,
      },
    ]
    const hostile = await open(disk, [first, second], rotations)
    await submit(hostile, rotation(first, second)[0])
    // Two lines, the old one among them: the head opens, and says no more than an old one does.
    expect(signers(hostile)).toEqual(ids(second, first))
    const early: RotationReader = (state) => rotations(state).map((one) => ({ ...one, until: 0 }))
    await hostile.log.close()
    const alone = newDisk()
    const worse = await open(alone, [first, second], early)
    await submit(worse, rotation(first, second)[0])
    expect(signers(worse)).toEqual(ids(second))
    await worse.log.close()
    await expect(open(alone, [first, second])).rejects.toThrow(/head_invalid/)
  })
})
