/**
 * @module Goal: tree and tile arithmetic is exact up to 2^53 − 1. Method: the example of C2SP tlog-tiles, every size
 * around tile boundaries against counting, and the same in BigInt for sizes across 2^31, 2^32 and 2^53.
 */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  TREE_SIZE_MAX,
  checkSize,
  decompose,
  exactLog2,
  fullTileCount,
  levelWidth,
  partialWidth,
  splitPoint,
  tileLevels,
  tilePosition,
  tileWidth,
} from '../../src/merkle/tree-math.ts'

const anySize = fc.oneof(
  fc.integer({ min: 1, max: 70_000 }),
  fc.maxSafeNat().filter((size) => size > 0),
  fc
    .tuple(fc.integer({ min: 0, max: 52 }), fc.integer({ min: -2, max: 2 }))
    .map(([exponent, delta]) => Math.max(1, 2 ** exponent + delta)),
  fc.constant(TREE_SIZE_MAX),
)

describe('splitPoint', () => {
  it('is the k of k < n ≤ 2k, a power of two, at any size', () => {
    fc.assert(
      fc.property(anySize, (drawn) => {
        const size = Math.max(2, drawn)
        const k = BigInt(splitPoint(size))
        expect(k < BigInt(size) && BigInt(size) <= 2n * k).toBe(true)
        expect(k & (k - 1n)).toBe(0n)
      }),
      { numRuns: 500 },
    )
  })
})

describe('exactLog2', () => {
  it('knows every power of two and nothing else', () => {
    for (let exponent = 0; exponent <= 52; exponent++) {
      expect(exactLog2(2 ** exponent)).toBe(exponent)
      if (exponent > 1) expect(exactLog2(2 ** exponent + 1)).toBeUndefined()
      if (exponent > 1) expect(exactLog2(2 ** exponent - 1)).toBeUndefined()
    }
    expect(exactLog2(0)).toBeUndefined()
  })
})

describe('decompose', () => {
  it('covers the range without gap, in shrinking complete subtrees: the ones of the binary size', () => {
    fc.assert(
      fc.property(anySize, fc.nat({ max: 20 }), (drawn, multiple) => {
        const alignment = 2n ** BigInt(drawn.toString(2).length)
        const start = BigInt(multiple) * alignment
        fc.pre(start + BigInt(drawn) <= BigInt(TREE_SIZE_MAX))
        let at = start
        let previous = 64
        const subtrees = decompose(Number(start), Number(start) + drawn)
        for (const { height, index } of subtrees) {
          expect(BigInt(index) * 2n ** BigInt(height)).toBe(at)
          expect(height).toBeLessThan(previous)
          previous = height
          at += 2n ** BigInt(height)
        }
        expect(at).toBe(start + BigInt(drawn))
        expect(subtrees).toHaveLength(drawn.toString(2).replaceAll('0', '').length)
      }),
      { numRuns: 500 },
    )
  })

  it('gives nothing for an empty range', () => {
    expect(decompose(0, 0)).toEqual([])
  })
})

describe('tiles', () => {
  it('lays out 70,000 and 256 leaves as tlog-tiles says', () => {
    expect([0, 1, 2, 3].map((level) => fullTileCount(70_000, level))).toEqual([273, 1, 0, 0])
    expect([0, 1, 2, 3].map((level) => partialWidth(70_000, level))).toEqual([112, 17, 1, 0])
    expect(tileLevels(70_000)).toBe(3)
    expect([0, 1].map((level) => fullTileCount(256, level))).toEqual([1, 0])
    expect([0, 1].map((level) => partialWidth(256, level))).toEqual([0, 1])
    expect([tileLevels(0), tileLevels(255), tileLevels(256)]).toEqual([0, 1, 2])
    expect(tileLevels(TREE_SIZE_MAX)).toBe(7)
  })

  it('gives widths that BigInt arithmetic gives, and that add up', () => {
    fc.assert(
      fc.property(anySize, fc.nat({ max: 8 }), (size, level) => {
        const width = BigInt(size) / 256n ** BigInt(level)
        expect(BigInt(levelWidth(size, level))).toBe(width)
        expect(BigInt(fullTileCount(size, level))).toBe(width / 256n)
        expect(BigInt(partialWidth(size, level))).toBe(width % 256n)
        const last = fullTileCount(size, level)
        expect(tileWidth(size, level, last)).toBe(partialWidth(size, level))
        expect(tileWidth(size, level, last + 1)).toBe(0)
        if (last > 0) expect(tileWidth(size, level, last - 1)).toBe(256)
      }),
      { numRuns: 500 },
    )
  })

  it('finds a subtree in the tile, row and offset that hold its leaves', () => {
    fc.assert(
      fc.property(anySize, fc.nat({ max: 52 }), (size, height) => {
        const index = Math.floor((size - 1) / 2 ** height)
        const { level, tileIndex, row, offset } = tilePosition({ height, index })
        expect(level * 8 + row).toBe(height)
        expect(row).toBeLessThan(8)
        expect(offset).toBeLessThan(256 / 2 ** row)
        const first = BigInt(tileIndex) * 256n + BigInt(offset) * 2n ** BigInt(row)
        expect(first * 256n ** BigInt(level)).toBe(BigInt(index) * 2n ** BigInt(height))
      }),
      { numRuns: 500 },
    )
  })
})

describe('checkSize', () => {
  it('refuses what is no size, by code', () => {
    for (const size of [-1, 0.5, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 53]) {
      expect(() => checkSize(size)).toThrow(
        expect.objectContaining({ name: 'MerkleError', code: 'size_out_of_range' }),
      )
    }
    expect(() => checkSize(5, 4)).toThrow('size is 5, must be from 0 to 4')
    checkSize(0)
    checkSize(TREE_SIZE_MAX)
  })
})
