/**
 * @module The right edge of a growing tree: what is needed to append to it, compute its root and complete its tiles.
 *
 * An edge is immutable, so a batch that cannot be committed leaves nothing to undo. It holds the rows of one tile for
 * each tile level and one hash for each level of the tree: 112 KiB at most, whatever the size.
 */
import type { Hash, Primitives } from '@trustwarden/proofs'
import { MerkleError } from './errors.ts'
import type { HashNode, NodeReader } from './tiles.ts'
import { emptyRoot, hashAt, nodeHasher, nodeOf, readTile, tileRows, topOf } from './tiles.ts'
import {
  HASH_LENGTH,
  TILE_HEIGHT,
  TILE_WIDTH,
  TREE_SIZE_MAX,
  checkSize,
  decompose,
  fullTileCount,
  partialWidth,
  tileLevels,
} from './tree-math.ts'
import type { TilePosition } from './tree-math.ts'

/** A tile that is full and will never change again: `bytes` are its 256 hashes, 8,192 bytes. */
export interface FullTile {
  readonly level: number
  readonly index: number
  readonly bytes: Uint8Array
}

/** What appending gives: the next edge, its root, and the tiles that became full, lowest level first within a leaf. */
export interface Growth {
  readonly edge: Edge
  readonly root: Hash
  readonly tiles: readonly FullTile[]
}

/** The incomplete tile of one level. */
interface PartialTile {
  /** Row r has room for the roots of the complete subtrees of 2^r hashes; the first ⌊width / 2^r⌋ count. */
  readonly rows: readonly Uint8Array[]
  readonly width: number
}

const NO_TILE: PartialTile = { rows: [], width: 0 }

/** The rows of a tile, with what `rows` holds at their beginnings. */
function copyRows(rows: readonly Uint8Array[]): readonly Uint8Array[] {
  return Array.from({ length: TILE_HEIGHT }, (_, row) => {
    const copy = new Uint8Array((TILE_WIDTH / 2 ** row) * HASH_LENGTH)
    const known = rows[row]
    if (known !== undefined) copy.set(known)
    return copy
  })
}

/** The edge while a batch is appended: tiles are copied before they are first written. */
class Growing {
  private readonly hashNode: HashNode
  private readonly roots: (Hash | undefined)[]
  private readonly partials: PartialTile[]
  private readonly owned = new Set<number>()
  readonly tiles: FullTile[] = []
  size: number

  constructor(
    hashNode: HashNode,
    size: number,
    roots: readonly (Hash | undefined)[],
    partials: readonly PartialTile[],
  ) {
    this.hashNode = hashNode
    this.size = size
    this.roots = [...roots]
    this.partials = [...partials]
  }

  /** Carries like a binary counter: as many complete subtrees merge as `size` ends in ones. */
  push(leafHash: Hash): void {
    let hash: Hash = leafHash
    let height = 0
    for (let rest = this.size; ; rest = (rest - 1) / 2) {
      this.store(height, rest, hash)
      const left = this.roots[height]
      if (rest % 2 === 0 || left === undefined) break
      hash = this.hashNode(left, hash)
      this.roots[height] = undefined
      height++
    }
    this.roots[height] = hash
    this.size++
  }

  /** Keeps the root of the complete subtree `index` of 2^`height` leaves. */
  private store(height: number, index: number, hash: Hash): void {
    const level = Math.floor(height / TILE_HEIGHT)
    const row = height % TILE_HEIGHT
    // The root of a full tile: its row is the next level's first.
    if (row === 0 && level > 0) this.complete(level - 1)
    let { rows, width } = this.partials[level] ?? NO_TILE
    if (!this.owned.has(level)) {
      rows = copyRows(rows)
      this.owned.add(level)
    }
    rows[row]?.set(hash, (index % (TILE_WIDTH / 2 ** row)) * HASH_LENGTH)
    if (row === 0) width++
    this.partials[level] = { rows, width }
  }

  private complete(level: number): void {
    const [bytes = new Uint8Array(0)] = this.partials[level]?.rows ?? []
    this.tiles.push({ level, index: fullTileCount(this.size, level), bytes })
    this.partials[level] = NO_TILE
    this.owned.delete(level)
  }

  finish(p: Pick<Primitives, 'sha256'>): Growth {
    const edge = new Edge(p, this.size, this.roots, this.partials)
    return { edge, root: edge.root(), tiles: this.tiles }
  }
}

/** The right edge of a tree of `size` leaves: itself a reader of the tiles that are not full yet. */
export class Edge implements NodeReader {
  /** How many leaves the tree has. */
  readonly size: number
  private readonly p: Pick<Primitives, 'sha256'>
  private readonly hashNode: HashNode
  /** By height: the root of the complete subtree that `size` has a one for. */
  private readonly roots: readonly (Hash | undefined)[]
  private readonly partials: readonly PartialTile[]

  /** For `Edge.empty`, `Edge.fromTiles` and `append`, which keep the four consistent. */
  constructor(
    p: Pick<Primitives, 'sha256'>,
    size: number,
    roots: readonly (Hash | undefined)[],
    partials: readonly PartialTile[],
  ) {
    this.p = p
    this.hashNode = nodeHasher(p)
    this.size = size
    this.roots = roots
    this.partials = partials
  }

  /** The edge of the tree without leaves. */
  static empty(p: Pick<Primitives, 'sha256'>): Edge {
    return new Edge(p, 0, [], [])
  }

  /**
   * Rebuilds the edge of a tree of `size` leaves from its full tiles and the leaf hashes of its partial level-0 tile:
   * partial tiles above level 0 are computed, never read. Costs at most 255 full tiles for each level.
   *
   * Nothing here shows that the tiles are the tree's: compare `root()` with the signed head.
   *
   * @throws {MerkleError} `size_out_of_range`; `tile_malformed` if the reader gives too few hashes.
   */
  static fromTiles(p: Pick<Primitives, 'sha256'>, size: number, reader: NodeReader): Edge {
    checkSize(size)
    const roots: (Hash | undefined)[] = []
    const partials: PartialTile[] = []
    for (let level = 0; level < tileLevels(size); level++) {
      const width = partialWidth(size, level)
      const first = fullTileCount(size, level)
      const bytes = new Uint8Array(width * HASH_LENGTH)
      if (level === 0 && width > 0) bytes.set(readTile(reader, 0, first, width))
      for (let at = 0; level > 0 && at < width; at++) {
        const tile = readTile(reader, level - 1, first * TILE_WIDTH + at, TILE_WIDTH)
        bytes.set(topOf(tileRows(p, tile)), at * HASH_LENGTH)
      }
      const rows = tileRows(p, bytes)
      partials.push({ rows: copyRows(rows), width })
      for (const { height, index } of decompose(0, width)) {
        roots[level * TILE_HEIGHT + height] = hashAt(rows[height] ?? bytes, index).slice()
      }
    }
    return new Edge(p, size, roots, partials)
  }

  /** The root of the tree (RFC 9162 §2.1.1). At most 52 hashes. */
  root(): Hash {
    let root: Hash | undefined
    for (const hash of this.roots) {
      if (hash === undefined) continue
      root = root === undefined ? hash : this.hashNode(hash, root)
    }
    return root?.slice() ?? emptyRoot(this.p)
  }

  /**
   * Appends leaf hashes (RFC 9162 §2.1.1: SHA-256(0x00 ‖ entry)). This edge stays as it was.
   *
   * @throws {MerkleError} `size_out_of_range` if the tree would outgrow 2^53 − 1 leaves.
   */
  append(leafHashes: readonly Hash[]): Growth {
    checkSize(leafHashes.length, TREE_SIZE_MAX - this.size)
    const growing = new Growing(this.hashNode, this.size, this.roots, this.partials)
    for (const leafHash of leafHashes) growing.push(leafHash)
    return growing.finish(this.p)
  }

  /** The hashes of the partial tile of `level`, `partialWidth(size, level)`·32 bytes. Not to be written to. */
  partialTile(level: number): Uint8Array {
    const { rows, width } = this.partials[level] ?? NO_TILE
    return rows[0]?.subarray(0, width * HASH_LENGTH) ?? new Uint8Array(0)
  }

  /**
   * The node at a position in the partial tile of its level.
   *
   * @throws {MerkleError} `tile_malformed` if the tile does not have it yet
   */
  node(position: TilePosition): Hash {
    const { rows, width } = this.partials[position.level] ?? NO_TILE
    const isThere = position.offset < Math.floor(width / 2 ** position.row)
    return nodeOf(isThere ? rows : [], position)
  }

  /**
   * Reads the partial tile `level`/`index`.
   *
   * @throws {MerkleError} `tile_malformed` if that tile is full or beyond the tree, or narrower than `width`.
   */
  readTile(level: number, index: number, width: number): Uint8Array {
    if (index !== fullTileCount(this.size, level) || width > partialWidth(this.size, level)) {
      const rule = `tile ${level}/${index} of width ${width} is not on the edge of size ${this.size}`
      throw new MerkleError('tile_malformed', rule)
    }
    return this.partialTile(level)
  }
}

/** A reader of the whole tree: partial tiles from `edge`, full tiles from `fullTiles`. */
export function treeReader(edge: Edge, fullTiles: NodeReader): NodeReader {
  return {
    readTile: (level, index, width) =>
      index === fullTileCount(edge.size, level)
        ? edge.readTile(level, index, width)
        : fullTiles.readTile(level, index, width),
  }
}
