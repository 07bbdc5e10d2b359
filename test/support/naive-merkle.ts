/**
 * @module The Merkle tree of RFC 9162 §2.1 as the RFC writes it: recursions on ranges of leaves, nothing clever. The
 * reference against which the kit and the service are compared; it shares no code with either.
 */
import { createHash } from 'node:crypto'

/** MTH(D[lo:hi]) of some tree, for 0 ≤ lo ≤ hi. */
export type RangeRoot = (lo: number, hi: number) => Uint8Array

/** SHA-256(0x00 ‖ entry). */
export function naiveLeafHash(entry: Uint8Array): Uint8Array {
  return sha256(Uint8Array.of(0), entry)
}

/** SHA-256(0x01 ‖ left ‖ right). */
export function naiveNodeHash(left: Uint8Array, right: Uint8Array): Uint8Array {
  return sha256(Uint8Array.of(1), left, right)
}

/** The largest power of two below n, for n ≥ 2. */
export function naiveSplit(n: number): number {
  let k = 1
  while (k * 2 < n) k *= 2
  return k
}

/** `count` leaf hashes, each another: those of the entries '0', '1', '2', … */
export function naiveLeaves(count: number): Uint8Array[] {
  return Array.from({ length: count }, (_, index) => naiveLeafHash(Buffer.from(String(index))))
}

/** MTH(D[start:end]) over these leaf hashes (RFC 9162 §2.1.1); of all of them unless said otherwise. */
export function naiveRoot(
  leafHashes: readonly Uint8Array[],
  start = 0,
  end: number = leafHashes.length,
): Uint8Array {
  return computeRoot((lo, hi) => naiveRoot(leafHashes, lo, hi), leafHashes, start, end)
}

/** As `naiveRoot`, but each range is computed once and remembered. */
export function naiveTree(leafHashes: readonly Uint8Array[]): RangeRoot {
  const known = new Map<string, Uint8Array>()
  const rootOf: RangeRoot = (lo, hi) => {
    const name = `${lo} ${hi}`
    const root = known.get(name) ?? computeRoot(rootOf, leafHashes, lo, hi)
    known.set(name, root)
    return root
  }
  return rootOf
}

/**
 * MTH of an endless tree whose leaves [0, boundary) all have the hash `before`, and all others `after`. A range of
 * equal leaves depends on its size alone, so that trees of 2^53−1 leaves can be had.
 */
export function naiveTwoToneTree(
  boundary: number,
  before: Uint8Array,
  after: Uint8Array,
): RangeRoot {
  const known = new Map<string, Uint8Array>()
  const rootOf: RangeRoot = (lo, hi) => {
    if (lo < boundary && boundary < hi) {
      const k = naiveSplit(hi - lo)
      return naiveNodeHash(rootOf(lo, lo + k), rootOf(lo + k, hi))
    }
    const leaf = lo < boundary ? before : after
    if (hi - lo === 1) return leaf
    const name = `${leaf === before} ${hi - lo}`
    const k = naiveSplit(hi - lo)
    const root = known.get(name) ?? naiveNodeHash(rootOf(lo, lo + k), rootOf(lo + k, hi))
    known.set(name, root)
    return root
  }
  return rootOf
}

/** PATH(m, D[lo:lo+n]) (RFC 9162 §2.1.3.1). */
export function naiveInclusion(rootOf: RangeRoot, m: number, n: number, lo = 0): Uint8Array[] {
  if (n === 1) return []
  const k = naiveSplit(n)
  return m < k
    ? [...naiveInclusion(rootOf, m, k, lo), rootOf(lo + k, lo + n)]
    : [...naiveInclusion(rootOf, m - k, n - k, lo + k), rootOf(lo, lo + k)]
}

/** PROOF(m, D[0:n]) (RFC 9162 §2.1.4.1). */
export function naiveConsistency(rootOf: RangeRoot, m: number, n: number): Uint8Array[] {
  return subproof(rootOf, m, 0, n, true)
}

/** RANGE(a, b, D[lo:lo+n]) (FORMAT §11.4): what lies beside the leaves from a to b, for 0 ≤ a < b ≤ n. */
export function naiveRange(
  rootOf: RangeRoot,
  a: number,
  b: number,
  n: number,
  lo = 0,
): Uint8Array[] {
  if (a === 0 && b === n) return []
  const k = naiveSplit(n)
  if (b <= k) return [...naiveRange(rootOf, a, b, k, lo), rootOf(lo + k, lo + n)]
  if (a >= k) return [...naiveRange(rootOf, a - k, b - k, n - k, lo + k), rootOf(lo, lo + k)]
  return [...naiveRange(rootOf, a, k, k, lo), ...naiveRange(rootOf, 0, b - k, n - k, lo + k)]
}

/** The root to which a path leads, by the recursion of PATH read backwards. It takes path nodes from the root down. */
export function naiveFold(
  m: number,
  n: number,
  leaf: Uint8Array,
  path: readonly Uint8Array[],
): Uint8Array {
  const top = path.at(-1)
  if (top === undefined) return leaf
  const k = naiveSplit(n)
  const below = path.slice(0, -1)
  return m < k
    ? naiveNodeHash(naiveFold(m, k, leaf, below), top)
    : naiveNodeHash(top, naiveFold(m - k, n - k, leaf, below))
}

function subproof(
  rootOf: RangeRoot,
  m: number,
  lo: number,
  n: number,
  whole: boolean,
): Uint8Array[] {
  if (m === n) return whole ? [] : [rootOf(lo, lo + n)]
  const k = naiveSplit(n)
  return m <= k
    ? [...subproof(rootOf, m, lo, k, whole), rootOf(lo + k, lo + n)]
    : [...subproof(rootOf, m - k, lo + k, n - k, false), rootOf(lo, lo + k)]
}

function computeRoot(
  rootOf: RangeRoot,
  leafHashes: readonly Uint8Array[],
  lo: number,
  hi: number,
): Uint8Array {
  if (lo === hi) return sha256()
  const leaf = leafHashes[lo]
  if (leaf === undefined || hi > leafHashes.length) throw new Error('range beyond the leaves')
  if (hi - lo === 1) return leaf
  const k = naiveSplit(hi - lo)
  return naiveNodeHash(rootOf(lo, lo + k), rootOf(lo + k, hi))
}

function sha256(...parts: readonly Uint8Array[]): Uint8Array {
  const hash = createHash('sha256')
  for (const part of parts) hash.update(part)
  return new Uint8Array(hash.digest())
}
