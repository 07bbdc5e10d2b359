/**
 * @module The default primitives, from @noble: they run wherever JavaScript does.
 *
 * Verifiers disagree at the edges of Ed25519, so the rules of FORMAT §2.2 are applied here and R is computed here;
 * noble gives the arithmetic of points. Its own `verify` accepts more in either of its modes.
 */
import { p256 } from '@noble/curves/nist.js'
import { Point } from '@noble/ed25519'
import { sha256, sha512 } from '@noble/hashes/sha2.js'
import { concatBytes, copyBytes, equalBytes, fromHex, toHex } from './bytes.ts'
import type { Primitives } from './primitives.ts'

const { p: FIELD, n: ORDER } = Point.CURVE()

// The y of the 8 points whose order divides 8: order 1, order 2, order 4 (two points), order 8 (twice two points).
// With both signs of x these are all encodings of y < p that have to be refused.
const SMALL_ORDER_Y: ReadonlySet<bigint> = new Set([
  1n,
  FIELD - 1n,
  0n,
  integerLe(fromHex('26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05')),
  integerLe(fromHex('c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a')),
])

/** SHA-256, Ed25519 and P-256 in pure JavaScript. @see FORMAT §2 */
export const noblePrimitives: Primitives = {
  sha256: (data) => sha256(data),
  ed25519Verify,
  p256Verify,
}

/**
 * The rules, in this order: lengths; S < L; A and R canonical and not of small order; A on the curve; and
 * encode([S]B − [k]A) = R with k = SHA-512(R ‖ A ‖ M) mod L (RFC 8032 §5.1.7 without the cofactor).
 */
function ed25519Verify(publicKey: Uint8Array, message: Uint8Array, signature: Uint8Array): boolean {
  if (publicKey.length !== 32 || signature.length !== 64) return false
  const r = signature.subarray(0, 32)
  const s = integerLe(signature.subarray(32))
  if (s >= ORDER || !isPermittedEncoding(publicKey) || !isPermittedEncoding(r)) return false
  const a = decodePoint(publicKey)
  if (a === undefined) return false
  const k = integerLe(sha512(concatBytes(r, publicKey, message))) % ORDER
  const expected = Point.BASE.multiplyUnsafe(s).add(a.negate().multiplyUnsafe(k))
  return equalBytes(expected.toBytes(), r)
}

function p256Verify(publicKey: Uint8Array, message: Uint8Array, signature: Uint8Array): boolean {
  if (publicKey.length !== 65 || publicKey[0] !== 4 || signature.length !== 64) return false
  // noble answers false, and throws nothing, for r or s outside [1, n−1] and for a point that is not on the curve.
  return p256.verify(signature, sha256(message), publicKey, { prehash: false, lowS: false })
}

/** y < p and not of small order, whatever the sign of x. Whether there is a point with this y is not asked. */
function isPermittedEncoding(encoded: Uint8Array): boolean {
  const y = integerLe(encoded) % 2n ** 255n
  return y < FIELD && !SMALL_ORDER_Y.has(y)
}

function decodePoint(encoded: Uint8Array): Point | undefined {
  try {
    return Point.fromBytes(encoded)
  } catch {
    return undefined
  }
}

function integerLe(bytes: Uint8Array): bigint {
  return BigInt(`0x${toHex(copyBytes(bytes).reverse())}`)
}
