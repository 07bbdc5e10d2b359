/** The part of sodium-native that the bench calls; the package brings no types. */
declare module 'sodium-native' {
  /** Whether a detached Ed25519 signature verifies. */
  export function crypto_sign_verify_detached(
    signature: Uint8Array,
    message: Uint8Array,
    publicKey: Uint8Array,
  ): boolean
}
