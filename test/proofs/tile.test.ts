/**
 * Goal: a tile has one path and a path one tile; a bundle holds exactly its entries. Method: the examples of C2SP
 * tlog-tiles; every refusal by name; random paths, texts and bundles.
 */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { concatBytes, fromHex, toHex } from '../../proofs/bytes.ts'
import {
  decodeBundle,
  encodeBundle,
  ENTRY_LENGTH_MAX,
  formatTilePath,
  parseTilePath,
  type TilePath,
} from '../../proofs/tile.ts'
import { codeOf } from '../support/proof-code.ts'

const PATHS: readonly (readonly [string, TilePath])[] = [
  ['tile/0/000', { level: 0, index: 0, width: 256 }],
  ['tile/0/x001/x234/067', { level: 0, index: 1_234_067, width: 256 }],
  ['tile/0/273.p/112', { level: 0, index: 273, width: 112 }],
  ['tile/1/001.p/17', { level: 1, index: 1, width: 17 }],
  ['tile/2/000.p/1', { level: 2, index: 0, width: 1 }],
  ['tile/63/999.p/255', { level: 63, index: 999, width: 255 }],
  ['tile/0/x001/000', { level: 0, index: 1000, width: 256 }],
  ['tile/entries/x001/x234/067.p/8', { level: 'entries', index: 1_234_067, width: 8 }],
  [
    'tile/entries/x009/x007/x199/x254/x740/991.p/255',
    { level: 'entries', index: 2 ** 53 - 1, width: 255 },
  ],
]

describe('paths', () => {
  test.each(PATHS)('%s', (text, path) => {
    expect(formatTilePath(path)).toBe(text)
    expect(parseTilePath(text)).toEqual(path)
  })

  test.each([
    ['', 'malformed'],
    ['tile', 'malformed'],
    ['tile/', 'malformed'],
    ['tile/0', 'malformed'],
    ['tile/0/', 'malformed'],
    ['/tile/0/000', 'malformed'],
    ['Tile/0/000', 'malformed'],
    ['tile/0/000/', 'malformed'],
    ['tile/0/0', 'malformed'],
    ['tile/0/0000', 'malformed'],
    ['tile/0/001/000', 'malformed'],
    ['tile/0/x001', 'malformed'],
    ['tile/0/x001/x000', 'malformed'],
    ['tile/0/x000/000', 'not_canonical'],
    ['tile/0/x000/x001/000', 'not_canonical'],
    ['tile/00/000', 'not_canonical'],
    ['tile/01/000', 'not_canonical'],
    ['tile/64/000', 'too_large'],
    ['tile/-1/000', 'malformed'],
    ['tile/data/000', 'malformed'],
    ['tile/99999999999999999/000', 'too_large'],
    ['tile/0/000.p', 'malformed'],
    ['tile/0/000.p/', 'malformed'],
    ['tile/0/000.p/0', 'malformed'],
    ['tile/0/000.p/01', 'not_canonical'],
    ['tile/0/000.p/256', 'too_large'],
    ['tile/0/000.p/1/', 'malformed'],
    ['tile/0/000.p/1.p/1', 'malformed'],
    ['tile/0/000.p/-1', 'malformed'],
    ['tile/0/000\n', 'malformed'],
    ['tile/0/../000', 'malformed'],
    ['tile/0/x009/x007/x199/x254/x740/992', 'too_large'],
    ['tile/0/x001/x009/x007/x199/x254/x740/991', 'too_large'],
    [`tile/0/${'x001/'.repeat(100)}000`, 'too_large'],
  ])('%s is refused as %s', (text, code) => {
    expect(codeOf(() => parseTilePath(text))).toBe(code)
  })

  test('formatTilePath refuses what no path can say', () => {
    const code = (change: Partial<TilePath>): string =>
      codeOf(() => formatTilePath({ level: 0, index: 0, width: 256, ...change }))
    expect(code({})).toBe('accepted')
    for (const level of [-1, 64, 0.5]) expect(code({ level })).toBe('malformed')
    for (const index of [-1, 0.5, 2 ** 53]) expect(code({ index })).toBe('malformed')
    for (const width of [-1, 0, 0.5, 257]) expect(code({ width })).toBe('malformed')
  })

  test('paths round-trip, and whatever parses is the one path of its tile', () => {
    const path = fc.record({
      level: fc.oneof(fc.nat(63), fc.constant('entries' as const)),
      index: fc.oneof(fc.maxSafeNat(), fc.nat(2_000)),
      width: fc.integer({ min: 1, max: 256 }),
    })
    fc.assert(
      fc.property(path, (drawn) => {
        expect(parseTilePath(formatTilePath(drawn))).toEqual(drawn)
      }),
    )
    const unit = fc.constantFrom(
      'tile/',
      'entries/',
      '0/',
      '0',
      '7',
      'x',
      'x001/',
      '000',
      '.p/',
      '/',
    )
    fc.assert(
      fc.property(fc.string({ unit, maxLength: 8 }), (text) => {
        if (codeOf(() => parseTilePath(text)) !== 'accepted') return
        expect(formatTilePath(parseTilePath(text))).toBe(text)
      }),
      { numRuns: 10_000 },
    )
  })
})

describe('bundles', () => {
  const entries = fc.array(fc.uint8Array({ maxLength: 300 }), { minLength: 1, maxLength: 256 })

  test('each entry follows its length', () => {
    const bundle = encodeBundle([Uint8Array.of(1, 2), new Uint8Array(), Uint8Array.of(3)])
    expect(toHex(bundle)).toBe('0002010200000001' + '03')
  })

  test('bundles round-trip, and only under their own count', () => {
    fc.assert(
      fc.property(entries, (drawn) => {
        const bundle = encodeBundle(drawn)
        expect(decodeBundle(bundle, drawn.length)).toEqual(drawn)
        if (drawn.length > 1) {
          expect(codeOf(() => decodeBundle(bundle, drawn.length - 1))).toBe('malformed')
        }
        if (drawn.length < 256) {
          expect(codeOf(() => decodeBundle(bundle, drawn.length + 1))).toBe('malformed')
        }
        expect(codeOf(() => decodeBundle(bundle.subarray(0, -1), drawn.length))).toBe('malformed')
        const longer = concatBytes(bundle, Uint8Array.of(0))
        expect(codeOf(() => decodeBundle(longer, drawn.length))).toBe('malformed')
      }),
    )
  })

  test('whatever decodes is the encoding of its entries', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 12, max: 3 }), fc.nat(4), (bytes, count) => {
        if (codeOf(() => decodeBundle(bytes, count)) !== 'accepted') return
        expect(toHex(encodeBundle(decodeBundle(bytes, count)))).toBe(toHex(bytes))
      }),
      { numRuns: 5_000 },
    )
  })

  test('limits are exact', () => {
    const longest = new Uint8Array(ENTRY_LENGTH_MAX)
    expect(decodeBundle(encodeBundle([longest]), 1)).toEqual([longest])
    expect(codeOf(() => encodeBundle([new Uint8Array(ENTRY_LENGTH_MAX + 1)]))).toBe('too_large')
    expect(codeOf(() => encodeBundle([]))).toBe('malformed')
    const many = Array.from({ length: 257 }, () => new Uint8Array())
    expect(codeOf(() => encodeBundle(many))).toBe('malformed')
    expect(codeOf(() => encodeBundle(many.slice(1)))).toBe('accepted')
    for (const count of [-1, 0, 0.5, 257]) {
      expect(codeOf(() => decodeBundle(new Uint8Array(), count))).toBe('malformed')
    }
    expect(codeOf(() => decodeBundle(fromHex('0003' + '0102'), 1))).toBe('malformed')
  })

  test('decoded entries are copies', () => {
    const bundle = Buffer.from('000107', 'hex')
    const [entry] = decodeBundle(bundle, 1)
    bundle[2] = 9
    expect(entry).toEqual(Uint8Array.of(7))
  })
})
