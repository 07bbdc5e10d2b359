/**
 * @module Nodes of full tiles, in bounded memory. What is read from disk proves nothing until it was held against what is
 * known already: a whole tile against the hash that the tile above has of it, up to the edge, whose root is the signed
 * one; a part of a tile that was checked once against the nodes that were kept of it.
 *
 * Of a tile of leaf hashes that is not kept whole the rows from `KEPT_ROW` up are kept, 2 KiB: what is below is computed from
 * the 8 leaf hashes around the one that is asked for. A tile that is met first costs its 255 hashes; from then on nothing
 * while it is kept whole, and a read and 7 hashes after (measured for a proof among a million entries: 16 and 25 µs).
 */
import type { Hash } from '@trustwarden/proofs'
import { nativePrimitives } from '../crypto.ts'
import type { Edge } from '../merkle/grow.ts'
import { hashAt, nodeOf, tileRows, topOf } from '../merkle/tiles.ts'
import {
  HASH_LENGTH,
  TILE_HEIGHT,
  TILE_WIDTH,
  fullTileCount,
  tilePosition,
} from '../merkle/tree-math.ts'
import type { TilePosition } from '../merkle/tree-math.ts'
import { StoreError } from '../store/errors.ts'
import { Cache } from './cache.ts'
import { LedgerError } from './errors.ts'

/** Tiles kept with all their rows, 16 KiB each, 64 MiB in all, a million entries: those above the leaves', and those met last. */
const WHOLE_TILES = 4096

/** The lowest row that is kept of every tile of leaf hashes, when it is not kept whole. */
const KEPT_ROW = 3
/** Hashes of a tile under one node of that row. */
const GROUP_WIDTH: number = 2 ** KEPT_ROW
/** Tiles of leaf hashes of which those rows are kept, 2 KiB each, 48 MiB in all: 6.3 million entries. */
const KEPT_TILES = 24_576
/** More than any tile's index. */
const LEVEL_STRIDE = 2 ** 46

/** The upper rows of a tile of leaf hashes. */
interface KeptTile {
  readonly index: number
  readonly nodes: Uint8Array
}

/** The rows above 8 leaf hashes. */
interface Group {
  readonly tileIndex: number
  readonly number: number
  readonly rows: readonly Uint8Array[]
}

/** Reads full tiles of the published tree. */
export class FullTiles {
  readonly #read: (level: number, index: number) => Uint8Array | undefined
  readonly #edge: () => Edge
  readonly #whole: Cache<number, readonly Uint8Array[]>
  /** By index modulo `KEPT_TILES`: a tile pushes out the one that is so many before or behind it. */
  readonly #kept: (KeptTile | undefined)[] = []
  /** The nodes of a path in one group are asked for one after the other. */
  #group: Group | undefined

  /**
   * @param read - A full tile as it is on disk.
   * @param edge - Of the published tree.
   * @param wholeTiles - How many are kept with all their rows.
   */
  constructor(
    read: (level: number, index: number) => Uint8Array | undefined,
    edge: () => Edge,
    wholeTiles: number = WHOLE_TILES,
  ) {
    this.#read = read
    this.#edge = edge
    this.#whole = new Cache(wholeTiles)
  }

  /** The hashes of a tile. @throws {StoreError} `tile_corrupt` @throws {LedgerError} `state_damaged` */
  tile(level: number, index: number): Uint8Array {
    const [hashes] = this.#rows(level, index)
    return hashes ?? new Uint8Array(0)
  }

  /** A node of a tile, maybe as a view. @throws as `tile` */
  node(position: TilePosition): Hash {
    const { level, tileIndex, row, offset } = position
    if (level > 0) return nodeOf(this.#rows(level, tileIndex), position)
    if (row >= KEPT_ROW) return hashAt(this.#keptOf(tileIndex), keptAt(row, offset))
    const whole = this.#whole.get(tileIndex, () => undefined)
    if (whole !== undefined) return nodeOf(whole, position)
    const number = Math.floor((offset * 2 ** row) / GROUP_WIDTH)
    const { rows } = this.#groupOf(tileIndex, number)
    return nodeOf(rows, { ...position, offset: offset - (number * GROUP_WIDTH) / 2 ** row })
  }

  #groupOf(tileIndex: number, number: number): Group {
    const known = this.#group
    if (known?.tileIndex === tileIndex && known.number === number) return known
    const kept = this.#keptOf(tileIndex)
    const hashes = this.#stored(0, tileIndex)
    const start = number * GROUP_WIDTH * HASH_LENGTH
    const rows = tileRows(nativePrimitives, hashes.slice(start, start + GROUP_WIDTH * HASH_LENGTH))
    const top = hashAt(rows[KEPT_ROW] ?? NOTHING, 0)
    checkSame(top, hashAt(kept, keptAt(KEPT_ROW, number)), 0, tileIndex)
    this.#group = { tileIndex, number, rows }
    return this.#group
  }

  #keptOf(index: number): Uint8Array {
    const slot = index % KEPT_TILES
    const known = this.#kept[slot]
    if (known?.index === index) return known.nodes
    const nodes = new Uint8Array((2 * GROUPS - 1) * HASH_LENGTH)
    const rows = this.#rows(0, index)
    for (let row = KEPT_ROW; row <= TILE_HEIGHT; row++)
      nodes.set(rows[row] ?? NOTHING, keptAt(row, 0) * HASH_LENGTH)
    this.#kept[slot] = { index, nodes }
    return nodes
  }

  #rows(level: number, index: number): readonly Uint8Array[] {
    const rows = this.#whole.get(level * LEVEL_STRIDE + index, () => {
      const read = tileRows(nativePrimitives, this.#stored(level, index))
      checkSame(topOf(read), this.#aboveOf(level, index), level, index)
      return read
    })
    return rows ?? []
  }

  /** The hash that the tile above has of a tile; at the top stands the edge, whose root is the signed one. */
  #aboveOf(level: number, index: number): Hash {
    const edge = this.#edge()
    const position = tilePosition({ height: (level + 1) * TILE_HEIGHT, index })
    const isOnEdge = position.tileIndex === fullTileCount(edge.size, level + 1)
    return isOnEdge ? edge.node(position) : this.node(position)
  }

  #stored(level: number, index: number): Uint8Array {
    const tile = this.#read(level, index)
    if (tile !== undefined) return tile
    throw new LedgerError('state_damaged', `tile ${level}/${index} is full and not there`)
  }
}

const NOTHING = new Uint8Array(0)
const GROUPS: number = TILE_WIDTH / GROUP_WIDTH

/** The place of a node among those kept: one row after the other, each half as long as the one before. */
function keptAt(row: number, offset: number): number {
  return 2 * GROUPS - 2 ** (TILE_HEIGHT + 1 - row) + offset
}

function checkSame(found: Hash, expected: Hash, level: number, index: number): void {
  if (Buffer.compare(found, expected) === 0) return
  throw new StoreError(
    'tile_corrupt',
    `tile ${level}/${index} does not have the root that the tile above says`,
  )
}
