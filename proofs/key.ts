/**
 * @module Public keys in their one permitted encoding, and the name that follows from it (FORMAT §2). A key in a second
 * encoding (compressed point, explicit parameters) would have a second name, so there is no second encoding.
 */
import { concatBytes, copyBytes, equalBytes, fromHex, toBase64url, toHex } from './bytes.ts'
import { check, ProofError } from './errors.ts'
import type { Primitives } from './primitives.ts'

/** The signature algorithms: Ed25519 (RFC 8032) and ECDSA on P-256 with SHA-256 (FIPS 186-5). */
export type KeyAlg = 'EdDSA' | 'ES256'

/** A public key: 32 bytes for EdDSA (RFC 8032 §5.1.5), 65 (0x04 ‖ x ‖ y) for ES256 (SEC 1 §2.3.3). */
export interface PublicKey {
  readonly alg: KeyAlg
  readonly publicKey: Uint8Array
}

/** A public key with its name: read once, for any number of statements. */
export interface NamedKey extends PublicKey {
  /** Key id (FORMAT §2.1). */
  readonly kid: string
}

// SEQUENCE { SEQUENCE { id-Ed25519 }, BIT STRING … } and SEQUENCE { SEQUENCE { id-ecPublicKey, prime256v1 }, … }.
const ED25519_PREFIX = fromHex('302a300506032b6570032100')
const P256_PREFIX = fromHex('3059301306072a8648ce3d020106082a8648ce3d030107034200')
const ED25519_LENGTH = 32
const P256_LENGTH = 65

// y² = x³ − 3x + b over the integers mod p (SP 800-186 §3.2.1.3).
const P256_P = 2n ** 256n - 2n ** 224n + 2n ** 192n + 2n ** 96n - 1n
const P256_B = 0x5ac635d8aa3a93e7b3ebbd55769886bc651d06b0cc53b0f63bce3c3e27d2604bn

/**
 * Encodes a 32-byte Ed25519 key as a DER SubjectPublicKeyInfo of 44 bytes, without parameters.
 *
 * @throws {ProofError} `key_invalid` for another length.
 * @see RFC 8410 §4
 */
export function ed25519Spki(publicKey: Uint8Array): Uint8Array {
  check(publicKey.length === ED25519_LENGTH, 'key_invalid', 'an Ed25519 key is 32 bytes')
  return concatBytes(ED25519_PREFIX, publicKey)
}

/**
 * Encodes a 65-byte uncompressed P-256 point as a DER SubjectPublicKeyInfo of 91 bytes, with the named curve.
 *
 * @throws {ProofError} `key_invalid` for another length or form, and for a point that is not on the curve.
 * @see RFC 5480 §2
 */
export function p256Spki(publicKey: Uint8Array): Uint8Array {
  const uncompressed = publicKey.length === P256_LENGTH && isP256Point(publicKey)
  check(uncompressed, 'key_invalid', 'a P-256 key is an uncompressed point of the curve, 65 bytes')
  return concatBytes(P256_PREFIX, publicKey)
}

/**
 * Reads a DER SubjectPublicKeyInfo in one of the two forms that `ed25519Spki` and `p256Spki` write. Whether 32 bytes
 * are a permitted Ed25519 point is decided where a signature is verified, not here.
 *
 * @throws {ProofError} `key_invalid` for any other bytes.
 */
export function parseSpki(der: Uint8Array): PublicKey {
  if (hasForm(der, ED25519_PREFIX, ED25519_LENGTH)) {
    return { alg: 'EdDSA', publicKey: copyBytes(der, ED25519_PREFIX.length) }
  }
  if (hasForm(der, P256_PREFIX, P256_LENGTH)) {
    const publicKey = copyBytes(der, P256_PREFIX.length)
    check(isP256Point(publicKey), 'key_invalid', 'not an uncompressed point of P-256')
    return { alg: 'ES256', publicKey }
  }
  throw new ProofError('key_invalid', 'neither an Ed25519 nor an uncompressed P-256 SPKI')
}

/** Names a key: base64url(SHA-256(DER SubjectPublicKeyInfo)), 43 characters, as `kid` and everywhere else. */
export function keyId(primitives: Primitives, spkiDer: Uint8Array): string {
  return toBase64url(primitives.sha256(spkiDer))
}

/** Reads a key and names it. @throws {ProofError} `key_invalid` */
export function namedKey(primitives: Primitives, spkiDer: Uint8Array): NamedKey {
  return { ...parseSpki(spkiDer), kid: keyId(primitives, spkiDer) }
}

function hasForm(der: Uint8Array, prefix: Uint8Array, keyLength: number): boolean {
  return (
    der.length === prefix.length + keyLength && equalBytes(der.subarray(0, prefix.length), prefix)
  )
}

/** 65 bytes: 0x04 ‖ x ‖ y with x, y < p, on the curve. Its order is prime, so no other check is needed. */
function isP256Point(publicKey: Uint8Array): boolean {
  if (publicKey[0] !== 4) return false
  const x = BigInt(`0x${toHex(publicKey.subarray(1, 33))}`)
  const y = BigInt(`0x${toHex(publicKey.subarray(33))}`)
  return x < P256_P && y < P256_P && (y * y - x * x * x + 3n * x - P256_B) % P256_P === 0n
}
