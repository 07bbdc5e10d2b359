/**
 * Goal: the default primitives give the verdicts of FORMAT §2.2 and §2.3, and the same ones as OpenSSL behind the same
 * checks. Method: wycheproof's verdicts; CCTV's Ed25519 edge cases, which have none, as a consensus test between the
 * two implementations; node:crypto as an independent signer; every bit of a signature and a key flipped.
 */
import { existsSync, readFileSync } from 'node:fs'
import { createHash } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { concatBytes, fromHex, toHex } from '../../proofs/bytes.ts'
import { noblePrimitives } from '../../proofs/noble.ts'
import { generateKey, nativePrimitives, signerFromPrivateKey } from '../../src/crypto.ts'
import { bitFlips } from '../support/proof-code.ts'

const folder = process.env['TRUSTWARDEN_VECTORS'] ?? ''
const hasVectors = folder !== '' && existsSync(`${folder}/ed25519`)

interface Wycheproof {
  readonly testGroups: readonly {
    readonly publicKey: { readonly pk?: string; readonly uncompressed?: string }
    readonly tests: readonly {
      readonly tcId: number
      readonly comment: string
      readonly msg: string
      readonly sig: string
      readonly result: string
    }[]
  }[]
}

interface EdgeCase {
  readonly number: number
  readonly key: string
  readonly sig: string
  readonly msg: string
}

// L and p, little-endian, as FORMAT §2.2 takes them from RFC 8032 §5.1.
const ORDER = 0x1000000000000000000000000000000014def9dea2f79cd65812631a5cf5d3edn

describe.skipIf(!hasVectors)(
  'foreign: github.com/C2SP/wycheproof and C2SP/CCTV (skipped without TRUSTWARDEN_VECTORS)',
  () => {
    test('wycheproof Ed25519: the verdict of every case', () => {
      const wrong: string[] = []
      const verdicts = new Set<string>()
      for (const group of readWycheproof('ed25519/ed25519_test.json')) {
        const key = fromHex(group.publicKey.pk ?? '')
        for (const { tcId, comment, msg, sig, result } of group.tests) {
          verdicts.add(result)
          const accepted = noblePrimitives.ed25519Verify(key, fromHex(msg), fromHex(sig))
          if (accepted !== (result === 'valid')) wrong.push(`${tcId} ${comment}`)
        }
      }
      expect(wrong).toEqual([])
      expect(verdicts).toEqual(new Set(['valid', 'invalid']))
    })

    test('wycheproof P-256 with SHA-256, P1363: the verdict of every case', () => {
      const wrong: string[] = []
      const verdicts = new Set<string>()
      for (const group of readWycheproof('ecdsa/ecdsa_secp256r1_sha256_p1363_test.json')) {
        const key = fromHex(group.publicKey.uncompressed ?? '')
        for (const { tcId, comment, msg, sig, result } of group.tests) {
          verdicts.add(result)
          const accepted = noblePrimitives.p256Verify(key, fromHex(msg), fromHex(sig))
          if (accepted !== (result === 'valid')) wrong.push(`${tcId} ${comment}`)
        }
      }
      expect(wrong).toEqual([])
      expect(verdicts).toEqual(new Set(['valid', 'invalid']))
    })

    test('CCTV Ed25519: the same verdict as OpenSSL on every case, 43 accepted', () => {
      const cases: readonly EdgeCase[] = JSON.parse(
        readFileSync(`${folder}/ed25519/ed25519vectors.json`, 'utf8'),
      )
      expect(cases.length).toBe(914)
      const differing: number[] = []
      let accepted = 0
      for (const { number, key, sig, msg } of cases) {
        const args = [fromHex(key), Buffer.from(msg, 'utf8'), fromHex(sig)] as const
        const verdict = noblePrimitives.ed25519Verify(...args)
        if (verdict !== nativePrimitives.ed25519Verify(...args)) differing.push(number)
        if (verdict) accepted += 1
      }
      expect(differing).toEqual([])
      expect(accepted).toBe(43)
    })
  },
)

test('SHA-256 is that of node', () => {
  for (const length of [0, 1, 55, 56, 63, 64, 65, 1000]) {
    const data = new Uint8Array(length).fill(length)
    const expected = createHash('sha256').update(data).digest('hex')
    expect(toHex(noblePrimitives.sha256(data))).toBe(expected)
  }
})

describe.each(['EdDSA', 'ES256'] as const)('%s', (alg) => {
  const { ed25519Verify, p256Verify } = noblePrimitives
  const verify = alg === 'EdDSA' ? ed25519Verify : p256Verify
  const signer = signerFromPrivateKey(generateKey(alg))
  const message = Uint8Array.of(1, 2, 3)
  const signature = signer.sign(message)

  test('accepts what node signs', () => {
    for (let round = 0; round < 20; round += 1) {
      const drawn = signerFromPrivateKey(generateKey(alg))
      const text = Buffer.from(`message ${round}`)
      expect(verify(drawn.publicKey, text, drawn.sign(text))).toBe(true)
      expect(verify(signer.publicKey, text, drawn.sign(text))).toBe(false)
    }
    expect(verify(signer.publicKey, new Uint8Array(), signer.sign(new Uint8Array()))).toBe(true)
  })

  test('refuses every flipped bit of signature, key and message', { timeout: 60_000 }, () => {
    for (const flipped of bitFlips(signature)) {
      expect(verify(signer.publicKey, message, flipped)).toBe(false)
    }
    for (const flipped of bitFlips(signer.publicKey)) {
      expect(verify(flipped, message, signature)).toBe(false)
    }
    for (const flipped of bitFlips(message)) {
      expect(verify(signer.publicKey, flipped, signature)).toBe(false)
    }
  })

  test('refuses other lengths without throwing', () => {
    for (const length of [0, 31, 32, 33, 63, 64, 65, 66, 96]) {
      const bytes = new Uint8Array(length)
      if (length !== 64) expect(verify(signer.publicKey, message, bytes)).toBe(false)
      expect(verify(bytes, message, signature)).toBe(false)
    }
    expect(verify(signer.publicKey, message, concatBytes(signature, Uint8Array.of(0)))).toBe(false)
    expect(verify(signer.publicKey, message, new Uint8Array(64))).toBe(false)
  })
})

describe('Ed25519 edges', () => {
  const signer = signerFromPrivateKey(generateKey('EdDSA'))
  const message = Uint8Array.of(7)
  const signature = signer.sign(message)

  test('S + L is refused though the equation holds', () => {
    const s = fromLe(signature.subarray(32)) + ORDER
    const forged = concatBytes(signature.subarray(0, 32), toLe(s))
    expect(noblePrimitives.ed25519Verify(signer.publicKey, message, forged)).toBe(false)
  })

  test('a key of small order verifies nothing, whatever its encoding', () => {
    // R = [S]B makes the equation hold for A = identity; only the rule about A stands in the way.
    const identities = [toLe(1n), toLe(1n + 2n ** 255n), toLe(2n ** 255n - 18n)]
    const base = fromHex('5866666666666666666666666666666666666666666666666666666666666666')
    for (const key of identities) {
      const forged = concatBytes(base, toLe(1n))
      expect(noblePrimitives.ed25519Verify(key, message, forged)).toBe(false)
    }
    // The same with S = 0: R is the identity, of small order too.
    const zero = concatBytes(toLe(1n), toLe(0n))
    expect(noblePrimitives.ed25519Verify(signer.publicKey, message, zero)).toBe(false)
  })

  test('a key that is no point is refused', () => {
    // y = 2 is on the curve for no x.
    expect(noblePrimitives.ed25519Verify(toLe(2n), message, signature)).toBe(false)
    expect(nativePrimitives.ed25519Verify(toLe(2n), message, signature)).toBe(false)
  })
})

test('P-256: high S and low S are both accepted, and the key has one form', () => {
  const order = 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n
  const signer = signerFromPrivateKey(generateKey('ES256'))
  const message = Uint8Array.of(7)
  const signature = signer.sign(message)
  const s = BigInt(`0x${toHex(signature.subarray(32))}`)
  const other = fromHex((order - s).toString(16).padStart(64, '0'))
  const mirrored = concatBytes(signature.subarray(0, 32), other)
  expect(noblePrimitives.p256Verify(signer.publicKey, message, signature)).toBe(true)
  expect(noblePrimitives.p256Verify(signer.publicKey, message, mirrored)).toBe(true)
  for (const prefix of [0, 2, 3, 5, 6, 7]) {
    const key = concatBytes(Uint8Array.of(prefix), signer.publicKey.subarray(1))
    expect(noblePrimitives.p256Verify(key, message, signature)).toBe(false)
  }
  const compressed = signer.publicKey.slice(0, 33)
  for (const prefix of [2, 3]) {
    compressed[0] = prefix
    expect(noblePrimitives.p256Verify(compressed, message, signature)).toBe(false)
  }
})

function readWycheproof(path: string): Wycheproof['testGroups'] {
  const file: Wycheproof = JSON.parse(readFileSync(`${folder}/${path}`, 'utf8'))
  return file.testGroups
}

function fromLe(bytes: Uint8Array): bigint {
  return BigInt(`0x${toHex(Uint8Array.from(bytes).reverse())}`)
}

function toLe(n: bigint): Uint8Array {
  return fromHex(n.toString(16).padStart(64, '0')).reverse()
}
