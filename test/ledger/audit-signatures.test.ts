/**
 * Goal: signatures go on while the audit does, none is left out, and the first that fails is the one that is named.
 * Method: a verifier whose verdicts come when the test says.
 */
import { describe, expect, it } from 'vitest'
import { PendingSignatures } from '../../src/ledger/audit-signatures.ts'
import type { SignatureCheck, SignatureVerifier } from '../../src/ledger/verify.ts'

const CHECK: SignatureCheck = {
  alg: 'ES256',
  publicKey: new Uint8Array(65),
  message: new Uint8Array(1),
  signature: new Uint8Array(64),
}

function begun(count: number) {
  const answers: ((verdict: boolean) => void)[] = []
  const verifier: SignatureVerifier = {
    verify: () => new Promise((resolve) => answers.push(resolve)),
    close: () => Promise.resolve(),
  }
  const pending = new PendingSignatures(verifier)
  const add = (from: number, more: number): void => {
    for (let index = from; index < from + more; index++) pending.add(index, CHECK)
  }
  add(0, count)
  const answer = (from: number, to: number, verdict: boolean): void => {
    for (const resolve of answers.slice(from, to)) resolve(verdict)
  }
  return { pending, add, answer }
}

describe('signatures under way', () => {
  it('a turn waits for those of the turn before, and the end for all', async () => {
    const { pending, add, answer } = begun(3)
    await pending.turn()
    expect(pending.verified).toBe(0)
    add(3, 2)
    answer(0, 3, true)
    await pending.turn()
    expect(pending.verified).toBe(3)
    add(5, 1)
    answer(3, 6, true)
    await pending.settle()
    expect(pending.verified).toBe(6)
  })

  it('names the first that fails, of whichever turn, and only before what differs otherwise', async () => {
    for (const [failing, at] of [
      [1, 1],
      [4, 4],
    ] as const) {
      const { pending, add, answer } = begun(3)
      await pending.turn()
      add(3, 3)
      answer(0, failing, true)
      answer(failing, 6, false)
      const other = { check: 'outcome', index: 5, message: 'another' } as const
      expect(await pending.earlier(other)).toMatchObject({ check: 'signature', index: at })
    }
    const { pending, answer } = begun(3)
    answer(0, 2, true)
    answer(2, 3, false)
    const first = { check: 'outcome', index: 1, message: 'another' } as const
    expect(await pending.earlier(first)).toBe(first)
  })
})
