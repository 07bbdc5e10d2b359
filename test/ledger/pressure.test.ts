/**
 * @module Goal: what anybody can send keeps nobody out: forged revocations fill no room of authentic ones, urgent
 * signatures are verified first, a batch is not decided for longer than its time, listeners that fail end nothing, and
 * the first batch is one whatever its size. Method: a log in memory with held or slow verifiers and handlers.
 */
import { describe, expect, it } from 'vitest'
import { formatVkey } from '@trustwarden/proofs'
import { ServiceError } from '../../src/errors.ts'
import { UNVERIFIED_LIMITS, UnverifiedAdmission } from '../../src/ledger/admission.ts'
import { headKey } from '../../src/ledger/head-note.ts'
import { CORE_FOLDS, Log } from '../../src/ledger/log.ts'
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
    expect(codes.filter((code) => code === 'signature_invalid')).toHaveLength(64)
    expect(codes.filter((code) => code === 'overloaded')).toHaveLength(1024 - 64)
    expect(test.log.stats().lanes.urgent.rejected).toBe(1024 - 64)
    await test.log.close()
  })

  it('gives every issuer a share, and takes no more than it holds', () => {
    const limits = { submissionsMax: 3, bytesMax: 100, perIssuerMax: 2 }
    const admission = new UnverifiedAdmission('urgent', limits)
    const first = admission.admit('a', 10)
    admission.admit('a', 10)
    expect(() => admission.admit('a', 10)).toThrow(ServiceError)
    first()
    first()
    admission.admit('a', 10)
    expect(() => admission.admit('a', 10)).toThrow(/of this issuer/)
    expect(() => admission.admit('b', 81)).toThrow(/bytes/)
    admission.admit('b', 10)
    expect(() => admission.admit('c', 10)).toThrow(/queue holds 3/)
    expect(admission.rejected).toBe(4)
    expect(UNVERIFIED_LIMITS.urgent.perIssuerMax).toBeLessThanOrEqual(64)
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
      signer: LOG_KEY,
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
