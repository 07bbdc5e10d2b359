/**
 * @module Goal: the policy in force can always be had, from its pinned bytes if need be, whatever else is tried out,
 * and threads are held for a few policies at most. Method: packs of the shipped policy under many revisions.
 */
import { toHex } from '@trustwarden/proofs'
import { afterEach, describe, expect, it } from 'vitest'
import { readDefaultPolicy } from '../../src/gate/default-policy.ts'
import { GateInput } from '../../src/gate/gate-input.ts'
import { PolicyShelf } from '../../src/gate/policies.ts'
import { DENIES_NOTHING_KNOWN } from '../../src/gate/policy-host.ts'
import { encodePolicy, policyDigest } from '../../src/gate/policy-pack.ts'

const packs = Array.from({ length: 6 }, (_, n) => {
  const pack = encodePolicy({ ...readDefaultPolicy(), revision: `r${n}` })
  return { pack, digest: policyDigest(pack), revision: `r${n}` }
})
const [first, second] = packs
if (first === undefined || second === undefined) throw new Error('packs')
const nothing = new TextEncoder().encode('{}')
const NOTHING_KNOWN = GateInput.read(nothing)

let shelf: PolicyShelf
let reads: string[]

function open(pinned: readonly Uint8Array[]): PolicyShelf {
  reads = []
  const byDigest = new Map(pinned.map((pack) => [toHex(policyDigest(pack)), pack]))
  shelf = new PolicyShelf({
    pinned: (digest) => {
      reads.push(toHex(digest))
      return byDigest.get(toHex(digest))
    },
    host: { workers: 1, deadlineMs: 10_000, selfTest: [DENIES_NOTHING_KNOWN] },
  })
  return shelf
}

afterEach(() => shelf.close())

describe('the shelf', () => {
  it('loads a pinned policy once, when it is first needed', async () => {
    open([first.pack])
    const [one, two] = await Promise.all([shelf.find(first.digest), shelf.find(first.digest)])
    expect(one).toBe(two)
    expect(await one?.evaluate(NOTHING_KNOWN)).toMatchObject({ effect: 'deny', reproducible: true })
    expect(reads).toEqual([toHex(first.digest)])
  })

  it('has none that is not pinned, or does not load', async () => {
    const broken = encodePolicy({ wasm: Uint8Array.of(0), data: nothing, revision: 'x' })
    open([broken])
    expect(await shelf.find(first.digest)).toBeUndefined()
    expect(await shelf.find(policyDigest(broken))).toBeUndefined()
    await expect(shelf.tryOut(broken)).rejects.toMatchObject({ code: 'policy_invalid' })
    await expect(shelf.tryOut(nothing)).rejects.toMatchObject({ code: 'policy_invalid' })
  })

  it('keeps the one in force whatever is tried out beside it', async () => {
    open([])
    await shelf.tryOut(first.pack)
    const host = await shelf.find(first.digest)
    for (const { pack, revision } of packs.slice(1)) {
      expect((await shelf.tryOut(pack)).revision).toBe(revision)
    }
    expect(await shelf.find(first.digest)).toBe(host)
    expect(await host?.evaluate(NOTHING_KNOWN)).toMatchObject({
      reasons: expect.not.arrayContaining(['gate_not_loaded']),
    })
    expect(reads).toEqual([])
  })

  it('puts the others away, and gets them back from what is pinned', async () => {
    open(packs.map(({ pack }) => pack))
    const away = await shelf.find(second.digest)
    await shelf.find(first.digest)
    for (const { pack } of packs.slice(2)) await shelf.tryOut(pack)
    await expect
      .poll(async () => (await away?.evaluate(NOTHING_KNOWN))?.reasons)
      .toEqual(['gate_not_loaded'])
    const back = await shelf.find(second.digest)
    expect(back).not.toBe(away)
    expect(await back?.evaluate(NOTHING_KNOWN)).toMatchObject({
      effect: 'deny',
      reproducible: true,
    })
  })
})
