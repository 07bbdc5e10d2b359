/**
 * @module Range proofs: that some leaves, in their order, are all of a tree from one index on, none left out and none
 * added. The proof is what RFC 9162 §2.1.1 hashes them with on the way to the root: for one leaf its inclusion proof
 * (§2.1.3.1), for a subtree that is a node of the tree the subtree consistency proof of
 * draft-ietf-plants-merkle-tree-certs §4.4, for the whole tree nothing.
 *
 *     RANGE(a, b, D[n])     0 ≤ a < b ≤ n; k the largest power of two below n
 *       a = 0 and b = n     {}
 *       b ≤ k               RANGE(a, b, D[0:k]) : MTH(D[k:n])
 *       a ≥ k               RANGE(a − k, b − k, D[k:n]) : MTH(D[0:k])
 *       otherwise           RANGE(a, k, D[0:k]) : RANGE(0, b − k, D[k:n])
 *
 * Indexes and sizes are safe integers and never touched by a bitwise operator (merkle.ts).
 */
import { equalBytes } from './bytes.ts'
import { check } from './errors.ts'
import { HASH_LENGTH, nodeHash } from './merkle.ts'
import type { Hash, Primitives } from './primitives.ts'

/** What a range proof claims: `leafHashes` are all leaves from `start` on, as many as they are. */
export interface RangeProof {
  /** Index of the first. */
  readonly start: number
  readonly treeSize: number
  /** At least one. */
  readonly leafHashes: readonly Hash[]
  /** The nodes beside the range, in the order of `RANGE`, at most 104. */
  readonly path: readonly Hash[]
  readonly root: Hash
}

/** Most nodes in a range proof: two for each level but the topmost of a tree of 2^53−1 leaves. */
export const RANGE_PATH_MAX = 104

/** A complete subtree of the range: `count` leaves, a power of two, from `start`, a multiple of it. */
interface Complete {
  readonly start: number
  readonly count: number
  readonly hash: Hash
}

/**
 * Folds the leaves of a range, as they come, to the root to which a proof leads. It keeps at most two hashes for each
 * level of the tree, however long the range is.
 */
export class RangeFold {
  readonly #p: Primitives
  readonly #start: number
  /** The fewest complete subtrees that cover the range, left to right. */
  readonly #subtrees: Complete[] = []
  #end: number

  /** @throws {ProofError} `malformed` for a start that is no index */
  constructor(p: Primitives, start: number) {
    checkInteger(start, 'start')
    this.#p = p
    this.#start = start
    this.#end = start
  }

  /** Index behind the last leaf so far. */
  get end(): number {
    return this.#end
  }

  /**
   * Takes in the next leaf.
   *
   * @throws {ProofError} `malformed` for a hash that is not 32 bytes, or a leaf beyond 2^53−1
   */
  append(leafHash: Hash): void {
    this.appendSubtree(leafHash, 1)
  }

  /**
   * Takes in the next `count` leaves, by the root of the complete subtree that they are.
   *
   * @throws {ProofError} `malformed` for a count that is no power of two, or leaves that are no subtree of the tree,
   *   which begins at a multiple of it; else as `append`
   */
  appendSubtree(hash: Hash, count: number): void {
    checkHash(hash, 'leafHash')
    checkInteger(this.#end + count, 'end')
    const isNode = Number.isInteger(Math.log2(count)) && this.#end % count === 0
    check(isNode, 'malformed', 'range: leaves that are no complete subtree')
    let last: Complete = { start: this.#end, count, hash }
    this.#end += count
    for (;;) {
      const before = this.#subtrees.at(-1)
      // Two of one size are siblings where the left one begins at a multiple of both together.
      if (before?.count !== last.count || before.start % (2 * last.count) !== 0) break
      this.#subtrees.pop()
      const hash = nodeHash(this.#p, before.hash, last.hash)
      last = { start: before.start, count: 2 * last.count, hash }
    }
    this.#subtrees.push(last)
  }

  /**
   * The root to which the leaves and `path` lead. It proves nothing until that root is found equal to a trusted one.
   * The fold stays as it was.
   *
   * @throws {ProofError} `malformed` for no leaves (they would show nothing), a size below the range's end or above
   *   2^53−1, a node that is not 32 bytes, or more or fewer nodes than the range demands; `too_large` for over 104.
   */
  root(treeSize: number, path: readonly Hash[]): Hash {
    const [start, end] = [this.#start, this.#end]
    checkInteger(treeSize, 'treeSize')
    check(start < end, 'malformed', 'range: no leaves')
    check(end <= treeSize, 'malformed', 'range: beyond treeSize')
    check(path.length <= RANGE_PATH_MAX, 'too_large', `path: over ${RANGE_PATH_MAX} nodes`)
    for (const node of path) checkHash(node, 'path')
    const subtrees = this.#subtrees.values()
    let subtree = subtrees.next().value
    let used = 0
    const beside = (): Hash => {
      const node = path[used]
      check(node !== undefined, 'malformed', 'path: shorter than the range demands')
      used += 1
      return node
    }
    // MTH(D[from:to]) of a node that has leaves of the range below it.
    const mth = (from: number, to: number): Hash => {
      if (subtree?.start === from && subtree.count === to - from) {
        const { hash } = subtree
        subtree = subtrees.next().value
        return hash
      }
      const middle = from + splitPoint(to - from)
      if (end <= middle) {
        const left = mth(from, middle)
        return nodeHash(this.#p, left, beside())
      }
      if (start >= middle) {
        const right = mth(middle, to)
        return nodeHash(this.#p, beside(), right)
      }
      const left = mth(from, middle)
      return nodeHash(this.#p, left, mth(middle, to))
    }
    const root = mth(0, treeSize)
    check(used === path.length, 'malformed', 'path: longer than the range demands')
    return root
  }
}

/**
 * Verifies that `leafHashes` are the leaves from `start` to `start` + their count of the tree under `root`, and all.
 *
 * @throws {ProofError} `inclusion_mismatch` if they lead elsewhere; `malformed` or `too_large` as `RangeFold`, and for a
 *   root that is not 32 bytes.
 * @see FORMAT §11.4
 */
export function verifyRange(p: Primitives, proof: RangeProof): void {
  const { start, treeSize, leafHashes, path, root } = proof
  checkHash(root, 'root')
  const fold = new RangeFold(p, start)
  for (const leafHash of leafHashes) fold.append(leafHash)
  const same = equalBytes(fold.root(treeSize, path), root)
  check(same, 'inclusion_mismatch', 'range: leaves and path do not lead to the root')
}

/** The largest power of two below `count`, for counts from 2 on. */
function splitPoint(count: number): number {
  let split = 1
  while (split * 2 < count) split *= 2
  return split
}

function checkInteger(n: number, field: string): void {
  check(Number.isSafeInteger(n) && n >= 0, 'malformed', `${field}: not an unsigned safe integer`)
}

function checkHash(hash: Hash, field: string): void {
  check(hash.length === HASH_LENGTH, 'malformed', `${field}: not 32 bytes`)
}
