/** @module Reading tiles, and the hashes between the rows that tiles store. */
import type { Hash, Primitives } from '@trustwarden/proofs'
import { MerkleError } from './errors.ts'
import { HASH_LENGTH, TILE_HEIGHT } from './tree-math.ts'

/** Where the prover gets its hashes. Synchronous: what is not in memory is read by the caller's own blocking get. */
export interface NodeReader {
  /**
   * The first `width` (1 to 256) hashes of tile `level`/`index`, 32 bytes each; more may follow them. A tile only ever
   * grows at its end, so today's tile serves every earlier size. The bytes must never change afterwards: the rows
   * above a full tile are remembered for as long as its array lives.
   */
  readonly readTile: (level: number, index: number, width: number) => Uint8Array
}

/** SHA-256(0x01 ‖ left ‖ right), the hash of an inner node (RFC 9162 §2.1.1). */
export type HashNode = (left: Uint8Array, right: Uint8Array) => Hash

/** Makes a `HashNode`; its one buffer is used again for every hash. */
export function nodeHasher(p: Pick<Primitives, 'sha256'>): HashNode {
  const node = new Uint8Array(1 + 2 * HASH_LENGTH)
  node[0] = 1
  return (left, right) => {
    node.set(left, 1)
    node.set(right, 1 + HASH_LENGTH)
    return p.sha256(node)
  }
}

/** SHA-256 of nothing, the root of the empty tree (RFC 9162 §2.1.1). */
export function emptyRoot(p: Pick<Primitives, 'sha256'>): Hash {
  return p.sha256(new Uint8Array(0))
}

/** A view of hash `at` in a row of hashes. */
export function hashAt(row: Uint8Array, at: number): Hash {
  return row.subarray(at * HASH_LENGTH, (at + 1) * HASH_LENGTH)
}

/**
 * Reads the first `width` hashes of a tile.
 *
 * @throws {MerkleError} `tile_malformed` if the reader gives fewer bytes.
 */
export function readTile(
  reader: NodeReader,
  level: number,
  index: number,
  width: number,
): Uint8Array {
  const bytes = reader.readTile(level, index, width)
  const length = width * HASH_LENGTH
  if (bytes.length < length) {
    const rule = `tile ${level}/${index} is ${bytes.length} bytes, at least ${length} are needed`
    throw new MerkleError('tile_malformed', rule)
  }
  return bytes.length === length ? bytes : bytes.subarray(0, length)
}

/** All rows of a tile, its own hashes first: row r holds the roots of the complete subtrees of 2^r of them. */
export function tileRows(hashNode: HashNode, tile: Uint8Array): readonly Uint8Array[] {
  const rows = [tile]
  let below = tile
  for (let row = 1; row <= TILE_HEIGHT; row++) {
    const width = Math.floor(below.length / (2 * HASH_LENGTH))
    if (width === 0) break
    const above = new Uint8Array(width * HASH_LENGTH)
    for (let at = 0; at < width; at++) {
      above.set(hashNode(hashAt(below, 2 * at), hashAt(below, 2 * at + 1)), at * HASH_LENGTH)
    }
    rows.push(above)
    below = above
  }
  return rows
}

/** The root of a full tile, given its rows: the hash that stands for it in the tile above. */
export function topOf(rows: readonly Uint8Array[]): Hash {
  const top = rows[TILE_HEIGHT]
  if (top === undefined) throw new MerkleError('tile_malformed', 'tile is not full')
  return top
}
