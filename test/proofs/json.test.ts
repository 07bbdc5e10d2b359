/**
 * Goal: one reading for every text, and one text for every value. Method: each refusal by name; JSON.parse as an
 * independent reader of everything that is accepted; the examples of RFC 8785; random values and random texts.
 */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { utf8Decode, utf8Encode } from '../../proofs/bytes.ts'
import {
  canonicalJson,
  jsonArray,
  jsonBoolean,
  jsonInteger,
  jsonObject,
  jsonString,
  type JsonValue,
  parseJson,
  requireMembers,
} from '../../proofs/json.ts'
import { codeOf } from '../support/proof-code.ts'

const parse = (text: string): JsonValue => parseJson(utf8Encode(text))
const canonical = (value: JsonValue): string => utf8Decode(canonicalJson(value))

const REFUSED: readonly (readonly [string, string])[] = [
  ['nothing', ''],
  ['white space alone', ' '],
  ['byte order mark', '\ufeff{}'],
  ['text after the value', '{} {}'],
  ['other white space', '\u00a01'],
  ['form feed', '\f1'],
  ['comment', '/**/1'],
  ['trailing comma in array', '[1,]'],
  ['trailing comma in object', '{"a":1,}'],
  ['missing comma', '[1 2]'],
  ['missing colon', '{"a" 1}'],
  ['missing value', '{"a":}'],
  ['open array', '[1'],
  ['open object', '{"a":1'],
  ['key without quotes', '{a:1}'],
  ['key that is a number', '{1:1}'],
  ['single quotes', "'a'"],
  ['open string', '"a'],
  ['control character', '"a\u0001"'],
  ['newline in a string', '"a\n"'],
  ['unknown escape', '"\\x41"'],
  ['escape cut off', '"\\'],
  ['capital U', '"\\U0041"'],
  ['short unicode escape', '"\\u004"'],
  ['unicode escape of other digits', '"\\u00g0"'],
  ['half-literal', 'tru'],
  ['capital literal', 'True'],
  ['NaN', 'NaN'],
  ['Infinity', 'Infinity'],
  ['leading zero', '01'],
  ['leading plus', '+1'],
  ['point first', '.5'],
  ['point last', '1.'],
  ['empty exponent', '1e'],
  ['hexadecimal', '0x10'],
  ['minus alone', '-'],
  ['−0', '-0'],
  ['−0 as fraction', '-0.0'],
  ['−0 as exponent', '-0e1'],
  ['vanishing negative', '-1e-400'],
  ['vanishing', '1e-400'],
  ['vanishing with zeros', '0.0001e-400'],
  ['2^53', '9007199254740992'],
  ['2^53 with a fraction', '9007199254740992.0'],
  ['2^53 by rounding', '9007199254740991.9'],
  ['−2^53', '-9007199254740992'],
  ['large by exponent', '1e20'],
  ['overflow', '1e400'],
  ['duplicate key', '{"a":1,"a":1}'],
  ['duplicate key by escape', '{"a":1,"\\u0061":1}'],
  ['duplicate __proto__', '{"__proto__":1,"__proto__":2}'],
  ['lone high surrogate', '"\\ud800"'],
  ['lone low surrogate', '"\\udc00"'],
  ['surrogates in the wrong order', '"\\udc00\\ud800"'],
  ['high surrogate before a pair', '"\\ud800😀"'],
  ['lone surrogate in a key', '{"\\ud800":1}'],
  ['noncharacter', '"\uffff"'],
  ['noncharacter by escape', '"\\ufdd0"'],
  ['noncharacter of another plane', '"\\ud83f\\udffe"'],
]

const jsonValue = fc.letrec<{ value: JsonValue }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 5, depthIdentifier: 'json' },
    fc.constantFrom(null, false, true),
    fc.maxSafeInteger(),
    fc.double({ noNaN: true, noDefaultInfinity: true, noInteger: true }),
    text(),
    fc.array(tie('value'), { depthIdentifier: 'json' }),
    fc.dictionary(
      fc.oneof(text(), fc.constant('__proto__'), fc.constant('toString')),
      tie('value'),
      {
        depthIdentifier: 'json',
      },
    ),
  ),
})).value

describe('refused', () => {
  test.each(REFUSED)('%s', (_, source) => {
    expect(codeOf(() => parse(source))).toBe('malformed')
  })

  test('bytes that are not UTF-8', () => {
    expect(codeOf(() => parseJson(Uint8Array.of(0x22, 0xff, 0x22)))).toBe('malformed')
    expect(codeOf(() => parseJson(Uint8Array.of(0x22, 0xed, 0xa0, 0x80, 0x22)))).toBe('malformed')
  })
})

test.each([
  '0',
  '-1',
  '9007199254740991',
  '-9007199254740991',
  '1.0',
  '1e2',
  '1E+2',
  '0.5e-3',
  '0e5',
  '0.0',
  '5e-324',
  '1.5',
  ' \t\r\n[ 1 , 2 ] ',
  '{ "a" : [ ] , "b" : { } }',
  '"\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9\\uD83D\\uDE00"',
  '"\u007f\u2028é"',
  'null',
])('%s reads as JSON.parse reads it', (source) => {
  const expected: unknown = JSON.parse(source)
  expect(plain(parse(source))).toEqual(plain(expected))
})

test('__proto__ and inherited names are keys like any other', () => {
  const object = jsonObject(parse('{"__proto__":{"x":1},"constructor":2}'), 'f')
  expect(Object.keys(object)).toEqual(['__proto__', 'constructor'])
  expect(object['x']).toBeUndefined()
  for (const name of ['toString', 'hasOwnProperty', 'constructor']) {
    expect(name in jsonObject(parse('{}'), 'f'), name).toBe(false)
  }
  expect(canonical(object)).toBe('{"__proto__":{"x":1},"constructor":2}')
})

test('a name that is a number costs no more than another', () => {
  const source = (name: string): Uint8Array =>
    utf8Encode(`[${Array.from({ length: 20_000 }, () => `{"${name}":1}`).join(',')}]`)
  const heldBy = (name: string): number => {
    const input = source(name)
    const before = process.memoryUsage().heapUsed
    const value = parseJson(input)
    const held = process.memoryUsage().heapUsed - before
    expect(value).toHaveLength(20_000)
    return held
  }
  heldBy('warm')
  // 240 MB where V8 takes the name for an index.
  expect(heldBy('1000')).toBeLessThan(60_000_000)
  const object = jsonObject(parse('{"1000":1,"a":2,"0":3}'), 'f')
  expect({ ...object }).toEqual({ a: 2, '0': 3, '1000': 1 })
  expect(canonical(object)).toBe('{"0":3,"1000":1,"a":2}')
  for (const twice of ['{"7":1,"7":2}', '{"7":1,"\\u0037":2}']) {
    expect(codeOf(() => parse(twice))).toBe('malformed')
  }
})

test('limits are exact', () => {
  const nested = (depth: number): string => '['.repeat(depth) + ']'.repeat(depth)
  const nestedObjects = (depth: number): string => `${'{"a":'.repeat(depth)}1${'}'.repeat(depth)}`
  for (const source of [nested(32), nestedObjects(32)]) {
    expect(canonical(parse(source))).toBe(source)
  }
  for (const source of [nested(33), nestedObjects(33)]) {
    expect(codeOf(() => parse(source))).toBe('too_large')
    const value = parseJson(utf8Encode(source), { maxDepth: 33 })
    expect(codeOf(() => canonicalJson(value))).toBe('too_large')
  }
  expect(codeOf(() => parseJson(utf8Encode('[1]'), { maxBytes: 3 }))).toBe('accepted')
  expect(codeOf(() => parseJson(utf8Encode('[1]'), { maxBytes: 2 }))).toBe('too_large')
  expect(codeOf(() => parseJson(new Uint8Array(1_048_577)))).toBe('too_large')
  const five = utf8Encode('[1,{"a":2}]')
  expect(codeOf(() => parseJson(five, { maxItems: 5 }))).toBe('accepted')
  expect(codeOf(() => parseJson(five, { maxItems: 4 }))).toBe('too_large')
})

describe('canonical form', () => {
  test('RFC 8785 §3.2.2, less the integer that no safe integer holds', () => {
    const source = String.raw`{
      "numbers": [333333333.33333329, 4.50, 2e-3, 0.000000000000000000000000001],
      "string": "\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/",
      "literals": [null, true, false]
    }`
    expect(canonical(parse(source))).toBe(
      String.raw`{"literals":[null,true,false],"numbers":[333333333.3333333,4.5,0.002,1e-27],"string":"€$\u000f\nA'B\"\\\\\"/"}`,
    )
  })

  test('RFC 8785 §3.2.3: keys in the order of UTF-16 code units', () => {
    const source = String.raw`{
      "\u20ac": "Euro Sign", "\r": "Carriage Return", "\ufb33": "Hebrew Letter Dalet With Dagesh",
      "1": "One", "\ud83d\ude00": "Emoji: Grinning Face", "\u0080": "Control",
      "\u00f6": "Latin Small Letter O With Diaeresis"
    }`
    const sorted = [...canonical(parse(source)).matchAll(/:"([A-Z][A-Za-z: ]+)"/g)].map(
      (match) => match[1],
    )
    expect(sorted).toEqual([
      'Carriage Return',
      'One',
      'Control',
      'Latin Small Letter O With Diaeresis',
      'Euro Sign',
      'Emoji: Grinning Face',
      'Hebrew Letter Dalet With Dagesh',
    ])
  })

  test('values round-trip, whatever the order of their keys, as JSON.parse sees them too', () => {
    fc.assert(
      fc.property(jsonValue, (value) => {
        const bytes = canonicalJson(value)
        expect(plain(parseJson(bytes))).toEqual(plain(value))
        expect(plain(JSON.parse(utf8Decode(bytes)))).toEqual(plain(value))
        expect(canonicalJson(parseJson(bytes))).toEqual(bytes)
        expect(plain(parse(JSON.stringify(value, null, 2)))).toEqual(plain(value))
      }),
      { numRuns: 500 },
    )
  })

  test('values that the parser would refuse are refused', () => {
    const odd = [-0, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 53, '\ud800', '\uffff']
    for (const value of odd) expect(codeOf(() => canonicalJson([value]))).toBe('malformed')
    expect(codeOf(() => canonicalJson({ '\ud800': 1 }))).toBe('malformed')
    for (const value of [undefined, 1n, Symbol('x'), new Map(), new Date(0), () => 1]) {
      expect(codeOf(() => Reflect.apply(canonicalJson, undefined, [value]))).toBe('malformed')
    }
  })
})

test('whatever is accepted, JSON.parse reads the same; all else is a ProofError', () => {
  const unit = fc.constantFrom(
    '{',
    '}',
    '[',
    ']',
    ',',
    ':',
    '"',
    '"a"',
    '"b":',
    '\\',
    '\\u0061',
    '0',
    '1',
    '-',
    '.',
    'e',
    ' ',
    '\n',
    'true',
    'null',
    '\u0001',
    'é',
  )
  fc.assert(
    fc.property(fc.oneof(fc.string({ unit, maxLength: 12 }), fc.json()), (source) => {
      if (codeOf(() => parse(source)) !== 'accepted') return
      expect(plain(parse(source))).toEqual(plain(JSON.parse(source)))
    }),
    { numRuns: 10_000 },
  )
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 16 }), (bytes) => {
      codeOf(() => parseJson(bytes))
    }),
    { numRuns: 2_000 },
  )
})

test('readers give the value or say what it is not', () => {
  const values: JsonValue[] = [{ a: 1 }, 'a', 1, true, [1]]
  const readers = [jsonObject, jsonString, jsonInteger, jsonBoolean, jsonArray] as const
  for (const [at, read] of readers.entries()) {
    for (const [other, value] of values.entries()) {
      if (at === other) expect(read(value, 'f')).toBe(value)
      else expect(codeOf(() => read(value, 'f'))).toBe('malformed')
    }
    expect(codeOf(() => read(undefined, 'f'))).toBe('malformed')
    expect(codeOf(() => read(null, 'f'))).toBe('malformed')
    expect(() => read(undefined, 'payload.iat')).toThrow(/^payload\.iat: /)
  }
  expect(codeOf(() => jsonInteger(1.5, 'f'))).toBe('malformed')
})

test('requireMembers demands all required members and refuses unknown ones', () => {
  const object = jsonObject(parse('{"a":1,"b":2}'), 'f')
  expect(codeOf(() => requireMembers(object, ['a'], ['b', 'c'], 'f'))).toBe('accepted')
  expect(codeOf(() => requireMembers(object, ['a', 'c'], ['b'], 'f'))).toBe('malformed')
  expect(codeOf(() => requireMembers(object, ['a'], [], 'f'))).toBe('malformed')
  expect(codeOf(() => requireMembers({}, ['toString'], [], 'f'))).toBe('malformed')
})

/** Strings without noncharacters, which I-JSON does not have. */
function text(): fc.Arbitrary<string> {
  return fc
    .string({ unit: 'binary', maxLength: 12 })
    .filter((candidate) => !/\p{Noncharacter_Code_Point}/u.test(candidate))
}

/** Objects as sorted entries, so that prototypes and orders do not matter. */
function plain(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(plain)
  if (typeof value !== 'object' || value === null) return value
  return {
    members: Object.entries(value)
      .map(([name, item]) => [name, plain(item)])
      .sort(([a], [b]) => (String(a) < String(b) ? -1 : 1)),
  }
}
