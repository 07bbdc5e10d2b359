/**
 * @module Goal: appending gives RFC 9162's root and tlog-tiles' tiles, and the edge that is rebuilt is the edge that
 * was. Method: every size from 0 to 600 leaf by leaf, and random batches up to 70,000, against the naive recursion
 * over all leaves; then a synthetic tree of equal leaves at sizes across 2^31, 2^32 and up to 2^53 − 1.
 */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { nativePrimitives } from '../../src/crypto.ts'
import { Edge, treeReader } from '../../src/merkle/grow.ts'
import { naiveLeaves, naiveRoot } from '../support/naive-merkle.ts'
import { EqualLeaves, TileMap } from '../support/tile-map.ts'

const leaves = naiveLeaves(70_000)

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex')
}

/** Each hash of a tile against the naive root of the leaves that tlog-tiles says it covers. */
function checkTile(level: number, index: number, bytes: Uint8Array): void {
  const span = 256 ** level
  for (let at = 0; at < bytes.length / 32; at++) {
    const start = (index * 256 + at) * span
    const expected = hex(naiveRoot(leaves, start, start + span))
    expect(hex(bytes.subarray(at * 32, at * 32 + 32))).toBe(expected)
  }
}

function expectEqualEdges(edge: Edge, other: Edge): void {
  expect(other.size).toBe(edge.size)
  expect(hex(other.root())).toBe(hex(edge.root()))
  for (let level = 0; level < 8; level++) {
    const tile = edge.partialTile(level)
    expect(hex(other.partialTile(level))).toBe(hex(tile))
    for (let row = 0; row < 8; row++) checkRow(edge, other, { level, row, width: tile.length / 32 })
  }
}

/** The last node that a row of the edge has, in both, and that there is none behind it. */
function checkRow(
  edge: Edge,
  other: Edge,
  { level, row, width }: { level: number; row: number; width: number },
): void {
  const at = (offset: number) => ({ level, tileIndex: 0, row, offset })
  const count = Math.floor(width / 2 ** row)
  if (count > 0) expect(hex(other.node(at(count - 1)))).toBe(hex(edge.node(at(count - 1))))
  const refused = expect.objectContaining({ code: 'tile_malformed' })
  for (const one of [edge, other]) expect(() => one.node(at(count))).toThrow(refused)
}

describe('append', () => {
  it('gives the naive root and right tiles at each size from 0 to 600, and can be rebuilt there', () => {
    let edge = Edge.empty(nativePrimitives)
    const map = new TileMap()
    expect(hex(edge.root())).toBe(hex(naiveRoot([])))
    for (let size = 1; size <= 600; size++) {
      const growth = edge.append(leaves.slice(size - 1, size))
      expect(hex(growth.root)).toBe(hex(naiveRoot(leaves, 0, size)))
      expect(growth.tiles.length).toBe(size % 256 === 0 ? 1 : 0)
      map.add(growth.tiles)
      edge = growth.edge
      expect(edge.size).toBe(size)
      expectEqualEdges(edge, Edge.fromTiles(nativePrimitives, size, treeReader(edge, map)))
    }
    for (const [name, bytes] of map.tiles) {
      const [level, index] = name.split('/').map(Number)
      checkTile(level ?? 0, index ?? 0, bytes)
    }
  })

  it('gives the same by any division into batches, up to 70,000 leaves', () => {
    const whole = Edge.empty(nativePrimitives).append(leaves)
    expect(whole.tiles.map(({ level, index }) => `${level}/${index}`)).toContain('1/0')
    expect(whole.tiles).toHaveLength(274)
    checkTile(1, 0, whole.tiles.find(({ level }) => level === 1)?.bytes ?? new Uint8Array(0))
    checkTile(1, 1, whole.edge.partialTile(1))
    checkTile(0, 273, whole.edge.partialTile(0))
    expect(hex(whole.root)).toBe(hex(naiveRoot(leaves)))

    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: 20_000 }), { maxLength: 8 }), (batches) => {
        let edge = Edge.empty(nativePrimitives)
        const map = new TileMap()
        for (const count of [...batches, leaves.length]) {
          const growth = edge.append(leaves.slice(edge.size, edge.size + count))
          map.add(growth.tiles)
          edge = growth.edge
        }
        expectEqualEdges(whole.edge, edge)
        expect(map.tiles.size).toBe(whole.tiles.length)
        for (const { level, index, bytes } of whole.tiles) {
          const other = map.tiles.get(`${level}/${index}`) ?? new Uint8Array(0)
          expect(Buffer.compare(other, bytes)).toBe(0)
        }
      }),
      { numRuns: 10 },
    )
  })

  it('leaves the edge it grew from unchanged, so two branches can grow from one', () => {
    const base = Edge.empty(nativePrimitives).append(leaves.slice(0, 300)).edge
    const before = hex(base.partialTile(0))
    const one = base.append(leaves.slice(300, 900))
    const other = base.append(leaves.slice(400, 410))
    expect(hex(base.partialTile(0))).toBe(before)
    expect(hex(base.root())).toBe(hex(naiveRoot(leaves, 0, 300)))
    expect(hex(one.root)).toBe(hex(naiveRoot(leaves, 0, 900)))
    const branch = [...leaves.slice(0, 300), ...leaves.slice(400, 410)]
    expect(hex(other.root)).toBe(hex(naiveRoot(branch)))
    for (const { level, index, bytes } of one.tiles) checkTile(level, index, bytes)
    checkTile(0, 3, one.edge.partialTile(0))
    checkTile(1, 0, one.edge.partialTile(1))
    expect(base.append([]).edge.size).toBe(300)
  })
})

describe('fromTiles', () => {
  it('rebuilds at random sizes up to 70,000 from full tiles and the partial level-0 tile alone', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 70_000 }), (size) => {
        const { edge, tiles } = Edge.empty(nativePrimitives).append(leaves.slice(0, size))
        const map = new TileMap()
        map.add(tiles)
        const partial = leaves.slice(size - (size % 256), size)
        map.tiles.set(`0/${Math.floor(size / 256)}`, new Uint8Array(Buffer.concat(partial)))
        expectEqualEdges(edge, Edge.fromTiles(nativePrimitives, size, map))
        expect(map.reads.filter((name) => !name.endsWith(':256')).length).toBeLessThanOrEqual(1)
      }),
      { numRuns: 15 },
    )
  })

  it('gives the root of huge trees, and grows them across 2^31, 2^32 and up to the limit', () => {
    const tree = new EqualLeaves()
    const leaf = tree.complete(0)
    for (const size of [2 ** 31 - 2, 2 ** 32 - 2, 2 ** 40 - 2, 2 ** 53 - 5]) {
      let edge = Edge.fromTiles(nativePrimitives, size, tree)
      expect(hex(edge.root())).toBe(hex(tree.root(size)))
      for (let more = 1; more <= 4; more++) {
        const growth = edge.append([leaf])
        edge = growth.edge
        expect(hex(growth.root)).toBe(hex(tree.root(size + more)))
        const ends = more === 2 && size < 2 ** 53 - 5
        expect(growth.tiles.length > 0).toBe(ends)
        for (const { level, index, bytes } of growth.tiles) {
          expect(BigInt(index)).toBe(BigInt(size + 2) / 256n ** BigInt(level + 1) - 1n)
          expect(hex(bytes)).toBe(hex(tree.readTile(level, index, 256)))
        }
      }
      expectEqualEdges(edge, Edge.fromTiles(nativePrimitives, size + 4, tree))
    }
  })

  it('refuses to outgrow 2^53 − 1 leaves, a short tile, and a tile that is not on the edge', () => {
    const tree = new EqualLeaves()
    const last = Edge.fromTiles(nativePrimitives, 2 ** 53 - 1, tree)
    const sizeError = expect.objectContaining({ code: 'size_out_of_range' })
    expect(() => last.append([tree.complete(0)])).toThrow(sizeError)
    expect(() => Edge.fromTiles(nativePrimitives, -1, tree)).toThrow(sizeError)
    const tileError = expect.objectContaining({ code: 'tile_malformed' })
    expect(() => Edge.fromTiles(nativePrimitives, 3, new TileMap())).toThrow(tileError)
    const edge = Edge.empty(nativePrimitives).append(leaves.slice(0, 300)).edge
    expect(() => edge.readTile(0, 0, 1)).toThrow(tileError)
    expect(() => edge.readTile(0, 1, 45)).toThrow(tileError)
    expect(edge.readTile(0, 1, 44)).toHaveLength(44 * 32)
  })
})
