/**
 * @module The kit's primitives on node:crypto, and the signers of the service.
 *
 * The verdicts are the kit's (FORMAT §2.2, §2.3): every rule in which OpenSSL's releases differ from each other or
 * from the kit is checked here first, so that OpenSSL only ever decides the equation. The checks are written a second
 * time, not imported: a mistake has to be made twice to pass the vectors.
 */
import {
  createPublicKey,
  createPrivateKey,
  generateKeyPairSync,
  sign as signBytes,
  verify as verifyBytes,
} from 'node:crypto'
import type { JsonWebKey, KeyObject } from 'node:crypto'
import type { Primitives } from '@trustwarden/proofs'
import { KeyError } from './keys.ts'
import { sha256 } from './sha256.ts'

/** The two signature algorithms of the service, by their JOSE names (RFC 7518 §3.4, RFC 8037 §3.1). */
export type SignatureAlgorithm = 'EdDSA' | 'ES256'

/** Something that signs with one key. A key in another process or in an HSM takes this shape too. */
export interface Signer {
  readonly alg: SignatureAlgorithm
  /** The public key as SubjectPublicKeyInfo in its one encoding (FORMAT §2.1): 44 bytes for Ed25519, 91 for P-256. */
  readonly spki: Uint8Array
  /** The bare public key: 32 bytes for Ed25519, the 65-byte uncompressed point for P-256. */
  readonly publicKey: Uint8Array
  /** Signs `message` itself (not a digest): 64 bytes, R ‖ S for EdDSA, r ‖ s for ES256. */
  readonly sign: (message: Uint8Array) => Uint8Array
}

/** DER in front of the 32 key bytes of an Ed25519 SubjectPublicKeyInfo without parameters (RFC 8410 §4). */
const SPKI_ED25519_PREFIX: Uint8Array = Buffer.from('302a300506032b6570032100', 'hex')
/** DER in front of the 65 key bytes of a P-256 SubjectPublicKeyInfo: named curve, uncompressed point (RFC 5480 §2). */
const SPKI_P256_PREFIX: Uint8Array = Buffer.from(
  '3059301306072a8648ce3d020106082a8648ce3d030107034200',
  'hex',
)
/** L, the order of the Ed25519 base point, little-endian (RFC 8032 §5.1). */
const ED25519_ORDER: Uint8Array = Buffer.from(
  'edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010',
  'hex',
)
/**
 * The y coordinates of the eight points of small order, little-endian, sign bit clear: 0 (order 4), 1 (the neutral
 * element), −1 (order 2), and the two of order 8. With either sign bit they are all small-order encodings whose
 * y is below p; those with y ≥ p fall to the canonical check.
 */
const SMALL_ORDER_Y: readonly Uint8Array[] = [
  '0000000000000000000000000000000000000000000000000000000000000000',
  '0100000000000000000000000000000000000000000000000000000000000000',
  'ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
  '26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05',
  'c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a',
].map((hex) => Buffer.from(hex, 'hex'))
/** n, the order of the P-256 base point, big-endian (FIPS 186-5, SP 800-186 §3.2.1.3). */
const P256_ORDER: Uint8Array = Buffer.from(
  'ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551',
  'hex',
)
/** How many KeyObjects are kept per algorithm. A live one costs about 1 KiB outside the JavaScript heap. */
const KEY_CACHE_MAX = 4096

/** Whether 32 bytes of `bytes` from `offset`, sign bit aside, are a y below p = 2^255 − 19 of no small-order point. */
function isPermittedPoint(bytes: Uint8Array, offset: number): boolean {
  const top = (bytes[offset + 31] ?? 0) & 0x7f
  if (top === 0x7f && (bytes[offset] ?? 0) >= 0xed) {
    let at = 1
    while (at < 31 && bytes[offset + at] === 0xff) at++
    if (at === 31) return false
  }
  return !SMALL_ORDER_Y.some((y) => {
    if (y[31] !== top) return false
    for (let at = 0; at < 31; at++) if (bytes[offset + at] !== y[at]) return false
    return true
  })
}

/** Whether the little-endian S in the second half of an Ed25519 signature is below L. */
function isScalarReduced(signature: Uint8Array): boolean {
  for (let at = 31; at >= 0; at--) {
    const s = signature[32 + at] ?? 0
    const l = ED25519_ORDER[at] ?? 0
    if (s !== l) return s < l
  }
  return false
}

/** Whether the 32 big-endian bytes of `bytes` from `offset` are in [1, n−1]. */
function isP256Scalar(bytes: Uint8Array, offset: number): boolean {
  let nonZero = 0
  for (let at = 0; at < 32; at++) nonZero |= bytes[offset + at] ?? 0
  if (nonZero === 0) return false
  for (let at = 0; at < 32; at++) {
    const byte = bytes[offset + at] ?? 0
    const n = P256_ORDER[at] ?? 0
    if (byte !== n) return byte < n
  }
  return false
}

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}

/**
 * A bounded map from key bytes to KeyObject, oldest use out first: importing a key costs about as much as a
 * verification. A key that cannot be imported is not remembered, so junk does not push out live ones.
 */
class KeyCache {
  private readonly keys = new Map<string, KeyObject>()
  private readonly importKey: (publicKey: Buffer) => KeyObject

  constructor(importKey: (publicKey: Buffer) => KeyObject) {
    this.importKey = importKey
  }

  get(publicKey: Uint8Array): KeyObject {
    const bytes = asBuffer(publicKey)
    const name = bytes.toString('latin1')
    const known = this.keys.get(name)
    if (known !== undefined) {
      this.keys.delete(name)
      this.keys.set(name, known)
      return known
    }
    const key = this.importKey(bytes)
    this.keys.set(name, key)
    if (this.keys.size > KEY_CACHE_MAX) {
      for (const oldest of this.keys.keys()) {
        this.keys.delete(oldest)
        break
      }
    }
    return key
  }
}

const ed25519Keys = new KeyCache((bytes) =>
  createPublicKey({
    key: { kty: 'OKP', crv: 'Ed25519', x: bytes.toString('base64url') },
    format: 'jwk',
  }),
)
const p256Keys = new KeyCache((bytes) =>
  createPublicKey({
    key: {
      kty: 'EC',
      crv: 'P-256',
      x: bytes.subarray(1, 33).toString('base64url'),
      y: bytes.subarray(33).toString('base64url'),
    },
    format: 'jwk',
  }),
)

function ed25519Verify(publicKey: Uint8Array, message: Uint8Array, signature: Uint8Array): boolean {
  if (publicKey.length !== 32 || signature.length !== 64) return false
  if (!isScalarReduced(signature)) return false
  if (!isPermittedPoint(publicKey, 0) || !isPermittedPoint(signature, 0)) return false
  try {
    return verifyBytes(null, message, ed25519Keys.get(publicKey), signature)
  } catch {
    return false
  }
}

function p256Verify(publicKey: Uint8Array, message: Uint8Array, signature: Uint8Array): boolean {
  if (publicKey.length !== 65 || publicKey[0] !== 4 || signature.length !== 64) return false
  if (!isP256Scalar(signature, 0) || !isP256Scalar(signature, 32)) return false
  try {
    const key = p256Keys.get(publicKey)
    return verifyBytes('sha256', message, { key, dsaEncoding: 'ieee-p1363' }, signature)
  } catch {
    return false
  }
}

/**
 * The kit's `Primitives` on node:crypto, with the same verdict as the kit's own on every input (FORMAT §2.2, §2.3).
 * None of the three throws on bytes of any content or length.
 */
export const nativePrimitives: Primitives = { sha256, ed25519Verify, p256Verify }

function jwkBytes(jwk: JsonWebKey, name: 'x' | 'y'): Uint8Array {
  return Buffer.from(jwk[name] ?? '', 'base64url')
}

function concat(...parts: readonly Uint8Array[]): Uint8Array {
  return new Uint8Array(Buffer.concat(parts))
}

/**
 * Encodes the public half of `key` (private or public) in its one encoding (FORMAT §2.1), whatever encoding it came in.
 *
 * @throws {KeyError} `key_unsupported` unless it is an Ed25519 or a P-256 key.
 */
export function encodePublicKey(key: KeyObject): {
  readonly alg: SignatureAlgorithm
  readonly spki: Uint8Array
  readonly publicKey: Uint8Array
} {
  const curve = key.asymmetricKeyDetails?.namedCurve
  const isP256 = key.asymmetricKeyType === 'ec' && curve === 'prime256v1'
  if (!isP256 && key.asymmetricKeyType !== 'ed25519') {
    throw new KeyError('key_unsupported', 'key is neither Ed25519 nor P-256 (prime256v1)')
  }
  const jwk = (key.type === 'private' ? createPublicKey(key) : key).export({ format: 'jwk' })
  if (isP256) {
    const publicKey = concat(Uint8Array.of(4), jwkBytes(jwk, 'x'), jwkBytes(jwk, 'y'))
    return { alg: 'ES256', spki: concat(SPKI_P256_PREFIX, publicKey), publicKey }
  }
  const publicKey = jwkBytes(jwk, 'x')
  return {
    alg: 'EdDSA',
    spki: concat(SPKI_ED25519_PREFIX, publicKey),
    publicKey: concat(publicKey),
  }
}

/**
 * Makes a `Signer` of an Ed25519 or P-256 private key that is held by this process.
 *
 * @throws {KeyError} `key_unsupported` for any other key, and for a public key.
 */
export function signerFromPrivateKey(key: KeyObject): Signer {
  if (key.type !== 'private') throw new KeyError('key_unsupported', 'key is not a private key')
  const { alg, spki, publicKey } = encodePublicKey(key)
  const sign =
    alg === 'EdDSA'
      ? (message: Uint8Array): Uint8Array => new Uint8Array(signBytes(null, message, key))
      : (message: Uint8Array): Uint8Array =>
          new Uint8Array(signBytes('sha256', message, { key, dsaEncoding: 'ieee-p1363' }))
  return { alg, spki, publicKey, sign }
}

// A drawn key is read back from its bytes: a key object straight from the job that drew it shares that job's lock, and on
// Node 20 a garbage collection during its export then waits for itself for ever.
const KEY_PAIR_ENCODINGS = {
  privateKeyEncoding: { format: 'pem', type: 'pkcs8' },
  publicKeyEncoding: { format: 'pem', type: 'spki' },
} as const

/** Draws a new private key for `alg`: Ed25519 for `EdDSA`, P-256 for `ES256`. */
export function generateKey(alg: SignatureAlgorithm): KeyObject {
  const { privateKey } =
    alg === 'EdDSA'
      ? generateKeyPairSync('ed25519', KEY_PAIR_ENCODINGS)
      : generateKeyPairSync('ec', { namedCurve: 'P-256', ...KEY_PAIR_ENCODINGS })
  if (typeof privateKey !== 'string') throw new TypeError('the key was not drawn as PEM')
  return createPrivateKey(privateKey)
}
