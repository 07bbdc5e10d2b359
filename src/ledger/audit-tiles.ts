/**
 * @module Compares the tiles of a log with the leaf hashes of a range of its entries, level by level, as they come, and folds
 * them towards the root. What a tile holds beside the range is left alone; a tile above level 0 is compared where all below
 * it lies in the range.
 */
import type { Hash, RangeFold } from '@trustwarden/proofs'
import { nativePrimitives } from '../crypto.ts'
import { hashAt, tileRows, topOf } from '../merkle/tiles.ts'
import { HASH_LENGTH, TILE_WIDTH, tileWidth } from '../merkle/tree-math.ts'
import { Difference, differ } from './audit-difference.ts'

/** Reads the first `width` hashes of a tile. */
export type ReadTile = (level: number, index: number, width: number) => Promise<Uint8Array>

/** Hashes of one tile that are known, from the `first`-th on. */
interface Slice {
  readonly tile: number
  readonly first: number
  readonly hashes: Hash[]
}

/** Takes the leaf hashes of a range in order. It keeps at most one tile of each level. */
export class TileComparison {
  readonly #size: number
  readonly #readTile: ReadTile
  readonly #fold: RangeFold
  readonly #levels: (Slice | undefined)[] = []
  #compared = 0

  /**
   * @param size - Of the tree whose tiles are read.
   * @param fold - Of the range: given each leaf once its tile is compared.
   */
  constructor(size: number, readTile: ReadTile, fold: RangeFold) {
    this.#size = size
    this.#readTile = readTile
    this.#fold = fold
  }

  /** Tiles that were compared so far, in part or whole. */
  get compared(): number {
    return this.#compared
  }

  /**
   * Takes the next hashes of `level`, the first of which is its `position`-th. They are all of one tile.
   *
   * @throws {Difference} `tile`
   */
  async take(level: number, position: number, hashes: readonly Hash[]): Promise<void> {
    const tile = Math.floor(position / TILE_WIDTH)
    const slice = this.#levels[level] ?? { tile, first: position - tile * TILE_WIDTH, hashes: [] }
    this.#levels[level] = slice
    slice.hashes.push(...hashes)
    if (slice.first + slice.hashes.length === TILE_WIDTH) await this.#close(level, slice)
  }

  /** Compares what is left: the tiles in which the range ends. @throws {Difference} `tile` */
  async finish(): Promise<void> {
    for (let level = 0; level < this.#levels.length; level++) {
      const slice = this.#levels[level]
      if (slice === undefined) continue
      await this.#compare(level, slice)
      if (level === 0) this.#foldLeaves(slice)
    }
  }

  async #close(level: number, slice: Slice): Promise<void> {
    this.#levels[level] = undefined
    const bytes = await this.#compare(level, slice)
    if (slice.first > 0) {
      if (level === 0) this.#foldLeaves(slice)
      return
    }
    const top = topOf(tileRows(nativePrimitives, bytes)).slice()
    if (level === 0) this.#fold.appendSubtree(top, TILE_WIDTH)
    await this.take(level + 1, slice.tile, [top])
  }

  #foldLeaves({ hashes }: Slice): void {
    for (const hash of hashes) this.#fold.append(hash)
  }

  async #compare(level: number, { tile, first, hashes }: Slice): Promise<Uint8Array> {
    const width = tileWidth(this.#size, level, tile)
    const bytes = await this.#readTile(level, tile, width)
    const name = `tile ${level}/${tile}`
    differ(
      bytes.length === width * HASH_LENGTH,
      'malformed',
      `${name} is ${bytes.length} bytes, not ${width * HASH_LENGTH}`,
    )
    this.#compared++
    const same = bytes.subarray(first * HASH_LENGTH, (first + hashes.length) * HASH_LENGTH)
    if (Buffer.compare(Buffer.concat(hashes), same) === 0) return bytes
    for (const [at, hash] of hashes.entries()) {
      if (Buffer.compare(hashAt(bytes, first + at), hash) === 0) continue
      const covered = TILE_WIDTH ** level
      const index = (tile * TILE_WIDTH + first + at) * covered
      const what = level === 0 ? 'that entry' : `the ${covered} entries from there on`
      throw new Difference('tile', `${name} does not hold the hash of ${what}`, index)
    }
    return bytes
  }
}
