/**
 * @module Goal: the native primitives give the kit's verdict on every signature, and the signers' signatures verify
 * everywhere. Method: the Wycheproof files for Ed25519 and P-256 and the 914 Ed25519 edge cases of CCTV, each
 * compared with the published verdict and with the kit's @noble primitives; then properties over fresh keys.
 */
import { createHash, createPublicKey, generateKeyPairSync } from 'node:crypto'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { noblePrimitives } from '../proofs/noble.ts'
import {
  encodePublicKey,
  generateKey,
  nativePrimitives,
  signerFromPrivateKey,
} from '../src/crypto.ts'
import type { SignatureAlgorithm } from '../src/crypto.ts'

const vectors = process.env['TRUSTWARDEN_VECTORS']
const algorithms: readonly SignatureAlgorithm[] = ['EdDSA', 'ES256']

interface WycheproofGroup {
  readonly publicKey: { readonly pk?: string; readonly uncompressed?: string }
  readonly tests: readonly {
    readonly tcId: number
    readonly msg: string
    readonly sig: string
    readonly result: string
  }[]
}

function bytes(hex: string): Uint8Array {
  return new Uint8Array(Buffer.from(hex, 'hex'))
}

/** The parsed file of the vector folder; without it the test is skipped, saying where the file comes from. */
function load(skip: (why: string) => never, path: string, source: string): unknown {
  if (vectors === undefined || !existsSync(join(vectors, path))) {
    skip(`set TRUSTWARDEN_VECTORS to a folder that holds ${path} (${source})`)
  }
  return JSON.parse(readFileSync(join(vectors ?? '', path), 'utf8'))
}

function nativeVerify(alg: SignatureAlgorithm): typeof nativePrimitives.ed25519Verify {
  return alg === 'EdDSA' ? nativePrimitives.ed25519Verify : nativePrimitives.p256Verify
}

function nobleVerify(alg: SignatureAlgorithm): typeof nativePrimitives.ed25519Verify {
  return alg === 'EdDSA' ? noblePrimitives.ed25519Verify : noblePrimitives.p256Verify
}

function checkWycheproof(alg: SignatureAlgorithm, file: unknown): void {
  const { numberOfTests, testGroups } = file as {
    readonly numberOfTests: number
    readonly testGroups: readonly WycheproofGroup[]
  }
  const wrong: string[] = []
  let count = 0
  for (const { publicKey, tests } of testGroups) {
    const key = bytes(publicKey.pk ?? publicKey.uncompressed ?? '')
    for (const { tcId, msg, sig, result } of tests) {
      count++
      const native = nativeVerify(alg)(key, bytes(msg), bytes(sig))
      if (native !== (result === 'valid')) wrong.push(`${tcId} native ${native}, is ${result}`)
      const noble = nobleVerify(alg)(key, bytes(msg), bytes(sig))
      if (native !== noble) wrong.push(`${tcId} native ${native}, noble ${noble}`)
    }
  }
  expect(wrong).toEqual([])
  expect(count).toBe(numberOfTests)
}

describe('foreign vectors', () => {
  const wycheproof = 'C2SP/wycheproof, testvectors_v1'

  it('gives the Wycheproof verdicts for Ed25519', ({ skip }) => {
    checkWycheproof('EdDSA', load(skip, 'ed25519/ed25519_test.json', wycheproof))
  })

  it('gives the Wycheproof verdicts for P-256, high s included', ({ skip }) => {
    const path = 'ecdsa/ecdsa_secp256r1_sha256_p1363_test.json'
    checkWycheproof('ES256', load(skip, path, wycheproof))
  })

  it('accepts exactly 43 of the 914 Ed25519 edge cases, the same as noble', ({ skip }) => {
    const cases = load(skip, 'ed25519/ed25519vectors.json', 'C2SP/CCTV, ed25519') as readonly {
      readonly number: number
      readonly key: string
      readonly sig: string
      readonly msg: string
      readonly flags: readonly string[] | null
    }[]
    const accepted: number[] = []
    const wrong: number[] = []
    for (const { number, key, sig, msg, flags } of cases) {
      const message = new TextEncoder().encode(msg)
      const native = nativePrimitives.ed25519Verify(bytes(key), message, bytes(sig))
      if (native !== noblePrimitives.ed25519Verify(bytes(key), message, bytes(sig))) {
        wrong.push(number)
      }
      if (!native) continue
      accepted.push(number)
      const forbidden = ['low_order_A', 'low_order_R', 'non_canonical_A', 'non_canonical_R']
      if (flags?.some((flag) => forbidden.includes(flag) || flag === 'low_order_residue')) {
        wrong.push(number)
      }
    }
    expect(wrong).toEqual([])
    expect(cases).toHaveLength(914)
    expect(accepted).toHaveLength(43)
  })
})

describe('sha256', () => {
  it('equals the other two implementations and is a plain, exclusive Uint8Array', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (data) => {
        const digest = nativePrimitives.sha256(data)
        expect(Buffer.isBuffer(digest)).toBe(false)
        expect(digest).toEqual(new Uint8Array(createHash('sha256').update(data).digest()))
        expect(digest).toEqual(noblePrimitives.sha256(data))
      }),
    )
  })
})

describe.each(algorithms)('%s', (alg) => {
  const signer = signerFromPrivateKey(generateKey(alg))
  const verify = nativeVerify(alg)

  it('signs what native and noble verification accept, and neither accepts it changed', () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ maxLength: 300 }),
        fc.nat({ max: 511 }),
        fc.nat({ max: 2 ** 31 - 1 }),
        (message, sigBit, keyBit) => {
          const signature = signer.sign(message)
          expect(signature).toHaveLength(64)
          expect(verify(signer.publicKey, message, signature)).toBe(true)
          expect(nobleVerify(alg)(signer.publicKey, message, signature)).toBe(true)

          const longer = Uint8Array.of(...message, 0)
          expect(verify(signer.publicKey, longer, signature)).toBe(false)
          const broken = signature.slice()
          const at = Math.floor(sigBit / 8)
          broken[at] = (broken[at] ?? 0) ^ (1 << (sigBit % 8))
          expect(verify(signer.publicKey, message, broken)).toBe(false)
          const otherKey = signer.publicKey.slice()
          const bit = keyBit % (otherKey.length * 8)
          const byte = Math.floor(bit / 8)
          otherKey[byte] = (otherKey[byte] ?? 0) ^ (1 << (bit % 8))
          expect(verify(otherKey, message, signature)).toBe(false)
          expect(nobleVerify(alg)(otherKey, message, signature)).toBe(false)
        },
      ),
      { numRuns: 40 },
    )
  })

  it('never throws, whatever the bytes and lengths', () => {
    const any = fc.uint8Array({ maxLength: 70 })
    const key = fc.oneof(any, fc.constant(signer.publicKey))
    const signature = fc.oneof(any, fc.uint8Array({ minLength: 64, maxLength: 64 }))
    fc.assert(
      fc.property(key, any, signature, (k, m, s) => {
        expect(verify(k, m, s)).toBe(false)
      }),
    )
  })

  it('encodes the key in its one encoding, which OpenSSL reads as the same key', () => {
    const key = createPublicKey({ key: Buffer.from(signer.spki), format: 'der', type: 'spki' })
    expect(encodePublicKey(key)).toEqual({ alg, spki: signer.spki, publicKey: signer.publicKey })
    expect(signer.spki.slice(-signer.publicKey.length)).toEqual(signer.publicKey)
    expect(signer.alg).toBe(alg)
  })

  it('keeps its verdicts when more keys pass than the cache holds', () => {
    const message = new Uint8Array(8)
    const signature = signer.sign(message)
    for (let count = 0; count < 4200; count++) {
      const junk = signer.publicKey.slice()
      junk[1] = count % 256
      junk[2] = Math.floor(count / 256)
      verify(junk, message, signature)
    }
    expect(verify(signer.publicKey, message, signature)).toBe(true)
  })
})

describe('malleability', () => {
  const N = BigInt('0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551')
  const L = 2n ** 252n + 27742317777372353535851937790883648493n
  const message = new TextEncoder().encode('message')

  function bigEndian(value: bigint): Uint8Array {
    return bytes(value.toString(16).padStart(64, '0'))
  }

  it('accepts both s and n − s for P-256, and no s + n', () => {
    const signer = signerFromPrivateKey(generateKey('ES256'))
    const signature = signer.sign(message)
    const s = BigInt(`0x${Buffer.from(signature.slice(32)).toString('hex')}`)
    const other = Uint8Array.of(...signature.slice(0, 32), ...bigEndian(N - s))
    expect(nativePrimitives.p256Verify(signer.publicKey, message, other)).toBe(true)
    for (const outside of [0n, N, N + 1n]) {
      const edge = Uint8Array.of(...signature.slice(0, 32), ...bigEndian(outside))
      expect(nativePrimitives.p256Verify(signer.publicKey, message, edge)).toBe(false)
      const edgeR = Uint8Array.of(...bigEndian(outside), ...signature.slice(32))
      expect(nativePrimitives.p256Verify(signer.publicKey, message, edgeR)).toBe(false)
    }
  })

  it('refuses S + L for Ed25519, and a signature with a byte appended', () => {
    const signer = signerFromPrivateKey(generateKey('EdDSA'))
    const signature = signer.sign(message)
    const s = BigInt(`0x${Buffer.from(signature.slice(32)).reverse().toString('hex')}`)
    const malleated = Uint8Array.of(...signature.slice(0, 32), ...bigEndian(s + L).toReversed())
    expect(nativePrimitives.ed25519Verify(signer.publicKey, message, malleated)).toBe(false)
    const longer = Uint8Array.of(...signature, 0)
    expect(nativePrimitives.ed25519Verify(signer.publicKey, message, longer)).toBe(false)
  })
})

describe('keys of other kinds', () => {
  it('refuses P-384, RSA and public keys as signers, by code', () => {
    const others = [
      generateKeyPairSync('ec', { namedCurve: 'P-384' }).privateKey,
      generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey,
      generateKeyPairSync('ed448').privateKey,
      createPublicKey(generateKey('ES256')),
    ]
    for (const key of others) {
      expect(() => signerFromPrivateKey(key)).toThrow(
        expect.objectContaining({ code: 'key_unsupported' }),
      )
    }
  })
})
