/**
 * @module The kit's primitives for an agent: pure JavaScript for signatures, so that no release of OpenSSL has a
 * say in what is accepted, with a short memory: one head signs a whole batch of receipts.
 */
import { createHash } from 'node:crypto'
import { noblePrimitives, type Primitives } from '@trustwarden/proofs'

/** Signatures that are remembered. */
const REMEMBERED_MAX = 64

function sha256(data: Uint8Array): Uint8Array {
  const digest = createHash('sha256').update(data).digest()
  // A plain Uint8Array: a Buffer's slice() is a view where everybody else's is a copy.
  return new Uint8Array(digest.buffer, digest.byteOffset, digest.byteLength)
}

/** Makes primitives of their own memory. Only signatures that verified are remembered, by the digest of all of them. */
export function createPrimitives(): Primitives {
  const verified = new Set<string>()
  const ed25519Verify: Primitives['ed25519Verify'] = (publicKey, message, signature) => {
    if (publicKey.length !== 32 || signature.length !== 64) return false
    const name = createHash('sha256').update(publicKey).update(signature).update(message)
    const key = name.digest('base64')
    if (verified.has(key)) return true
    if (!noblePrimitives.ed25519Verify(publicKey, message, signature)) return false
    verified.add(key)
    if (verified.size > REMEMBERED_MAX) {
      const [oldest] = verified
      if (oldest !== undefined) verified.delete(oldest)
    }
    return true
  }
  return { sha256, ed25519Verify, p256Verify: noblePrimitives.p256Verify }
}
