/**
 * Goal: heads of one history pass in any order, and one head of another history is found, whichever it is. Method:
 * trees by the naive reference, honest and forked at every size, seen in random order.
 */
import type { Head } from '@trustwarden/proofs'
import { noblePrimitives } from '@trustwarden/proofs'
import fc from 'fast-check'
import { afterEach, describe, expect, test, vi } from 'vitest'
import { Heads, type ProveConsistency, TrustWardenError } from '../../src/sdk/index.ts'
import { naiveConsistency, naiveLeafHash, naiveLeaves, naiveTree } from '../support/naive-merkle.ts'

const SIZE = 70
const honest = naiveTree(naiveLeaves(SIZE))
const prove: ProveConsistency = (from, to) => Promise.resolve(naiveConsistency(honest, from, to))

function headOf(size: number, root: Uint8Array = honest(0, size)): Head {
  return { origin: 'log.example/logs/main', size, root, extensions: [] }
}

/** The head of a history that differs from the honest one in its last leaf. */
function forkAt(size: number): Head {
  const leaves = naiveLeaves(size)
  leaves[size - 1] = naiveLeafHash(Buffer.from('another'))
  return headOf(size, naiveTree(leaves)(0, size))
}

async function codeOf(work: () => unknown): Promise<string> {
  try {
    await work()
  } catch (error) {
    return error instanceof TrustWardenError ? error.code : String(error)
  }
  return 'nothing thrown'
}

const sizes = fc.uniqueArray(fc.integer({ min: 1, max: SIZE }), { minLength: 2, maxLength: SIZE })

afterEach(() => {
  vi.useRealTimers()
})

describe('heads', () => {
  test('of one history pass in any order, and are all connected', async () => {
    await fc.assert(
      fc.asyncProperty(sizes, async (order) => {
        const heads = new Heads(noblePrimitives, 0)
        for (const size of [...order, ...order]) heads.observe(headOf(size))
        await heads.confirm(prove, true)
        expect(heads.unproven).toEqual([])
        expect(heads.latest?.size).toBe(Math.max(...order))
      }),
    )
  })

  test('with one of another history among them are refused, wherever it stands', async () => {
    await fc.assert(
      fc.asyncProperty(sizes, fc.nat(), async (order, pick) => {
        const forked = order[pick % order.length]
        const heads = new Heads(noblePrimitives, 0)
        for (const size of order) heads.observe(size === forked ? forkAt(size) : headOf(size))
        expect(await codeOf(() => heads.confirm(prove, true))).toBe('log_forked')
        expect(await codeOf(() => heads.observe(headOf(1)))).toBe('log_forked')
        expect(await codeOf(() => heads.confirm(prove))).toBe('log_forked')
      }),
    )
  })

  test('with two roots of one size are refused at once', async () => {
    const heads = new Heads(noblePrimitives, 0)
    heads.observe(headOf(7))
    expect(await codeOf(() => heads.observe(forkAt(7)))).toBe('log_forked')
  })

  test('are asked about once in the interval, and in rounds', async () => {
    const heads = new Heads(noblePrimitives, 1000)
    vi.useFakeTimers({ now: 1_000_000 })
    for (let size = 1; size <= SIZE; size++) heads.observe(headOf(size))
    let asked = 0
    const counting: ProveConsistency = (from, to) => {
      asked += 1
      return prove(from, to)
    }
    await heads.confirm(counting)
    await heads.confirm(counting)
    expect(asked).toBe(32)
    expect(heads.unproven).not.toContain(SIZE)
    vi.setSystemTime(1_001_000)
    await heads.confirm(counting)
    expect(asked).toBe(64)
  })

  test('that the log does not connect for a minute end in log_unproven', async () => {
    const heads = new Heads(noblePrimitives, 0)
    vi.useFakeTimers({ now: 1_000_000 })
    heads.observe(headOf(1))
    heads.observe(headOf(2))
    const away = () => Promise.reject(new TrustWardenError('not_found', 'away'))
    await heads.confirm(away)
    vi.setSystemTime(1_060_000)
    await heads.confirm(away)
    vi.setSystemTime(1_060_001)
    expect(await codeOf(() => heads.confirm(away))).toBe('log_unproven')
    await heads.confirm(prove)
    vi.setSystemTime(2_000_000)
    expect(await codeOf(() => heads.confirm(away))).toBe('nothing thrown')
  })

  test('with a proof of another form are not connected, and no fork is claimed', async () => {
    const heads = new Heads(noblePrimitives, 0)
    heads.observe(headOf(3))
    heads.observe(headOf(5))
    expect(await codeOf(() => heads.confirm(() => Promise.resolve([]), true))).toBe(
      'answer_malformed',
    )
    await heads.confirm(prove, true)
    expect(heads.unproven).toEqual([])
  })
})
