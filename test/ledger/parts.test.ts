/**
 * @module Goal: the parts under the writer are right by themselves. Method: the sequence window against a set of all
 * counters, the clock guard over scripted clocks, admission by counting, the verifying threads against the kit.
 */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { generateKey, signerFromPrivateKey } from '../../src/crypto.ts'
import { Admission } from '../../src/ledger/admission.ts'
import { awaitClock, ClockGuard } from '../../src/ledger/clock-guard.ts'
import type { FoldSpec, FoldWriter, RegisteredEntry } from '../../src/ledger/contract.ts'
import { sequencesFold, sequenceStatus } from '../../src/ledger/sequences.ts'
import { VerifyPool } from '../../src/ledger/verify-pool.ts'
import { FakeClock } from '../support/fake-clock.ts'

/** A state of one fold. */
class MapState implements FoldWriter {
  readonly size = 0
  readonly timeMs = 0
  readonly #values = new Map<string, Uint8Array>()

  get(_fold: FoldSpec, key: Uint8Array): Uint8Array | undefined {
    return this.#values.get(Buffer.from(key).toString('hex'))
  }

  put(_fold: FoldSpec, key: Uint8Array, value: Uint8Array): void {
    this.#values.set(Buffer.from(key).toString('hex'), value)
  }

  delete(): void {
    throw new Error('not used')
  }

  scan(): Iterable<never> {
    return []
  }
}

const INSTANCE = 'spiffe://example.com/a/inst-abcde'
const withSeq = (seq: number): RegisteredEntry =>
  ({ statement: { header: { iss: INSTANCE, seq } } }) as unknown as RegisteredEntry

describe('the sequence window', () => {
  // Near multiples of half a window, so that counters meet the bits of those a window below.
  const near = fc
    .tuple(fc.constantFrom(0, 2 ** 40), fc.integer({ min: 1, max: 8 }), fc.nat(3))
    .map(([base, halves, offset]) => base + 512 * halves + offset)
  const seqs = fc.array(fc.oneof(near, fc.integer({ min: 1, max: 3000 })), { maxLength: 60 })

  it('agrees with a set of every counter seen', () => {
    fc.assert(
      fc.property(seqs, (list) => {
        const state = new MapState()
        const seen = new Set<number>()
        let highest = 0
        for (const seq of list) {
          const expected = seq < highest - 1024 ? 'old' : seen.has(seq) ? 'repeated' : 'new'
          expect(sequenceStatus(state, INSTANCE, seq)).toBe(expected)
          sequencesFold.apply(withSeq(seq), state)
          seen.add(seq)
          highest = Math.max(highest, seq)
        }
      }),
    )
  })

  it('forgets a counter when another takes over its bit', () => {
    const state = new MapState()
    for (const seq of [514, 1537, 2049]) sequencesFold.apply(withSeq(seq), state)
    expect(sequenceStatus(state, INSTANCE, 1537)).toBe('repeated')
    expect(sequenceStatus(state, INSTANCE, 514 + 1024)).toBe('new')
  })

  it('keeps its edges: 1,024 below the highest, and the greatest safe integer', () => {
    const state = new MapState()
    for (const seq of [1, 1025]) sequencesFold.apply(withSeq(seq), state)
    expect(sequenceStatus(state, INSTANCE, 1)).toBe('repeated')
    sequencesFold.apply(withSeq(1026), state)
    expect(sequenceStatus(state, INSTANCE, 1)).toBe('old')
    expect(sequenceStatus(state, INSTANCE, 2)).toBe('new')
    sequencesFold.apply(withSeq(Number.MAX_SAFE_INTEGER), state)
    expect(sequenceStatus(state, INSTANCE, Number.MAX_SAFE_INTEGER)).toBe('repeated')
    expect(sequenceStatus(state, INSTANCE, Number.MAX_SAFE_INTEGER - 1)).toBe('new')
  })
})

describe('the clock guard', () => {
  it('stops at a step of more than 10 s in either direction, and dates by time since boot', () => {
    for (const sign of [1, -1]) {
      const clock = new FakeClock(1_000_000)
      const guard = new ClockGuard(clock)
      clock.step(sign * 10_000)
      expect(guard.isStopped()).toBe(false)
      clock.step(sign)
      clock.advance(500)
      expect([guard.isStopped(), guard.nowMs()]).toEqual([true, 1_000_500])
      expect(guard.offsetMs()).toBe(sign * 10_001)
      guard.accept(clock.nowMs())
      expect([guard.isStopped(), guard.nowMs()]).toEqual([false, clock.nowMs()])
    }
  })

  it('lets time pass, suspend included', () => {
    const clock = new FakeClock()
    const guard = new ClockGuard(clock)
    clock.advance(30 * 86_400_000)
    expect(guard.isStopped()).toBe(false)
  })

  it('waits as long as the clock needs', async () => {
    const clock = new FakeClock(10_000)
    const slept: number[] = []
    await awaitClock(clock, 12_000, (ms) => {
      slept.push(ms)
      clock.advance(1500)
      return Promise.resolve()
    })
    expect(slept).toEqual([2000, 500])
  })
})

describe('admission', () => {
  it('counts what is let in until it is taken out, once', async () => {
    const admission = new Admission('normal', { submissionsMax: 2, bytesMax: 100 })
    const first = admission.admit(60)
    expect(() => admission.admit(41)).toThrow(/60 bytes/)
    const second = admission.admit(40)
    expect(() => admission.admit(0)).toThrow(expect.objectContaining({ code: 'overloaded' }))
    first()
    first()
    expect(admission.load()).toEqual({ submissions: 1, bytes: 40 })
    const emptied = admission.emptied()
    second()
    await emptied
    expect([admission.load().submissions, admission.rejected]).toEqual([0, 2])
  })
})

describe('the verifying threads', () => {
  it('tell good signatures from bad ones, for both algorithms, in any number', async () => {
    const pool = new VerifyPool(2)
    try {
      const signers = (['EdDSA', 'ES256'] as const).map((alg) =>
        signerFromPrivateKey(generateKey(alg)),
      )
      const checks = Array.from({ length: 50 }, (_, at) => {
        const signer = signers[at % 2] ?? signers[0]
        if (signer === undefined) throw new Error('no signer')
        const message = Buffer.from(`message ${at}`)
        const signature = signer.sign(message)
        if (at % 5 === 0) signature[40] = (signature[40] ?? 0) ^ 1
        return { alg: signer.alg, publicKey: signer.publicKey, message, signature }
      })
      const verdicts = await Promise.all(checks.map((check) => pool.verify(check)))
      expect(verdicts).toEqual(checks.map((_, at) => at % 5 !== 0))
    } finally {
      await pool.close()
    }
    const check = {
      alg: 'EdDSA' as const,
      publicKey: new Uint8Array(32),
      message: new Uint8Array(0),
      signature: new Uint8Array(64),
    }
    await expect(pool.verify(check)).rejects.toMatchObject({ code: 'verifier_failed' })
  })
})
