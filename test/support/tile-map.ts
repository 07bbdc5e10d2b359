/** @module Readers of tiles for tests: full tiles in memory, and a tree of equal leaves of any size. */
import { naiveNodeHash } from './naive-merkle.ts'
import type { RangeRoot } from './naive-merkle.ts'
import type { FullTile } from '../../src/merkle/grow.ts'
import type { NodeReader } from '../../src/merkle/tiles.ts'

/** Full tiles in memory, as a store would hold them; refuses to be given one twice, and counts what is read. */
export class TileMap implements NodeReader {
  readonly tiles = new Map<string, Uint8Array>()
  /** Names of the tiles read, in order. */
  readonly reads: string[] = []

  add(tiles: readonly FullTile[]): void {
    for (const { level, index, bytes } of tiles) {
      const name = `${level}/${index}`
      if (this.tiles.has(name) || bytes.length !== 8192) throw new Error(`bad tile ${name}`)
      this.tiles.set(name, bytes)
    }
  }

  readTile(level: number, index: number, width: number): Uint8Array {
    this.reads.push(`${level}/${index}:${width}`)
    return this.tiles.get(`${level}/${index}`) ?? new Uint8Array(0)
  }
}

/** The tiles of a tree that is given by its naive roots, computed as they are read. */
export function naiveReader(rootOf: RangeRoot): NodeReader {
  return {
    readTile: (level, index, width) => {
      const span = 256 ** level
      const tile = new Uint8Array(width * 32)
      for (let at = 0; at < width; at++) {
        const start = (index * 256 + at) * span
        tile.set(rootOf(start, start + span), at * 32)
      }
      return tile
    },
  }
}

/** A tree of any size whose leaves are all equal: every complete subtree of one height has one root. */
export class EqualLeaves implements NodeReader {
  private readonly roots: Uint8Array[] = [new Uint8Array(32).fill(7)]
  private readonly known = new Map<number, Uint8Array>()

  /** The root of a complete subtree of `height`. */
  complete(height: number): Uint8Array {
    for (let at = this.roots.length; at <= height; at++) {
      const below = this.roots[at - 1] ?? new Uint8Array(0)
      this.roots.push(naiveNodeHash(below, below))
    }
    return this.roots[height] ?? new Uint8Array(0)
  }

  /** The root of `size` ≥ 1 leaves, by the recursion of RFC 9162 §2.1.1 in BigInt. */
  root(size: number): Uint8Array {
    const known = this.known.get(size)
    if (known !== undefined) return known
    const bits = (BigInt(size) - 1n).toString(2).length
    const k = size === 1 ? 0n : 2n ** BigInt(bits - 1)
    const root =
      k === 0n
        ? this.complete(0)
        : naiveNodeHash(this.complete(bits - 1), this.root(Number(BigInt(size) - k)))
    this.known.set(size, root)
    return root
  }

  readTile(level: number, _index: number, width: number): Uint8Array {
    const tile = new Uint8Array(width * 32)
    for (let at = 0; at < width; at++) tile.set(this.complete(8 * level), at * 32)
    return tile
  }
}
