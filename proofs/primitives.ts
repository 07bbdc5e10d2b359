/**
 * @module The three primitives on which the kit rests, as one argument, so that a service can pass native ones that
 * are held to the same vectors. The rules around them (lengths, canonical encodings, small order) are the kit's own.
 */

/** A 32-byte SHA-256 value. */
export type Hash = Uint8Array & { readonly __brand?: 'Hash' }

/** What a verifier needs from its platform. Each function is total: it never throws on bytes of any content. */
export interface Primitives {
  /** SHA-256 (FIPS 180-4) of `data`. */
  readonly sha256: (data: Uint8Array) => Hash
  /**
   * Whether the 64-byte `signature` of `message` verifies under the 32-byte Ed25519 key, by the rules of FORMAT §2.2:
   * S < L, A and R canonical and not of small order, and the cofactorless equation.
   */
  readonly ed25519Verify: (
    publicKey: Uint8Array,
    message: Uint8Array,
    signature: Uint8Array,
  ) => boolean
  /**
   * Whether the 64-byte `signature` (r ‖ s) of SHA-256(message) verifies under the 65-byte uncompressed P-256 point,
   * r and s in [1, n−1], high S included (FORMAT §2.3).
   */
  readonly p256Verify: (
    publicKey: Uint8Array,
    message: Uint8Array,
    signature: Uint8Array,
  ) => boolean
}
