/** @module Reading tiles, and the hashes between the rows that tiles store. */
import type { Hash, Primitives } from '@trustwarden/proofs'
import { MerkleError } from './errors.ts'
import { HASH_LENGTH, TILE_HEIGHT, tileWidth } from './tree-math.ts'
import type { TilePosition } from './tree-math.ts'

/** Where the prover gets its nodes: what a complete subtree's root is does not depend on the size of the tree. */
export interface NodeSource {
  /**
   * The root of a complete subtree of the tree that is proven against, maybe as a view of what others read too.
   *
   * @throws {MerkleError} `tile_malformed`
   */
  readonly node: (position: TilePosition) => Hash
}

/** Reads tiles. Synchronous: what is not in memory is read by the caller's own blocking get. */
export interface NodeReader {
  /**
   * The first `width` (1 to 256) hashes of tile `level`/`index`, 32 bytes each; more may follow them. A tile only ever
   * grows at its end, so today's tile serves every earlier size. The bytes must never change afterwards.
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
    // Byte by byte: for 32 of them `set` costs as much as the hash.
    for (let at = 0; at < HASH_LENGTH; at++) {
      node[1 + at] = left[at] ?? 0
      node[1 + HASH_LENGTH + at] = right[at] ?? 0
    }
    return p.sha256(node)
  }
}

/** The hashes above a row: of its pairs, an odd last one left out. */
function rowAbove(p: Pick<Primitives, 'sha256'>, row: Uint8Array): Uint8Array {
  const width = Math.floor(row.length / (2 * HASH_LENGTH))
  const above = new Uint8Array(width * HASH_LENGTH)
  for (let pair = 0; pair < width; pair++) {
    const from = pair * 2 * HASH_LENGTH
    // Byte by byte, as in `nodeHasher`.
    for (let at = 0; at < 2 * HASH_LENGTH; at++) pairOfRow[1 + at] = row[from + at] ?? 0
    const hash = p.sha256(pairOfRow)
    for (let at = 0; at < HASH_LENGTH; at++) above[pair * HASH_LENGTH + at] = hash[at] ?? 0
  }
  return above
}

/** 0x01 and two hashes: read before anything else is written there. */
const pairOfRow = new Uint8Array(1 + 2 * HASH_LENGTH)
pairOfRow[0] = 1

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
export function tileRows(p: Pick<Primitives, 'sha256'>, tile: Uint8Array): readonly Uint8Array[] {
  const rows = [tile]
  let below = tile
  for (let row = 1; row <= TILE_HEIGHT && below.length >= 2 * HASH_LENGTH; row++) {
    below = rowAbove(p, below)
    rows.push(below)
  }
  return rows
}

/** The node at a position, given the rows of its tile. @throws {MerkleError} `tile_malformed` if they do not have it */
export function nodeOf(rows: readonly Uint8Array[], position: TilePosition): Hash {
  const { level, tileIndex, row, offset } = position
  const hashes = rows[row]
  if (hashes === undefined || hashes.length < (offset + 1) * HASH_LENGTH) {
    const rule = `tile ${level}/${tileIndex} does not have node ${offset} of row ${row}`
    throw new MerkleError('tile_malformed', rule)
  }
  return hashAt(hashes, offset)
}

/** The nodes of the tree of `size` leaves, from its tiles: each is read once, and its rows are kept. */
export function tileNodes(
  p: Pick<Primitives, 'sha256'>,
  size: number,
  reader: NodeReader,
): NodeSource {
  const levels: Map<number, readonly Uint8Array[]>[] = []
  return {
    node: (position) => {
      const { level, tileIndex } = position
      const ofLevel = (levels[level] ??= new Map())
      let rows = ofLevel.get(tileIndex)
      if (rows === undefined) {
        rows = tileRows(p, readTile(reader, level, tileIndex, tileWidth(size, level, tileIndex)))
        ofLevel.set(tileIndex, rows)
      }
      return nodeOf(rows, position)
    },
  }
}

/** The root of a full tile, given its rows: the hash that stands for it in the tile above. */
export function topOf(rows: readonly Uint8Array[]): Hash {
  const top = rows[TILE_HEIGHT]
  if (top === undefined) throw new MerkleError('tile_malformed', 'tile is not full')
  return top
}
