/**
 * Goal: the verifier accepts exactly the proofs of FORMAT §11.4. Method: somebody else's subtree proofs first
 * (transparency-dev/merkle testdata), as far as a range proof says the same; then every range of every size up to 64 of
 * the naive recursion, with leaves left out, added, doubled and moved; every bit of small proofs flipped; trees of up to
 * 2^53−1 leaves.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { fromBase64 } from '../../proofs/bytes.ts'
import { verifyInclusion } from '../../proofs/merkle.ts'
import { noblePrimitives as p } from '../../proofs/noble.ts'
import {
  RANGE_PATH_MAX,
  RangeFold,
  type RangeProof,
  verifyRange,
} from '../../proofs/range-proof.ts'
import { nativePrimitives } from '../../src/crypto.ts'
import {
  naiveInclusion,
  naiveLeafHash,
  naiveLeaves,
  naiveRange,
  naiveTree,
  naiveTwoToneTree,
} from '../support/naive-merkle.ts'
import { bitFlips, codeOf } from '../support/proof-code.ts'

const folder = `${process.env['TRUSTWARDEN_VECTORS'] ?? ''}/merkle`
const hasVectors = process.env['TRUSTWARDEN_VECTORS'] !== undefined && existsSync(folder)
const EXHAUSTIVE_MAX = 64
const leaves = naiveLeaves(EXHAUSTIVE_MAX)
const tree = naiveTree(leaves)

function rangeOf(start: number, end: number, treeSize: number): RangeProof {
  return {
    start,
    treeSize,
    leafHashes: leaves.slice(start, end),
    path: naiveRange(tree, start, end, treeSize),
    root: tree(0, treeSize),
  }
}

const rangeCode = (proof: RangeProof): string => codeOf(() => verifyRange(nativePrimitives, proof))

describe.skipIf(!hasVectors)(
  'foreign: github.com/transparency-dev/merkle testdata (skipped without TRUSTWARDEN_VECTORS)',
  () => {
    // A leaf in a subtree [start, end) is a range of one leaf in a tree of end − start leaves.
    test.each(vectorFiles('subtreeinclusion'))('subtreeinclusion/%s', (name) => {
      const vector = readVector('subtreeinclusion', name)
      const [start, end] = [numberOf(vector, 'start'), numberOf(vector, 'end')]
      const code = rangeCode({
        start: numberOf(vector, 'leafIdx') - start,
        treeSize: end - start,
        leafHashes: [bytesOf(vector['leafHash'])],
        path: pathOf(vector),
        root: bytesOf(vector['root']),
      })
      expect(code !== 'accepted' || !isSubtree(start, end)).toBe(vector['wantErr'])
    })

    // Seen from the height of its root, a subtree that is a node of the tree is a range of one.
    const nodes = vectorFiles('subtreeconsistency').filter((name) => {
      if (!hasVectors) return true
      const vector = readVector('subtreeconsistency', name)
      return isNode(numberOf(vector, 'start'), numberOf(vector, 'end'), numberOf(vector, 'size'))
    })
    test.each(nodes)('subtreeconsistency/%s', (name) => {
      const vector = readVector('subtreeconsistency', name)
      const [start, end] = [numberOf(vector, 'start'), numberOf(vector, 'end')]
      const width = bitCeil(end - start)
      const code = rangeCode({
        start: start / width,
        treeSize: Math.ceil(numberOf(vector, 'size') / width),
        leafHashes: [bytesOf(vector['root1'])],
        path: pathOf(vector),
        root: bytesOf(vector['root2']),
      })
      // Upstream takes hashes of any length; FORMAT §11.4 those of 32 bytes.
      const isHash = [vector['root1'], vector['root2']].every((one) => bytesOf(one).length === 32)
      expect(code !== 'accepted').toBe(vector['wantErr'] === true || !isHash)
    })

    test('there are both verdicts of both kinds', () => {
      for (const [kind, names] of [
        ['subtreeinclusion', vectorFiles('subtreeinclusion')],
        ['subtreeconsistency', nodes],
      ] as const) {
        const verdicts = names.map((name) => readVector(kind, name)['wantErr'])
        expect(new Set(verdicts)).toEqual(new Set([true, false]))
      }
    })
  },
)

describe(`all sizes up to ${EXHAUSTIVE_MAX}`, () => {
  test('every range of every size holds, an empty one shows nothing', () => {
    for (let size = 1; size <= EXHAUSTIVE_MAX; size += 1) {
      for (let start = 0; start <= size; start += 1) {
        const fold = new RangeFold(nativePrimitives, start)
        expect(codeOf(() => fold.root(size, []))).toBe('malformed')
        for (let end = start + 1; end <= size; end += 1) {
          fold.append(tree(end - 1, end))
          const path = naiveRange(tree, start, end, size)
          expect(fold.root(size, path)).toEqual(tree(0, size))
          expect(path.length).toBeLessThanOrEqual(2 * Math.ceil(Math.log2(size)))
        }
      }
    }
  })

  test('the range of one leaf is its inclusion proof', () => {
    for (let size = 1; size <= EXHAUSTIVE_MAX; size += 1) {
      for (let leafIndex = 0; leafIndex < size; leafIndex += 1) {
        const { path, root, leafHashes } = rangeOf(leafIndex, leafIndex + 1, size)
        expect(path).toEqual(naiveInclusion(tree, leafIndex, size))
        const [leafHash] = leafHashes
        if (leafHash === undefined) throw new Error('no leaf')
        verifyInclusion(nativePrimitives, { leafIndex, treeSize: size, leafHash, path, root })
      }
    }
  })

  test('leaves left out, added, doubled, swapped or moved are refused', () => {
    for (let size = 2; size <= 24; size += 1) {
      for (let start = 0; start < size; start += 1) {
        for (let end = start + 1; end <= size; end += 1) {
          const proof = rangeOf(start, end, size)
          const { leafHashes, path } = proof
          const refused = (changed: Partial<RangeProof>): void =>
            expect(rangeCode({ ...proof, ...changed })).toMatch(/^(inclusion_mismatch|malformed)$/)
          refused({ leafHashes: leafHashes.slice(1) })
          refused({ leafHashes: leafHashes.slice(0, -1) })
          refused({ start: start + 1, leafHashes: leafHashes.slice(1) })
          refused({ leafHashes: [...leafHashes, tree(0, 1)] })
          refused({ leafHashes: [tree(0, 1), ...leafHashes] })
          refused({ start: start + 1 })
          if (start > 0) refused({ start: start - 1 })
          if (leafHashes.length > 1) refused({ leafHashes: leafHashes.toReversed() })
          refused({ root: tree(0, size - 1) })
          if (path.length > 1) refused({ path: path.toReversed() })
          expect(rangeCode({ ...proof, path: [...path, tree(0, 1)] })).toBe('malformed')
          if (path.length > 0)
            expect(rangeCode({ ...proof, path: path.slice(0, -1) })).toBe('malformed')
        }
      }
    }
  })

  test('a range of one tree is none of another size', () => {
    for (let size = 1; size <= 20; size += 1) {
      for (let start = 0; start < size; start += 1) {
        const proof = rangeOf(start, size, size)
        for (let other = 1; other <= EXHAUSTIVE_MAX; other += 1) {
          if (other === size) continue
          expect(rangeCode({ ...proof, root: tree(0, other) })).toBe('inclusion_mismatch')
        }
      }
    }
  })
})

test('no flipped bit of a small proof is accepted', () => {
  for (const [start, end, size] of [
    [0, 1, 1],
    [0, 3, 3],
    [1, 2, 3],
    [1, 6, 7],
    [2, 5, 11],
    [5, 9, 13],
  ] as const) {
    const proof = rangeOf(start, end, size)
    for (const root of bitFlips(proof.root))
      expect(rangeCode({ ...proof, root })).toBe('inclusion_mismatch')
    for (const field of ['leafHashes', 'path'] as const) {
      for (const [at, hash] of proof[field].entries()) {
        for (const flipped of bitFlips(hash)) {
          const changed = { ...proof, [field]: proof[field].with(at, flipped) }
          expect(rangeCode(changed)).toBe('inclusion_mismatch')
        }
      }
    }
  }
})

test('bad shapes are refused before any arithmetic', () => {
  const proof = rangeOf(2, 5, 9)
  const short = new Uint8Array(31)
  for (const n of [-1, 0.5, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 53]) {
    expect(rangeCode({ ...proof, start: n })).toBe('malformed')
    expect(rangeCode({ ...proof, treeSize: n })).toBe('malformed')
  }
  expect(rangeCode({ ...proof, treeSize: 4 })).toBe('malformed')
  expect(rangeCode({ ...proof, start: 2 ** 53 - 2 })).toBe('malformed')
  expect(rangeCode({ ...proof, leafHashes: [short, ...proof.leafHashes.slice(1)] })).toBe(
    'malformed',
  )
  expect(rangeCode({ ...proof, root: short })).toBe('malformed')
  expect(rangeCode({ ...proof, path: proof.path.with(0, short) })).toBe('malformed')
  const long = Array.from({ length: RANGE_PATH_MAX + 1 }, () => proof.root)
  expect(rangeCode({ ...proof, path: long })).toBe('too_large')
})

test('a fold can be asked on the way, and goes on', () => {
  const fold = new RangeFold(p, 3)
  for (let end = 4; end <= 40; end += 1) {
    fold.append(tree(end - 1, end))
    expect(fold.end).toBe(end)
    expect(fold.root(50, naiveRange(tree, 3, end, 50))).toEqual(tree(0, 50))
  }
})

test('a complete subtree stands for its leaves, and nothing else does', () => {
  for (const start of [0, 3, 8]) {
    const fold = new RangeFold(p, start)
    while (fold.end < 40) {
      const count = [8, 4, 2, 1].find((one) => fold.end % one === 0) ?? 1
      fold.appendSubtree(tree(fold.end, fold.end + count), count)
      expect(fold.root(50, naiveRange(tree, start, fold.end, 50))).toEqual(tree(0, 50))
    }
  }
  const fold = new RangeFold(p, 4)
  const codeFor = (count: number) => codeOf(() => fold.appendSubtree(tree(0, 1), count))
  expect([0, -4, 0.5, 3, 8, Number.NaN].map(codeFor)).toEqual(Array(6).fill('malformed'))
  expect(fold.end).toBe(4)
})

describe('up to 2^53−1 leaves', () => {
  const edge = (n: number): fc.Arbitrary<number> => fc.integer({ min: n - 40, max: n + 40 })
  const size = fc.oneof(
    edge(2 ** 31),
    edge(2 ** 32),
    edge(2 ** 33),
    fc.integer({ min: 2 ** 53 - 41, max: 2 ** 53 - 1 }),
    fc.integer({ min: 1, max: 2 ** 53 - 1 }),
  )
  const [before, after] = [naiveLeafHash(Uint8Array.of(1)), naiveLeafHash(Uint8Array.of(2))]

  test('a range of the recursion holds, and not one leaf beside', () => {
    const args = [size, size, fc.integer({ min: 1, max: 300 }), fc.nat({ max: 300 })] as const
    fc.assert(
      fc.property(...args, (one, other, length, shift) => {
        const treeSize = Math.max(one, other)
        const start = Math.max(0, Math.min(one, other) - length)
        const end = Math.min(treeSize, start + length)
        // The leaves change somewhere in the range, so that a leaf at another place is another leaf.
        const boundary = start + (shift % (end - start))
        const rootOf = naiveTwoToneTree(boundary, before, after)
        const leafHashes = Array.from({ length: end - start }, (_, at) =>
          start + at < boundary ? before : after,
        )
        const path = naiveRange(rootOf, start, end, treeSize)
        const proof = { start, treeSize, leafHashes, path, root: rootOf(0, treeSize) }
        verifyRange(nativePrimitives, proof)
        const moved = naiveTwoToneTree(boundary + 1, before, after)
        if (boundary < treeSize)
          expect(rangeCode({ ...proof, root: moved(0, treeSize) })).toBe('inclusion_mismatch')
        expect(rangeCode({ ...proof, leafHashes: leafHashes.slice(1) })).not.toBe('accepted')
      }),
      { numRuns: 300 },
    )
  })

  test('the longest proof has 104 nodes, and 104 is the limit', () => {
    const middle = 2 ** 52
    const rootOf = naiveTwoToneTree(middle, before, after)
    const largest = 2 ** 53 - 1
    const path = naiveRange(rootOf, middle - 1, middle + 1, largest)
    expect(path).toHaveLength(RANGE_PATH_MAX)
    const root = rootOf(0, largest)
    const leafHashes = [before, after]
    verifyRange(nativePrimitives, { start: middle - 1, treeSize: largest, leafHashes, path, root })
  })
})

/** Whether [start, end) is a subtree of draft-ietf-plants-merkle-tree-certs §4.1. */
function isSubtree(start: number, end: number): boolean {
  return start < end && start % bitCeil(end - start) === 0
}

/** Whether a subtree is a node of the tree: complete, or at its end. */
function isNode(start: number, end: number, size: number): boolean {
  const complete = bitCeil(end - start) === end - start
  return isSubtree(start, end) && end <= size && (complete || end === size)
}

function bitCeil(count: number): number {
  let power = 1
  while (power < count) power *= 2
  return power
}

type Vector = Readonly<Record<string, unknown>>

function vectorFiles(kind: string): string[] {
  if (!hasVectors) return ['no vectors']
  return readdirSync(`${folder}/${kind}`, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.json'))
    .toSorted()
}

function readVector(kind: string, name: string): Vector {
  return JSON.parse(readFileSync(`${folder}/${kind}/${name}`, 'utf8'))
}

function numberOf(vector: Vector, name: string): number {
  const value = vector[name] ?? 0
  if (typeof value !== 'number') throw new Error(`vector without ${name}`)
  return value
}

/** Null stands for no bytes in these files, as Go writes it. */
function bytesOf(value: unknown): Uint8Array {
  return typeof value === 'string' ? fromBase64(value) : new Uint8Array()
}

function pathOf(vector: Vector): Uint8Array[] {
  const path = vector['proof']
  return Array.isArray(path) ? path.map(bytesOf) : []
}
