/**
 * @module The one place where the store hashes: SHA-256 by the platform, and the leaf hash of RFC 9162 §2.1.1.
 */
import { createHash, hash } from 'node:crypto'
import { plain } from './bytes.ts'

/** SHA-256 of `bytes`: 32 bytes. */
export function sha256(bytes: Uint8Array): Uint8Array {
  return plain(hash('sha256', bytes, 'buffer'))
}

/** SHA-256(parts[0] ‖ parts[1] ‖ …): 32 bytes. */
export function sha256Of(parts: Iterable<Uint8Array>): Uint8Array {
  const state = createHash('sha256')
  for (const part of parts) state.update(part)
  return plain(state.digest())
}

/** Below this many bytes joining and one call is faster than a hash object: 0.7 against 1.3 µs for 600 bytes (measured). */
const JOINED_BYTES_MAX = 4096

/** SHA-256(a ‖ b): 32 bytes. */
export function sha256Pair(a: Uint8Array, b: Uint8Array): Uint8Array {
  if (a.length + b.length > JOINED_BYTES_MAX) return sha256Of([a, b])
  const joined = new Uint8Array(a.length + b.length)
  joined.set(a)
  joined.set(b, a.length)
  return sha256(joined)
}

/** SHA-256(0x00 ‖ entry), the leaf hash of an entry. @see RFC 9162 §2.1.1 */
export function hashLeaf(entry: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(1 + entry.length)
  bytes.set(entry, 1)
  return sha256(bytes)
}
