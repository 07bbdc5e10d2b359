/**
 * @module Goal: what the prover proves is RFC 9162's proof and FORMAT's range proof, and the kit's verifier, written apart from it, accepts it.
 * Method: all sizes 0…300, the tile boundaries around 65,536 and random sizes up to 70,000, read from the tiles of
 * today's tree of 70,000, against the naive recursion and the verifier; then trees of two kinds of leaves up to 2^53 − 1.
 */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { verifyConsistency, verifyInclusion } from '../../proofs/merkle.ts'
import { verifyRange } from '../../proofs/range-proof.ts'
import { nativePrimitives as p } from '../../src/crypto.ts'
import { Edge, treeReader } from '../../src/merkle/grow.ts'
import { tileNodes } from '../../src/merkle/tiles.ts'
import type { NodeReader } from '../../src/merkle/tiles.ts'
import { Prover, proveConsistency, proveInclusion, rootAt } from '../../src/merkle/prove.ts'
import type { RangeRoot } from '../support/naive-merkle.ts'
import {
  naiveConsistency,
  naiveInclusion,
  naiveLeaves,
  naiveNodeHash,
  naiveRange,
  naiveRoot,
  naiveTwoToneTree,
} from '../support/naive-merkle.ts'
import { TileMap, naiveReader } from '../support/tile-map.ts'

const TODAY = 70_000
const leaves = naiveLeaves(TODAY)
const { edge, tiles } = Edge.empty(p).append(leaves)
const store = new TileMap()
store.add(tiles)
const reader = treeReader(edge, store)

const known = new Map<string, Uint8Array>()
/** The naive root of a range, remembered: the same few ranges come back in every proof. */
const mth: RangeRoot = (start, end) => {
  const name = `${start}-${end}`
  let root = known.get(name)
  if (root === undefined) {
    let k = 1
    while (k * 2 < end - start) k *= 2
    root =
      end - start < 2
        ? naiveRoot(leaves, start, end)
        : naiveNodeHash(mth(start, start + k), mth(start + k, end))
    known.set(name, root)
  }
  return root
}

function hexes(path: readonly Uint8Array[]): string {
  return path.map((hash) => Buffer.from(hash).toString('hex')).join(' ')
}

function checkInclusion(prover: Prover, index: number): void {
  const path = prover.inclusion(index)
  expect(hexes(path)).toBe(hexes(naiveInclusion(mth, index, prover.size)))
  verifyInclusion(p, {
    leafIndex: index,
    treeSize: prover.size,
    leafHash: leaves[index] ?? new Uint8Array(0),
    path,
    root: mth(0, prover.size),
  })
}

function checkConsistency(prover: Prover, oldSize: number): void {
  const path = prover.consistency(oldSize)
  expect(hexes(path)).toBe(hexes(naiveConsistency(mth, oldSize, prover.size)))
  verifyConsistency(p, {
    oldSize,
    newSize: prover.size,
    oldRoot: mth(0, oldSize),
    newRoot: mth(0, prover.size),
    path,
  })
}

function checkRange(prover: Prover, start: number, end: number): void {
  const path = prover.range(start, end)
  expect(hexes(path)).toBe(hexes(naiveRange(mth, start, end, prover.size)))
  verifyRange(p, {
    start,
    treeSize: prover.size,
    leafHashes: leaves.slice(start, end),
    path,
    root: mth(0, prover.size),
  })
}

describe('against the naive recursion and the verifier', () => {
  it('proves every range of every size up to 40, and some of sizes up to 600', () => {
    for (let size = 1; size <= 600; size += size < 40 ? 1 : 93) {
      const prover = new Prover(p, size, tileNodes(p, size, reader))
      const step = size <= 40 ? 1 : 59
      for (let start = 0; start < size; start += step) {
        for (let end = start + 1; end <= size; end += step) checkRange(prover, start, end)
        checkRange(prover, start, size)
      }
    }
  })

  it('proves every index and every older size of every size up to 300', () => {
    expect(hexes([rootAt(p, 0, reader)])).toBe(hexes([naiveRoot([])]))
    for (let size = 1; size <= 300; size++) {
      const prover = new Prover(p, size, tileNodes(p, size, reader))
      expect(hexes([prover.root()])).toBe(hexes([mth(0, size)]))
      const step = size < 64 || size > 250 ? 1 : 7
      for (let index = 0; index < size; index += step) checkInclusion(prover, index)
      for (let oldSize = 1; oldSize <= size; oldSize += step) checkConsistency(prover, oldSize)
    }
  })

  it('proves at and across the boundaries of level-0, level-1 and level-2 tiles', () => {
    const around = [255, 256, 257, 511, 512, 513, 65_535, 65_536, 65_537, 65_792, 69_999, TODAY]
    for (const size of around) {
      const prover = new Prover(p, size, tileNodes(p, size, reader))
      expect(hexes([prover.root()])).toBe(hexes([mth(0, size)]))
      for (const other of around.filter((oldSize) => oldSize <= size)) {
        checkConsistency(prover, other)
        checkRange(prover, other - 3, other)
        checkRange(prover, Math.max(0, other - 700), other - 1)
        checkInclusion(prover, other - 1)
        if (other < size) checkInclusion(prover, other)
      }
    }
  })

  it('proves at random sizes up to 70,000, with a prover that is fresh and one that is not', () => {
    const drawn = fc.tuple(fc.integer({ min: 1, max: TODAY }), fc.nat(), fc.nat())
    fc.assert(
      fc.property(drawn, ([size, one, other]) => {
        const prover = new Prover(p, size, tileNodes(p, size, reader))
        for (const at of [one % size, other % size]) {
          checkInclusion(prover, at)
          checkConsistency(prover, at + 1)
          expect(hexes(proveInclusion(p, at, size, reader))).toBe(hexes(prover.inclusion(at)))
          const fresh = proveConsistency(p, at + 1, size, reader)
          expect(hexes(fresh)).toBe(hexes(prover.consistency(at + 1)))
        }
      }),
      { numRuns: 200 },
    )
  })
})

describe('what it reads', () => {
  it('asks for each tile once, only as wide as the tree was at that size', () => {
    const reads: string[] = []
    const prover = new Prover(
      p,
      66_000,
      tileNodes(p, 66_000, {
        readTile: (level, index, width) => {
          reads.push(`${level}/${index}:${width}`)
          return reader.readTile(level, index, width)
        },
      }),
    )
    prover.inclusion(65_999)
    prover.inclusion(65_998)
    prover.consistency(65_537)
    prover.inclusion(3)
    expect(reads.toSorted()).toEqual([
      '0/0:256',
      '0/256:256',
      '0/257:208',
      '1/0:256',
      '1/1:1',
      '2/0:1',
    ])
  })

  it('gives hashes that outlive the tiles, and the same array for the same node', () => {
    const tiles = new Map<string, Uint8Array>()
    const changing: NodeReader = {
      readTile: (level, index, width) => {
        const name = `${level}/${index}/${width}`
        const tile = tiles.get(name) ?? reader.readTile(level, index, width).slice()
        tiles.set(name, tile)
        return tile
      },
    }
    const prover = new Prover(p, 1000, tileNodes(p, 1000, changing))
    const path = prover.inclusion(700)
    const before = hexes(path)
    for (const tile of tiles.values()) tile.fill(0)
    expect(hexes(path)).toBe(before)
    for (const [at, hash] of prover.inclusion(700).entries()) expect(hash).toBe(path[at])
    // The neighbour's path is the same but for the leaf beside it.
    for (const [at, hash] of prover.inclusion(701).entries()) {
      if (at > 0) expect(hash).toBe(path[at])
    }
  })
})

describe('huge trees', () => {
  const before = new Uint8Array(32).fill(7)
  const after = new Uint8Array(32).fill(8)
  const hugeSize = fc.oneof(
    fc.integer({ min: 2 ** 31 - 3, max: 2 ** 31 + 3 }),
    fc.integer({ min: 2 ** 32 - 3, max: 2 ** 32 + 3 }),
    fc.integer({ min: 2 ** 53 - 300, max: 2 ** 53 - 1 }),
    fc.integer({ min: 2 ** 31, max: 2 ** 53 - 1 }),
  )

  it('proves across 2^31 and 2^32 and up to 2^53 − 1', () => {
    const args = [hugeSize, hugeSize, fc.integer({ min: -2, max: 2 }), fc.boolean()] as const
    fc.assert(
      fc.property(...args, (one, other, shift, isSmall) => {
        const size = Math.max(one, other)
        const index = isSmall ? Math.min(one, other) % 1000 : Math.min(one, other) - 1
        // The leaves change beside the index, so that a hash from the wrong place is another hash.
        const boundary = Math.max(0, index + shift)
        const rootOf = naiveTwoToneTree(boundary, before, after)
        const prover = new Prover(p, size, tileNodes(p, size, naiveReader(rootOf)))
        const root = prover.root()
        expect(hexes([root])).toBe(hexes([rootOf(0, size)]))
        const path = prover.inclusion(index)
        expect(hexes(path)).toBe(hexes(naiveInclusion(rootOf, index, size)))
        const leafHash = index < boundary ? before : after
        verifyInclusion(p, { leafIndex: index, treeSize: size, leafHash, path, root })

        const oldSize = index + 1
        const start = Math.max(0, index - (other % 40))
        const leafHashes = Array.from({ length: oldSize - start }, (_, at) =>
          start + at < boundary ? before : after,
        )
        const range = prover.range(start, oldSize)
        expect(hexes(range)).toBe(hexes(naiveRange(rootOf, start, oldSize, size)))
        verifyRange(p, { start, treeSize: size, leafHashes, path: range, root })

        const consistency = prover.consistency(oldSize)
        expect(hexes(consistency)).toBe(hexes(naiveConsistency(rootOf, oldSize, size)))
        const oldRoot = rootOf(0, oldSize)
        verifyConsistency(p, { oldSize, newSize: size, oldRoot, newRoot: root, path: consistency })
      }),
      { numRuns: 60 },
    )
  })
})

describe('refusals', () => {
  it('refuses indexes and sizes that the tree does not have, by code', () => {
    const prover = new Prover(p, 10, tileNodes(p, 10, reader))
    for (const index of [-1, 10, 0.5, Number.NaN, 2 ** 53]) {
      expect(() => prover.inclusion(index)).toThrow(
        expect.objectContaining({ name: 'MerkleError', code: 'index_out_of_range' }),
      )
    }
    const sizeError = expect.objectContaining({ name: 'MerkleError', code: 'size_out_of_range' })
    for (const size of [-1, 11, 0.5, Number.NaN]) {
      expect(() => prover.consistency(size)).toThrow(sizeError)
    }
    const indexError = expect.objectContaining({ name: 'MerkleError', code: 'index_out_of_range' })
    for (const start of [-1, 4, 5, 0.5, Number.NaN])
      expect(() => prover.range(start, 4)).toThrow(indexError)
    for (const end of [-1, 11, 0.5, Number.NaN])
      expect(() => prover.range(0, end)).toThrow(sizeError)
    expect(prover.range(0, 10)).toEqual([])
    for (const size of [-1, 0.5, 2 ** 53]) expect(() => rootAt(p, size, reader)).toThrow(sizeError)
    expect(() => proveInclusion(p, 0, 0, reader)).toThrow('leaf index is 0')
    expect(prover.consistency(0)).toEqual([])
    expect(prover.consistency(10)).toEqual([])
    expect(new Prover(p, 1, tileNodes(p, 1, reader)).inclusion(0)).toEqual([])
  })

  it('refuses a reader that does not have the tree, by code', () => {
    const tileError = expect.objectContaining({ name: 'MerkleError', code: 'tile_malformed' })
    expect(() => rootAt(p, 3, new TileMap())).toThrow(tileError)
    expect(() => rootAt(p, TODAY + 1, reader)).toThrow(tileError)
  })
})
