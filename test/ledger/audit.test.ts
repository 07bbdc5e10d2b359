/**
 * @module Goal: the audit finds, by name, what no check of a start can: an entry that the rules would not make, a
 * signature that does not hold, a fold that is whole and wrong. And a rebuild gives the same folds, byte for byte.
 * Method: logs written by wrong rules under the right key, random histories, and the store's bytes compared.
 */
import fc from 'fast-check'
import { describe, expect, it, vi } from 'vitest'
import { decodeBundle, leafHash, utf8Encode } from '@trustwarden/proofs'
import type { Hash } from '@trustwarden/proofs'
import { nativePrimitives } from '../../src/crypto.ts'
import { countFold, namesFold, newScript, testHandlers } from '../support/ledger-handlers.ts'
import { FOLDS as SPECS } from '../../src/ledger/contract.ts'
import type { Fold } from '../../src/ledger/contract.ts'
import { CORE_FOLDS } from '../../src/ledger/log.ts'
import type { Submitted } from '../../src/ledger/prepare.ts'
import { u64Bytes } from '../../src/ledger/layout.ts'
import { foldSpecs, rebuildFolds } from '../../src/ledger/rebuild.ts'
import type { RebuildReport } from '../../src/ledger/rebuild.ts'
import { rootAt } from '../../src/merkle/prove.ts'
import { Database } from '../../src/store/database.ts'
import { MemoryStore } from '../../src/store/memory-store.ts'
import { naiveRoot } from '../support/naive-merkle.ts'
import {
  AGENT,
  FOLDS,
  OPERATOR,
  ORIGIN,
  OWNER,
  say,
  STRANGER,
  TestLog,
} from '../support/test-log.ts'

const snapshot = (test: TestLog): ReadonlyMap<string, string> =>
  new Map([...test.disk].map(([key, value]) => [key, Buffer.from(value).toString('hex')]))

const checkOf = async (
  test: TestLog,
  over: Parameters<TestLog['audit']>[0] = {},
): Promise<readonly [string | undefined, number | undefined]> => {
  const { difference } = await test.audit(over)
  return [difference?.check, difference?.index]
}

describe('the audit', () => {
  it('says what it checked', async () => {
    const test = await TestLog.create()
    await test.submit(say(OWNER, { details: 1 }))
    await test.submit(say(AGENT))
    expect(await test.audit()).toEqual({
      ok: true,
      size: 4,
      entries: 4,
      batches: 3,
      signatures: 4,
      disclosures: 1,
      erased: 0,
      lost: 0,
      erasuresDue: 0,
    })
  })

  it('finds an outcome that the rules do not give', async () => {
    const test = await TestLog.create()
    const handlers = testHandlers(newScript())
    const lying = handlers.map((handler) =>
      handler.type !== 'test.change'
        ? handler
        : {
            ...handler,
            register: (...args: Parameters<typeof handler.register>) => {
              const registration = handler.register(...args)
              return registration.type === 'entry'
                ? { ...registration, outcome: new Map([[0, 'unchanged']]) }
                : registration
            },
          },
    )
    await test.open((one) => {
      one.options = { handlers: lying }
    })
    await test.submit(say(OWNER))
    await test.submit(say(OWNER, { type: 'test.change' }))
    expect(await checkOf(test)).toEqual(['outcome', 3])
  })

  it('finds an entry whose signature does not hold, and one of an unknown signer', async () => {
    for (const [submitted, check] of [
      [say(OWNER), 'signature'],
      [say(STRANGER), 'signer'],
    ] as const) {
      const test = await TestLog.create()
      const owner = { spki: STRANGER.signer.spki, kid: STRANGER.kid, role: 'owner' as const }
      await test.open((one) => {
        one.options = {
          verifier: { verify: () => Promise.resolve(true), close: () => Promise.resolve() },
          principals: {
            find: (_state, principal) =>
              principal === STRANGER.principal
                ? { principal, ...owner }
                : { principal, ...owner, spki: OWNER.signer.spki, kid: OWNER.kid },
          },
        }
      })
      await test.submit(check === 'signature' ? flipped(submitted) : submitted)
      await test.submit(say(OWNER))
      expect(await checkOf(test)).toEqual([check, 2])
    }
  })

  it('finds a fold that is whole and not what the entries give', async () => {
    const wrong: Fold = {
      spec: SPECS.names,
      apply: (registered, writer) => {
        if (registered.entry.index !== 3) namesFold.apply(registered, writer)
      },
    }
    const test = new TestLog()
    test.options = { folds: [countFold, wrong] }
    await test.createDatabase()
    await test.writeFirstBatch()
    await test.submit(say(OWNER, { sub: 'a' }))
    await test.submit(say(OWNER, { sub: 'b' }))
    const { difference } = await test.audit()
    expect(difference?.check).toBe('fold')
    expect(difference?.message).toMatch(/^names: /)
  })

  it('finds another genesis, another log key and another head record', async () => {
    const test = await TestLog.create()
    const genesis = nativePrimitives.sha256(new Uint8Array(0))
    expect(await checkOf(test, { genesis })).toEqual(['genesis', 0])
    for (const [size, message] of [
      [3, /2 entries, the head record says 3: .*trustwarden recover/],
      [1, /2 entries, the head record says 1: it is older/],
      [2, /another root than the log, both of size 2/],
    ] as const) {
      const headRecord = { current: () => ({ size, root: genesis, timeMs: 0 }) }
      const { difference } = await test.audit({ headRecord })
      expect([difference?.check, difference?.message]).toEqual([
        'head_record',
        expect.stringMatching(message),
      ])
    }
    const handlers = testHandlers(newScript()).filter(({ type }) => type !== 'test.note')
    expect(await checkOf(test, { handlers })).toEqual(['handler', 1])
  })

  it('finds a disclosure that is changed, lost, or belongs to nothing', async () => {
    const test = await TestLog.create()
    await test.submit(say(OWNER, { details: 'personal' }))
    const name = [...test.disk.keys()].find((key) => key[9] === 'x') ?? ''
    const value = test.disk.get(name) ?? new Uint8Array(0)
    test.disk.set(name, Uint8Array.from([...value.slice(0, -1), 0xff]))
    expect(await checkOf(test)).toEqual(['disclosure', 2])
    test.disk.delete(name)
    expect(await checkOf(test)).toEqual(['disclosure', 2])
    test.disk.set(name, value)
    test.disk.set(`${name.slice(0, -1)}\u0005`, value)
    // A start leaves disclosures to be checked behind it; the one after that checks them first.
    await test.open()
    await vi.waitFor(() =>
      expect(test.fatal[0]?.cause).toMatchObject({ code: 'erasable_mismatch' }),
    )
    await expect(test.open()).rejects.toThrow('erasable_mismatch')
    expect(await checkOf(test)).toEqual(['disclosure', 2])
  })
})

function flipped(submitted: Submitted): Submitted {
  const statement = Uint8Array.from(submitted.statement as Uint8Array)
  const at = statement.length - 20
  statement[at] = statement[at] === 0x41 ? 0x42 : 0x41
  return { ...submitted, statement }
}

const rebuild = (test: TestLog, folds: readonly Fold[] = FOLDS): Promise<RebuildReport> =>
  rebuildFolds({
    store: new MemoryStore(test.disk),
    origin: ORIGIN,
    folds,
    recorded: test.record.head,
    scratch: new MemoryStore(),
  })

describe('the rebuild', () => {
  it('restores folds that were lost or damaged, byte for byte', async () => {
    const test = await TestLog.create()
    // More than are held in memory between two writes of a rebuild.
    const notes = Array.from({ length: 2100 }, (_, i) => say(OWNER, { sub: `${i % 7}` }))
    await Promise.all(notes.map((one) => test.submit(one)))
    await test.submit(say(AGENT))
    expect((await test.audit()).difference).toBeUndefined()
    const before = snapshot(test)
    for (const [name, value] of test.disk) {
      if (name[9] === 'f') value[0] = (value[0] ?? 0) ^ 1
      if (name[9] === 's') test.disk.delete(name)
    }
    await expect(test.open()).rejects.toThrow()
    const report = await rebuild(test)
    expect(report.size).toBe(2103)
    expect(snapshot(test)).toEqual(before)
    await test.open()
    test.check()
  })

  it('drops nothing for entries that are not the signed ones', async () => {
    const test = await TestLog.create()
    for (const [name, value] of test.disk) if (name[9] === 'e') value[20] = (value[20] ?? 0) ^ 1
    const before = snapshot(test)
    await expect(rebuild(test)).rejects.toMatchObject({ code: 'batch_record_corrupt' })
    expect(snapshot(test)).toEqual(before)
  })

  it('drops nothing for a database that is older than its head record, or another', async () => {
    const test = await TestLog.create()
    await test.submit(say(OWNER))
    const older = new Map(test.disk)
    await test.submit(say(OWNER))
    await test.log.close()
    const { head } = test.record
    test.record.head = { ...head, size: 3 }
    await expect(rebuild(test)).rejects.toMatchObject({ code: 'store_differs_from_record' })
    test.record.head = head
    test.disk.clear()
    for (const [name, value] of older) test.disk.set(name, value)
    await expect(rebuild(test)).rejects.toMatchObject({ code: 'store_behind_record' })
    expect(new Map(test.disk)).toEqual(older)
  })

  it('brings in a fold that this release has and the log had not, and drops none that it lacks', async () => {
    const test = await TestLog.create()
    await test.submit(say(OWNER))
    await test.log.close()
    const spec = { id: 99, name: 'later', resident: true }
    const later: Fold = {
      spec,
      apply: ({ entry }, writer) => writer.put(spec, utf8Encode(entry.kind), u64Bytes(entry.index)),
    }
    const folds = [...FOLDS, later]
    const open = (list: readonly Fold[]): Promise<Database> =>
      Database.open({
        store: new MemoryStore(test.disk),
        origin: ORIGIN,
        folds: foldSpecs(list),
      })
    await expect(open(folds)).rejects.toMatchObject({ code: 'fold_missing' })
    const report = await rebuild(test, folds)
    expect(report.folds.find(({ name }) => name === 'later')?.count).toBe(2)
    expect((await open(folds)).folds.reader(99).count()).toBe(2)
    // The release before does not open it any more, nor rebuild it.
    await expect(open(FOLDS)).rejects.toMatchObject({ code: 'fold_unknown' })
  })

  it('refuses to end with other folds than the last batch left', async () => {
    const test = await TestLog.create()
    await test.log.close()
    const before = snapshot(test)
    const silent: Fold = { spec: SPECS.names, apply: () => undefined }
    const folds = [...CORE_FOLDS, countFold, silent]
    await expect(rebuild(test, folds)).rejects.toMatchObject({ code: 'folds_differ' })
    const fewer = [...CORE_FOLDS, countFold]
    await expect(rebuild(test, fewer)).rejects.toMatchObject({ code: 'fold_unknown' })
    expect(snapshot(test)).toEqual(before)
  })
})

/** One step of a random history: who says what, several at once, or a restart. */
type Step =
  | { readonly do: 'submit'; readonly sayings: readonly Saying[] }
  | { readonly do: 'restart' }
  | { readonly do: 'advance'; readonly ms: number }

interface Saying {
  readonly by: number
  readonly event: number
  readonly content: number
  readonly sub: string
  readonly does: 'note' | 'refuse' | 'forget' | 'details' | 'change' | 'urgent' | 'erase'
}

const PARTIES = [OWNER, OPERATOR, AGENT]

const saying: fc.Arbitrary<Saying> = fc.record({
  by: fc.nat(PARTIES.length - 1),
  event: fc.nat(12),
  content: fc.nat(1),
  sub: fc.constantFrom('a', 'b', 'c'),
  does: fc.constantFrom('note', 'note', 'refuse', 'forget', 'details', 'change', 'urgent', 'erase'),
})

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constant('submit' as const),
      sayings: fc.array(saying, { maxLength: 6 }),
    }),
  },
  { weight: 1, arbitrary: fc.constant({ do: 'restart' as const }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('advance' as const), ms: fc.nat(5000) }) },
)

const TYPES: Readonly<Record<Saying['does'], string>> = {
  note: 'test.note',
  refuse: 'test.note',
  forget: 'test.note',
  details: 'test.note',
  change: 'test.change',
  urgent: 'test.urgent',
  erase: 'erasure',
}

/** The same saying is the same statement: keys are the content, signatures may differ. */
const statements = new Map<string, Submitted>()
function statementOf(one: Saying): Submitted {
  const name = JSON.stringify(one)
  const known = statements.get(name)
  if (known !== undefined) return known
  const by = PARTIES[one.by] ?? OWNER
  const payload = {
    content: one.content,
    ...(one.does === 'refuse' && { refuse: true }),
    ...(one.does === 'forget' && { forget: true }),
    ...(one.does === 'erase' && { entries: [one.content, 2 + one.event] }),
  }
  const made = say(by, {
    type: TYPES[one.does],
    jti: `jti-${one.event}`,
    seq: 1 + one.event * 400,
    sub: one.sub,
    payload,
    ...(one.does === 'details' && { details: one.sub }),
  })
  statements.set(name, made)
  return made
}

describe('random histories', () => {
  it('agree with a list of statements, survive restarts, and rebuild to the same bytes', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 12 }), async (steps) => {
        const test = await TestLog.create()
        /** issuer and event id → content and index, as the answers had it. */
        const model = new Map<string, { readonly content: string; readonly index: number }>()
        for (const one of steps) {
          if (one.do === 'restart') {
            await test.log.close()
            await test.open()
          } else if (one.do === 'advance') test.clock.advance(one.ms)
          else await submitAll(test, model, one.sayings)
        }
        await test.log.close()
        expect(test.fatal).toEqual([])
        const indexes = [...model.values()].map(({ index }) => index).sort((a, b) => a - b)
        expect(indexes).toEqual(indexes.map((_, at) => at + 2))
        expect(test.log.head().size).toBe(indexes.length + 2)
        test.check()
        checkTree(test)
        expect((await test.audit()).difference).toBeUndefined()
        const before = snapshot(test)
        await rebuild(test)
        expect(snapshot(test)).toEqual(before)
      }),
      { numRuns: process.env['SLOW'] === '1' ? 1000 : 60 },
    )
  })

  it('of more than a bundle re-derive their root from what is served', async () => {
    const test = await TestLog.create()
    for (const count of [1, 253, 1, 255, 257, 3]) {
      await Promise.all(Array.from({ length: count }, () => test.submit(say(OWNER))))
      checkTree(test)
    }
    test.check()
    await test.open()
    checkTree(test)
    test.check()
    expect((await test.audit()).difference).toBeUndefined()
  })
})

async function submitAll(
  test: TestLog,
  model: Map<string, { readonly content: string; readonly index: number }>,
  sayings: readonly Saying[],
): Promise<void> {
  const results = await Promise.allSettled(sayings.map((one) => test.submit(statementOf(one))))
  for (const [at, result] of results.entries()) {
    const one = sayings[at]
    if (one === undefined) continue
    const event = `${one.by}/${one.event}`
    const content = JSON.stringify(one)
    const known = model.get(event)
    if (result.status === 'fulfilled') {
      const { index, repeated } = result.value
      if (known === undefined) model.set(event, { content, index })
      else {
        expect({ content, index }).toEqual(known)
        if (at === 0) expect(repeated).toBe(true)
      }
      continue
    }
    const { code } = result.reason as { readonly code: string }
    if (code === 'event_conflict') continue
    expect(['signer_forbidden', 'target_unknown']).toContain(code)
    expect(one.does === 'refuse' || one.does === 'erase').toBe(true)
  }
}

/** Builds the root again from the bundles and from the tiles, at full and partial widths. */
function checkTree(test: TestLog): void {
  const { reader } = test.log
  const { size, root } = test.log.head()
  const hashes: Hash[] = []
  for (let first = 0; first < size; first += 256) {
    const width = Math.min(256, size - first)
    const bundle = reader.bundle(first / 256, width) ?? new Uint8Array(0)
    for (const entry of decodeBundle(bundle, width)) hashes.push(leafHash(nativePrimitives, entry))
    const half = Math.ceil(width / 2)
    expect(decodeBundle(reader.bundle(first / 256, half) ?? new Uint8Array(0), half)).toHaveLength(
      half,
    )
    expect(reader.tile(0, first / 256, width)).toEqual(
      Uint8Array.from(hashes.slice(first).flatMap((hash) => [...hash])),
    )
  }
  const tiles = {
    readTile: (level: number, index: number, width: number) =>
      reader.tile(level, index, width) ?? new Uint8Array(0),
  }
  expect(rootAt(nativePrimitives, size, tiles)).toEqual(root)
  expect(new Uint8Array(naiveRoot(hashes))).toEqual(root)
}
