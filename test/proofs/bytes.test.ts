/**
 * Goal: each encoding has one form, and every other is refused by name. Method: node's Buffer as an independent
 * encoder on random bytes; random texts, where whatever is accepted must be the encoding of what it decodes to.
 */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  allocate,
  base64urlEncoder,
  compareBytes,
  concatBytes,
  copyBytes,
  equalBytes,
  fromBase64,
  fromBase64url,
  fromHex,
  isBase64urlOf32,
  parseDecimal,
  readU16,
  readU64,
  readUint,
  toBase64,
  toBase64url,
  toHex,
  u16Bytes,
  u64Bytes,
  uintBytes,
  utf8Decode,
  utf8Encode,
} from '../../proofs/bytes.ts'
import { codeOf } from '../support/proof-code.ts'

const CODECS = [
  { name: 'hex', to: toHex, from: fromHex, node: 'hex' },
  { name: 'base64', to: toBase64, from: fromBase64, node: 'base64' },
  { name: 'base64url', to: toBase64url, from: fromBase64url, node: 'base64url' },
] as const

describe.each(CODECS)('$name', ({ to, from, node }) => {
  test('agrees with node and round-trips', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 80 }), (bytes) => {
        expect(to(bytes)).toBe(Buffer.from(bytes).toString(node))
        expect(from(to(bytes))).toEqual(bytes)
      }),
    )
  })

  test('whatever is accepted is the one encoding of its value', () => {
    const unit = fc.constantFrom(
      'A',
      'B',
      'a',
      'f',
      'g',
      '0',
      '9',
      '+',
      '/',
      '-',
      '_',
      '=',
      ' ',
      'é',
    )
    fc.assert(
      fc.property(fc.string({ unit, maxLength: 8 }), (text) => {
        if (codeOf(() => from(text)) === 'accepted') expect(to(from(text))).toBe(text)
      }),
      { numRuns: 5_000 },
    )
  })
})

describe.each([
  { name: 'without a Buffer, as in browsers', platform: {} },
  {
    name: 'beside something else of that name',
    platform: { Buffer: { alloc: () => Buffer.alloc(0) } },
  },
  {
    name: 'beside another Buffer, which does not know base64url',
    platform: { Buffer: { isEncoding: () => false, alloc: () => Buffer.alloc(0) } },
  },
])('$name', ({ platform }) => {
  const encode = base64urlEncoder(platform)

  test('base64url is the same', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 80 }), (bytes) => {
        expect(encode(bytes)).toBe(Buffer.from(bytes).toString('base64url'))
      }),
    )
  })
})

test('base64url of any length is the same, whatever was encoded before', () => {
  for (const length of [8_193, 0, 8_192, 1, 70_000, 8_191, 2]) {
    const bytes = Uint8Array.from({ length }, (_, at) => (at * 193) >> 3)
    expect(toBase64url(bytes)).toBe(Buffer.from(bytes).toString('base64url'))
    expect(fromBase64url(toBase64url(bytes))).toEqual(bytes)
  }
})

test('second forms are refused by name', () => {
  expect(codeOf(() => fromHex('abc'))).toBe('malformed')
  expect(codeOf(() => fromHex('zz'))).toBe('malformed')
  expect(codeOf(() => fromHex('AB'))).toBe('not_canonical')
  expect(codeOf(() => fromBase64('YQ'))).toBe('malformed')
  expect(codeOf(() => fromBase64('YR=='))).toBe('not_canonical')
  expect(codeOf(() => fromBase64('YWJ='))).toBe('not_canonical')
  for (const text of ['====', 'A===', 'YQ==YQ==', 'YQ=\n', 'YQ-_', ' YQ=']) {
    expect(codeOf(() => fromBase64(text))).toBe('malformed')
  }
  expect(codeOf(() => fromBase64url('A'))).toBe('malformed')
  expect(codeOf(() => fromBase64url('YR'))).toBe('not_canonical')
  expect(codeOf(() => fromBase64url('YQ=='))).toBe('malformed')
  expect(codeOf(() => fromBase64url('YQ+/'))).toBe('malformed')
  expect(() => fromBase64('?', 'head root')).toThrow(/^head root: /)
})

test('UTF-8 is fatal and keeps a byte order mark', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), (text) => {
      expect(Buffer.from(utf8Encode(text)).toString('utf8')).toBe(text)
      expect(utf8Decode(utf8Encode(text))).toBe(text)
    }),
  )
  expect(utf8Decode(Uint8Array.of(0xef, 0xbb, 0xbf, 0x61))).toBe('\ufeffa')
  for (const hex of ['80', 'c0af', 'eda080', 'f4908080', 'e282']) {
    expect(codeOf(() => utf8Decode(fromHex(hex)))).toBe('malformed')
  }
  for (const text of ['\ud800', 'a\udc00b', '\udc00\ud800']) {
    expect(codeOf(() => utf8Encode(text))).toBe('malformed')
  }
})

test('text of every length around where the way to encode it changes is encoded whole', () => {
  for (const length of [0, 31, 32, 33, 64, 65, 4_095, 4_096, 4_097, 20_000]) {
    for (const last of ['a', 'é', '€', '😀']) {
      const text = 'x'.repeat(length) + last
      expect(Buffer.from(utf8Encode(text))).toEqual(Buffer.from(text, 'utf8'))
    }
  }
})

test('arrays that share a block are zeroed, do not overlap, and end where they should', () => {
  const lengths = fc.array(fc.integer({ min: 0, max: 6_000 }), { minLength: 1, maxLength: 40 })
  fc.assert(
    fc.property(lengths, (all) => {
      const arrays = all.map((length) => allocate(length))
      expect(arrays.map((one) => one.length)).toEqual(all)
      arrays.forEach((one, at) => {
        expect(one.every((byte) => byte === 0)).toBe(true)
        one.fill(at + 1)
      })
      arrays.forEach((one, at) => {
        expect(one.every((byte) => byte === at + 1)).toBe(true)
      })
    }),
  )
})

test('the form of the base64url of 32 bytes is what the decoder takes', () => {
  const digit = fc.constantFrom(...'ABCDEFGHQXYZabcghijkopqswxyz0148_-+/= '.split(''))
  const texts = fc.oneof(
    fc.uint8Array({ minLength: 31, maxLength: 33 }).map((bytes) => toBase64url(bytes)),
    fc
      .tuple(fc.uint8Array({ minLength: 32, maxLength: 32 }), fc.nat(43), digit)
      .map(([bytes, at, other]) => {
        const text = toBase64url(bytes)
        return text.slice(0, at) + other + text.slice(at + 1)
      }),
  )
  const isTaken = (text: string): boolean =>
    codeOf(() => fromBase64url(text)) === 'accepted' && fromBase64url(text).length === 32
  fc.assert(
    fc.property(texts, (text) => {
      expect(isBase64urlOf32(text)).toBe(isTaken(text))
    }),
    { numRuns: 3_000 },
  )
})

test('byte strings are joined, copied, compared', () => {
  expect(concatBytes()).toEqual(new Uint8Array())
  expect(concatBytes(Uint8Array.of(1), Uint8Array.of(), Uint8Array.of(2, 3))).toEqual(
    Uint8Array.of(1, 2, 3),
  )
  const buffer = Buffer.from([1, 2, 3])
  const copy = copyBytes(buffer, 1)
  buffer[1] = 9
  expect(copy).toEqual(Uint8Array.of(2, 3))
  expect(copyBytes(copy)).not.toBe(copy)
  fc.assert(
    fc.property(
      fc.uint8Array({ maxLength: 4, max: 3 }),
      fc.uint8Array({ maxLength: 4, max: 3 }),
      (a, b) => {
        expect(Math.sign(compareBytes(a, b))).toBe(Buffer.compare(a, b))
        expect(equalBytes(a, b)).toBe(Buffer.compare(a, b) === 0)
      },
    ),
    { numRuns: 1_000 },
  )
})

test('integers are big-endian and safe', () => {
  expect(u16Bytes(258)).toEqual(Uint8Array.of(1, 2))
  expect(toHex(u64Bytes(2 ** 53 - 1))).toBe('001fffffffffffff')
  expect(toHex(u64Bytes(2 ** 32))).toBe('0000000100000000')
  expect(readU16(Uint8Array.of(9, 1, 2), 1)).toBe(258)
  expect(readU64(fromHex('001fffffffffffff'), 0)).toBe(2 ** 53 - 1)
  expect(codeOf(() => readU64(fromHex('0020000000000000'), 0))).toBe('too_large')
  expect(codeOf(() => readU64(fromHex('ffffffffffffffff'), 0))).toBe('too_large')
  expect(codeOf(() => readU64(new Uint8Array(7), 0))).toBe('malformed')
  expect(codeOf(() => readU16(new Uint8Array(3), 2))).toBe('malformed')
  expect(codeOf(() => readUint(new Uint8Array(3), -1, 1))).toBe('malformed')
  for (const n of [-1, 1.5, 65_536, Number.NaN, 2 ** 53]) {
    expect(codeOf(() => u16Bytes(n))).toBe('malformed')
  }
  expect(codeOf(() => u64Bytes(2 ** 53))).toBe('malformed')
  fc.assert(
    fc.property(fc.maxSafeNat(), (n) => {
      const expected = Buffer.alloc(8)
      expected.writeBigUInt64BE(BigInt(n))
      expect(toHex(uintBytes(n, 8))).toBe(expected.toString('hex'))
      expect(readUint(u64Bytes(n), 0, 8)).toBe(n)
    }),
  )
})

test('decimals have no second spelling', () => {
  expect(parseDecimal('0', 'n')).toBe(0)
  expect(parseDecimal('9007199254740991', 'n')).toBe(2 ** 53 - 1)
  for (const text of ['', '-1', '+1', ' 1', '1 ', '1e3', '0x1', '1.0', '١', '1\n']) {
    expect(codeOf(() => parseDecimal(text, 'n'))).toBe('malformed')
  }
  for (const text of ['00', '01'])
    expect(codeOf(() => parseDecimal(text, 'n'))).toBe('not_canonical')
  for (const text of ['9007199254740992', '1'.repeat(400)]) {
    expect(codeOf(() => parseDecimal(text, 'n'))).toBe('too_large')
  }
})
