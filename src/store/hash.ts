/**
 * @module The one place where the store hashes: SHA-256 by the platform, and the leaf hash of RFC 9162 §2.1.1.
 */
import { sha256, sha256Of } from '../sha256.ts'

export { sha256, sha256Of }

/** Where parts are joined to be hashed: read before anything else is written there. An entry and its prefix fit. */
const joined = new Uint8Array(1 + 65_535)

/** SHA-256(a ‖ b): 32 bytes. */
export function sha256Pair(a: Uint8Array, b: Uint8Array): Uint8Array {
  const length = a.length + b.length
  if (length > joined.length) return sha256Of([a, b])
  joined.set(a)
  joined.set(b, a.length)
  return sha256(joined.subarray(0, length))
}

const LEAF_PREFIX = Uint8Array.of(0)

/** SHA-256(0x00 ‖ entry), the leaf hash of an entry. @see RFC 9162 §2.1.1 */
export function hashLeaf(entry: Uint8Array): Uint8Array {
  return sha256Pair(LEAF_PREFIX, entry)
}
