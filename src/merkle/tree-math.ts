/**
 * @module Where things lie in a Merkle tree of RFC 9162 §2.1 and in its tiles of height 8 (C2SP tlog-tiles).
 *
 * Sizes and indexes are safe integers up to 2^53 − 1. Bitwise operators are 32-bit in JavaScript and never used on
 * them; powers of two are exact in a double, so division and floor are too.
 */
import { MerkleError } from './errors.ts'

/** The most leaves a tree can have. */
export const TREE_SIZE_MAX: number = Number.MAX_SAFE_INTEGER
/** Length of a hash in bytes. */
export const HASH_LENGTH = 32
/** Levels of the tree that one level of tiles spans (C2SP tlog-tiles). */
export const TILE_HEIGHT = 8
/** Hashes in a full tile: 2^TILE_HEIGHT. */
export const TILE_WIDTH = 256

/** A complete subtree: the leaves from `index`·2^`height` up to, not including, (`index` + 1)·2^`height`. */
export interface Subtree {
  readonly height: number
  readonly index: number
}

/** Where a complete subtree's root comes from: row `row` (0 = the tile's own hashes) of one tile, at `offset` in it. */
export interface TilePosition {
  readonly level: number
  readonly tileIndex: number
  readonly row: number
  readonly offset: number
}

/**
 * Checks that `size` is an integer from 0 to `max`.
 *
 * @throws {MerkleError} `size_out_of_range`.
 */
export function checkSize(size: number, max: number = TREE_SIZE_MAX): void {
  if (!Number.isSafeInteger(size) || size < 0 || size > max) {
    throw new MerkleError('size_out_of_range', `size is ${size}, must be from 0 to ${max}`)
  }
}

/** 2^0 to 2^53. */
const POWERS: readonly number[] = Array.from({ length: 54 }, (_, height) => 2 ** height)

/** The height of the largest power of two that is at most `count`, from 1 on. */
function heightBelow(count: number): number {
  return count < 2 ** 32 ? 31 - Math.clz32(count) : 63 - Math.clz32(count / 2 ** 32)
}

/** The largest power of two below `size`, for sizes from 2 on (RFC 9162 §2.1.1: k < n ≤ 2k). */
export function splitPoint(size: number): number {
  return POWERS[heightBelow(size - 1)] ?? 1
}

/** The base-2 logarithm of `count` if it is a power of two, otherwise nothing. */
export function exactLog2(count: number): number | undefined {
  if (!(count >= 1)) return undefined
  const height = heightBelow(count)
  return POWERS[height] === count ? height : undefined
}

/**
 * Splits the leaves from `start` to `end` into complete subtrees, left to right, each smaller than the one before.
 * `start` must be a multiple of a power of two that is at least `end − start`, as it is for every range of RFC 9162.
 */
export function decompose(start: number, end: number): readonly Subtree[] {
  const subtrees: Subtree[] = []
  let at = start
  let height = 0
  while (2 ** (height + 1) <= end - start) height++
  for (; height >= 0; height--) {
    const count = 2 ** height
    if (at + count <= end) {
      subtrees.push({ height, index: at / count })
      at += count
    }
  }
  return subtrees
}

/** How many hashes tile level `level` has in a tree of `size` leaves, over all its tiles: floor(size / 256^level). */
export function levelWidth(size: number, level: number): number {
  return Math.floor(size / (POWERS[TILE_HEIGHT * level] ?? Number.POSITIVE_INFINITY))
}

/** How many tiles of `level` are full in a tree of `size` leaves: also the index of the partial one, if any. */
export function fullTileCount(size: number, level: number): number {
  return levelWidth(size, level + 1)
}

/** The width of the partial tile of `level` in a tree of `size` leaves, 0 (there is none) to 255. */
export function partialWidth(size: number, level: number): number {
  return levelWidth(size, level) % TILE_WIDTH
}

/** The width of the tile `level`/`index` in a tree of `size` leaves: 256 if full, 0 if there is none yet. */
export function tileWidth(size: number, level: number, index: number): number {
  return Math.max(0, Math.min(TILE_WIDTH, levelWidth(size, level) - index * TILE_WIDTH))
}

/** How many tile levels a tree of `size` leaves has: 0 for none, at most 7. */
export function tileLevels(size: number): number {
  let levels = 0
  while (levelWidth(size, levels) > 0) levels++
  return levels
}

/** The tile, row and offset from which a complete subtree's root is computed. */
export function tilePosition({ height, index }: Subtree): TilePosition {
  const row = height % TILE_HEIGHT
  const rowWidth = POWERS[TILE_HEIGHT - row] ?? 1
  const tileIndex = Math.floor(index / rowWidth)
  const level = (height - row) / TILE_HEIGHT
  return { level, tileIndex, row, offset: index - tileIndex * rowWidth }
}
