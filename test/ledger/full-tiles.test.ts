/**
 * @module Goal: of a full tile that was checked once a part is read again, and no part of it is believed that is not what
 * was checked; whatever is kept, a proof is the one that the tiles give.
 * Method: a tree of more tiles than are kept whole; every tile is met, then one hash of one on the disk is changed.
 */
import { describe, expect, it } from 'vitest'
import { verifyInclusion } from '../../proofs/merkle.ts'
import { nativePrimitives as p } from '../../src/crypto.ts'
import { FullTiles } from '../../src/ledger/full-tiles.ts'
import { Edge } from '../../src/merkle/grow.ts'
import { Prover } from '../../src/merkle/prove.ts'
import { fullTileCount } from '../../src/merkle/tree-math.ts'
import { naiveLeaves } from '../support/naive-merkle.ts'
import { TileMap } from '../support/tile-map.ts'

const SIZE = 140_000
const leaves = naiveLeaves(SIZE)
const { edge, root, tiles } = Edge.empty(p).append(leaves)

function diskOf(): { readonly map: TileMap; readonly prover: () => Prover } {
  const map = new TileMap()
  map.add(tiles)
  const full = new FullTiles(
    (level, index) => map.tiles.get(`${level}/${index}`),
    () => edge,
    100,
  )
  const prover = (): Prover =>
    new Prover(p, SIZE, {
      node: (position) =>
        position.tileIndex === fullTileCount(SIZE, position.level)
          ? edge.node(position)
          : full.node(position),
    })
  return { map, prover }
}

function prove(prover: Prover, index: number): void {
  const leafHash = leaves[index] ?? new Uint8Array(0)
  const path = prover.inclusion(index)
  verifyInclusion(p, { leafIndex: index, treeSize: SIZE, leafHash, path, root })
}

describe('nodes of full tiles', () => {
  it('give the proofs of the tree, of tiles that are met first and of those that are read in part', () => {
    const { prover } = diskOf()
    for (const shift of [0, 1, 100, 255]) {
      for (let index = shift; index < SIZE; index += 256) prove(prover(), index)
    }
  })

  it('refuse a group of hashes that was changed since the tile was checked, and that group alone', () => {
    const { map, prover } = diskOf()
    for (let index = 0; index < SIZE; index += 256) prove(prover(), index)
    const tile = map.tiles.get('0/3')?.slice() ?? new Uint8Array(0)
    // The last byte of the hash of leaf 3·256 + 41, of the sixth group of eight.
    tile[41 * 32 + 31] = (tile[41 * 32 + 31] ?? 0) ^ 1
    map.tiles.set('0/3', tile)
    for (const index of [768, 768 + 39, 768 + 48, 768 + 255, 4000]) prove(prover(), index)
    for (const index of [768 + 40, 768 + 41, 768 + 47]) {
      expect(() => prover().inclusion(index)).toThrow(
        expect.objectContaining({ code: 'tile_corrupt' }),
      )
    }
    map.tiles.delete('0/3')
    expect(() => prover().inclusion(768 + 40)).toThrow(
      expect.objectContaining({ code: 'state_damaged' }),
    )
  })

  it('refuse a tile that the one above does not have, whatever row is asked for', () => {
    const { map, prover } = diskOf()
    const tile = map.tiles.get('1/1')?.slice() ?? new Uint8Array(0)
    tile[0] = (tile[0] ?? 0) ^ 1
    map.tiles.set('1/1', tile)
    for (const index of [65_536, 70_000, 131_071]) {
      expect(() => prover().inclusion(index)).toThrow(
        expect.objectContaining({ code: 'tile_corrupt' }),
      )
    }
    prove(prover(), 3)
  })
})
