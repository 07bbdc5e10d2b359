/**
 * Goal: every value has one encoding and every accepted input is that encoding. Method: the cases of RFC 8949
 * appendix A that fall into the subset, and those that do not; cbor-x as an independent decoder of random values;
 * random and mutated bytes, where whatever is accepted must encode to the same bytes again.
 */
import { Decoder } from 'cbor-x'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { fromHex, toHex } from '../../proofs/bytes.ts'
import {
  cborArray,
  cborBoolean,
  cborBytes,
  type CborMap,
  cborMap,
  cborText,
  cborUint,
  type CborValue,
  decodeCbor,
  encodeCbor,
  requireKeys,
} from '../../proofs/cbor.ts'
import { CBOR_MAJOR, passStringOf, readHead, skipCbor } from '../../proofs/cbor-reader.ts'
import { codeOf } from '../support/proof-code.ts'

const upTo25 = Array.from({ length: 25 }, (_, at) => at + 1)

// RFC 8949 appendix A, and the heads on both sides of each length.
const CASES: readonly (readonly [CborValue, string])[] = [
  [0, '00'],
  [1, '01'],
  [10, '0a'],
  [23, '17'],
  [24, '1818'],
  [25, '1819'],
  [100, '1864'],
  [255, '18ff'],
  [256, '190100'],
  [1000, '1903e8'],
  [65_535, '19ffff'],
  [65_536, '1a00010000'],
  [1_000_000, '1a000f4240'],
  [2 ** 32 - 1, '1affffffff'],
  [2 ** 32, '1b0000000100000000'],
  [1_000_000_000_000, '1b000000e8d4a51000'],
  [2 ** 53 - 1, '1b001fffffffffffff'],
  [-1, '20'],
  [-10, '29'],
  [-100, '3863'],
  [-1000, '3903e7'],
  [-(2 ** 53 - 1), '3b001ffffffffffffe'],
  [false, 'f4'],
  [true, 'f5'],
  [null, 'f6'],
  [new Uint8Array(), '40'],
  [Uint8Array.of(1, 2, 3, 4), '4401020304'],
  ['', '60'],
  ['a', '6161'],
  ['IETF', '6449455446'],
  ['x'.repeat(128), `7880${'78'.repeat(128)}`],
  ['x'.repeat(129), `7881${'78'.repeat(129)}`],
  ['"\\', '62225c'],
  ['\u00fc', '62c3bc'],
  ['\u6c34', '63e6b0b4'],
  ['\ud800\udd51', '64f0908591'],
  [[], '80'],
  [[1, 2, 3], '83010203'],
  [[1, [2, 3], [4, 5]], '8301820203820405'],
  [upTo25, '98190102030405060708090a0b0c0d0e0f101112131415161718181819'],
  [new Map(), 'a0'],
  [
    new Map([
      [3, 4],
      [1, 2],
    ]),
    'a201020304',
  ],
  [
    new Map<string, CborValue>([
      ['b', [2, 3]],
      ['a', 1],
    ]),
    'a26161016162820203',
  ],
  [['a', new Map([['b', 'c']])], '826161a161626163'],
  // Bytewise order of the encodings: numbers before text, short before long.
  [
    new Map<string | number, CborValue>([
      ['aa', 5],
      ['b', 4],
      [256, 3],
      [24, 2],
      [3, 1],
    ]),
    'a503011818021901000361620462616105',
  ],
]

const REFUSED: readonly (readonly [string, string, string])[] = [
  ['nothing', '', 'malformed'],
  ['bytes after the value', '0000', 'malformed'],
  ['head cut off', '19', 'malformed'],
  ['string cut off', '4401', 'malformed'],
  ['array cut off', '8201', 'malformed'],
  ['map cut off', 'a101', 'malformed'],
  ['count without items', '9b001fffffffffffff', 'malformed'],
  ['length without bytes', '5b001fffffffffffff', 'malformed'],
  ['2^53', '1b0020000000000000', 'too_large'],
  ['2^64−1', '1bffffffffffffffff', 'too_large'],
  ['−2^53', '3b001fffffffffffff', 'too_large'],
  ['−2^64', '3bffffffffffffffff', 'too_large'],
  ['bignum', 'c249010000000000000000', 'malformed'],
  ['half float', 'f90000', 'malformed'],
  ['single float', 'fa47c35000', 'malformed'],
  ['double float', 'fb3ff199999999999a', 'malformed'],
  ['undefined', 'f7', 'malformed'],
  ['simple 16', 'f0', 'malformed'],
  ['simple 255', 'f8ff', 'malformed'],
  ['break alone', 'ff', 'malformed'],
  ['tag', 'c11a514b67b0', 'malformed'],
  ['tag 23', 'd74401020304', 'malformed'],
  ['indefinite bytes', '5f42010243030405ff', 'not_canonical'],
  ['indefinite text', '7f657374726561646d696e67ff', 'not_canonical'],
  ['indefinite array', '9fff', 'not_canonical'],
  ['indefinite map', 'bf6161019fff', 'not_canonical'],
  ['reserved 28', '1c', 'malformed'],
  ['reserved 30', '5e', 'malformed'],
  ['23 in two bytes', '1817', 'not_canonical'],
  ['255 in three bytes', '1900ff', 'not_canonical'],
  ['65,535 in five bytes', '1a0000ffff', 'not_canonical'],
  ['2^32−1 in nine bytes', '1b00000000ffffffff', 'not_canonical'],
  ['length in two bytes', '580101', 'not_canonical'],
  ['keys unsorted', 'a203040102', 'not_canonical'],
  ['text key before number', 'a26161010102', 'not_canonical'],
  ['key twice', 'a201020103', 'malformed'],
  ['negative key', 'a12001', 'malformed'],
  ['byte string key', 'a1410101', 'malformed'],
  ['array key', 'a18001', 'malformed'],
  ['key not minimal', 'a1180101', 'not_canonical'],
  ['text that is not UTF-8', '61ff', 'malformed'],
  ['key that is not UTF-8', 'a161ff01', 'malformed'],
]

const cborValue = fc.letrec<{ value: CborValue; map: CborMap }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 5, depthIdentifier: 'cbor' },
    fc.constantFrom(null, false, true),
    fc.maxSafeInteger(),
    fc.integer({ min: -300, max: 300 }),
    fc.string({ unit: 'binary', maxLength: 30 }),
    fc.uint8Array({ maxLength: 300 }),
    fc.array(tie('value'), { maxLength: 30, depthIdentifier: 'cbor' }),
    tie('map'),
  ),
  map: fc
    .array(
      fc.tuple(fc.oneof(fc.maxSafeNat(), fc.nat(30), fc.string({ maxLength: 30 })), tie('value')),
      { maxLength: 30, depthIdentifier: 'cbor' },
    )
    .map((entries) => new Map(entries)),
})).value

describe('encodings', () => {
  test.each(CASES)('%j ↔ %s', (value, hex) => {
    expect(toHex(encodeCbor(value))).toBe(hex)
    expect(decodeCbor(fromHex(hex))).toEqual(value)
  })

  test.each(REFUSED)('%s (%s) is refused as %s', (_, hex, code) => {
    expect(codeOf(() => decodeCbor(fromHex(hex)))).toBe(code)
  })

  test('cbor-x reads what we write', () => {
    const decoder = new Decoder({ mapsAsObjects: false, useRecords: false })
    fc.assert(
      fc.property(cborValue, (value) => {
        const read: unknown = decoder.decode(encodeCbor(value))
        expect(normalize(read)).toEqual(normalize(value))
      }),
      { numRuns: 500 },
    )
  })

  test('values round-trip, whatever the order of their keys', () => {
    fc.assert(
      fc.property(cborValue, (value) => {
        const bytes = encodeCbor(value)
        expect(normalize(decodeCbor(bytes))).toEqual(normalize(value))
        expect(encodeCbor(reversed(value))).toEqual(bytes)
      }),
      { numRuns: 500 },
    )
  })

  test('whatever is accepted is canonical, and all else is a ProofError', () => {
    const input = fc.oneof(
      fc.uint8Array({ maxLength: 24 }),
      fc.tuple(cborValue, fc.nat(), fc.nat(255)).map(([value, at, byte]) => {
        const bytes = encodeCbor(value)
        bytes[at % bytes.length] = byte
        return bytes
      }),
    )
    fc.assert(
      fc.property(input, (bytes) => {
        if (codeOf(() => decodeCbor(bytes)) !== 'accepted') return
        expect(encodeCbor(decodeCbor(bytes))).toEqual(new Uint8Array(bytes))
      }),
      { numRuns: 5_000 },
    )
  })

  test('a decoded byte string is a copy', () => {
    const bytes = Buffer.from('4101', 'hex')
    const value = decodeCbor(bytes)
    bytes[1] = 9
    expect(value).toEqual(Uint8Array.of(1))
  })

  test('values outside the subset are refused', () => {
    const odd = [1.5, Number.NaN, Number.POSITIVE_INFINITY, -0, 2 ** 53, '\ud800']
    for (const value of odd) expect(codeOf(() => encodeCbor(value))).toBe('malformed')
    for (const key of [-1, 1.5, '\ud800']) {
      expect(codeOf(() => encodeCbor(new Map([[key, 1]])))).toBe('malformed')
    }
    for (const value of [undefined, {}, 1n, Symbol('x')]) {
      expect(codeOf(() => Reflect.apply(encodeCbor, undefined, [value]))).toBe('malformed')
    }
  })
})

test('limits are exact', () => {
  const nested = (depth: number): CborValue => (depth === 0 ? 0 : [nested(depth - 1)])
  const nestedMap = (depth: number): CborValue =>
    depth === 0 ? 0 : new Map([[0, nestedMap(depth - 1)]])
  for (const value of [nested(16), nestedMap(16)]) {
    expect(decodeCbor(encodeCbor(value))).toEqual(value)
  }
  for (const value of [nested(17), nestedMap(17)]) {
    expect(codeOf(() => encodeCbor(value))).toBe('too_large')
    expect(codeOf(() => decodeCbor(encodeCbor(value, 17)))).toBe('too_large')
    expect(codeOf(() => decodeCbor(encodeCbor(value, 17), { maxDepth: 17 }))).toBe('accepted')
  }
  const three = encodeCbor([1, 2])
  expect(codeOf(() => decodeCbor(three, { maxItems: 3 }))).toBe('accepted')
  expect(codeOf(() => decodeCbor(three, { maxItems: 2 }))).toBe('too_large')
  const map = encodeCbor(new Map([[1, 2]]))
  expect(codeOf(() => decodeCbor(map, { maxItems: 3 }))).toBe('accepted')
  expect(codeOf(() => decodeCbor(map, { maxItems: 1 }))).toBe('too_large')
  expect(codeOf(() => decodeCbor(three, { maxBytes: 3 }))).toBe('accepted')
  expect(codeOf(() => decodeCbor(three, { maxBytes: 2 }))).toBe('too_large')
  expect(codeOf(() => decodeCbor(new Uint8Array(1_048_577)))).toBe('too_large')
})

test('readers give the value or say what it is not', () => {
  const values: CborValue[] = [new Map(), 1, 'a', true, Uint8Array.of(1), [1]]
  const readers = [cborMap, cborUint, cborText, cborBoolean, cborBytes, cborArray] as const
  for (const [at, read] of readers.entries()) {
    for (const [other, value] of values.entries()) {
      if (at === other) expect(read(value, 'f')).toBe(value)
      else expect(codeOf(() => read(value, 'f'))).toBe('malformed')
    }
    expect(codeOf(() => read(undefined, 'f'))).toBe('malformed')
    expect(codeOf(() => read(null, 'f'))).toBe('malformed')
    expect(() => read(undefined, 'entry.kind')).toThrow(/^entry\.kind: /)
  }
  expect(codeOf(() => cborUint(-1, 'f'))).toBe('malformed')
  expect(cborBytes(Uint8Array.of(1, 2), 'f', 2)).toEqual(Uint8Array.of(1, 2))
  expect(codeOf(() => cborBytes(Uint8Array.of(1, 2), 'f', 3))).toBe('malformed')
})

test('requireKeys demands all required keys and refuses unknown ones', () => {
  const map = new Map<string | number, CborValue>([
    [1, 0],
    [2, 0],
  ])
  expect(codeOf(() => requireKeys(map, [1], [2, 3], 'f'))).toBe('accepted')
  expect(codeOf(() => requireKeys(map, [1, 3], [2], 'f'))).toBe('malformed')
  expect(codeOf(() => requireKeys(map, [1], [], 'f'))).toBe('malformed')
  expect(codeOf(() => requireKeys(new Map([['1', 0]]), [], [1], 'f'))).toBe('malformed')
})

/** The same data as plain arrays, so that two decoders' maps, buffers and orders can be compared. */
function normalize(value: unknown): unknown {
  if (value instanceof Uint8Array) return ['bytes', toHex(value)]
  if (value instanceof Map) {
    const entries = [...value].map(([key, item]) => [
      // cbor-x gives integers of 64-bit heads as bigint.
      typeof key === 'string' ? `text ${key}` : `number ${key}`,
      normalize(item),
    ])
    return ['map', Object.fromEntries(entries)]
  }
  if (Array.isArray(value)) return ['array', ...value.map(normalize)]
  return typeof value === 'bigint' ? Number(value) : value
}

function reversed(value: CborValue): CborValue {
  if (!(value instanceof Map)) return value
  const entries: [string | number, CborValue][] = [...value]
  return new Map(entries.reverse())
}

test('any number of parts is encoded: no value overflows the stack', () => {
  const items = Array.from({ length: 300_000 }, (_, at) => at)
  const bytes = encodeCbor(items)
  expect(decodeCbor(bytes, { maxBytes: 4_194_304, maxItems: 400_000 })).toEqual(items)
})

describe('going through values', () => {
  const skipped = (bytes: Uint8Array, maxDepth = 16, items = 65_536): number => {
    const reader = { bytes, at: 0, items }
    skipCbor(reader, maxDepth)
    return reader.at
  }

  test('ends where a decoder does, whatever follows, and refuses what it refuses but for order and text', () => {
    for (const [, hex] of CASES) {
      const bytes = fromHex(hex)
      expect(skipped(Uint8Array.of(...bytes, 0xff))).toBe(bytes.length)
    }
    fc.assert(
      fc.property(cborValue, (value) => {
        const bytes = encodeCbor(value)
        expect(skipped(bytes)).toBe(bytes.length)
      }),
    )
    const refused = [
      '',
      '1c',
      '1f',
      '1800',
      '420a',
      '9f',
      'f7',
      'f818',
      'fb',
      'c0',
      '1b0020000000000000',
    ]
    for (const hex of refused) {
      const bytes = fromHex(hex)
      expect(codeOf(() => skipped(bytes))).toBe(codeOf(() => decodeCbor(bytes)))
      expect(codeOf(() => skipped(bytes))).not.toBe('accepted')
    }
    // Keys out of order, and bytes that are no text: not looked at.
    expect(skipped(fromHex('a20100006101'))).toBe(6)
    expect(skipped(fromHex('62ffff'))).toBe(3)
  })

  test('has the limits of the decoder', () => {
    const nested = fromHex('8181')
    expect(codeOf(() => skipped(nested, 1))).toBe('too_large')
    expect(codeOf(() => skipped(fromHex('820000'), 16, 2))).toBe('too_large')
    expect(skipped(fromHex('820000'), 16, 3)).toBe(3)
  })

  test('reads a head of its type alone', () => {
    const reader = { bytes: fromHex('1903e8620102'), at: 0, items: 2 }
    expect(readHead(reader, CBOR_MAJOR.unsigned, 'n')).toBe(1000)
    expect(passStringOf(reader, CBOR_MAJOR.text, 's')).toBe(4)
    expect(reader.at).toBe(6)
    const other = { bytes: fromHex('00'), at: 0, items: 1 }
    expect(codeOf(() => readHead(other, CBOR_MAJOR.text, 'n'))).toBe('malformed')
  })
})
