/**
 * @module The Merkle tree of RFC 9162 as a verifier sees it: leaf and node hashes, inclusion, consistency.
 *
 * Sizes and indexes are safe integers (0 to 2^53−1) and are never touched by a bitwise operator, which would cut them
 * off at 32 bits. `lsb`, `fn`, `sn`, `fr` and `sr` are the RFC's names.
 */
import { concatBytes, equalBytes } from './bytes.ts'
import { check } from './errors.ts'
import type { Hash, Primitives } from './primitives.ts'

/** What an inclusion proof claims: `leafHash` is at `leafIndex` of the `treeSize` leaves under `root`. */
export interface InclusionProof {
  readonly leafIndex: number
  readonly treeSize: number
  readonly leafHash: Hash
  /** Sibling hashes, from the leaf's to the root's child, at most 53. */
  readonly path: readonly Hash[]
  readonly root: Hash
}

/** What a consistency proof claims: the first `oldSize` of the `newSize` leaves under `newRoot` have `oldRoot`. */
export interface ConsistencyProof {
  readonly oldSize: number
  readonly newSize: number
  readonly oldRoot: Hash
  readonly newRoot: Hash
  /** The proof's nodes in the order of RFC 9162 §2.1.4.1, at most 54; none for equal sizes. */
  readonly path: readonly Hash[]
}

/** The length of every hash of the tree, in bytes. */
export const HASH_LENGTH = 32

/** Most nodes in an inclusion proof: the height of a tree of 2^53−1 leaves. */
export const INCLUSION_PATH_MAX = 53

const CONSISTENCY_PATH_MAX = INCLUSION_PATH_MAX + 1
const LEAF_PREFIX = Uint8Array.of(0)
/** Where an entry gets its prefix, which stays there: nothing waits between writing and hashing. */
const leaf = new Uint8Array(16_384)
const NODE_PREFIX = Uint8Array.of(1)
/** Likewise for two hashes. */
const node: Uint8Array = Uint8Array.of(1, ...new Uint8Array(2 * HASH_LENGTH))

/** Hashes an entry to its leaf: SHA-256(0x00 ‖ entry). @see RFC 9162 §2.1.1 */
export function leafHash(p: Primitives, entry: Uint8Array): Hash {
  if (entry.length >= leaf.length) return p.sha256(concatBytes(LEAF_PREFIX, entry))
  leaf.set(entry, 1)
  return p.sha256(leaf.subarray(0, 1 + entry.length))
}

/** Hashes two nodes to their parent: SHA-256(0x01 ‖ left ‖ right). @see RFC 9162 §2.1.1 */
export function nodeHash(p: Primitives, left: Hash, right: Hash): Hash {
  if (left.length !== HASH_LENGTH || right.length !== HASH_LENGTH)
    return p.sha256(concatBytes(NODE_PREFIX, left, right))
  node.set(left, 1)
  node.set(right, 1 + HASH_LENGTH)
  return p.sha256(node)
}

/** The root of the tree without leaves: SHA-256 of nothing. @see RFC 9162 §2.1.1 */
export function emptyRoot(p: Primitives): Hash {
  return p.sha256(new Uint8Array())
}

/**
 * Folds an inclusion path to the root to which it leads. It proves nothing until that root is found equal to a trusted
 * one, or verified under a signature.
 *
 * Requires 0 ≤ leafIndex < treeSize ≤ 2^53−1; costs one hash for each node of the path.
 *
 * @throws {ProofError} `malformed` for an index or size out of range, a hash that is not 32 bytes, or a path of another
 *   length than the tree demands; `too_large` for more than 53 nodes.
 * @see RFC 9162 §2.1.3.2
 */
export function rootFromInclusion(
  p: Primitives,
  leafIndex: number,
  treeSize: number,
  hash: Hash,
  path: readonly Hash[],
): Hash {
  checkSize(leafIndex, 'leafIndex')
  checkSize(treeSize, 'treeSize')
  check(leafIndex < treeSize, 'malformed', 'leafIndex: not below treeSize')
  checkHash(hash, 'leafHash')
  checkPath(path, INCLUSION_PATH_MAX)
  let fn = leafIndex
  let sn = treeSize - 1
  let root = hash
  for (const sibling of path) {
    check(sn > 0, 'malformed', 'path: longer than the tree is high')
    if (lsb(fn) || fn === sn) {
      root = nodeHash(p, sibling, root)
      // The last node of a level that has no sibling goes up as it is.
      while (!lsb(fn) && fn > 0) {
        fn = half(fn)
        sn = half(sn)
      }
    } else {
      root = nodeHash(p, root, sibling)
    }
    fn = half(fn)
    sn = half(sn)
  }
  check(sn === 0, 'malformed', 'path: shorter than the tree is high')
  return root
}

/**
 * Verifies that `leafHash` is the `leafIndex`-th of the `treeSize` leaves under `root`.
 *
 * @throws {ProofError} `inclusion_mismatch` if the path leads elsewhere; `malformed` or `too_large` as
 *   `rootFromInclusion`, and for a root that is not 32 bytes.
 * @see RFC 9162 §2.1.3.2
 */
export function verifyInclusion(p: Primitives, proof: InclusionProof): void {
  checkHash(proof.root, 'root')
  const root = rootFromInclusion(p, proof.leafIndex, proof.treeSize, proof.leafHash, proof.path)
  check(equalBytes(root, proof.root), 'inclusion_mismatch', 'the path does not lead to the root')
}

/**
 * Verifies that the tree under `newRoot` begins with the tree under `oldRoot`.
 *
 * Requires 1 ≤ oldSize ≤ newSize ≤ 2^53−1: every tree begins with the empty one, so a proof from size 0 would say
 * nothing and is refused. Equal sizes need an empty path and equal roots.
 *
 * @throws {ProofError} `consistency_mismatch` if the path does not connect the roots; `root_mismatch` for two roots of
 *   one size; `malformed` for sizes out of range, a hash that is not 32 bytes, or a path of another length than the
 *   sizes demand; `too_large` for more than 54 nodes.
 * @see RFC 9162 §2.1.4.2
 */
export function verifyConsistency(p: Primitives, proof: ConsistencyProof): void {
  const { oldSize, newSize, oldRoot, newRoot, path } = proof
  checkSize(oldSize, 'oldSize')
  checkSize(newSize, 'newSize')
  check(oldSize >= 1, 'malformed', 'oldSize: 0, at least 1')
  check(oldSize <= newSize, 'malformed', 'oldSize: above newSize')
  checkHash(oldRoot, 'oldRoot')
  checkHash(newRoot, 'newRoot')
  checkPath(path, CONSISTENCY_PATH_MAX)
  if (oldSize === newSize) {
    check(path.length === 0, 'malformed', 'path: not empty between equal sizes')
    check(equalBytes(oldRoot, newRoot), 'root_mismatch', 'two roots of one size')
    return
  }
  let fn = oldSize - 1
  let sn = newSize - 1
  while (lsb(fn)) {
    fn = half(fn)
    sn = half(sn)
  }
  // For a power of two the old root is itself a node of the new tree and is left out of the path.
  const [seed, ...rest] = fn === 0 ? [oldRoot, ...path] : path
  check(seed !== undefined, 'malformed', 'path: empty between different sizes')
  let fr = seed
  let sr = seed
  for (const node of rest) {
    check(sn > 0, 'malformed', 'path: longer than the sizes demand')
    if (lsb(fn) || fn === sn) {
      fr = nodeHash(p, node, fr)
      sr = nodeHash(p, node, sr)
      while (!lsb(fn) && fn > 0) {
        fn = half(fn)
        sn = half(sn)
      }
    } else {
      sr = nodeHash(p, sr, node)
    }
    fn = half(fn)
    sn = half(sn)
  }
  check(sn === 0, 'malformed', 'path: shorter than the sizes demand')
  const connected = equalBytes(fr, oldRoot) && equalBytes(sr, newRoot)
  check(connected, 'consistency_mismatch', 'the path does not connect the two roots')
}

function lsb(n: number): boolean {
  return n % 2 === 1
}

function half(n: number): number {
  return Math.floor(n / 2)
}

function checkSize(n: number, field: string): void {
  check(Number.isSafeInteger(n) && n >= 0, 'malformed', `${field}: not an unsigned safe integer`)
}

function checkHash(hash: Hash, field: string): void {
  check(hash.length === HASH_LENGTH, 'malformed', `${field}: not 32 bytes`)
}

function checkPath(path: readonly Hash[], nodesMax: number): void {
  check(path.length <= nodesMax, 'too_large', `path: over ${nodesMax} nodes`)
  for (const node of path) checkHash(node, 'path')
}
