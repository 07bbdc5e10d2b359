/**
 * Goal: the verifier accepts exactly the proofs of RFC 9162. Method: somebody else's proofs first
 * (transparency-dev/merkle testdata); then, for all sizes up to 64, every proof of the naive recursion, and with every
 * other index or size; every bit of small proofs flipped; trees of up to 2^53−1 leaves.
 *
 * The subtree sets of the foreign testdata are run by range-proof.test.ts.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { fromBase64, toHex } from '../../proofs/bytes.ts'
import {
  type ConsistencyProof,
  emptyRoot,
  type InclusionProof,
  leafHash,
  nodeHash,
  rootFromInclusion,
  verifyConsistency,
  verifyInclusion,
} from '../../proofs/merkle.ts'
import { noblePrimitives as p } from '../../proofs/noble.ts'
import {
  naiveConsistency,
  naiveFold,
  naiveInclusion,
  naiveLeafHash,
  naiveLeaves,
  naiveNodeHash,
  naiveTree,
  naiveTwoToneTree,
} from '../support/naive-merkle.ts'
import { bitFlips, codeOf } from '../support/proof-code.ts'

const folder = `${process.env['TRUSTWARDEN_VECTORS'] ?? ''}/merkle`
const hasVectors = process.env['TRUSTWARDEN_VECTORS'] !== undefined && existsSync(folder)
const EXHAUSTIVE_MAX = 64
const leaves = naiveLeaves(EXHAUSTIVE_MAX)
const tree = naiveTree(leaves)

function inclusionOf(leafIndex: number, treeSize: number): InclusionProof {
  return {
    leafIndex,
    treeSize,
    leafHash: tree(leafIndex, leafIndex + 1),
    path: naiveInclusion(tree, leafIndex, treeSize),
    root: tree(0, treeSize),
  }
}

function consistencyOf(oldSize: number, newSize: number): ConsistencyProof {
  return {
    oldSize,
    newSize,
    oldRoot: tree(0, oldSize),
    newRoot: tree(0, newSize),
    path: naiveConsistency(tree, oldSize, newSize),
  }
}

const inclusionCode = (proof: InclusionProof): string => codeOf(() => verifyInclusion(p, proof))
const consistencyCode = (proof: ConsistencyProof): string =>
  codeOf(() => verifyConsistency(p, proof))

describe.skipIf(!hasVectors)(
  'foreign: github.com/transparency-dev/merkle testdata (skipped without TRUSTWARDEN_VECTORS)',
  () => {
    test.each(vectorFiles('inclusion'))('inclusion/%s', (name) => {
      const vector = readVector('inclusion', name)
      const verdict = codeOf(() =>
        verifyInclusion(p, {
          leafIndex: numberOf(vector, 'leafIdx'),
          treeSize: numberOf(vector, 'treeSize'),
          leafHash: bytesOf(vector['leafHash']),
          path: pathOf(vector),
          root: bytesOf(vector['root']),
        }),
      )
      expect(verdict !== 'accepted').toBe(vector['wantErr'])
    })

    test.each(vectorFiles('consistency'))('consistency/%s', (name) => {
      const vector = readVector('consistency', name)
      const verdict = codeOf(() =>
        verifyConsistency(p, {
          oldSize: numberOf(vector, 'size1'),
          newSize: numberOf(vector, 'size2'),
          oldRoot: bytesOf(vector['root1']),
          newRoot: bytesOf(vector['root2']),
          path: pathOf(vector),
        }),
      )
      // Upstream accepts a proof from the empty tree, which says nothing; FORMAT refuses it.
      expect(verdict !== 'accepted').toBe(vector['wantErr'] === true || vector['size1'] === 0)
    })

    test('there are both verdicts of both kinds', () => {
      for (const kind of ['inclusion', 'consistency']) {
        const verdicts = vectorFiles(kind).map((name) => readVector(kind, name)['wantErr'])
        expect(new Set(verdicts)).toEqual(new Set([true, false]))
      }
    })
  },
)

test('hashes are those of RFC 9162 §2.1.1', () => {
  expect(toHex(emptyRoot(p))).toBe(
    'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855',
  )
  // The first leaf of the Certificate Transparency test vectors: the empty entry.
  expect(toHex(leafHash(p, new Uint8Array()))).toBe(
    '6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d',
  )
  const [a, b] = [new Uint8Array(32).fill(1), new Uint8Array(32).fill(2)]
  expect(leafHash(p, a)).toEqual(naiveLeafHash(a))
  for (const length of [16_382, 16_383, 16_384, 65_535]) {
    const entry = new Uint8Array(length).map((_, at) => at % 251)
    expect(leafHash(p, entry), `${length} bytes`).toEqual(naiveLeafHash(entry))
  }
  expect(leafHash(p, a)).toEqual(naiveLeafHash(a))
  expect(nodeHash(p, a, b)).toEqual(naiveNodeHash(a, b))
})

test('two nodes are hashed as they are, whatever their length and whatever was hashed before', () => {
  for (const [left, right] of [
    [32, 32],
    [31, 32],
    [32, 33],
    [0, 0],
    [32, 32],
  ] as const) {
    const nodes = [new Uint8Array(left).fill(7), new Uint8Array(right).fill(9)] as const
    expect(nodeHash(p, ...nodes)).toEqual(naiveNodeHash(...nodes))
  }
})

describe(`all sizes up to ${EXHAUSTIVE_MAX}`, () => {
  test('every inclusion proof holds, and for no other index of its tree', () => {
    for (let treeSize = 1; treeSize <= EXHAUSTIVE_MAX; treeSize += 1) {
      for (let leafIndex = 0; leafIndex < treeSize; leafIndex += 1) {
        const proof = inclusionOf(leafIndex, treeSize)
        verifyInclusion(p, proof)
        // All other indexes for small trees, the neighbours for the others: a path fits one position alone.
        const others =
          treeSize <= 20
            ? Array.from({ length: treeSize }, (_, at) => at)
            : [leafIndex - 1, leafIndex + 1]
        for (const other of others) {
          if (other === leafIndex) continue
          expect(inclusionCode({ ...proof, leafIndex: other })).toMatch(/_mismatch|malformed/)
        }
        const neighbour = tree(0, treeSize > 1 ? treeSize - 1 : treeSize + 1)
        expect(inclusionCode({ ...proof, root: neighbour })).toBe('inclusion_mismatch')
      }
    }
  })

  test('every consistency proof holds, and for no other sizes with the same roots', () => {
    for (let newSize = 1; newSize <= EXHAUSTIVE_MAX; newSize += 1) {
      for (let oldSize = 1; oldSize <= newSize; oldSize += 1) {
        const proof = consistencyOf(oldSize, newSize)
        verifyConsistency(p, proof)
        if (oldSize === newSize) continue
        const older = tree(0, oldSize - 1)
        const newer = tree(0, newSize - 1)
        expect(consistencyCode({ ...proof, oldRoot: older })).toBe('consistency_mismatch')
        expect(consistencyCode({ ...proof, newRoot: newer })).toBe('consistency_mismatch')
      }
    }
  })

  test('a path that is longer or shorter is malformed', () => {
    for (let newSize = 1; newSize <= 20; newSize += 1) {
      for (let oldSize = 1; oldSize <= newSize; oldSize += 1) {
        const inclusion = inclusionOf(oldSize - 1, newSize)
        const consistency = consistencyOf(oldSize, newSize)
        const more = (path: readonly Uint8Array[]): Uint8Array[] => [...path, tree(0, 1)]
        expect(inclusionCode({ ...inclusion, path: more(inclusion.path) })).toBe('malformed')
        expect(consistencyCode({ ...consistency, path: more(consistency.path) })).toBe('malformed')
        if (inclusion.path.length > 0) {
          const path = inclusion.path.slice(0, -1)
          expect(inclusionCode({ ...inclusion, path })).toBe('malformed')
        }
        if (consistency.path.length > 0) {
          const path = consistency.path.slice(0, -1)
          expect(consistencyCode({ ...consistency, path })).toBe('malformed')
        }
      }
    }
  })
})

test('no flipped bit of a small proof is accepted', () => {
  for (const [index, size] of [
    [0, 1],
    [0, 2],
    [2, 3],
    [4, 5],
    [3, 7],
    [6, 7],
    [5, 11],
  ] as const) {
    const proof = inclusionOf(index, size)
    for (const hash of bitFlips(proof.leafHash)) {
      expect(inclusionCode({ ...proof, leafHash: hash })).toBe('inclusion_mismatch')
    }
    for (const root of bitFlips(proof.root)) {
      expect(inclusionCode({ ...proof, root })).toBe('inclusion_mismatch')
    }
    for (const [at, node] of proof.path.entries()) {
      for (const flipped of bitFlips(node)) {
        expect(inclusionCode({ ...proof, path: proof.path.with(at, flipped) })).toBe(
          'inclusion_mismatch',
        )
      }
    }
  }
  for (const [oldSize, newSize] of [
    [1, 2],
    [2, 5],
    [3, 7],
    [4, 7],
    [6, 8],
    [7, 11],
  ] as const) {
    const proof = consistencyOf(oldSize, newSize)
    for (const oldRoot of bitFlips(proof.oldRoot)) {
      expect(consistencyCode({ ...proof, oldRoot })).toBe('consistency_mismatch')
    }
    for (const newRoot of bitFlips(proof.newRoot)) {
      expect(consistencyCode({ ...proof, newRoot })).toBe('consistency_mismatch')
    }
    for (const [at, node] of proof.path.entries()) {
      for (const flipped of bitFlips(node)) {
        expect(consistencyCode({ ...proof, path: proof.path.with(at, flipped) })).toBe(
          'consistency_mismatch',
        )
      }
    }
  }
})

test('bad shapes are refused before any arithmetic', () => {
  const inclusion = inclusionOf(2, 5)
  const short = new Uint8Array(31)
  for (const n of [-1, 0.5, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 53]) {
    expect(inclusionCode({ ...inclusion, leafIndex: n })).toBe('malformed')
    expect(inclusionCode({ ...inclusion, treeSize: n })).toBe('malformed')
  }
  expect(inclusionCode({ ...inclusion, leafIndex: 5 })).toBe('malformed')
  expect(inclusionCode({ ...inclusion, leafIndex: 0, treeSize: 0 })).toBe('malformed')
  expect(inclusionCode({ ...inclusion, leafHash: short })).toBe('malformed')
  expect(inclusionCode({ ...inclusion, root: short })).toBe('malformed')
  expect(inclusionCode({ ...inclusion, path: inclusion.path.with(0, short) })).toBe('malformed')
  const long = Array.from({ length: 54 }, () => inclusion.root)
  expect(inclusionCode({ ...inclusion, path: long })).toBe('too_large')

  const consistency = consistencyOf(3, 7)
  for (const n of [-1, 0.5, Number.NaN, 2 ** 53]) {
    expect(consistencyCode({ ...consistency, oldSize: n })).toBe('malformed')
    expect(consistencyCode({ ...consistency, newSize: n })).toBe('malformed')
  }
  expect(consistencyCode({ ...consistency, oldSize: 0 })).toBe('malformed')
  expect(consistencyCode({ ...consistency, oldSize: 8 })).toBe('malformed')
  expect(consistencyCode({ ...consistency, oldRoot: short })).toBe('malformed')
  expect(consistencyCode({ ...consistency, newRoot: short })).toBe('malformed')
  expect(consistencyCode({ ...consistency, path: consistency.path.with(1, short) })).toBe(
    'malformed',
  )
  expect(consistencyCode({ ...consistency, path: [...long, tree(0, 1)] })).toBe('too_large')
  const equal = consistencyOf(7, 7)
  expect(consistencyCode(equal)).toBe('accepted')
  expect(consistencyCode({ ...equal, oldRoot: tree(0, 6) })).toBe('root_mismatch')
  expect(consistencyCode({ ...equal, path: consistency.path })).toBe('malformed')
})

describe('up to 2^53−1 leaves', () => {
  const edge = (n: number): fc.Arbitrary<number> => fc.integer({ min: n - 40, max: n + 40 })
  const size = fc.oneof(
    edge(2 ** 31),
    edge(2 ** 32),
    edge(2 ** 33),
    fc.integer({ min: 2 ** 53 - 41, max: 2 ** 53 - 1 }),
    fc.integer({ min: 2, max: 2 ** 53 - 1 }),
  )
  const pair = fc.tuple(size, size).map(([a, b]) => [Math.min(a, b), Math.max(a, b)] as const)

  test('an inclusion path of random nodes leads where the recursion leads', () => {
    fc.assert(
      fc.property(pair, fc.integer(), ([below, treeSize], seed) => {
        const leafIndex = Math.min(below, treeSize - 1)
        const shape = naiveInclusion(() => leaves[0] ?? new Uint8Array(32), leafIndex, treeSize)
        const path = shape.map((_, at) => p.sha256(Uint8Array.of(at, seed % 256)))
        const leaf = naiveLeafHash(Uint8Array.of(1))
        const root = naiveFold(leafIndex, treeSize, leaf, path)
        expect(rootFromInclusion(p, leafIndex, treeSize, leaf, path)).toEqual(root)
        const proof = { leafIndex, treeSize, leafHash: leaf, path, root }
        expect(inclusionCode({ ...proof, path: path.slice(1) })).toBe('malformed')
        const swapped = path.toReversed()
        if (path.length > 1) {
          expect(inclusionCode({ ...proof, path: swapped })).toBe('inclusion_mismatch')
        }
      }),
      { numRuns: 300 },
    )
  })

  test('a consistency proof of the recursion holds, and not between other sizes', () => {
    const [before, after] = [naiveLeafHash(Uint8Array.of(1)), naiveLeafHash(Uint8Array.of(2))]
    fc.assert(
      fc.property(pair, ([oldSize, newSize]) => {
        const big = naiveTwoToneTree(oldSize, before, after)
        const proof = {
          oldSize,
          newSize,
          oldRoot: big(0, oldSize),
          newRoot: big(0, newSize),
          path: naiveConsistency(big, oldSize, newSize),
        }
        verifyConsistency(p, proof)
        if (oldSize === newSize) return
        // The same path with the first tree one leaf shorter: another shape or other roots.
        expect(consistencyCode({ ...proof, oldSize: oldSize - 1 })).not.toBe('accepted')
        const fork = naiveTwoToneTree(oldSize - 1, before, after)
        expect(consistencyCode({ ...proof, oldRoot: fork(0, oldSize) })).toBe(
          'consistency_mismatch',
        )
      }),
      { numRuns: 300 },
    )
  })

  test('the largest tree takes a path of 53 nodes, and 53 is the limit', () => {
    const path = Array.from({ length: 53 }, (_, at) => p.sha256(Uint8Array.of(at)))
    const leaf = naiveLeafHash(Uint8Array.of(1))
    const largest = 2 ** 53 - 1
    expect(rootFromInclusion(p, 0, largest, leaf, path)).toEqual(naiveFold(0, largest, leaf, path))
  })
})

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
  const value = vector[name]
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
