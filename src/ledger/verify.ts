/**
 * @module Verifying signatures, in this thread or in others: one interface.
 */
import { nativePrimitives } from '../crypto.ts'
import type { SignatureAlgorithm } from '../crypto.ts'
import type { Lane } from './admission.ts'

/** One signature to verify. */
export interface SignatureCheck {
  readonly alg: SignatureAlgorithm
  /** Bare public key: 32 bytes for EdDSA, the 65-byte point for ES256. */
  readonly publicKey: Uint8Array
  readonly message: Uint8Array
  /** 64 bytes. */
  readonly signature: Uint8Array
}

/** Verifies signatures somewhere. */
export interface SignatureVerifier {
  /**
   * Whether the signature holds (FORMAT §2.2, §2.3).
   *
   * @param lane - `urgent` checks are begun before all others. Default: `normal`.
   * @throws {LedgerError} `verifier_failed`
   */
  verify(check: SignatureCheck, lane?: Lane): Promise<boolean>
  /** Ends what it runs on. */
  close(): Promise<void>
}

/** One verdict for each check, in order. Never throws, whatever the bytes. */
export function verifySignatures(checks: readonly SignatureCheck[]): readonly boolean[] {
  return checks.map(({ alg, publicKey, message, signature }) =>
    alg === 'EdDSA'
      ? nativePrimitives.ed25519Verify(publicKey, message, signature)
      : nativePrimitives.p256Verify(publicKey, message, signature),
  )
}

/** Verifies in the calling thread: for tools that do nothing else meanwhile. */
export const inlineVerifier: SignatureVerifier = {
  verify: (check) => Promise.resolve(verifySignatures([check])[0] === true),
  close: () => Promise.resolve(),
}
