/**
 * Goal: a key has one encoding, hence one name. Method: node:crypto writes SPKIs of both kinds, which have to read as
 * its own JWK says; compressed, hybrid and parameterless forms, cut and lengthened ones, and points off the curve.
 */
import { createHash, createPublicKey, generateKeyPairSync } from 'node:crypto'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { concatBytes, fromBase64url, fromHex, toHex } from '../../proofs/bytes.ts'
import { ed25519Spki, keyId, p256Spki, parseSpki } from '../../proofs/key.ts'
import { noblePrimitives } from '../../proofs/noble.ts'
import { bitFlips, codeOf } from '../support/proof-code.ts'

const ed25519 = generateKeyPairSync('ed25519').publicKey
const p256 = generateKeyPairSync('ec', { namedCurve: 'P-256' }).publicKey
const ed25519Der = new Uint8Array(ed25519.export({ format: 'der', type: 'spki' }))
const p256Der = new Uint8Array(p256.export({ format: 'der', type: 'spki' }))

test('reads and writes what node writes', () => {
  const edKey = fromBase64url(ed25519.export({ format: 'jwk' }).x ?? '')
  const { x = '', y = '' } = p256.export({ format: 'jwk' })
  const point = concatBytes(Uint8Array.of(4), fromBase64url(x), fromBase64url(y))
  expect(parseSpki(ed25519Der)).toEqual({ alg: 'EdDSA', publicKey: edKey })
  expect(parseSpki(p256Der)).toEqual({ alg: 'ES256', publicKey: point })
  expect(ed25519Spki(edKey)).toEqual(ed25519Der)
  expect(p256Spki(point)).toEqual(p256Der)
})

test('a key id is base64url of SHA-256 of the SPKI', () => {
  expect(keyId(noblePrimitives, p256Der)).toBe(
    createHash('sha256').update(p256Der).digest('base64url'),
  )
})

test('no second encoding of a key is read', () => {
  const jwk = p256.export({ format: 'jwk' })
  const x = fromBase64url(jwk.x ?? '')
  for (const prefix of ['02', '03']) {
    // The compressed form, as OpenSSL reads it.
    const compressed = concatBytes(
      fromHex(`3039301306072a8648ce3d020106082a8648ce3d030107032200${prefix}`),
      x,
    )
    if (prefix === '02') {
      const read = createPublicKey({ key: Buffer.from(compressed), format: 'der', type: 'spki' })
      expect(read.export({ format: 'jwk' }).x).toBe(jwk.x)
    }
    expect(codeOf(() => parseSpki(compressed))).toBe('key_invalid')
  }
  for (const first of [0, 2, 3, 5, 6, 7]) {
    const der = new Uint8Array(p256Der)
    der[26] = first
    expect(codeOf(() => parseSpki(der))).toBe('key_invalid')
    expect(codeOf(() => p256Spki(der.subarray(26)))).toBe('key_invalid')
  }
  // Ed25519 with NULL parameters.
  const withNull = concatBytes(fromHex('302c300706032b65700500032100'), ed25519Der.subarray(12))
  expect(codeOf(() => parseSpki(withNull))).toBe('key_invalid')
  for (const der of [ed25519Der, p256Der]) {
    expect(codeOf(() => parseSpki(der.subarray(1)))).toBe('key_invalid')
    expect(codeOf(() => parseSpki(der.subarray(0, -1)))).toBe('key_invalid')
    expect(codeOf(() => parseSpki(concatBytes(der, Uint8Array.of(0))))).toBe('key_invalid')
  }
})

test('no flipped bit of a P-256 SPKI, nor of an Ed25519 prefix, is read', () => {
  for (const der of bitFlips(p256Der)) expect(codeOf(() => parseSpki(der))).toBe('key_invalid')
  for (const prefix of bitFlips(ed25519Der.subarray(0, 12))) {
    const der = concatBytes(prefix, ed25519Der.subarray(12))
    expect(codeOf(() => parseSpki(der))).toBe('key_invalid')
  }
})

test('coordinates are below p', () => {
  // x = p encodes 0 a second time; (0, √b) is on the curve.
  const y = '66485c780e2f83d72433bd5d84a06bb6541c2af31dae871728bf856a174f93f4'
  const zero = fromHex(`04${'00'.repeat(32)}${y}`)
  const p = 'ffffffff00000001000000000000000000000000ffffffffffffffffffffffff'
  expect(toHex(parseSpki(p256Spki(zero)).publicKey)).toBe(toHex(zero))
  expect(codeOf(() => p256Spki(fromHex(`04${p}${y}`)))).toBe('key_invalid')
  expect(codeOf(() => p256Spki(fromHex(`04${'00'.repeat(32)}${p}`)))).toBe('key_invalid')
})

test('other lengths are refused, and other bytes are a ProofError', () => {
  expect(codeOf(() => ed25519Spki(new Uint8Array(31)))).toBe('key_invalid')
  expect(codeOf(() => p256Spki(new Uint8Array(64)))).toBe('key_invalid')
  expect(codeOf(() => p256Spki(new Uint8Array()))).toBe('key_invalid')
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 100 }), (bytes) => {
      expect(codeOf(() => parseSpki(bytes))).toBe('key_invalid')
    }),
  )
})
