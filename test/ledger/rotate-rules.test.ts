/**
 * Goal: a log key comes in force by k of n operators, with the signatures of both keys, once, and by nothing less; which keys
 * sign a head follows from the entries below its size alone. Method: a log without disk, each attack alone; the keys of every
 * size, written here a second time.
 */
import {
  ed25519Spki,
  formatVkey,
  keyId,
  rotationInput,
  toBase64url,
  toHex,
} from '@trustwarden/proofs'
import type { JsonObject } from '@trustwarden/proofs'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { nativePrimitives, signerFromPrivateKey } from '../../src/crypto.ts'
import { findKeyHolder } from '../../src/identity/agents.ts'
import { headKey } from '../../src/ledger/head-note.ts'
import { LogKeys, signersAt } from '../../src/ledger/log-keys.ts'
import { readRotations } from '../../src/ledger/rotations.ts'
import { keyRanges } from '../../src/trust-file.ts'
import { entryOf, resultOf, RuleLog } from '../support/rule-harness.ts'
import type { Outcome } from '../support/rule-harness.ts'
import { at, party } from '../support/rule-party.ts'
import type { Party } from '../support/rule-party.ts'
import { ORIGIN } from '../support/rule-statements.ts'
import { twinKeys } from '../support/twin-keys.ts'

const keyOf = ({ signer }: Party) => headKey(signer, ORIGIN)
const vkeyOf = (one: Party): string => formatVkey(keyOf(one))

interface Proposal {
  readonly from: Party
  readonly to: Party
  readonly until?: number
  readonly patch?: JsonObject
}

function proposal(
  log: RuleLog,
  { from, to, until = log.size + 5000, patch }: Proposal,
): JsonObject {
  const input = rotationInput({ old: keyOf(from), new: keyOf(to), until })
  return {
    key: 'log',
    old: vkeyOf(from),
    new: vkeyOf(to),
    until,
    old_signature: toBase64url(from.signer.sign(input)),
    new_signature: toBase64url(to.signer.sign(input)),
    ...patch,
  }
}

const propose = (log: RuleLog, by: Party, payload: JsonObject): Promise<Outcome> =>
  log.submit(log.sign(by, 'key.rotate', 'log', payload))

/** Rotates by the first two operators. */
async function rotate(log: RuleLog, told: Proposal): Promise<number> {
  const payload = proposal(log, told)
  expect(resultOf(await propose(log, at(log.operators, 0), payload))).toBe('pending')
  const effective = await propose(log, at(log.operators, 1), payload)
  expect(resultOf(effective)).toBe('effective')
  return entryOf(effective).index
}

const inForce = (log: RuleLog): string =>
  formatVkey(at(signersAt(keyOf(log.logKey), readRotations(log.state), log.size), 0))

const create = (): Promise<RuleLog> => RuleLog.create({ operators: 3, threshold: 2 })

describe('a rotation', () => {
  it('takes effect with the second of two operators, whoever they are, and links the log', async () => {
    const log = await create()
    const next = party('service')
    const payload = proposal(log, { from: log.logKey, to: next })
    for (let times = 0; times < 2; times++) {
      expect(resultOf(await propose(log, at(log.operators, 2), payload))).toBe('pending')
      expect(inForce(log)).toBe(vkeyOf(log.logKey))
    }
    const effective = entryOf(await propose(log, at(log.operators, 0), payload))
    expect([...effective.outcome.values()]).toEqual(['effective', 2, 2])
    expect(effective.links.map(({ subject }) => subject)).toEqual(['log'])
    expect(inForce(log)).toBe(vkeyOf(next))
    const kid = keyId(nativePrimitives, ed25519Spki(next.signer.publicKey))
    expect(findKeyHolder(log.state, kid)).toBe(log.service.principal)
    expect(resultOf(await log.enrolOperator(log.operator, { ...next, kid }))).toBe('key_used')
    await log.close()
  })

  it('of two byte-different proposals is none', async () => {
    const log = await create()
    const [one, two] = [party('service'), party('service')]
    const first = await propose(
      log,
      at(log.operators, 0),
      proposal(log, { from: log.logKey, to: one }),
    )
    const second = await propose(
      log,
      at(log.operators, 1),
      proposal(log, { from: log.logKey, to: two }),
    )
    expect([first, second].map(resultOf)).toEqual(['pending', 'pending'])
    expect(readRotations(log.state)).toEqual([])
    await log.close()
  })

  it('is refused when replayed, and back to a key of before', async () => {
    const log = await create()
    const next = party('service')
    const payload = proposal(log, { from: log.logKey, to: next })
    await rotate(log, { from: log.logKey, to: next, until: Number(payload['until']) })
    for (const operator of log.operators)
      expect(resultOf(await propose(log, operator, payload))).toBe('rotation_outdated')
    const back = proposal(log, { from: next, to: log.logKey })
    expect(resultOf(await propose(log, log.operator, back))).toBe('key_used')
    await log.close()
  })

  it('to a key of the key id of one before is refused, next to it or later', async () => {
    const log = await create()
    const [one, other] = twinKeys.map(
      (key): Party => ({
        ...party('service'),
        signer: signerFromPrivateKey(key),
      }),
    )
    if (one === undefined || other === undefined) throw new Error('no twins')
    const [a, b] = [keyOf(one), keyOf(other)]
    expect(a.keyId).toEqual(b.keyId)
    expect(a.publicKey).not.toEqual(b.publicKey)
    await rotate(log, { from: log.logKey, to: one })
    const next = await propose(log, log.operator, proposal(log, { from: one, to: other }))
    expect(resultOf(next)).toBe('statement_malformed')
    const between = party('service')
    await rotate(log, { from: one, to: between })
    const later = await propose(log, log.operator, proposal(log, { from: between, to: other }))
    expect(resultOf(later)).toBe('key_used')
    await log.close()
  })

  it('needs operators, both signatures, a key of nobody, and room for the overlap', async () => {
    const log = await create()
    const agent = await log.agent({ owner: log.owner }, 'a/inst-00001')
    const next = party('service')
    const right = { from: log.logKey, to: next }
    const wrong = toBase64url(new Uint8Array(64).fill(1))
    const cases: readonly (readonly [Party, JsonObject, string])[] = [
      [log.owner, proposal(log, right), 'signer_forbidden'],
      [agent, proposal(log, right), 'signer_forbidden'],
      [log.service, proposal(log, right), 'signer_forbidden'],
      [
        log.operator,
        proposal(log, { ...right, patch: { old_signature: wrong } }),
        'statement_malformed',
      ],
      [
        log.operator,
        proposal(log, { ...right, patch: { new_signature: wrong } }),
        'statement_malformed',
      ],
      [
        log.operator,
        proposal(log, { ...right, patch: { key: 'heartbeat' } }),
        'statement_malformed',
      ],
      [log.operator, proposal(log, { from: next, to: party('service') }), 'rotation_outdated'],
      [log.operator, proposal(log, { ...right, until: log.size + 1023 }), 'rotation_outdated'],
      [log.operator, proposal(log, { ...right, until: log.size + 60_000_001 }), 'overlap_too_long'],
      [log.operator, proposal(log, { ...right, to: log.heartbeat }), 'key_used'],
      [log.operator, proposal(log, { ...right, to: log.operator }), 'key_used'],
    ]
    for (const [by, payload, code] of cases) {
      const outcome = await propose(log, by, payload)
      expect([payload, resultOf(outcome)]).toEqual([payload, code])
    }
    log.notHeld.add(toHex(next.signer.publicKey))
    const held = await propose(log, log.operator, proposal(log, right))
    expect(held).toMatchObject({ code: 'key_not_held', by: 'prepare' })
    log.notHeld.clear()
    for (const overlap of [1024, 60_000_000]) {
      const payload = proposal(log, { ...right, until: log.size + overlap })
      expect([overlap, resultOf(await propose(log, log.operator, payload))]).toEqual([
        overlap,
        'pending',
      ])
    }
    await log.close()
  })

  it('signed by the second operator too late starts anew; one whose key was overtaken is outdated', async () => {
    const log = await create()
    const [late, quick] = [party('service'), party('service')]
    const payload = proposal(log, { from: log.logKey, to: late })
    expect(resultOf(await propose(log, at(log.operators, 0), payload))).toBe('pending')
    log.nowMs += 7 * 86_400_000 + 1
    expect(resultOf(await propose(log, at(log.operators, 1), payload))).toBe('pending')
    await rotate(log, { from: log.logKey, to: quick })
    expect(resultOf(await propose(log, at(log.operators, 0), payload))).toBe('rotation_outdated')
    await log.close()
  })

  it('is decided the same again, on the state before', async () => {
    const log = await create()
    const states = [log.state.copy()]
    const payload = proposal(log, { from: log.logKey, to: party('service') })
    const from = log.size
    for (const operator of log.operators.slice(0, 2)) {
      await propose(log, operator, payload)
      states.push(log.state.copy())
    }
    // Whether this process holds the key is no part of the rules.
    log.notHeld.add(toHex(party('x').signer.publicKey))
    for (const offset of [0, 1]) {
      const { entry } = at(log.entries, from + offset)
      const state = at(states, offset)
      state.timeMs = entry.timeMs
      const again = log.reregister(state, from + offset)
      expect(again).toMatchObject({ type: 'entry', outcome: entry.outcome, subjects: ['log'] })
    }
    await log.close()
  })
})

describe('the keys of a head', () => {
  it('follow from the rotations below its size: the one in force, then those that still sign', async () => {
    const log = await create()
    const [first, second, third] = [log.logKey, party('service'), party('service')]
    const one = await rotate(log, { from: first, to: second, until: log.size + 2000 })
    // The second key is stolen at once: nobody waits for the end of an overlap.
    const two = await rotate(log, { from: second, to: third, until: log.size + 3000 })
    const rotations = readRotations(log.state)
    const [until, then] = rotations.map((rotation) => rotation.until)
    const names = new Map([first, second, third].map((key, n) => [vkeyOf(key), n + 1]))
    const at_ = (size: number) =>
      signersAt(keyOf(first), rotations, size).map((key) => names.get(formatVkey(key)))
    expect([0, one].map(at_)).toEqual([[1], [1]])
    expect([one + 1, two].map(at_)).toEqual([
      [2, 1],
      [2, 1],
    ])
    expect([two + 1, Number(until)].map(at_)).toEqual([
      [3, 2, 1],
      [3, 2, 1],
    ])
    expect([Number(until) + 1, Number(then), Number(then) + 1].map(at_)).toEqual([
      [3, 2],
      [3, 2],
      [3],
    ])
    await log.close()
  })

  it('give each size exactly one key that an updated verifier trusts, the one in force', () => {
    const [first, ...later] = Array.from({ length: 6 }, () => keyOf(party('service')))
    if (first === undefined) throw new Error('no key')
    const step = fc.tuple(fc.nat(3000), fc.integer({ min: 1024, max: 9000 }))
    fc.assert(
      fc.property(fc.array(step, { maxLength: 5 }), fc.nat(20_000), (steps, size) => {
        let index = 0
        const rotations = steps.map(([gap, overlap], n) => {
          index += gap + 1
          const old = n === 0 ? first : at(later, n - 1)
          return { index, old, new: at(later, n), until: index + overlap }
        })
        const signers = signersAt(first, rotations, size)
        const trusted = keyRanges(first, rotations).filter(
          ({ from, to }) => size >= from && (to === null || size <= to),
        )
        expect(trusted.map(({ key }) => key)).toEqual(signers.slice(0, 1))
        expect(new Set(signers.map(formatVkey)).size).toBe(signers.length)
        // Whoever has the trust of one key before still opens the head within the overlap.
        const overlapping = rotations.filter((one) => one.index < size && size <= one.until)
        expect(signers).toHaveLength(1 + overlapping.length)
      }),
    )
  })

  it('have to be held before anything is signed', async () => {
    const log = await create()
    const next = party('service')
    await rotate(log, { from: log.logKey, to: next })
    const head = { size: log.size, root: new Uint8Array(32), timeMs: 0 }
    for (const held of [[next], [log.logKey], []]) {
      const signers = held.map(({ signer }) => signer)
      const keys = new LogKeys(keyOf(log.logKey), signers, readRotations)
      expect(() => keys.sign(log.state, head)).toThrow(/is not there/)
      expect(() => keys.checkNext(log.state, log.size)).toThrow(/signs the next heads/)
    }
    const both = new LogKeys(keyOf(log.logKey), [next.signer, log.logKey.signer], readRotations)
    expect(both.sign(log.state, head).note.split('\n— ')).toHaveLength(3)
    await log.close()
  })
})
