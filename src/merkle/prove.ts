/**
 * @module Inclusion, consistency and range proofs and roots at any size, from tiles (RFC 9162 §2.1.3, §2.1.4).
 *
 * A complete subtree of an earlier size is one of today's, so the nodes of today's tree prove at every size up to
 * today's. No I/O of its own; what the source of the nodes does is the source's.
 */
import type { Hash, Primitives } from '@trustwarden/proofs'
import { MerkleError } from './errors.ts'
import type { HashNode, NodeReader, NodeSource } from './tiles.ts'
import { emptyRoot, nodeHasher, tileNodes } from './tiles.ts'
import {
  HASH_LENGTH,
  checkSize,
  decompose,
  exactLog2,
  splitPoint,
  tilePosition,
} from './tree-math.ts'
import type { Subtree } from './tree-math.ts'

/** Leaves from `start` to `end`, exclusive. */
interface LeafRange {
  readonly start: number
  readonly end: number
}

/**
 * Proves against one tree size. Every node that stands in a proof is kept, so make one for each batch of proofs under one
 * head, and drop it with the batch; or one that keeps none but those of the right edge, 53 at most, and whose proofs are
 * views of tiles, for whoever reads them at once.
 */
export class Prover {
  /** The size of the tree that is proven against. */
  readonly size: number
  private readonly p: Pick<Primitives, 'sha256'>
  private readonly source: NodeSource
  private readonly hashNode: HashNode
  /** By height and index: nodes that stand in a proof, if they are kept: the same array in every proof then. */
  private readonly nodes: Map<number, Hash>[] | undefined
  /** By first leaf: the root of the incomplete subtree from there to the end of the tree. */
  private readonly rightEdges = new Map<number, Hash>()

  /**
   * @param source - Gives the nodes of a tree of at least `size` leaves.
   * @param keepsNodes - Whether the nodes of proofs are kept, for others that have them too; else they may be views.
   * @throws {MerkleError} `size_out_of_range` unless `size` is from 0 to 2^53 − 1.
   */
  constructor(p: Pick<Primitives, 'sha256'>, size: number, source: NodeSource, keepsNodes = true) {
    checkSize(size)
    this.p = p
    this.size = size
    this.source = source
    this.hashNode = nodeHasher(p)
    this.nodes = keepsNodes ? [] : undefined
  }

  /**
   * The root of the tree (RFC 9162 §2.1.1).
   *
   * @throws {MerkleError} `tile_malformed` if the reader gives too few hashes.
   */
  root(): Hash {
    return this.size === 0 ? emptyRoot(this.p) : this.rangeRoot(0, this.size)
  }

  /**
   * The inclusion proof of leaf `index`, leaf to root, 32 bytes each, at most 53 (RFC 9162 §2.1.3.1).
   *
   * @throws {MerkleError} `index_out_of_range` unless 0 ≤ index < size; `tile_malformed`.
   */
  inclusion(index: number): Hash[] {
    if (!Number.isSafeInteger(index) || index < 0 || index >= this.size) {
      const rule = `leaf index is ${index}, must be from 0 and below the size ${this.size}`
      throw new MerkleError('index_out_of_range', rule)
    }
    const path: Hash[] = []
    let start = 0
    let end = this.size
    while (end - start > 1) {
      const middle = start + splitPoint(end - start)
      if (index < middle) {
        path.push(this.rangeRoot(middle, end))
        end = middle
      } else {
        path.push(this.rangeRoot(start, middle))
        start = middle
      }
    }
    return path.reverse()
  }

  /**
   * The consistency proof from `oldSize` to this size (RFC 9162 §2.1.4.1). Empty where there is nothing to prove: from
   * size 0 and from this size itself.
   *
   * @throws {MerkleError} `size_out_of_range` unless 0 ≤ oldSize ≤ size; `tile_malformed`.
   */
  consistency(oldSize: number): Hash[] {
    checkSize(oldSize, this.size)
    const path: Hash[] = []
    if (oldSize === 0) return path
    let start = 0
    let end = this.size
    while (end !== oldSize) {
      const middle = start + splitPoint(end - start)
      if (oldSize <= middle) {
        path.push(this.rangeRoot(middle, end))
        end = middle
      } else {
        path.push(this.rangeRoot(start, middle))
        start = middle
      }
    }
    // The verifier has the old root itself; only a part of it has to be said.
    if (start > 0) path.push(this.rangeRoot(start, end))
    return path.reverse()
  }

  /**
   * The range proof of the leaves from `start` to `end` (exclusive): the roots of all that lies beside them, from the
   * inside out, at most 104 (FORMAT §11.4).
   *
   * @throws {MerkleError} `index_out_of_range` unless 0 ≤ start < end; `size_out_of_range` unless end ≤ size;
   *   `tile_malformed`.
   */
  range(start: number, end: number): Hash[] {
    checkSize(end, this.size)
    if (!Number.isSafeInteger(start) || start < 0 || start >= end) {
      const rule = `range starts at ${start}, must be from 0 and below its end ${end}`
      throw new MerkleError('index_out_of_range', rule)
    }
    const path: Hash[] = []
    this.pushBeside(path, { start: 0, end: this.size }, { start, end })
    return path
  }

  /** Pushes what lies in `within`, one of RFC 9162's ranges, and not in `range`, of which a part lies in it. */
  private pushBeside(path: Hash[], within: LeafRange, range: LeafRange): void {
    if (range.start <= within.start && within.end <= range.end) return
    const middle = within.start + splitPoint(within.end - within.start)
    const left = { start: within.start, end: middle }
    const right = { start: middle, end: within.end }
    if (range.start < middle) this.pushBeside(path, left, range)
    if (range.end > middle) this.pushBeside(path, right, range)
    // At most one of the two lies beside the range as a whole.
    if (range.end <= middle) path.push(this.rangeRoot(right.start, right.end))
    if (range.start >= middle) path.push(this.rangeRoot(left.start, left.end))
  }

  /** The root over the leaves from `start` to `end`, one of RFC 9162's ranges. */
  private rangeRoot(start: number, end: number): Hash {
    const height = exactLog2(end - start)
    if (height !== undefined) return this.nodeOf({ height, index: start / (end - start) })
    // Only the rightmost range at each level is incomplete, so `start` alone names it.
    const known = this.rightEdges.get(start)
    if (known !== undefined) return known
    let root: Hash | undefined
    for (const subtree of decompose(start, end).toReversed()) {
      const hash = this.source.node(tilePosition(subtree))
      root = root === undefined ? hash : this.hashNode(hash, root)
    }
    if (root === undefined) return emptyRoot(this.p)
    this.rightEdges.set(start, root)
    return root
  }

  /** A node. One that is kept is a copy of its own, made once: it outlives its tile. */
  private nodeOf(subtree: Subtree): Hash {
    const { height, index } = subtree
    if (this.nodes === undefined) return this.source.node(tilePosition(subtree))
    const ofHeight = (this.nodes[height] ??= new Map())
    let node = ofHeight.get(index)
    if (node === undefined) {
      node = ownHash(this.source.node(tilePosition(subtree)))
      ofHeight.set(index, node)
    }
    return node
  }
}

/**
 * Proves that leaf `index` is in the tree of `size` leaves: `Prover.inclusion` for a single proof.
 *
 * @throws {MerkleError} `index_out_of_range`; `size_out_of_range`; `tile_malformed`.
 */
export function proveInclusion(
  p: Pick<Primitives, 'sha256'>,
  index: number,
  size: number,
  reader: NodeReader,
): Hash[] {
  return new Prover(p, size, tileNodes(p, size, reader)).inclusion(index)
}

/**
 * Proves that the tree of `newSize` leaves extends that of `oldSize`: `Prover.consistency` for a single proof.
 *
 * @throws {MerkleError} `size_out_of_range`; `tile_malformed`.
 */
export function proveConsistency(
  p: Pick<Primitives, 'sha256'>,
  oldSize: number,
  newSize: number,
  reader: NodeReader,
): Hash[] {
  return new Prover(p, newSize, tileNodes(p, newSize, reader)).consistency(oldSize)
}

/**
 * The root of the tree at `size`: `Prover.root` for a single size.
 *
 * @throws {MerkleError} `size_out_of_range`; `tile_malformed`.
 */
export function rootAt(p: Pick<Primitives, 'sha256'>, size: number, reader: NodeReader): Hash {
  return new Prover(p, size, tileNodes(p, size, reader)).root()
}

/** A copy, byte by byte: for 32 of them `slice` takes several times as long, and of a Buffer it would be a view. */
function ownHash(hash: Hash): Hash {
  const own = new Uint8Array(HASH_LENGTH)
  for (let at = 0; at < HASH_LENGTH; at++) own[at] = hash[at] ?? 0
  return own
}
