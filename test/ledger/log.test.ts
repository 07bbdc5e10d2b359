/**
 * @module Goal: the write path keeps its promises: order, one entry for one event, answers only for what is durable,
 * bounded queues, an urgent lane that nothing fills. Method: a log in memory with a fake clock and tiny handlers,
 * verified from outside with the kit alone.
 */
import { describe, expect, it } from 'vitest'
import { fromBase64url, toBase64url, utf8Decode, utf8Encode } from '@trustwarden/proofs'
import { ServiceError } from '../../src/errors.ts'
import { LANE_LIMITS } from '../../src/ledger/admission.ts'
import { ClockGuard } from '../../src/ledger/clock-guard.ts'
import { LedgerError } from '../../src/ledger/errors.ts'
import { STALE_RETRIES } from '../../src/ledger/submissions.ts'
import type { Submitted } from '../../src/ledger/prepare.ts'
import { BATCH_SUBMISSIONS_MAX } from '../../src/ledger/writer.ts'
import { FakeClock } from '../support/fake-clock.ts'
import { AGENT, OPERATOR, OWNER, say, STRANGER, TestLog } from '../support/test-log.ts'
import { otherSignature } from '../support/statement-signer.ts'

const codeOf = async (promise: Promise<unknown>): Promise<string> => {
  try {
    await promise
  } catch (error) {
    if (error instanceof ServiceError || error instanceof LedgerError) return error.code
    throw error
  }
  return 'accepted'
}

const resign = (submitted: Submitted): Submitted => {
  const text = utf8Decode(submitted.statement as Uint8Array)
  const [header = '', payload = '', signature = ''] = text.split('.')
  const other = otherSignature(fromBase64url(signature))
  return { ...submitted, statement: utf8Encode(`${header}.${payload}.${toBase64url(other)}`) }
}

/** An operator's statement that accepts a time. */
const accepting = (timeMs: number): Submitted =>
  say(OPERATOR, { type: 'operator.clock', payload: { time_ms: timeMs } })

/** Resolves when every promise that can settle without timers has. */
const settle = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 20))

describe('a new log', () => {
  it('has its first batch under one head', async () => {
    const test = await TestLog.create()
    expect(test.log.head().size).toBe(2)
    expect(test.log.stats().batches).toBe(1)
    expect(test.log.reader.registered(0)?.entry.kind).toBe('genesis')
    expect((await test.audit()).difference).toBeUndefined()
  })

  it('is not made twice, nor of less than two statements, nor of a refused one', async () => {
    const test = await TestLog.create()
    await expect(test.writeFirstBatch()).rejects.toMatchObject({ code: 'log_exists' })
    const other = new TestLog()
    await other.createDatabase()
    other.script.throws = true
    await expect(other.writeFirstBatch()).rejects.toMatchObject({ code: 'writer_defect' })
    expect(other.database.size).toBe(0)
    delete other.script.throws
    await other.writeFirstBatch()
    expect(other.log.head().size).toBe(2)
  })
})

describe('order and batches', () => {
  it('numbers what is submitted at once in the order of its arrival, in few batches', async () => {
    const test = await TestLog.create()
    const before = test.log.stats().batches
    const all = Array.from({ length: 300 }, (_, i) => say(OWNER, { payload: { i } }))
    const results = await Promise.all(all.map((one) => test.submit(one)))
    expect(results.map(({ index }) => index)).toEqual(all.map((_, i) => i + 2))
    expect(test.log.stats().batches - before).toBeLessThan(10)
    test.check()
    expect((await test.audit()).difference).toBeUndefined()
  })

  it('answers a lone submission with a batch of its own', async () => {
    const test = await TestLog.create()
    const { index, receipt, kind } = await test.submit(say(OWNER))
    expect([index, kind]).toEqual([2, 'test.note'])
    expect(receipt.head.split('\n')[1]).toBe('3')
    expect(test.log.stats().lastBatchSize).toBe(1)
  })

  it('takes no more than the most into one batch', async () => {
    const test = await TestLog.create()
    const count = BATCH_SUBMISSIONS_MAX + 50
    await Promise.all(Array.from({ length: count }, () => test.submit(say(OWNER))))
    expect(test.log.head().size).toBe(count + 2)
    const records = []
    for await (const record of test.database.batchRecords()) records.push(record)
    expect(Math.max(...records.map(({ first, size }) => size - first))).toBeLessThanOrEqual(
      BATCH_SUBMISSIONS_MAX,
    )
    test.check()
  })

  it('gives each batch one time that never goes back', async () => {
    const test = await TestLog.create()
    const first = await test.submit(say(OWNER))
    test.clock.step(-5000)
    const second = await test.submit(say(OWNER))
    expect(second.timeMs).toBe(first.timeMs)
    test.clock.step(8000)
    expect((await test.submit(say(OWNER))).timeMs).toBe(first.timeMs + 3000)
  })

  it('links each subject to its previous entry', async () => {
    const test = await TestLog.create()
    const a = await test.submit(say(OWNER))
    await test.submit(say(OPERATOR))
    const b = await test.submit(say(OWNER))
    const links = test.log.reader.registered(b.index)?.entry.links
    expect(links?.map(({ subject, seq }) => [subject, seq])).toEqual([
      ['log', 4],
      [OWNER.principal, 1],
    ])
    expect(links?.[1]?.previous?.index).toBe(a.index)
  })
})

describe('one event, one entry', () => {
  it('answers a repeat with its entry, at once and after a restart', async () => {
    const test = await TestLog.create()
    const one = say(OWNER)
    const [a, b] = await Promise.all([test.submit(one), test.submit(one)])
    expect([a?.index, b?.index]).toEqual([2, 2])
    expect([a?.repeated, b?.repeated]).toEqual([false, true])
    await test.open()
    const again = await test.submit(one)
    expect([again.index, again.repeated]).toEqual([2, true])
    expect(test.log.head().size).toBe(3)
    expect(test.script.prepared.get('test.note')).toBe(2)
    test.check()
  })

  it('takes a second valid signature over the same content for the same statement', async () => {
    const test = await TestLog.create()
    const one = say(AGENT, { seq: 1 })
    const first = await test.submit(one)
    const second = await test.submit(resign(one))
    expect([second.index, second.repeated]).toEqual([first.index, true])
    expect(second.receipt.entry).toEqual(first.receipt.entry)
  })

  it('refuses another statement under the same event id', async () => {
    const test = await TestLog.create()
    await test.submit(say(OWNER, { jti: 'same', payload: { a: 1 } }))
    expect(await codeOf(test.submit(say(OWNER, { jti: 'same', payload: { a: 2 } })))).toBe(
      'event_conflict',
    )
    const pair = [1, 2].map((a) => codeOf(test.submit(say(OWNER, { jti: 'new', payload: { a } }))))
    expect((await Promise.all(pair)).sort()).toEqual(['accepted', 'event_conflict'])
    expect((await test.submit(say(OPERATOR, { jti: 'same' }))).repeated).toBe(false)
    expect(test.log.head().size).toBe(5)
  })

  it('lets the handler refuse a repeat, which leaves nothing', async () => {
    const test = await TestLog.create()
    const one = say(OWNER)
    await test.submit(one)
    test.script.refuseRepeats = true
    expect(await codeOf(test.submit(one))).toBe('decision_spent')
    expect(test.log.head().size).toBe(3)
  })

  it('keeps nothing of what the rules refuse, and takes the same event id afterwards', async () => {
    const test = await TestLog.create()
    const refused = say(OWNER, { jti: 'again', payload: { refuse: true }, details: { a: 1 } })
    expect(await codeOf(test.submit(refused))).toBe('signer_forbidden')
    expect(test.log.head().size).toBe(2)
    expect((await test.submit(say(OWNER, { jti: 'again' }))).index).toBe(2)
    expect((await test.audit()).difference).toBeUndefined()
  })

  it('counts sequence numbers of instances', async () => {
    const test = await TestLog.create()
    const statuses = []
    for (const seq of [5, 5, 3, 3, 2000, 976, 975]) {
      const { outcome } = await test.submit(say(AGENT, { seq, payload: { n: statuses.length } }))
      statuses.push(outcome.get(15))
    }
    expect(statuses).toEqual(['new', 'repeated', 'new', 'repeated', 'new', 'new', 'old'])
    expect((await test.audit()).difference).toBeUndefined()
  })
})

describe('what is refused before the writer', () => {
  it('names what is wrong', async () => {
    const test = await TestLog.create()
    const good = say(OWNER)
    const tampered = utf8Decode(good.statement as Uint8Array).replace(/\.([^.])/, '.$1')
    const flipped = utf8Encode(
      tampered.slice(0, -4) + (tampered.endsWith('AAAA') ? 'BBBA' : 'AAAA'),
    )
    const cases: readonly (readonly [string, Submitted])[] = [
      ['statement_malformed', { statement: utf8Encode('no statement') }],
      ['statement_too_large', { statement: new Uint8Array(32_769) }],
      ['envelope_unsupported', { ...good, media: 'text/plain' }],
      ['statement_malformed', { ...good, media: 'application/cose' }],
      ['type_unknown', say(OWNER, { type: 'test.unknown' })],
      ['type_unknown', { ...good, types: ['decision'] }],
      ['role_forbidden', { ...good, signers: ['reader'] }],
      ['signer_unknown', say(STRANGER)],
      ['audience_mismatch', say(OWNER, { aud: 'log.example/logs/other' })],
      ['signature_invalid', { ...good, statement: flipped }],
      ['disclosure_invalid', { ...say(OWNER, { details: 'x' }), disclosures: [] }],
      ['disclosure_invalid', say(OWNER, { payload: { details: 'clear' } })],
      ['disclosure_invalid', { ...say(OWNER), disclosures: ['WzFd'] }],
      ['statement_too_large', { ...good, csr: new Uint8Array(16_385) }],
    ]
    for (const [code, submitted] of cases) expect(await codeOf(test.submit(submitted))).toBe(code)
    expect(test.log.head().size).toBe(2)
    expect(test.fatal).toEqual([])
  })

  it('refuses an entry that would be too large, and goes on', async () => {
    const test = await TestLog.create()
    const bloated = say(OWNER, { payload: { bloat: 65_000 } })
    expect(await codeOf(test.submit(bloated))).toBe('entry_too_large')
    expect((await test.submit(say(OWNER, { payload: { bloat: 60_000 } }))).index).toBe(2)
    expect((await test.audit()).difference).toBeUndefined()
  })
})

describe('stale', () => {
  it('prepares again what rests on a change, and gives up after three times', async () => {
    const test = await TestLog.create()
    test.script.stale = STALE_RETRIES
    expect((await test.submit(say(OWNER))).index).toBe(2)
    expect(test.script.prepared.get('test.note')).toBe(STALE_RETRIES + 1)
    test.script.stale = STALE_RETRIES + 1
    expect(await codeOf(test.submit(say(OWNER)))).toBe('stale')
    expect(test.log.head().size).toBe(3)
  })

  it('never registers on what changed at or after the size it was prepared at', async () => {
    const test = await TestLog.create()
    let release = (): void => undefined
    const held = new Promise<void>((resolve) => {
      release = resolve
    })
    test.script.beforePrepare = (type) => (type === 'test.guarded' ? held : Promise.resolve())
    const guarded = test.submit(say(OWNER, { type: 'test.guarded' }))
    const change = await test.submit(say(OPERATOR, { type: 'test.change' }))
    release()
    const result = await guarded
    expect(test.script.prepared.get('test.guarded')).toBe(2)
    const prepared = test.log.reader.registered(result.index)?.entry.prepared
    expect(prepared?.get(0)).toBeGreaterThan(change.index)
    expect((await test.audit()).difference).toBeUndefined()
  })
})

describe('back-pressure', () => {
  const held = (test: TestLog): (() => void) => {
    let release = (): void => undefined
    const gate = new Promise<void>((resolve) => {
      release = resolve
    })
    test.script.beforePrepare = (type) => (type === 'test.note' ? gate : Promise.resolve())
    return release
  }
  const limits = {
    normal: { submissionsMax: 3, bytesMax: 10_000 },
    urgent: LANE_LIMITS.urgent,
  }

  it('turns away what is over the limit of count or bytes, in-flight preparing included', async () => {
    const test = await TestLog.create((one) => {
      one.options = { limits }
    })
    const release = held(test)
    const waiting = [0, 1, 2].map(() => test.submit(say(OWNER)))
    expect(await codeOf(test.submit(say(OWNER)))).toBe('overloaded')
    expect(test.log.stats().lanes.normal.submissions).toBe(3)
    release()
    await Promise.all(waiting)
    expect((await test.submit(say(OWNER))).index).toBe(5)
    expect(await codeOf(test.submit(say(OWNER, { payload: { pad: 'x'.repeat(9000) } })))).toBe(
      'overloaded',
    )
    expect(test.log.stats().lanes.normal).toEqual({
      submissions: 0,
      bytes: 0,
      unverified: 0,
      rejected: 2,
    })
  })

  it('takes the urgent lane while the normal one is full and being prepared', async () => {
    const test = await TestLog.create((one) => {
      one.options = { limits }
    })
    const release = held(test)
    const waiting = [0, 1, 2].map(() => test.submit(say(OWNER)))
    expect((await test.submit(say(OWNER, { type: 'test.urgent' }))).index).toBe(2)
    release()
    expect((await Promise.all(waiting)).map(({ index }) => index)).toEqual([3, 4, 5])
  })

  it('registers what is urgent first', async () => {
    const test = await TestLog.create()
    const notes = Array.from({ length: 2000 }, () => test.submit(say(OWNER)))
    const urgent = await test.submit(say(OWNER, { type: 'test.urgent' }))
    const results = await Promise.all(notes)
    const last = Math.max(...results.map(({ index }) => index))
    expect(urgent.index).toBeLessThan(last - 500)
    test.check()
  })

  it('commits what is ready without waiting for a slow preparation', async () => {
    const test = await TestLog.create()
    const release = held(test)
    const slow = test.submit(say(OWNER))
    expect((await test.submit(say(OWNER, { type: 'test.change' }))).index).toBe(2)
    release()
    expect((await slow).index).toBe(3)
  })
})

describe('the clock', () => {
  it('stops normal intake when it leaves the time since boot, until it returns', async () => {
    const test = await TestLog.create()
    test.clock.step(9_000)
    await test.submit(say(OWNER))
    test.clock.step(2_000)
    expect(await codeOf(test.submit(say(OWNER)))).toBe('clock_stopped')
    expect(test.log.stats().clockStopped).toBe(true)
    test.clock.step(-11_000)
    expect(await codeOf(test.submit(say(OWNER)))).toBe('accepted')
  })

  it('takes the urgent lane, dated by the time since boot', async () => {
    const test = await TestLog.create()
    const before = test.clock.nowMs()
    test.clock.step(365 * 86_400_000)
    test.clock.advance(1000)
    const { timeMs } = await test.submit(say(OWNER, { type: 'test.urgent' }))
    expect(timeMs).toBe(before + 1000)
    expect(await codeOf(test.submit(say(OWNER)))).toBe('clock_stopped')
  })

  it('goes on when an operator accepts the time', async () => {
    const test = await TestLog.create()
    test.clock.step(60_000)
    expect(await codeOf(test.submit(say(OWNER)))).toBe('clock_stopped')
    await test.submit(accepting(test.clock.nowMs()))
    expect(await codeOf(test.submit(say(OWNER)))).toBe('accepted')
    test.clock.step(60_000)
    expect(await codeOf(test.submit(say(OWNER)))).toBe('clock_stopped')
  })

  it('accepts the time that the operator signed, and no other', async () => {
    const test = await TestLog.create()
    test.clock.step(60_000)
    const held = accepting(test.clock.nowMs())
    expect(await codeOf(test.submit(accepting(test.clock.nowMs() - 10_001)))).toBe(
      'iat_out_of_window',
    )
    expect(await codeOf(test.submit(accepting(test.clock.nowMs() + 10_001)))).toBe(
      'iat_out_of_window',
    )
    expect(await codeOf(test.submit(say(OPERATOR, { type: 'operator.clock' })))).toBe(
      'statement_malformed',
    )
    // Whoever holds the statement back and sets the clock further has nothing of it.
    test.clock.step(30 * 86_400_000)
    expect(await codeOf(test.submit(held))).toBe('iat_out_of_window')
    expect(test.log.head().size).toBe(2)
    // It is the time signed that counts from then on, not the clock that was within 10 s of it.
    await test.submit(accepting(test.clock.nowMs() - 9_000))
    test.clock.step(2_000)
    expect(await codeOf(test.submit(say(OWNER)))).toBe('clock_stopped')
  })

  it('accepts none that ledger time is ahead of: it would stand still', async () => {
    const test = await TestLog.create()
    test.clock.step(-60_000)
    expect(await codeOf(test.submit(accepting(test.clock.nowMs())))).toBe('iat_out_of_window')
    expect(await codeOf(test.submit(say(OWNER)))).toBe('clock_stopped')
    expect(test.fatal).toEqual([])
  })

  it('is read by handlers through the guard: nothing that sets it moves them', async () => {
    const clock = new FakeClock()
    const guard = new ClockGuard(clock)
    const before = guard.nowMs()
    clock.step(365 * 86_400_000)
    clock.advance(1000)
    expect([guard.nowMs(), guard.bootMs()]).toEqual([before + 1000, clock.bootMs()])
    const test = await TestLog.create((one) => {
      one.options = { guard }
    })
    expect(await codeOf(test.submit(say(OWNER)))).toBe('clock_stopped')
    await test.submit(accepting(clock.nowMs()))
    expect(guard.nowMs()).toBe(clock.nowMs())
  })

  it('refuses what waits in the queue when the clock stops', async () => {
    const test = await TestLog.create()
    let release = (): void => undefined
    const gate = new Promise<void>((resolve) => {
      release = resolve
    })
    test.script.beforePrepare = () => gate
    const waiting = codeOf(test.submit(say(OWNER)))
    await settle()
    test.clock.step(20_000)
    release()
    expect(await waiting).toBe('clock_stopped')
    expect(test.log.head().size).toBe(2)
  })
})

describe('what ends the process', () => {
  const fatalCodes = (test: TestLog): readonly string[] =>
    test.fatal.map((error) => (error instanceof LedgerError ? error.code : error.name))

  it.each(['before', 'after'] as const)('a commit that fails %s persisting', async (when) => {
    const test = await TestLog.create()
    test.store.failAt(1, when)
    const several = [0, 1, 2].map(() => codeOf(test.submit(say(OWNER))))
    const unknown = 'outcome_unknown'
    expect(await Promise.all(several)).toEqual([unknown, unknown, unknown])
    expect(fatalCodes(test)).toEqual(['commit_failed'])
    expect(await codeOf(test.submit(say(OWNER)))).toBe('log_stopped')
    expect(test.log.head().size).toBe(2)
    expect(test.log.stats().stopped).toBe(true)
  })

  it.each(['before', 'after'] as const)('a head record that fails %s persisting', async (when) => {
    const test = await TestLog.create()
    test.headRecord.failAt(1, when)
    expect(await codeOf(test.submit(say(OWNER)))).toBe('outcome_unknown')
    expect(fatalCodes(test)).toEqual(['head_record_failed'])
    // The entry is in the database, under a head that may not leave: nobody gets to read it.
    expect([test.database.size, test.log.head().size]).toEqual([3, 2])
    const { reader } = test.log
    expect([reader.entryBytes(2), reader.bundle(0, 3), reader.tile(0, 0, 3)]).toEqual([
      undefined,
      undefined,
      undefined,
    ])
    await test.open()
    expect(test.log.head().size).toBe(3)
  })

  it('a handler that throws in register', async () => {
    const test = await TestLog.create()
    test.script.throws = true
    expect(await codeOf(test.submit(say(OWNER)))).toBe('outcome_unknown')
    expect(fatalCodes(test)).toEqual(['writer_defect'])
    expect(test.database.size).toBe(2)
  })

  it('a value that changed on disk and is read to prepare or register', async () => {
    const test = await TestLog.create()
    const one = say(OWNER)
    await test.submit(one)
    for (const [name, value] of test.disk) {
      // Every value of the dedup fold: space f, fold 1.
      if (name[9] === 'f' && name.charCodeAt(10) === 1) value[0] = (value[0] ?? 0) ^ 1
    }
    expect(await codeOf(test.submit(one))).toBe('internal')
    expect(test.fatal).toHaveLength(1)
    expect(await codeOf(test.submit(say(OWNER)))).toBe('log_stopped')
  })

  it('no decision that fits no entry: it is refused, and nothing of it stays', async () => {
    const test = await TestLog.create()
    const misfit = say(OWNER, { jti: 'misfit', payload: { misfit: true } })
    expect(await codeOf(test.submit(misfit))).toBe('internal')
    expect(test.fatal).toEqual([])
    expect((await test.submit(say(OWNER, { jti: 'misfit' }))).index).toBe(2)
  })

  it('nothing else: a failing preparation is that caller alone', async () => {
    const test = await TestLog.create()
    test.script.beforePrepare = () => Promise.reject(new TypeError('broken'))
    expect(await codeOf(test.submit(say(OWNER)))).toBe('internal')
    delete test.script.beforePrepare
    expect(await codeOf(test.submit(say(OWNER)))).toBe('accepted')
    expect(test.fatal).toEqual([])
  })
})

describe('disclosures', () => {
  it('are not answered where the batch of their own entry erases them', async () => {
    const test = await TestLog.create()
    const index = test.log.head().size
    const erasure = { type: 'erasure', payload: { entries: [index] } }
    const [one, two] = await Promise.all([
      test.submit(say(OWNER, { details: { name: 'Ada' } })),
      test.submit(say(OPERATOR, erasure)),
    ])
    expect([one.index, two.index]).toEqual([index, index + 1])
    // No batch ended between the two.
    expect(test.log.reader.headAt(index + 1)).toBeUndefined()
    expect(one.extra).toEqual({ at: index, repeated: false, disclosed: {} })
  })

  it('are kept beside the log, answered, and gone after an erasure', async () => {
    const test = await TestLog.create()
    const one = say(OWNER, { details: { name: 'Ada' } })
    const first = await test.submit(one)
    const disclosed = { details: { name: 'Ada' } }
    expect(first.extra).toMatchObject({ repeated: false, disclosed })
    expect((await test.submit(one)).extra).toMatchObject({ repeated: true, disclosed })
    const erasure = { type: 'erasure', payload: { entries: [first.index] } }
    await test.submit(say(OPERATOR, erasure))
    const again = await test.submit(one)
    expect(again.repeated).toBe(true)
    expect(again.extra).toEqual({ at: first.index, repeated: true, disclosed: {} })
    await test.log.close()
    expect(test.database.erasableValue(first.index, 0)).toBeUndefined()
    const report = await test.audit()
    expect(report.difference).toBeUndefined()
    expect([report.disclosures, report.erased]).toEqual([0, 1])
    await test.open()
    test.check()
    expect((await test.submit({ ...one, disclosures: [] })).repeated).toBe(true)
  })

  it('can be erased in the batch that they come in', async () => {
    const test = await TestLog.create()
    const both = [
      say(OWNER, { details: 1 }),
      say(OPERATOR, { type: 'erasure', payload: { entries: [2] } }),
    ]
    await Promise.all(both.map((one) => test.submit(one)))
    expect(test.log.stats().lastBatchSize).toBe(2)
    expect(test.database.erasableValue(2, 0)).toBeUndefined()
    await test.log.close()
    expect((await test.audit()).difference).toBeUndefined()
  })
})

describe('reading', () => {
  it('refuses what is not within the log', async () => {
    const test = await TestLog.create()
    const { reader } = test.log
    for (const read of [
      () => reader.inclusion(2, 2),
      () => reader.inclusion(0, 3),
      () => reader.inclusion(-1, 2),
      () => reader.consistency(3, 2),
      () => reader.consistency(0, 3),
      () => reader.receipt(2),
      () => reader.root(Number.NaN),
    ]) {
      expect(read).toThrow(expect.objectContaining({ code: 'range_invalid' }))
    }
    expect(reader.tile(0, 0, 3)).toBeUndefined()
    expect(reader.tile(0, 0, 0)).toBeUndefined()
    expect(reader.bundle(0, 3)).toBeUndefined()
    expect(reader.registered(2)).toBeUndefined()
    expect(reader.headAt(1)).toBeUndefined()
  })

  it('gives receipts under earlier heads', async () => {
    const test = await TestLog.create()
    const first = await test.submit(say(OWNER))
    const old = test.log.head()
    await Promise.all(Array.from({ length: 300 }, () => test.submit(say(OWNER))))
    const head = test.log.reader.headAt(old.size)
    expect(head?.note).toBe(old.note)
    expect(test.log.reader.receipt(first.index, head)).toEqual(first.receipt)
    test.check()
  })
})

describe('closing', () => {
  it('answers what is under way and takes nothing more', async () => {
    const test = await TestLog.create()
    const waiting = [0, 1, 2].map(() => test.submit(say(OWNER)))
    const closed = test.log.close()
    expect(await codeOf(test.submit(say(OWNER)))).toBe('shutting_down')
    expect((await Promise.all(waiting)).length).toBe(3)
    await closed
  })
})
