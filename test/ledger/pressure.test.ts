/**
 * @module Goal: what anybody can send keeps nobody out: forged revocations fill no room of authentic ones, urgent
 * signatures are verified first, a batch is not decided for longer than its time, listeners that fail end nothing, and
 * the first batch is one whatever its size. Method: a log in memory with held or slow verifiers and handlers.
 */
import { describe, expect, it } from 'vitest'
import { formatVkey } from '@trustwarden/proofs'
import { ServiceError } from '../../src/errors.ts'
import { Turns } from '../../src/ledger/admission.ts'
import type { Submission } from '../../src/ledger/contract.ts'
import { Decider } from '../../src/ledger/decide.ts'
import type { DeciderOptions, OpenBatch } from '../../src/ledger/decide.ts'
import { headKey } from '../../src/ledger/head-note.ts'
import { CORE_FOLDS, Log } from '../../src/ledger/log.ts'
import { LogKeys } from '../../src/ledger/log-keys.ts'
import { attachmentRefusal } from '../../src/ledger/prepare.ts'
import { VerifyPool } from '../../src/ledger/verify-pool.ts'
import { inlineVerifier } from '../../src/ledger/verify.ts'
import type { SignatureCheck, SignatureVerifier } from '../../src/ledger/verify.ts'
import { newScript, TEST_FOLDS, testHandlers } from '../support/ledger-handlers.ts'
import {
  LOG_KEY,
  OPERATOR,
  ORIGIN,
  OWNER,
  principals,
  say,
  SERVICE,
  TestLog,
} from '../support/test-log.ts'

const codeOf = async (promise: Promise<unknown>): Promise<string> => {
  try {
    await promise
  } catch (error) {
    if (error instanceof ServiceError) return error.code
    throw error
  }
  return 'accepted'
}

/** Room for what two sources have under way at once. */
const ONE_MORE = { submissionsMax: 2, bytesMax: 1_048_576 }

/** Holds every signature of the owner until it is let go, and then finds it wrong. */
const holding = (): { readonly verifier: SignatureVerifier; readonly letGo: () => void } => {
  let letGo = (): void => undefined
  const held = new Promise<boolean>((resolve) => {
    letGo = () => resolve(false)
  })
  const isOwners = ({ publicKey }: SignatureCheck): boolean =>
    Buffer.compare(publicKey, OWNER.signer.publicKey) === 0
  const verifier: SignatureVerifier = {
    verify: (check) => (isOwners(check) ? held : inlineVerifier.verify(check)),
    close: () => Promise.resolve(),
  }
  return { verifier, letGo }
}

describe('the urgent lane', () => {
  it('takes an authentic revocation while 1,024 forged ones are being verified', async () => {
    const test = await TestLog.create()
    const { verifier, letGo } = holding()
    await test.open((one) => {
      one.options = { verifier }
    })
    const forged = Array.from({ length: 1024 }, () =>
      codeOf(test.submit(say(OWNER, { type: 'test.urgent' }))),
    )
    expect((await test.submit(say(OPERATOR, { type: 'test.urgent' }))).index).toBe(2)
    expect(test.log.stats().lanes.urgent.submissions).toBe(0)
    letGo()
    const codes = await Promise.all(forged)
    // Forgeries name whom they like, so no name has a share that they could use up.
    expect(codes.filter((code) => code === 'signature_invalid')).toHaveLength(1024)
    expect(test.log.stats().lanes.urgent.rejected).toBe(0)
    await test.log.close()
  })

  it('verifies one of a source at a time, whoever they say they are of', async () => {
    const test = await TestLog.create()
    let verifying = 0
    let most = 0
    const verifier: SignatureVerifier = {
      verify: async () => {
        most = Math.max(most, ++verifying)
        await new Promise((resolve) => setImmediate(resolve))
        verifying--
        return false
      },
      close: () => Promise.resolve(),
    }
    await test.open((one) => {
      one.options = { verifier, unverifiedLimits: { normal: ONE_MORE, urgent: ONE_MORE } }
    })
    const sources = [{}, {}]
    const codes = await Promise.all(
      sources.flatMap((source) =>
        Array.from({ length: 100 }, () =>
          codeOf(test.submit({ ...say(OWNER, { type: 'test.urgent' }), source })),
        ),
      ),
    )
    expect(new Set(codes)).toEqual(new Set(['signature_invalid']))
    expect(most).toBe(2)
    await test.log.close()
  })

  it('gives every source its turns in order, and lets no more than so many wait', async () => {
    const turns = new Turns(2)
    const [a, b] = [{}, {}]
    const order: string[] = []
    const endFirst = await turns.take(a)
    const waiting = ['second', 'third'].map(async (name) => {
      const end = await turns.take(a)
      order.push(name)
      end()
    })
    await expect(turns.take(a)).rejects.toThrow(/2 urgent submissions/)
    const endOther = await turns.take(b)
    expect([order, turns.rejected]).toEqual([[], 1])
    endFirst()
    endFirst()
    endOther()
    await Promise.all(waiting)
    expect(order).toEqual(['second', 'third'])
    const end = await turns.take(a)
    end()
  })

  it('is verified first, though the threads have all that they take', async () => {
    const pool = new VerifyPool(1)
    try {
      const { alg, publicKey } = OWNER.signer
      const message = new Uint8Array(1)
      const check = { alg, publicKey, message, signature: OWNER.signer.sign(message) }
      await pool.verify(check)
      let urgentDone = false
      const before: boolean[] = []
      const normal = Array.from({ length: 600 }, () =>
        pool.verify(check).then(() => before.push(!urgentDone)),
      )
      await new Promise((resolve) => setImmediate(resolve))
      const urgent = pool.verify(check, 'urgent').then((verdict) => {
        urgentDone = true
        return verdict
      })
      expect(await urgent).toBe(true)
      await Promise.all(normal)
      expect(before).toHaveLength(600)
      expect(before.filter(Boolean).length).toBeLessThan(200)
    } finally {
      await pool.close()
    }
  })
})

describe('what comes beside a statement', () => {
  it('is refused where its type takes none, before anything is verified or kept', async () => {
    const test = await TestLog.create()
    const size = test.log.head().size
    const bytes = new Uint8Array(3)
    const change = say(OWNER, { type: 'test.change' })
    const beside = [
      { ...change, pinned: [bytes] },
      { ...say(OWNER), pinned: [bytes, bytes] },
      { ...change, csr: bytes },
    ]
    for (const one of beside) expect(await codeOf(test.submit(one))).toBe('attachment_invalid')
    expect(test.log.head().size).toBe(size)
    expect((await test.submit(change)).repeated).toBe(false)
    // A repeat is no way past the rule.
    expect(await codeOf(test.submit({ ...change, pinned: [bytes] }))).toBe('attachment_invalid')
    expect(await codeOf(test.submit({ ...say(OWNER), pinned: [bytes] }))).toBe('accepted')
    const long = ['x'.repeat(32_769)]
    expect(await codeOf(test.submit({ ...change, disclosures: long }))).toBe('statement_too_large')
  })

  it('is refused by the writer too, whoever hands it over', () => {
    const [genesis] = testHandlers(newScript())
    if (genesis === undefined) throw new Error('there is a handler')
    const pinned = [new Uint8Array(3)]
    expect(attachmentRefusal(genesis, { pinned })?.code).toBe('attachment_invalid')
    const submission = { pinned } as unknown as Submission
    const open = { state: { snapshot: () => 0 }, decided: [] } as unknown as OpenBatch
    const decider = new Decider({} as unknown as DeciderOptions)
    expect(decider.decide(open, submission, genesis)).toMatchObject({
      type: 'refuse',
      error: { code: 'attachment_invalid' },
    })
  })
})

describe('a batch', () => {
  it('ends when its time is used up, and what is left keeps its place', async () => {
    const test = await TestLog.create((one) => {
      one.options = { decideBudgetMs: 0 }
    })
    const before = test.log.stats().batches
    const notes = Array.from({ length: 20 }, () => test.submit(say(OWNER)))
    const urgent = test.submit(say(OWNER, { type: 'test.urgent' }))
    const results = await Promise.all(notes)
    const indexes = results.map(({ index }) => index)
    expect(indexes).toEqual([...indexes].sort((a, b) => a - b))
    expect((await urgent).index).toBeLessThanOrEqual(3)
    expect(test.log.stats().batches - before).toBeGreaterThan(10)
    expect(test.log.stats().queued).toBe(0)
    expect(test.fatal).toEqual([])
    test.check()
  })

  it('that opens a log is one, whatever its size and time', async () => {
    const test = new TestLog()
    await test.createDatabase()
    const payload = { keys: { log: formatVkey(headKey(LOG_KEY, ORIGIN)) } }
    const firstBatch = [
      say(SERVICE, { type: 'genesis', payload }),
      { ...say(SERVICE), pinned: [new Uint8Array(4_194_304)] },
      { ...say(SERVICE), pinned: [new Uint8Array(4_194_303)] },
    ]
    const log = await Log.create({
      database: test.database,
      headRecord: test.headRecord,
      keys: LogKeys.only(LOG_KEY, ORIGIN),
      origin: ORIGIN,
      handlers: testHandlers(newScript()),
      folds: TEST_FOLDS,
      principals,
      clock: test.clock,
      verifier: inlineVerifier,
      decideBudgetMs: 0,
      onFatal: (error) => test.fatal.push(error),
      firstBatch,
      serviceKey: SERVICE.signer.spki,
    })
    expect(CORE_FOLDS.length).toBeGreaterThan(0)
    expect([log.stats().batches, log.head().size, test.fatal]).toEqual([1, 3, []])
  })
})

describe('listeners', () => {
  it('that fail end nothing: the batch is durable and answered', async () => {
    const warnings: string[] = []
    const listen = (warning: Error): void => void warnings.push(warning.message)
    process.on('warning', listen)
    const test = await TestLog.create()
    let answered = 0
    const atCall: number[] = []
    await test.open((one) => {
      one.options = {
        onCommitted: () => {
          atCall.push(answered)
          throw new Error('a follower')
        },
        onFatal: () => {
          throw new Error('an operator')
        },
      }
    })
    expect((await test.submit(say(OWNER))).index).toBe(2)
    answered++
    expect((await test.submit(say(OWNER))).index).toBe(3)
    expect(test.log.stats().stopped).toBe(false)
    test.store.failAt(1, 'before')
    expect(await codeOf(test.submit(say(OWNER)))).toBe('outcome_unknown')
    await new Promise((resolve) => setImmediate(resolve))
    process.off('warning', listen)
    expect(warnings.join()).toMatch(/a follower.*an operator/s)
    expect(atCall).toHaveLength(2)
  })
})

describe('a repeat', () => {
  it('that no handler decides about is answered without the writer, and read once', async () => {
    const test = await TestLog.create()
    const one = say(OWNER, { type: 'test.change' })
    await test.submit(one)
    await Promise.all(Array.from({ length: 300 }, () => test.submit(say(OWNER))))
    let reads = 0
    const entry = test.database.entry.bind(test.database)
    test.database.entry = (index) => {
      reads++
      return entry(index)
    }
    // The writer is busy with something that takes its time.
    test.script.beforePrepare = () => new Promise((resolve) => setTimeout(resolve, 50))
    const batches = test.log.stats().batches
    for (let i = 0; i < 5; i++) {
      expect(await test.submit(one)).toMatchObject({ index: 2, repeated: true })
    }
    expect(test.log.stats().batches).toBe(batches)
    expect(reads).toBe(1)
    const other = say(OWNER, { type: 'test.change', jti: 'other' })
    await test.submit(other)
    expect(
      await codeOf(test.submit(say(OWNER, { type: 'test.change', jti: 'other', sub: 'x' }))),
    ).toBe('event_conflict')
  })
})
