/**
 * Goal: the delegation extension has one encoding and says only what FORMAT §8.2 permits. Method: round trip; each key
 * broken once, by name; every bit flipped; arbitrary bytes.
 */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { type CborMap, type CborValue, decodeCbor, encodeCbor } from '../../proofs/cbor.ts'
import { noblePrimitives as p } from '../../proofs/noble.ts'
import { parseScope, scopeHash } from '../../proofs/scope.ts'
import {
  decodeSvidExtension,
  encodeSvidExtension,
  type SvidExtension,
} from '../../proofs/svid-extension.ts'
import { bitFlips, codeOf } from '../support/proof-code.ts'
import { CHILD, ORIGIN, PARENT, signer } from '../support/statement-signer.ts'

const OWNER = `owner:${signer('EdDSA', 1).kid}`
const scope = parseScope(['read:reports/**', 'write:drafts/*'])
const extension: SvidExtension = {
  recordDigest: new Uint8Array(32).fill(1),
  owner: OWNER,
  depth: 2,
  ancestors: [
    { instance: PARENT, size: 3 },
    { instance: CHILD, size: 5 },
  ],
  scope,
  origin: ORIGIN,
  size: 9,
}
const bytes = encodeSvidExtension(p, extension)

test('round trip', () => {
  expect(decodeSvidExtension(p, bytes)).toEqual(extension)
  const root = { ...extension, depth: 0, ancestors: [] }
  expect(decodeSvidExtension(p, encodeSvidExtension(p, root))).toEqual(root)
})

describe('every key', () => {
  const ancestors = (count: number): CborValue =>
    Array.from({ length: count }, (_, at) => [`${PARENT}${at}`, at])
  const invalid = 'certificate_invalid'
  test.each<[string, readonly (readonly [number, CborValue])[], string]>([
    ['good', [], 'accepted'],
    ['version 2', [[0, 2]], 'version_unknown'],
    ['version text', [[0, '1']], invalid],
    ['digest of 31 bytes', [[1, new Uint8Array(31)]], invalid],
    ['owner an operator', [[2, OWNER.replace('owner', 'operator')]], invalid],
    ['owner an instance', [[2, PARENT]], invalid],
    ['depth of another count', [[3, 1]], invalid],
    [
      'depth 8',
      [
        [3, 8],
        [4, ancestors(8)],
      ],
      'accepted',
    ],
    [
      'depth 9',
      [
        [3, 9],
        [4, ancestors(9)],
      ],
      invalid,
    ],
    [
      'ancestor a name',
      [
        [
          4,
          [
            [PARENT, 1],
            ['spiffe://example.com/a', 1],
          ],
        ],
      ],
      invalid,
    ],
    [
      'ancestor twice',
      [
        [
          4,
          [
            [PARENT, 1],
            [PARENT, 1],
          ],
        ],
      ],
      invalid,
    ],
    ['ancestor of one', [[4, [[PARENT], [CHILD, 1]]]], invalid],
    [
      'ancestor size negative',
      [
        [
          4,
          [
            [PARENT, -1],
            [CHILD, 1],
          ],
        ],
      ],
      invalid,
    ],
    ['scope not canonical', [[5, [...scope.texts].reverse()]], invalid],
    ['scope of another hash', [[5, ['read:a']]], invalid],
    ['grant a number', [[5, [1]]], invalid],
    ['hash of 31 bytes', [[6, new Uint8Array(31)]], invalid],
    [
      'another scope with its hash',
      [
        [5, ['read:a']],
        [6, scopeHash(p, parseScope(['read:a']))],
      ],
      'accepted',
    ],
    ['origin', [[7, 'x']], invalid],
    ['size negative', [[8, -1]], invalid],
    ['one key more', [[9, 1]], invalid],
  ])('%s', (_, patch, code) => {
    const map = decodeCbor(bytes) as CborMap
    const call = () => decodeSvidExtension(p, encodeCbor(new Map([...map, ...patch])))
    expect(codeOf(call)).toBe(code)
  })

  test.each([0, 1, 2, 3, 4, 5, 6, 7, 8])('key %i is required', (key) => {
    const map = new Map(decodeCbor(bytes) as CborMap)
    map.delete(key)
    expect(codeOf(() => decodeSvidExtension(p, encodeCbor(map)))).toBe(invalid)
  })

  test('encoding refuses what decoding refuses', () => {
    expect(codeOf(() => encodeSvidExtension(p, { ...extension, depth: 1 }))).toBe(invalid)
  })
})

test('an error that is not of the kit is not hidden', () => {
  const broken = {
    ...p,
    sha256: () => {
      throw new TypeError('broken')
    },
  }
  expect(() => decodeSvidExtension(broken, bytes)).toThrow(TypeError)
})

test('every bit flipped is another extension or none', () => {
  for (const flipped of bitFlips(bytes)) {
    const code = codeOf(() =>
      expect(encodeSvidExtension(p, decodeSvidExtension(p, flipped))).toEqual(flipped),
    )
    expect(['accepted', 'certificate_invalid', 'version_unknown']).toContain(code)
  }
})

test('arbitrary bytes are refused', () => {
  fc.assert(
    fc.property(fc.uint8Array(), (any) => {
      expect(codeOf(() => decodeSvidExtension(p, any))).toBe('certificate_invalid')
    }),
  )
})
